import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Sam2VideoModel
from transformers.models.sam2.image_processing_sam2 import Sam2ImageProcessor
from transformers.models.sam2_video.processing_sam2_video import Sam2VideoProcessor
from transformers.models.sam2_video.video_processing_sam2_video import Sam2VideoVideoProcessor

from tests.threed.tiny_segmenter import SIDE, write_tiny
from threed.errors import InstallationError, RequestError
from threed.segmenter import (
    DEVIATION,
    REMEMBERED,
    Segmenter,
    check_followed,
    most_agreed,
    segment_clip,
)

CELLS = 16
"""Rows and columns of the tiny network's logits."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def segmenter(weights: Path) -> Segmenter:
    return Segmenter.load(weights, "cpu")


def frames(count: int, height: int = 48, width: int = 80) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def disc(radius: float, x: float = 0.0) -> np.ndarray:
    place = np.arange(CELLS) + 0.5 - CELLS / 2
    return (radius - np.hypot(place[:, None], place[None] - x)).astype(np.float32)


def test_pictures_are_prepared_as_the_libraries_own_processor_does(segmenter: Segmenter) -> None:
    clip = frames(1)
    processor = Sam2VideoVideoProcessor(size={"height": SIDE, "width": SIDE})
    theirs = processor(torch.from_numpy(clip).permute(0, 3, 1, 2)[None], return_tensors="pt")
    ours = segmenter.pixels(clip[0])
    # It rounds to bytes after each of two passes.
    step = 1.0001 / 255 / min(DEVIATION)
    assert (ours[0] - theirs["pixel_values_videos"][0, 0]).abs().max() <= step


def test_a_clip_is_followed_as_the_library_follows_it(segmenter: Segmenter, weights: Path) -> None:
    """What is forgotten on the way is what the network no longer looks at."""
    clip, first = frames(REMEMBERED + 6), disc(4.5)
    network = Sam2VideoModel.from_pretrained(weights).eval()
    video = torch.cat([segmenter.pixels(frame) for frame in clip])
    image, shown = Sam2ImageProcessor(), Sam2VideoVideoProcessor()
    processor = Sam2VideoProcessor(image, shown, target_size=SIDE)
    session = processor.init_video_session(dtype=torch.float32)
    session.processed_frames = dict(enumerate(video))
    session.video_height = session.video_width = SIDE
    stretched = torch.nn.functional.interpolate(
        torch.from_numpy(first)[None, None], (SIDE, SIDE), mode="bilinear"
    )
    processor.process_new_mask_for_video_frame(session, 0, [1], stretched[0, 0] > 0)
    theirs = [
        output.pred_masks[0, 0].numpy()
        for output in network.propagate_in_video_iterator(session, start_frame_idx=0)
    ]
    ours = list(segmenter.follow(clip, first))
    assert len(ours) == len(theirs) == len(clip)
    assert np.array_equal(ours[0], first)
    for one, other in zip(ours[1:], theirs[1:], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    # And the memory does say something: without it a frame looks otherwise.
    assert np.abs(ours[5] - list(segmenter.follow(clip[4:6], first))[1]).max() > 1e-3


def test_the_object_is_what_most_answers_agree_on() -> None:
    whole, part, table = disc(5), disc(2, x=2), np.ones((CELLS, CELLS), np.float32)
    table[5:10] = -1
    logits = np.stack([part, whole, table, whole + 0.1, disc(4.8, x=0.3), -np.ones_like(part)])
    found = most_agreed(logits, np.array([0.95, 0.9, 0.99, 0.9, 0.8, 0.9], np.float32))
    assert found is not None
    assert np.array_equal(found.logits > 0, whole > 0)
    assert 0 < found.score < 1


@pytest.mark.parametrize("kind", ["unsure", "nothing", "everything", "border"])
def test_no_answer_is_an_object(kind: str) -> None:
    logits, score = disc(5), 0.9
    if kind == "unsure":
        score = 0.2
    elif kind == "border":
        logits[CELLS // 2 :] = 1
    else:
        logits = np.full_like(logits, -1.0 if kind == "nothing" else 1.0)
    assert most_agreed(logits[None], np.array([score], np.float32)) is None


def test_an_untaught_network_finds_nothing_and_says_so(segmenter: Segmenter) -> None:
    assert segmenter.find(frames(1)[0]) is None
    with pytest.raises(RequestError, match="the segmentation model finds no single object"):
        list(segment_clip(segmenter, frames(3)))


def test_what_is_lost_on_the_way_is_told_by_its_frame() -> None:
    check_followed(disc(4), disc(4.5, x=1), "frame 2 of 9")
    for lost in (disc(-1), -disc(-1), disc(1.5), disc(2.5, x=-5)):
        with pytest.raises(RequestError, match="loses the object in frame 2 of 9"):
            check_followed(disc(4) if lost.max() < 2 else disc(2.5, x=5), lost, "frame 2 of 9")


def broken(weights: Path, tmp_path: Path, kind: str) -> Path:
    folder = shutil.copytree(weights, tmp_path / kind)
    file = folder / "model.safetensors"
    config = json.loads((folder / "config.json").read_text())
    if kind == "cut short":
        file.write_bytes(file.read_bytes()[:-1000])
    elif kind == "pickle":
        torch.save(load_file(file), folder / "pytorch_model.bin")
        file.unlink()
    elif kind == "other":
        (folder / "config.json").write_text(json.dumps(config | {"model_type": "sam"}))
    elif kind == "size":
        (folder / "config.json").write_text(json.dumps(config | {"num_maskmem": 5}))
    elif kind == "lacking":
        tensors = load_file(file)
        del tensors["memory_encoder.projection.weight"]
        save_file(tensors, file, metadata={"format": "pt"})
    elif kind == "config":
        (folder / "config.json").write_text("{")
    return folder


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("cut short", "cannot be loaded"),
        ("pickle", "no safetensors"),
        ("other", "of a 'sam', not of a SAM 2"),
        ("size", "memory_temporal_positional_encoding"),
        ("lacking", "memory_encoder.projection.weight is missing"),
        ("config", "config.json is missing or damaged"),
    ],
)
def test_damaged_weights_are_one_sentence(
    weights: Path, tmp_path: Path, kind: str, words: str
) -> None:
    with pytest.raises(InstallationError, match=words) as caught:
        Segmenter.load(broken(weights, tmp_path, kind), "cpu")
    assert "\n" not in str(caught.value)
    assert "models download sam2.1-hiera-tiny" in str(caught.value)


def test_an_embedding_that_is_written_once_serves_twice(
    segmenter: Segmenter, weights: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(weights, tmp_path / "once")
    tensors = load_file(folder / "model.safetensors")
    own = "prompt_encoder.shared_embedding.positional_embedding"
    shared = tensors["shared_image_embedding.positional_embedding"]
    del tensors[own]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    loaded = Segmenter.load(folder, "cpu")
    for network in (loaded.pictures, loaded.clips):
        assert torch.equal(network.prompt_encoder.shared_embedding.positional_embedding, shared)
