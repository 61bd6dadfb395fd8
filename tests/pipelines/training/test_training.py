"""Laws of training: the batches, the schedule, the optimiser's state, resuming, the features."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.testing import assert_close

from pipelines.training.bank import build_bank
from pipelines.training.clips import draw_batch
from pipelines.training.colours import NAMES
from pipelines.training.features import (
    feature_distance,
    merge_twins,
    orbit_feature,
    retrieval_rank,
)
from pipelines.training.optimiser import trapezoid
from pipelines.training.orbits import RenderedFolder, network_frames
from pipelines.training.sheets import contact_sheet, write_png
from pipelines.training.transformer import (
    FlowTrainStep,
    TransformerTraining,
    export_average,
    flow_loss,
    train_transformer,
)
from pipelines.training.vocabulary import SYNONYMS
from pipelines.video.autoencoder import Autoencoder, AutoencoderConfig
from pipelines.video.checkpoint import load_transformer, save_model
from pipelines.video.conditioning import PICTURE_MASK
from pipelines.video.dit import DiT
from pipelines.video.text import TextEncoder
from tests.pipelines.training.small_bank import CLIPS, CONFIG, make_bank
from threed.cameras import orbit_cameras


def test_clips_run_through_one_orbit_at_one_spacing_under_its_own_caption() -> None:
    bank, generator = make_bank(), torch.Generator().manual_seed(1)
    for _ in range(20):
        clean, cond = draw_batch(bank, CLIPS, 32, generator)
        orbit, frame = clean[:, :, 0, 0, 0], clean[:, :, 1, 0, 0].long()
        assert bool((orbit == orbit[:, :1]).all())
        spacing = (frame - frame.roll(1, dims=1))[:, 1:] % 8
        assert bool((spacing == spacing[:, :1]).all())
        for clip in range(len(clean)):
            rows = bank.captions[int(orbit[clip, 0])]
            own = (bank.tokens[rows].float() == cond.text[clip]).flatten(1).all(dim=1)
            assert bool(own.any()) or not cond.text[clip].any()
            assert bool(cond.text[clip].any()) == bool(cond.pooled[clip].any())
            assert torch.equal(cond.rays[clip], bank.rays[int(orbit[clip, 0]), frame[clip]].float())


def test_given_frames_carry_their_own_latents_and_others_nothing() -> None:
    clips = replace(CLIPS, give_frames=1.0)
    clean, cond = draw_batch(make_bank(), clips, 64, torch.Generator().manual_seed(0))
    assert 0 < float(cond.reference_mask.mean()) < 1
    assert torch.equal(cond.reference, clean * cond.reference_mask)


def test_a_nameless_thing_is_shown_beside_a_picture_alone() -> None:
    bank, generator = make_bank(), torch.Generator().manual_seed(0)
    clips, pictured = replace(CLIPS, give_picture=0.3, default_share=0.2), 0
    for _ in range(20):
        clean, cond = draw_batch(bank, replace(clips, give_picture=0.0), 64, generator)
        assert 4 not in clean[:, 0, 0, 0, 0].tolist()
        # Turned by nothing, for every azimuth is zero; the bank's autoencoder knows no more.
        _, cond = draw_batch(bank, clips, 64, generator)
        told = (cond.reference_mask[:, 0, 0, 0, 0] == PICTURE_MASK).tolist()
        assert told == sorted(told, reverse=True)
        pictured += sum(told) / len(told)
    assert pictured / 20 == pytest.approx(0.3, abs=0.05)


def test_training_by_the_clock_ends_and_falls_to_rest_however_often_it_stops(
    tmp_path: Path,
) -> None:
    config = TransformerTraining(num_steps=1, num_minutes=0.05, batch_frames=16)
    state = tmp_path / "state.safetensors"

    def train() -> Iterator[FlowTrainStep]:
        return train_transformer(
            DiT(CONFIG), make_bank(), config, CLIPS, state, seed=0, save_seconds=0.0
        )

    begin = time.monotonic()
    broken = train()
    while time.monotonic() - begin < 1.5:
        step = next(broken)
    broken.close()
    rest = list(train())
    assert [record.last for record in rest] == [False] * (len(rest) - 1) + [True]
    assert rest[0].step == step.step + 1
    # The steps themselves took three seconds; saving after each of them comes on top.
    assert time.monotonic() - begin < 30
    assert list(train()) == []


def test_the_learning_rate_rises_stays_and_falls_to_zero() -> None:
    factors = [trapezoid(step, (step - 1) / 100, 10, 0.2) for step in range(1, 101)]
    assert factors[0] == pytest.approx(0.1) and factors[9:80] == [1.0] * 71
    assert factors[-1] == pytest.approx(0.05) and factors[-2] == pytest.approx(0.1)
    assert trapezoid(100, 1.5, 10, 0.2) == 0.0


def _train(folder: Path, num_steps: int, stop_after: int | None = None) -> DiT:
    torch.manual_seed(0)
    model = DiT(CONFIG)
    config = TransformerTraining(
        num_steps=num_steps, batch_frames=16, warmup_steps=2, decay_share=0.0, ema_decay=0.9
    )
    state = folder / "state.safetensors"
    steps = train_transformer(model, make_bank(), config, CLIPS, state, seed=0, save_seconds=0.0)
    for record in steps:
        if record.step == stop_after:
            steps.close()
            break
    return model


def test_a_resumed_run_ends_with_the_weights_of_an_unbroken_one(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    wanted = _train(whole, 6)
    _train(broken, 6, stop_after=3)
    found = _train(broken, 6)
    for name, parameter in wanted.state_dict().items():
        assert_close(found.state_dict()[name], parameter, atol=0, rtol=0, msg=name)
    export_average(whole / "state.safetensors", CONFIG, whole / "model.safetensors")
    export_average(broken / "state.safetensors", CONFIG, broken / "model.safetensors")
    assert (whole / "model.safetensors").read_bytes() == (broken / "model.safetensors").read_bytes()
    assert load_transformer(whole / "model.safetensors").config == CONFIG


def test_an_edition_mixed_with_an_earlier_one_lies_as_far_between_them_as_asked(
    tmp_path: Path,
) -> None:
    _train(tmp_path, 4)
    state = tmp_path / "state.safetensors"
    torch.manual_seed(1)
    earlier = DiT(CONFIG)
    save_model(earlier, tmp_path / "earlier.safetensors", torch.float32)

    def written(share: float) -> dict[str, torch.Tensor]:
        out = tmp_path / "model.safetensors"
        export_average(state, CONFIG, out, tmp_path / "earlier.safetensors", share)
        return load_transformer(out).state_dict()

    new, quarter, old = written(0.0), written(0.25), written(1.0)
    for name, parameter in earlier.state_dict().items():
        assert_close(old[name], parameter, atol=1e-3, rtol=1e-3)
        between = 0.75 * new[name] + 0.25 * old[name]
        assert_close(quarter[name], between, atol=1e-3, rtol=1e-3)
    with pytest.raises(ValueError, match="earlier_share is 2"):
        written(2.0)
    other = tmp_path / "other.safetensors"
    save_model(DiT(replace(CONFIG, depth=2)), other, torch.float32)
    with pytest.raises(ValueError, match="holds another network"):
        export_average(state, CONFIG, tmp_path / "model.safetensors", other, 0.5)


def test_a_state_of_another_network_is_refused(tmp_path: Path) -> None:
    _train(tmp_path, 1)
    config = TransformerTraining(num_steps=2)
    other = DiT(replace(CONFIG, depth=2))
    steps = train_transformer(
        other, make_bank(), config, CLIPS, tmp_path / "state.safetensors", seed=0
    )
    with pytest.raises(ValueError, match="another network"):
        next(steps)


def test_a_latent_of_no_weight_teaches_nothing() -> None:
    model, generator = DiT(CONFIG), torch.Generator().manual_seed(0)
    loss, _ = flow_loss(model, make_bank(), CLIPS, 32, generator, "cpu")
    loss.backward()
    gradient = model.patch_out.bias.grad
    assert gradient is not None
    heard = gradient.view(-1, CONFIG.latent_channels).abs().sum(dim=0) > 0
    assert heard.tolist() == [True, False, True, True]


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = TransformerTraining(num_steps=150, batch_frames=64, learning_rate=3e-3)
    steps = train_transformer(
        DiT(CONFIG), make_bank(), config, CLIPS, tmp_path / "state.safetensors", seed=0
    )
    losses = torch.stack([record.loss for record in steps])
    assert losses[-30:].mean() < 0.8 * losses[:30].mean()


def test_a_feature_averages_blocks_and_quarter_turns() -> None:
    frames = torch.randn(8, 7, 32, 32, generator=torch.Generator().manual_seed(0))
    feature = orbit_feature(frames).view(4, 7, 16, 16)
    assert_close(feature[1, 3, 2, 5], frames[2, 3, 4:6, 10:12].mean())
    with pytest.raises(ValueError, match="do not divide"):
        orbit_feature(frames[:6])


def test_a_name_is_as_near_as_its_nearest_design_and_twins_are_one() -> None:
    features = torch.tensor([[0.0, 0.0], [5.0, 5.0], [1.0, 1.0], [1.01, 1.0], [9.0, 9.0]])
    assert_close(feature_distance(features[:1], features[2:3]), torch.tensor([[1.0]]))
    names = ["apple", "apple", "ball", "cup", "dice"]
    assert merge_twins(names, features, 0.1) == {"cup": "ball"}
    label = torch.tensor([0, 0, 1, 1, 2])
    assert retrieval_rank(torch.tensor([4.5, 4.5]), features, label, wanted=0) == 1
    assert retrieval_rank(torch.tensor([4.5, 4.5]), features, label, wanted=1) == 2
    assert retrieval_rank(torch.tensor([4.5, 4.5]), features, label, wanted=2) == 3


def test_a_sheet_opens_as_the_picture_that_was_written(tmp_path: Path) -> None:
    from PIL import Image

    images = torch.rand(2, 3, 4, 5, 3, generator=torch.Generator().manual_seed(0))
    sheet = contact_sheet(images)
    write_png(sheet, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as found:
        assert found.size == (15, 8)
        assert found.tobytes() == sheet.tobytes()


def test_a_bank_holds_every_orbit_under_its_own_objects_words(tmp_path: Path) -> None:
    names = ["chair", "blue gem", "well", ""]
    listing = [{"id": f"a{name}", "file": "", "name": name, "kit": ""} for name in names]
    (tmp_path / "objects.json").write_text(json.dumps({"objects": listing}))
    generator = torch.Generator().manual_seed(0)
    cameras = orbit_cameras(4, size=16)
    shards = {}
    for number, objects in enumerate(([0, 0, 1, 1], [2, 2, 3])):
        frames = torch.randint(256, (len(objects), 4, 16, 16, 7), generator=generator)
        shards[number] = frames.to(torch.uint8)
        save_file(
            {
                "frames": shards[number],
                "c2w": cameras.c2w.expand(len(objects), -1, -1, -1).contiguous(),
                "fov_y": cameras.fov_y.expand(len(objects), -1).contiguous(),
                "object": torch.tensor(objects),
            },
            tmp_path / f"orbits-{number:03d}.safetensors",
        )
    autoencoder = Autoencoder(
        AutoencoderConfig(latent_channels=4, stride=8, width=8, depth=1, pixel_width=4)
    )
    bank = build_bank(
        RenderedFolder(folder=tmp_path),
        autoencoder,
        TextEncoder(),
        captions_per_object=3,
        recoloured=1,
        seed=0,
    )
    # Two orbits an object and a painted copy of one of them; one of the thing without a name.
    assert bank.named.tolist() == list(range(9)) and len(bank.latents) == 10
    assert [bank.texts[i] for i in bank.captions[9].tolist()] == [""] * 3
    assert not bank.tokens[bank.captions[9]].any()
    assert bank.default.tolist() == [0, 3, 6]
    assert bank.level.tolist() == [0, 3, 6, 9]
    assert bank.painted.tolist() == [2, 5, 8]
    rows = {0: shards[0][0], 1: shards[0][1], 3: shards[0][2], 4: shards[0][3], 6: shards[1][0]}
    rows[9] = shards[1][2]
    for row, frames in rows.items():
        with torch.no_grad():
            latents = autoencoder.encode(network_frames(frames)[None])[0]
        assert_close(bank.latents[row].float(), latents, rtol=2e-3, atol=2e-3)
    for row, name in enumerate(name for name in names[:3] for _ in range(3)):
        words = [bank.texts[i] for i in bank.captions[row].tolist()]
        assert len(words) == 3
        # A painted copy's caption has the noun and another colour.
        noun = name.split(" ")[-1]
        assert all(noun in text or SYNONYMS.get(noun, noun) in text for text in words)
        assert (row % 3 == 2) == any(
            text.split(" ")[-2] in NAMES and text.split(" ")[-2] != "blue" for text in words[:1]
        )
