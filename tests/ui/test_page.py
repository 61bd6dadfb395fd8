"""The page without a browser: what it loads, what it serves, what it keeps to its visitor."""

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import pytest

import app
from pipelines.errors import RequestError
from pipelines.jobs.supervisor import PROJECT_ROOT
from pipelines.jobs.worker import run_job
from pipelines.models.embedded_card import EmbeddedCard
from pipelines.request import FRAMES_RANGE, SEEN_NAME, GenerationRequest
from tests.pipelines.clockwork import Clockwork
from tests.threed.test_picture import BOX, drawn, save
from ui.compose import build_form, form_values, read_requests
from ui.desk import Desk
from ui.gallery import gallery_html
from ui.mesh_settings import NUM_FIELDS
from ui.page import Clerk, build_page
from ui.panel import Visit, panel_values

HEAVY = ("torch", "diffusers", "open3d", "transformers", "nerfstudio", "scipy")


def run_one(desk: Desk, session: str, prompt: str = "count 2") -> str:
    job_id = desk.store.submit(GenerationRequest(prompt=prompt), session)
    claimed = desk.store.claim()
    assert claimed is not None
    run_job(desk.store, claimed, Clockwork())
    return job_id


def test_the_pages_process_loads_nothing_heavy(tmp_path: Path) -> None:
    program = (
        "import sys, app\n"
        "before = [name for name in sys.modules if name == 'pipelines.models.embedded']\n"
        "app.build_app()\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)), before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=PROJECT_ROOT,
        env=os.environ | {"LATHE_RUNS": str(tmp_path)},
        check=True,
    )
    assert done.stdout.strip() == "[] []"


@pytest.mark.parametrize(
    ("environment", "port"),
    [({}, 7860), ({"PORT": "81"}, 81), ({"PORT": "81", "GRADIO_SERVER_PORT": "82"}, 82)],
)
def test_the_port_is_gradios_or_the_hosts_or_7860(
    environment: dict[str, str], port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PORT", "GRADIO_SERVER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert app.server_port() == port


def test_only_a_space_or_an_order_opens_the_page_to_other_machines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("SPACE_ID", "GRADIO_SERVER_NAME"):
        monkeypatch.delenv(name, raising=False)
    assert app.server_name() == "127.0.0.1"
    monkeypatch.setenv("SPACE_ID", "somebody/lathe")
    assert app.server_name() == "0.0.0.0"
    monkeypatch.setenv("GRADIO_SERVER_NAME", "127.0.0.1")
    assert app.server_name() == "127.0.0.1"


def test_a_visitor_keeps_the_key_that_was_given_out_and_no_other(desk: Desk) -> None:
    key = desk.session(None)
    assert desk.session(key) == key
    strangers: list[object] = ["", "../..", 7, {"a": 1}, None]
    assert len({desk.session(stranger) for stranger in strangers} | {key}) == len(strangers) + 1


def test_what_the_model_cannot_make_never_enters_the_queue(desk: Desk) -> None:
    session = desk.session(None)
    with pytest.raises(RequestError, match="makes at most"):
        desk.submit(GenerationRequest(prompt="a chair", num_frames=FRAMES_RANGE[1]), session)
    assert desk.jobs(session) == []


def test_a_visitor_reaches_nobody_elses_job(desk: Desk) -> None:
    mine, other = desk.session(None), desk.session(None)
    job_id = run_one(desk, mine)
    assert [job.id for job in desk.jobs(mine)] == [job_id]
    assert desk.jobs(other) == []
    peeping = panel_values(desk, Visit(key=other, chosen=job_id))
    assert peeping == panel_values(desk, Visit(key=desk.session(None)))
    assert "count 2" in str(panel_values(desk, Visit(key=mine, chosen=job_id)))
    clerk = Clerk(desk)
    waiting = desk.store.submit(GenerationRequest(prompt="count 1"), mine)
    for act in ("cancel", "stop"):
        clerk.act(Visit(key=other), [None] * NUM_FIELDS, {"act": act, "job": waiting})
    assert desk.store.status(waiting).state == "queued"
    for act in ("again", "build", "resume", "rename", "delete", "share", "unshare", "choose"):
        clerk.act(
            Visit(key=other), [None] * NUM_FIELDS, {"act": act, "job": job_id, "text": "stolen"}
        )
    assert desk.job(job_id, mine).title == "count 2"
    assert desk.job(job_id, mine).share is None
    desk.cancel(waiting, mine)
    assert desk.store.status(waiting).state == "cancelled"


def test_results_are_served_as_copies_under_names_that_nobody_can_guess(desk: Desk) -> None:
    session = desk.session(None)
    jobs = [desk.store.status(run_one(desk, session, "count 2")) for _ in range(2)]
    copies = [desk.results(job)["orbit.mp4"] for job in jobs]
    assert desk.results(jobs[0])["orbit.mp4"] == copies[0]
    assert copies[0].parent != copies[1].parent
    for copy in copies:
        assert copy.name == "count-2-0.mp4"
        assert len(copy.parent.name) == 22
        assert copy.read_bytes() == b"frames of count"
        assert desk.store.root not in copy.parents
    # Gradio clears old files away; who comes back still gets them.
    copies[0].unlink()
    assert desk.results(jobs[0])["orbit.mp4"].read_bytes() == b"frames of count"
    desk.close()
    assert not copies[1].exists()


def test_a_tick_sends_only_what_has_changed() -> None:
    visit = Visit()
    first = [{"value": "a", "visible": True}, "status 1"]
    assert visit.renew(first) == first
    skip = visit.renew([{"value": "a", "visible": True}, "status 2"])
    assert "value" not in skip[0]
    assert skip[1] == "status 2"


@pytest.mark.parametrize(
    "pressed",
    [
        {},
        {"act": 7},
        {"act": "build", "job": {"a": 1}},
        {"act": "rename", "job": None, "text": []},
        {"act": "search", "text": ["x"]},
        {"act": "language", "text": 3},
        {"act": "../..", "job": "x"},
    ],
)
def test_a_made_up_press_changes_nothing_and_breaks_nothing(
    desk: Desk, pressed: dict[str, object]
) -> None:
    mine = desk.session(None)
    job_id = run_one(desk, mine)
    Clerk(desk).act(Visit(key=mine), [None] * NUM_FIELDS, pressed)
    assert [job.title for job in desk.jobs(mine)] == ["count 2"]
    assert desk.job(job_id, mine).state == "done"


def test_a_file_brings_its_settings_back_and_is_gone(desk: Desk, tmp_path: Path) -> None:
    clerk, visit = Clerk(desk), Visit(key=desk.session(None))
    request = GenerationRequest(prompt="a pie", seed=5, max_faces=3000, video_only=True)
    path = tmp_path / "request.json"
    path.write_text(request.to_json())
    said, *fields = clerk.restore(visit, str(path))
    assert read_requests(*fields) == [request]
    assert "a pie" in said["value"]
    assert not path.exists()
    path.write_bytes(b"glTF" + bytes(40))
    said, *fields = clerk.restore(visit, str(path))
    assert 'role="alert"' in said["value"]
    assert not path.exists()


def test_settings_of_a_model_that_does_not_run_here_come_back_for_one_that_does(
    desk: Desk, tmp_path: Path
) -> None:
    clerk, visit = Clerk(desk), Visit(key=desk.session(None))
    path = tmp_path / "request.json"
    path.write_text(GenerationRequest(prompt="a pie", seed=5, model="wan2.1-t2v-1.3b").to_json())
    said, *fields = clerk.restore(visit, str(path))
    (request,) = read_requests(*fields)
    assert (request.prompt, request.seed, request.model) == ("a pie", 5, "embedded")
    assert "wan2.1-t2v-1.3b does not run here" in said["value"]


def test_a_picture_is_handed_in_and_an_upload_goes_whatever_comes_of_it(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clerk, visit = Clerk(desk), Visit(key=desk.session(None))
    form = form_values(GenerationRequest(prompt="nothing", elevation_deg=30.0))
    plain, cut = drawn((90, 90, 90, 255)), drawn((9, 9, 9, 0), BOX)
    for takes, picture, num_jobs in ((True, plain, 0), (False, cut, 0), (True, cut, 1)):
        monkeypatch.setattr(EmbeddedCard, "image", takes)
        upload = save(tmp_path / "count 1.png", picture)
        _, said, emptied, *_ = clerk.picture(visit, ("embedded",), str(upload), "", 4, *form)
        assert not upload.exists()
        assert emptied is None
        assert ('role="alert"' in said["value"]) is (num_jobs == 0)
        assert len(desk.jobs(visit.key)) == num_jobs
    (job,) = desk.jobs(visit.key)
    assert (job.title, job.request.seed, job.request.elevation_deg) == ("count 1", 4, 30.0)
    _, said, *_ = clerk.picture(visit, ("embedded",), None, "", 4, *form)
    assert "Choose a picture first." in said["value"]
    # Made again it wants the picture anew, and all of its settings are there.
    said, *fields = clerk.act(visit, form, {"act": "again", "job": job.id})[1:17]
    assert "choose the picture again" in said["value"]
    assert fields[1:] == form_values(job.request)[1:]
    # The gallery shows the picture until there is something that was made of it.
    seen = desk.store.folder(job) / SEEN_NAME
    save(seen, drawn((9, 9, 9, 255)))
    gallery = gallery_html([(job, seen.parent)], False, None, "en", "")
    assert gallery.count("<img") == 1
    assert 'class="waiting"' not in gallery


def test_without_a_model_that_takes_pictures_the_form_has_no_place_for_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for takes in (False, True):
        monkeypatch.setattr(EmbeddedCard, "image", takes)
        with gr.Blocks():
            form = build_form()
        assert (form.picture is not None) is takes
        if form.picture is not None:
            assert form.picture.models == ("embedded",)


def test_every_kind_of_wish_says_its_cost_before_anybody_has_chosen_a_file(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EmbeddedCard, "image", True)
    with gr.Blocks():
        form = build_form()
    clerk, visit = Clerk(desk), Visit(key=desk.session(None))
    values = form_values(GenerationRequest(prompt="a", video_only=True))
    assert len(form.costs()) == 3
    for takers, number in (((), 2), (("embedded",), 3)):
        words, clip, *picture = clerk.costs(takers, visit, "", *values[1:])
        assert len([words, clip, *picture]) == number
        assert "1 video in" in words
        assert "the mesh in" in clip
        assert all("1 video in" in says for says in picture)
    # What cannot be asked for costs nothing, and the mesh's settings are a clip's alone.
    values[5] = 7
    words, clip, picture = clerk.costs(("embedded",), visit, *values)
    assert (words, picture) == ("", "")
    assert "the mesh in" in clip


def test_a_share_shows_results_without_a_press_that_changes_them(desk: Desk) -> None:
    mine = desk.session(None)
    token = desk.share(run_one(desk, mine), mine)
    values = str(panel_values(desk, Visit(key=desk.session(None), shared=token))[:8])
    assert "count 2" in values
    assert "data-act" not in values
    desk.unshare(desk.jobs(mine)[0].id, mine)
    gone = str(panel_values(desk, Visit(key=desk.session(None), shared=token)))
    assert "count 2" not in gone
    assert "leads nowhere" in gone


@pytest.fixture
def served(desk: Desk) -> Iterator[tuple[str, Desk]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    page = build_page(desk)
    page.launch(
        server_name="127.0.0.1",
        server_port=port,
        prevent_thread_lock=True,
        quiet=True,
        **app.launch_settings(desk),
    )
    yield f"http://127.0.0.1:{port}", desk
    page.close()
    desk.close()


def get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_the_server_gives_out_its_viewer_and_no_file_of_the_runs_or_the_program(
    served: tuple[str, Desk],
) -> None:
    url, desk = served
    session = desk.session(None)
    job = desk.store.status(run_one(desk, session))
    status, viewer = get(f"{url}/viewer/model-viewer.min.js")
    assert status == 200
    assert b"customElements.define" in viewer
    forbidden = [
        desk.store.folder(job) / "orbit.mp4",
        desk.store.root / "jobs.sqlite",
        PROJECT_ROOT / "app.py",
        PROJECT_ROOT / "requirements.txt",
        Path("/etc/passwd"),
    ]
    for path in forbidden:
        assert path.exists()
        assert get(f"{url}/gradio_api/file={path}")[0] in (403, 404)
    assert get(f"{url}/viewer/../../app.py")[0] == 404
    assert get(f"{url}/monitoring/summary")[0] in (403, 404)


def test_the_page_asks_no_other_host_for_anything(served: tuple[str, Desk]) -> None:
    url, _ = served
    config = json.loads(get(f"{url}/config")[1])
    assert not [sheet for sheet in config["stylesheets"] if "://" in sheet]
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
