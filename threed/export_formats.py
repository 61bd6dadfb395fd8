"""A run's results in the formats that other programs want, each made when somebody asks.

Everything is made from a run folder's own files. Importing this loads no torch, so that a page may
convert in its own process.

OBJ, PLY and USDZ are +y up, as glTF is, whichever axis the mesh stood along. STL knows no unit and
goes to printers, which count millimetres and build along z: there the mesh is stood up, `PRINT_MM`
long unless told.
"""

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

from threed.glb import up_of
from threed.orbit_files import ORBIT_FPS
from threed.orbit_kind import read_kind
from threed.run_folder import RunFolder, shown_orbit
from threed.textured_mesh import TexturedMesh, read_own_glb
from threed.upright import upright
from threed.usdz import usdz_bytes

PRINT_MM = 100.0
FIXED_DATE = (1980, 1, 1, 0, 0, 0)
"""In archives, so that the same mesh makes the same bytes."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """One kind of file that a finished run can be taken home as."""

    name: str
    """What it is called in addresses and on buttons."""
    stage: str
    """The stage of the run folder that it is made from."""
    suffix: str
    """How the file's name ends, from after the stem."""
    make: Callable[[Path], bytes]
    """Returns the file's bytes, given the run folder's path."""
    of_orbits_alone: bool = False
    """Whether it would say of another video what is not known to be true."""


def obj_bytes(mesh: TexturedMesh) -> bytes:
    """Return a zip of mesh.obj, mesh.mtl and texture.png."""
    lines = ["mtllib mesh.mtl", "o object", "usemtl surface"]
    # Nine digits hold every bit of a float32, wherever the mesh stands.
    lines += [f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in mesh.vertices.tolist()]
    lines += [f"vt {u:.6g} {v:.6g}" for u, v in mesh.uv.tolist()]
    lines += [f"vn {x:.4f} {y:.4f} {z:.4f}" for x, y, z in mesh.normals.tolist()]
    lines += [f"f {a}/{a}/{a} {b}/{b}/{b} {c}/{c}/{c}" for a, b, c in (mesh.faces + 1).tolist()]
    material = "newmtl surface\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd texture.png\n"
    return zip_bytes(
        {
            "mesh.obj": ("\n".join(lines) + "\n").encode(),
            "mesh.mtl": material.encode(),
            "texture.png": png_bytes(mesh.texture),
        }
    )


def ply_bytes(mesh: TexturedMesh) -> bytes:
    """Return a binary PLY with normals, and the texture's colour at each vertex."""
    vertex = np.dtype(
        [(name, "<f4") for name in ("x", "y", "z", "nx", "ny", "nz")]
        + [(name, "u1") for name in ("red", "green", "blue")]
    )
    rows = np.empty(len(mesh.vertices), vertex)
    numbers = np.concatenate([mesh.vertices, mesh.normals], axis=1)
    for column, name in enumerate(vertex.names[:6]):  # pyright: ignore[reportOptionalSubscript]
        rows[name] = numbers[:, column]
    for channel, name in enumerate(("red", "green", "blue")):
        rows[name] = vertex_colours(mesh)[:, channel]
    faces = np.empty(len(mesh.faces), np.dtype([("count", "u1"), ("corners", "<i4", 3)]))
    faces["count"], faces["corners"] = 3, mesh.faces
    kinds = {"<f4": "float", "u1": "uchar", "|u1": "uchar"}
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(rows)}"]
    header += [f"property {kinds[vertex[name].str]} {name}" for name in vertex.names or ()]
    header += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header"]
    return ("\n".join(header) + "\n").encode() + rows.tobytes() + faces.tobytes()


def stl_bytes(mesh: TexturedMesh, size_mm: float = PRINT_MM) -> bytes:
    """Return a binary STL for a printer: +z up, standing on z = 0, `size_mm` along its longest."""
    upright = mesh.vertices[:, [0, 2, 1]] * np.float32([1, -1, 1])  # pyright: ignore[reportArgumentType]
    low, high = upright.min(axis=0), upright.max(axis=0)
    middle = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    placed = (upright - middle) * (size_mm / max(float((high - low).max()), 1e-12))
    corners = placed[mesh.faces].astype("<f4")
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-30)
    rows = np.zeros(
        len(corners),
        np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("unused", "<u2")]),
    )
    rows["normal"], rows["corners"] = normal, corners
    return b"Lathe".ljust(80, b"\0") + np.uint32(len(rows)).tobytes() + rows.tobytes()


def vertex_colours(mesh: TexturedMesh) -> np.ndarray:
    """Return the texture's colour (uint8 sRGB) at each vertex's UV."""
    height, width = mesh.texture.shape[:2]
    column = np.clip(mesh.uv[:, 0] * width, 0, width - 1).astype(int)
    row = np.clip((1 - mesh.uv[:, 1]) * height, 0, height - 1).astype(int)
    return mesh.texture[row, column]


def dataset_bytes(folder: Path) -> bytes:
    """Return a zip of transforms.json and images/, which nerfstudio opens as it is."""
    folder = shown_orbit(folder)
    names = [
        "transforms.json",
        *(f"images/{path.name}" for path in sorted((folder / "images").iterdir())),
    ]
    return zip_bytes({name: (folder / name).read_bytes() for name in names})


def gif_bytes(folder: Path) -> bytes:
    """Return the mesh's turntable as a GIF that turns for ever; without a mesh, the video's."""
    frames, milliseconds = turntable_frames(folder)
    # One palette for all frames: own ones would make plain surfaces flicker.
    palette = montage(frames).quantize(255, dither=Image.Dither.NONE)
    flat = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    return _animated(flat, "GIF", milliseconds, optimize=False)


def webp_bytes(folder: Path) -> bytes:
    """Return the mesh's turntable as an animated WebP; before there is a mesh, the video's."""
    if (folder / "preview.webp").is_file():
        return (folder / "preview.webp").read_bytes()
    frames, milliseconds = turntable_frames(folder)
    return _animated(frames, "WEBP", milliseconds, quality=85, method=2)


def turntable_frames(folder: Path) -> tuple[list[Image.Image], int]:
    """Return the frames of one turn (RGB over white) and how long each is shown, milliseconds.

    What is no turn is shown as its film is.
    """
    if is_clip(folder):
        # Here and not above: it loads the libraries of films, which no other format needs.
        from threed.video_io import film_pictures

        return list(film_pictures(folder / "orbit.mp4")), round(1000 / ORBIT_FPS)
    if (folder / "preview.webp").is_file():
        with Image.open(folder / "preview.webp", formats=("WEBP",)) as image:
            frames = [frame.convert("RGB") for frame in ImageSequence.Iterator(image)]
    else:
        images = sorted((shown_orbit(folder) / "images").iterdir())
        frames = [picture_over_white(path) for path in images]
    return frames, max(20, round(3000 / len(frames)))


def picture_over_white(path: Path, min_side: int = 256) -> Image.Image:
    """Return a PNG of the run folder over white, enlarged by a whole factor if it is small."""
    with Image.open(path, formats=("PNG",)) as image:
        picture = image.convert("RGBA")
    plain = Image.new("RGBA", picture.size, "white")
    plain.alpha_composite(picture)
    factor = max(1, -(-min_side // min(plain.size)))
    size = (plain.width * factor, plain.height * factor)
    return plain.convert("RGB").resize(size, Image.Resampling.LANCZOS)


def montage(frames: list[Image.Image]) -> Image.Image:
    """Return up to six of the frames beside each other."""
    chosen = frames[:: max(1, len(frames) // 6)]
    sheet = Image.new("RGB", (chosen[0].width * len(chosen), chosen[0].height))
    for index, frame in enumerate(chosen):
        sheet.paste(frame, (index * frame.width, 0))
    return sheet


def _animated(frames: list[Image.Image], kind: str, milliseconds: int, **options: object) -> bytes:
    buffer = io.BytesIO()
    frames[0].save(
        buffer,
        format=kind,
        save_all=True,
        append_images=frames[1:],
        duration=milliseconds,
        loop=0,
        **options,
    )
    return buffer.getvalue()


def png_bytes(pixels: np.ndarray) -> bytes:
    """Return a picture as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def zip_bytes(files: dict[str, bytes]) -> bytes:
    """Return a zip of the files, the same bytes for the same files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, FIXED_DATE), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _of_mesh(convert: Callable[[TexturedMesh], bytes]) -> Callable[[Path], bytes]:
    return lambda folder: convert(upright_mesh(folder / "mesh.glb"))


def upright_mesh(path: Path) -> TexturedMesh:
    """Return the mesh of a GLB of this program, +y up.

    Raises:
        RequestError: As `read_own_glb`.
    """
    mesh = read_own_glb(path)
    up = up_of(path)
    return replace(mesh, vertices=upright(mesh.vertices, up), normals=upright(mesh.normals, up))


FORMATS: tuple[Format, ...] = (
    Format(
        name="glb",
        stage="mesh",
        suffix=".glb",
        make=lambda folder: (folder / "mesh.glb").read_bytes(),
    ),
    Format(name="obj", stage="mesh", suffix="-obj.zip", make=_of_mesh(obj_bytes)),
    Format(name="ply", stage="mesh", suffix=".ply", make=_of_mesh(ply_bytes)),
    Format(name="stl", stage="mesh", suffix=".stl", make=_of_mesh(stl_bytes)),
    Format(name="usdz", stage="mesh", suffix=".usdz", make=_of_mesh(usdz_bytes)),
    Format(
        name="mp4",
        stage="orbit",
        suffix=".mp4",
        make=lambda folder: (shown_orbit(folder) / "orbit.mp4").read_bytes(),
    ),
    Format(
        name="first-mp4",
        stage="redraw",
        suffix="-first.mp4",
        make=lambda folder: (folder / "orbit.mp4").read_bytes(),
    ),
    Format(name="gif", stage="orbit", suffix=".gif", make=gif_bytes),
    Format(name="webp", stage="orbit", suffix=".webp", make=webp_bytes),
    Format(
        name="report",
        stage="report",
        suffix="-report.png",
        make=lambda folder: (folder / "report.png").read_bytes(),
    ),
    Format(
        name="dataset",
        stage="orbit",
        suffix="-nerfstudio.zip",
        make=dataset_bytes,
        of_orbits_alone=True,
    ),
)
"""In the order in which a page lists them."""


def is_clip(folder: Path) -> bool:
    """Return whether a run's video is none of which a mesh can be made."""
    return read_kind(folder / "orbit.npz") == "clip"


def why_not(run: RunFolder, known: Format) -> str | None:
    """Return in words why a run cannot be taken home in a format; None where it can."""
    if is_clip(run.path):
        if known.of_orbits_alone:
            return (
                "its video is no orbit, and only an orbit's frames are known to show one thing "
                "that stands still from where their cameras stand"
            )
        if known.stage != "orbit":
            return "its video is no orbit, so no mesh is made of it"
    return None if run.done(known.stage) else f"it has no finished {known.stage}"


def find_format(name: str) -> Format | None:
    """Return the format of a name, or None."""
    return next((known for known in FORMATS if known.name == name), None)
