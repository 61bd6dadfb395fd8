"""The named endpoints as a script, an agent and curl meet them; and that the manual is right."""

import asyncio
import base64
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from pipelines.jobs.records import QueueLimits
from pipelines.jobs.supervisor import PROJECT_ROOT
from pipelines.models.embedded_card import EmbeddedCard
from pipelines.request import PICTURE_NAME, GenerationRequest
from tests.threed.test_picture import BOX, drawn, save
from tests.threed.test_source import write_turntable
from tests.ui.served import served_page
from ui.desk import Desk

MANUAL = PROJECT_ROOT / "docs" / "api.md"
EXAMPLES = re.findall(r"^```(python|bash)\n(.*?)^```", MANUAL.read_text("utf-8"), re.M | re.S)
PATIENCE = 60.0


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Desk]]:
    limits = QueueLimits(per_session=50, per_hour=500)
    with pytest.MonkeyPatch.context() as patch:
        # The worker here takes pictures, whether or not the shipped weights have learnt to.
        patch.setattr(EmbeddedCard, "image", True)
        with served_page(tmp_path_factory.mktemp("page"), limits) as served:
            yield served


@pytest.fixture(scope="module")
def client(served: tuple[str, Desk]) -> Client:
    return Client(served[0], verbose=False)


def finished(client: Client, job: dict[str, Any]) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE
    while job["state"] in ("queued", "running"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
        job = client.predict(job["job"], job["key"], api_name="/status")
    return job


@pytest.mark.parametrize(("language", "code"), EXAMPLES)
def test_the_manuals_examples_run_as_they_stand(
    served: tuple[str, Desk], tmp_path: Path, language: str, code: str
) -> None:
    write_turntable(tmp_path / "turntable.mp4")
    save(tmp_path / "chair.png", drawn((9, 9, 9, 0), BOX))
    code = code.replace("http://127.0.0.1:7860", served[0])
    program = [sys.executable, "-c", code] if language == "python" else ["bash", "-ec", code]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-1500:]
    assert done.stdout.strip()


def test_a_job_goes_from_words_to_files(client: Client, tmp_path: Path) -> None:
    job = client.predict(prompt="count 3", seed=5, api_name="/submit")
    assert len(job["key"]) == len(job["job"]) == 22
    job = finished(client, job)
    assert (job["state"], job["fraction_done"], job["ready"]) == ("done", 1.0, ["orbit.mp4"])
    _, files = client.predict(job["job"], job["key"], api_name="/result")
    assert [Path(file).read_bytes() for file in files] == [b"frames of count"]


def test_a_key_gathers_jobs_and_another_sees_none_of_them(client: Client) -> None:
    first = client.predict(prompt="count 1", api_name="/submit")
    second = client.predict(prompt="count 2", key=first["key"], api_name="/submit")
    other = client.predict(prompt="count 3", api_name="/submit")
    listed = client.predict(first["key"], api_name="/jobs")
    assert [job["job"] for job in listed] == [second["job"], first["job"]]
    assert [job["job"] for job in client.predict(first["key"], "2", api_name="/jobs")] == [
        second["job"]
    ]
    endpoints = ("/status", "/cancel", "/stop", "/resume", "/result", "/build_3d", "/delete")
    for endpoint in (*endpoints, "/share", "/export", "/rename"):
        rest = {"/export": ["gif"], "/rename": ["stolen"]}.get(endpoint, [])
        with pytest.raises(AppError, match="no such job of yours"):
            client.predict(first["job"], other["key"], *rest, api_name=endpoint)
    assert client.predict("nonsense", api_name="/jobs") == []


def test_cancel_and_stop_end_a_job_and_resume_goes_on(client: Client) -> None:
    for endpoint, state in (("/cancel", "cancelled"), ("/stop", "stopped")):
        job = client.predict(prompt="count 1000", api_name="/submit")
        while client.predict(job["job"], job["key"], api_name="/status")["step"] < 1:
            time.sleep(0.1)
        client.predict(job["job"], job["key"], api_name=endpoint)
        assert finished(client, job)["state"] == state
    again = client.predict(job["job"], job["key"], api_name="/resume")
    assert again["state"] in ("queued", "running")
    client.predict(job["job"], job["key"], api_name="/cancel")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"prompt": ""}, "The prompt is empty"),
        ({"prompt": "a chair", "seed": -7}, "The seed is -7"),
        ({"prompt": "a chair", "model": "../../etc/passwd"}, "the catalogue has"),
        ({"prompt": "a chair", "num_frames": 96}, "makes at most"),
        ({"prompt": "a chair", "key": "x"}, "key was not given out"),
    ],
)
def test_what_cannot_be_made_is_refused_in_words(
    client: Client, wrong: dict[str, Any], words: str
) -> None:
    with pytest.raises(AppError, match=words):
        client.predict(**wrong, api_name="/submit")


def test_only_clips_are_taken_in_whatever_they_are_called(client: Client, tmp_path: Path) -> None:
    bad = {
        "page.mp4": b"<html><script>alert(1)</script></html>",
        "list.mp4": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        "short.mp4": b"\0\0\0\x18ftypmp42" + bytes(200),
        "picture.webp": b"RIFF\xff\xff\xff\x7fWEBPVP8 " + bytes(64),
    }
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(AppError) as refused:
            client.predict(clip=handle_file(tmp_path / name), api_name="/video_to_3d")
        assert "/" not in str(refused.value)
    write_turntable(tmp_path / "a.mp4")
    with pytest.raises(AppError, match="must be a number of degrees"):
        client.predict(
            clip=handle_file(tmp_path / "a.mp4"), elevation_deg="high", api_name="/video_to_3d"
        )
    job = client.predict(
        clip=handle_file(tmp_path / "a.mp4"), name="count 1", api_name="/video_to_3d"
    )
    assert finished(client, job)["state"] == "done"


def test_a_clips_mesh_has_the_settings_that_the_page_has(
    client: Client, served: tuple[str, Desk], tmp_path: Path
) -> None:
    write_turntable(tmp_path / "a.mp4")
    settings = {"elevation_deg": "12.5", "fov_deg": 35, "texture_size": 512, "max_faces": 1500}
    job = client.predict(
        clip=handle_file(tmp_path / "a.mp4"), max_mb=0.5, api_name="/video_to_3d", **settings
    )
    request = served[1].job(job["job"], job["key"]).request
    assert (request.clip_elevation_deg, request.clip_fov_deg) == (12.5, 35.0)
    assert (request.texture_size, request.max_faces, request.max_mb) == (512, 1500, 0.5)
    with pytest.raises(AppError, match="megabytes"):
        client.predict(clip=handle_file(tmp_path / "a.mp4"), max_mb=-1, api_name="/video_to_3d")


def test_a_picture_is_taken_in_with_its_settings_and_leaves_the_cache(
    client: Client, served: tuple[str, Desk], tmp_path: Path
) -> None:
    photo = handle_file(save(tmp_path / "count 1.png", drawn((9, 9, 9, 0), BOX)))
    settings = {"seed": 7, "elevation_deg": 12.5, "num_frames": 12, "num_steps": 5}
    job = client.predict(picture=photo, video_only=True, api_name="/picture_to_3d", **settings)
    request = served[1].job(job["job"], job["key"]).request
    assert request == GenerationRequest(
        prompt="count 1", picture=request.picture, video_only=True, **settings
    )
    kept = served[1].store.folder(served[1].job(job["job"], job["key"])) / PICTURE_NAME
    assert kept.read_bytes() == (tmp_path / "count 1.png").read_bytes()
    assert finished(client, job)["state"] == "done"
    assert not list(served[1].served.rglob("count 1.png"))
    named = client.predict(picture=photo, prompt="count 2", api_name="/picture_to_3d")
    assert named["title"] == "count 2"


def test_what_is_no_picture_of_an_object_is_refused_and_leaves_the_cache_too(
    client: Client, served: tuple[str, Desk], tmp_path: Path
) -> None:
    (tmp_path / "page.png").write_bytes(b"<html><script>alert(1)</script></html>")
    save(tmp_path / "plain.png", drawn((90, 90, 90, 255)))
    for name, words in (("page.png", "is no picture"), ("plain.png", "Nothing stands out")):
        with pytest.raises(AppError, match=words) as refused:
            client.predict(picture=handle_file(tmp_path / name), api_name="/picture_to_3d")
        assert "/" not in str(refused.value)
        assert not list(served[1].served.rglob(name))
    with pytest.raises(AppError, match="takes no picture; choose 'embedded'"):
        client.predict(
            picture=handle_file(save(tmp_path / "box.png", drawn((9, 9, 9, 0), BOX))),
            model="wan2.1-t2v-1.3b",
            api_name="/picture_to_3d",
        )


def test_a_finished_job_is_exported_renamed_shared_and_deleted(client: Client) -> None:
    job = finished(client, client.predict(prompt="count 1", api_name="/submit"))
    mine = (job["job"], job["key"])
    with pytest.raises(
        AppError, match=r"no 'obj' of this job: it has no finished mesh; there is mp4"
    ):
        client.predict(*mine, "obj", api_name="/export")
    answer, file = client.predict(*mine, "mp4", api_name="/export")
    while answer["state"] == "pending":
        assert file is None
        time.sleep(0.1)
        answer, file = client.predict(*mine, "mp4", api_name="/export")
    assert Path(file).read_bytes() == b"frames of count"
    assert client.predict(*mine, "my clock", api_name="/rename")["title"] == "my clock"
    link = client.predict(*mine, api_name="/share")["link"]
    assert re.fullmatch(r"/\?share=[\w-]{22}", link)
    assert client.predict(*mine, api_name="/share")["link"] == link
    assert client.predict(*mine, False, api_name="/share")["link"] is None
    assert client.predict(*mine, api_name="/delete")["state"] == "deleted"
    with pytest.raises(AppError, match="no such job of yours"):
        client.predict(*mine, api_name="/status")


def test_an_agent_finds_documented_tools_and_uses_them(
    served: tuple[str, Desk], tmp_path: Path
) -> None:
    write_turntable(tmp_path / "a.mp4")
    clip = base64.b64encode((tmp_path / "a.mp4").read_bytes()).decode()
    drawing = save(tmp_path / "a.png", drawn((9, 9, 9, 0), BOX))
    photo = base64.b64encode(drawing.read_bytes()).decode()

    async def use() -> None:
        async with (
            streamable_http_client(f"{served[0]}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            assert tools.keys() == {
                *("submit", "video_to_3d", "picture_to_3d", "status", "result", "cancel", "stop"),
                *("resume", "build_3d", "jobs", "models"),
                *("export", "share", "rename", "delete"),
            }
            for tool in tools.values():
                assert tool.description
                for given in tool.inputSchema["properties"].values():
                    assert given.get("description"), tool.name
            handed = await session.call_tool("submit", {"prompt": "count 1"})
            assert "'state': 'queued'" in handed.content[0].text  # type: ignore[union-attr]
            handed = await session.call_tool(
                "video_to_3d", {"clip": f"data:video/mp4;base64,{clip}", "name": "count 1"}
            )
            assert not handed.isError
            handed = await session.call_tool(
                "picture_to_3d", {"picture": f"data:image/png;base64,{photo}", "prompt": "count 1"}
            )
            assert not handed.isError
            refused = await session.call_tool("video_to_3d", {"clip": "http://127.0.0.1:9/a.mp4"})
            assert refused.isError
            assert "not fetched" in refused.content[0].text  # type: ignore[union-attr]

    # In a thread of its own: Playwright's loop, once started, stays in the thread of the tests,
    # and a second one cannot run there.
    with ThreadPoolExecutor(max_workers=1) as pool:
        pool.submit(asyncio.run, use()).result()


def test_the_models_are_listed_with_their_limits(client: Client) -> None:
    (model, *_) = client.predict(api_name="/models")
    assert model["model"] == "embedded"
    assert model["max_frames"] >= 24
    json.dumps(model)
