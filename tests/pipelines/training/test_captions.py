"""Laws of names, captions and colour words."""

import pytest
import torch
from torch.testing import assert_close

from pipelines.training.captions import (
    captions_for,
    choose_rows,
    defined_noun,
    definitions,
    is_readable,
    meaning_of,
    other_words,
    readable_name,
    with_article,
)
from pipelines.training.colours import (
    NAMES,
    TARGETS,
    colour_names,
    dominant_colours,
    hue_saturation_value,
    recolour,
)
from pipelines.training.meshes import CaptionRow


@pytest.mark.parametrize(
    ("file_name", "name"),
    [
        ("chest gold", "treasure chest full of gold"),
        ("table round small", "small round table"),
        ("chair wood", "wooden chair"),
        ("shield blue", "blue shield"),
        ("rock", "rock"),
        ("light post", "light post"),
        ("cooking fork", "cooking fork"),
    ],
)
def test_names_read_in_english_order(file_name: str, name: str) -> None:
    assert readable_name(file_name) == name


def test_rewording_a_readable_name_changes_nothing() -> None:
    for name in ("small round table", "blue shield", "wooden chair"):
        assert readable_name(name) == name


@pytest.mark.parametrize(
    ("name", "article"),
    [
        ("apple", "an"),
        ("chair", "a"),
        ("glass", "a"),
        ("books", ""),
        ("umbrella", "an"),
        ("UFO", "a"),
    ],
)
def test_articles(name: str, article: str) -> None:
    assert with_article(name) == article


def test_fragments_of_kits_are_left_out() -> None:
    assert not is_readable("story sidehouse") and is_readable("wooden chair")


def test_a_smaller_choice_is_part_of_a_larger_one() -> None:
    rows = [
        CaptionRow(id=str(i), file=f"{i}.glb", name=name, kit="")
        for i, name in enumerate(["chair", "chair", "chair", "apple", "lamp", "bottle", "bed"])
    ]
    small = choose_rows(rows, designs_per_name=2, limit=3, seed=0)
    large = choose_rows(rows, designs_per_name=2, limit=5, seed=0)
    assert {row.id for row in small} <= {row.id for row in large}
    assert len({row.name for row in small}) == 3
    assert sum(row.name == "chair" for row in large) == 2


def test_captions_start_plain_name_the_thing_and_repeat_with_the_seed() -> None:
    def draw() -> list[str]:
        return captions_for("crate", ["brown"], 12, torch.Generator().manual_seed(3))

    captions = draw()
    assert captions == draw() and captions[0] == "a crate" and len(captions) == 12
    meaning = definitions()["crate"][1]
    assert all(
        "crate" in caption or "wooden box" in caption or caption == meaning for caption in captions
    )
    assert any("brown" in caption for caption in captions)


def test_a_name_is_told_in_other_words_and_by_what_it_means() -> None:
    assert defined_noun("small round table") == "table"
    assert defined_noun("coffee table") == "coffee table"
    assert defined_noun("purple UFO") is None
    assert "small keg" in other_words("small barrel")
    # A treasure chest is no treasure treasure chest.
    assert not any("treasure treasure" in other for other in other_words("treasure chest"))
    meaning = definitions()["chair"][1]
    assert meaning_of("chair") == meaning
    assert meaning_of("wooden chair") == f"a wooden chair, {meaning}"
    assert meaning_of("purple UFO") is None


@pytest.mark.parametrize("name", NAMES)
def test_every_target_colour_is_called_by_its_own_word(name: str) -> None:
    assert NAMES[int(colour_names(torch.tensor(TARGETS[name])))] == name


def test_hue_saturation_and_value_of_pure_colours() -> None:
    colours = torch.tensor([[1.0, 0, 0], [0, 0.5, 0], [0, 0, 1], [1, 1, 0], [0.3, 0.3, 0.3]])
    hue, saturation, value = hue_saturation_value(colours)
    assert_close(hue[:4], torch.tensor([0.0, 120, 240, 60]))
    assert_close(saturation, torch.tensor([1.0, 1, 1, 1, 0]))
    assert_close(value, torch.tensor([1.0, 0.5, 1, 1, 0.3]))


@pytest.mark.parametrize("name", ["red", "blue", "green", "purple", "white", "black"])
def test_a_recoloured_object_is_called_by_its_new_colour_and_keeps_its_shape(name: str) -> None:
    frames = torch.zeros(2, 8, 8, 7, dtype=torch.uint8)
    frames[:, 2:6, 2:6, 3] = 255
    frames[:, 2:6, 2:6, :3] = torch.tensor([230, 130, 25], dtype=torch.uint8)
    frames[:, 2, 2, :3] = torch.tensor([30, 60, 200], dtype=torch.uint8)
    assert dominant_colours(frames) == ["orange"]
    painted = recolour(frames, name)
    assert dominant_colours(painted) == [name]
    assert torch.equal(painted[..., 3:], frames[..., 3:])
    if name != "blue":
        assert torch.equal(painted[:, 2, 2], frames[:, 2, 2])


def test_a_brown_thing_may_be_called_wooden_where_it_could_be_of_wood() -> None:
    generator = torch.Generator().manual_seed(0)
    for name, colours in (("bowl", ["brown"]), ("brown bowl", [])):
        captions = captions_for(name, colours, 60, generator)
        assert any("wooden bowl" in caption for caption in captions)
        assert any("brown bowl" in caption for caption in captions)
        assert not any(
            "wooden brown" in caption or "brown wooden" in caption for caption in captions
        )
    for name, colours in (("bowl", ["red", "brown"]), ("cow", ["brown"]), ("red bowl", [])):
        assert not any("wooden" in text for text in captions_for(name, colours, 60, generator))
