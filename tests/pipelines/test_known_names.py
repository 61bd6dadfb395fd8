"""Which prompts are drawn as a known thing, and which nouns the model admits not to know."""

from dataclasses import replace

import pytest

from pipelines.generate import familiarity_message
from pipelines.models.catalogue import EMBEDDED
from pipelines.models.embedded import EmbeddedModel
from pipelines.models.embedded_card import KNOWN_NAME
from pipelines.models.known_names import KnownNames
from pipelines.motions import find_motion
from pipelines.request import GenerationRequest
from pipelines.training.prompts import PARAPHRASES
from tests.pipelines.test_embedded import SETTINGS, model, text_encoder
from ui.compose import EXAMPLES

__all__ = ["model", "text_encoder"]

KETCHUP = "ketchup"


@pytest.fixture(scope="module")
def taught(model: EmbeddedModel) -> EmbeddedModel:
    """Small random weights that know what the shipped ones know."""
    known = KnownNames.load(EMBEDDED.folder / KNOWN_NAME)
    settings = replace(SETTINGS, moves=True)
    return EmbeddedModel(model.transformer, model.autoencoder, model.text_encoder, settings, known)


@pytest.mark.parametrize(
    "prompt",
    [
        # The nearest text is "catsup", of a ketchup.
        *("a cat", "cat", "The cat.", "cats", "a black cat", "a fat cat", "a cute little cat"),
        *("a sleepy cat", "a cat with a hat", "a cat on a mat"),
        # A corn dog, a chicken's drumstick, a piece of kitchen furniture.
        *("a dog", "a drum", "a guitar", "an electric guitar"),
        # The names of other things begin with them.
        *("a lion", "a butterfly", "a chicken", "a peanut"),
        # One of their two nouns is near to another thing: a popsicle stick, a stove, a glove, a
        # coffee machine, a helmet, a blender, a donkey, a cup on a saucer.
        *("a hockey stick", "a frying pan", "a baseball bat", "a vending machine", "a top hat"),
        *("a cement mixer", "a mountain goat", "a flying saucer", "a small blue hockey stick"),
    ],
)
def test_a_noun_that_is_far_from_all_is_drawn_as_typed_with_a_warning(
    taught: EmbeddedModel, prompt: str
) -> None:
    asked = GenerationRequest(prompt=prompt)
    assert taught.drawn_as(asked) is None
    assert familiarity_message(prompt, None, taught).startswith(f"Warning: {prompt!r} is far from")


def test_it_is_no_nearer_when_it_moves(taught: EmbeddedModel) -> None:
    asked = GenerationRequest(prompt="a bouncing dog", video_only=True)
    assert taught.drawn_as(asked) == "a dog bouncing"
    assert not taught.familiar("a bouncing dog")


@pytest.mark.parametrize(
    ("prompt", "caption"),
    [
        ("a pony", "a horse"),
        ("pony", "a horse"),
        ("a small blue pony", "a blue horse"),
        ("an arachnid", "a spider"),
        ("a train", "a train locomotive"),
        ("a grape", "grapes"),
        ("a rocket", "a spaceship"),
        # Not what is nearest to the colour, a flower.
        ("a purple rocket", "a purple spaceship"),
        ("a mechanical android", "a robot"),
        ("a cab for hire", "a car taxi"),
        ("a garbage lorry", "a garbage truck"),
        ("a railway engine", "a train locomotive"),
        ("a flying saucer with a cup on it", "a cup on a saucer"),
        # In the colours that it was given, wherever these stand.
        ("a gray rocket", "a grey spaceship"),
        ("a rocket in red", "a red spaceship"),
        ("a cab, yellow", "a yellow car taxi"),
        ("a red and white rocket", "a red and white spaceship"),
        ("a rocket in blue and white.", "a blue and white spaceship"),
    ],
)
def test_other_words_for_a_known_thing_are_drawn_as_that_thing(
    taught: EmbeddedModel, prompt: str, caption: str
) -> None:
    assert taught.drawn_as(GenerationRequest(prompt=prompt)) == caption


@pytest.mark.parametrize(
    "prompt",
    [
        *("a red and blue chair", "a black and white cow", "a red, white and blue mushroom"),
        *("a big, blue sofa", "a round, red table", "an old and broken chair", "a chair, red"),
        *("a small, gray boat with a sail", "a sword and shield", "The chair."),
    ],
)
def test_a_noun_that_was_taught_is_taken_as_typed_however_it_is_described(
    taught: EmbeddedModel, prompt: str
) -> None:
    assert taught.known.called_by_name(prompt)
    assert taught.drawn_as(GenerationRequest(prompt=prompt)) is None


def test_nothing_has_a_colour_that_nobody_asked_for(taught: EmbeddedModel) -> None:
    known = taught.known
    assert "orange race car" in known.names
    assert known.renamed("a rusty car", "orange race car") == "a race car"
    assert known.renamed("a rusty green car", "orange race car") == "a green race car"
    # Nothing else is called so.
    assert known.renamed("a citrus fruit", "orange") == "an orange"
    assert known.renamed("a slimy thing", "blue tang") == "a blue tang"


def test_what_is_beside_a_thing_is_not_its_name(taught: EmbeddedModel) -> None:
    for prompt in ("a dog and a chair", "a monkey, a banana", "a cat with a red and blue chair"):
        assert not taught.known.called_by_name(prompt)


def test_no_description_of_the_evaluation_is_asked_for_more_than_it_has(
    taught: EmbeddedModel,
) -> None:
    for prompt in PARAPHRASES:
        nearest = taught.nearest_known(prompt, 1)[0].similarity
        if taught.known.called_by_name(prompt) or nearest < taught.settings.recaption_similarity:
            continue
        assert taught.drawn_as(GenerationRequest(prompt=prompt)) is not None, prompt


def test_the_fewer_words_a_prompt_has_for_its_thing_the_nearer_must_be_its_name(
    taught: EmbeddedModel,
) -> None:
    known = taught.known
    asked = ["a cat", "an angry cat", "a wild angry cat"]
    least = [known.least_similarity(prompt, KETCHUP) for prompt in asked]
    assert least == sorted(least, reverse=True) and len(set(least)) == 3
    # What says how it looks says nothing of what it is.
    for same in ("a black cat", "two cats", "the tiny old cat"):
        assert known.least_similarity(same, KETCHUP) == least[0]
    # Nothing is asked of what the model was taught.
    assert known.least_similarity("a red van", KETCHUP) == 0


def test_the_pages_examples_are_known_by_name_and_one_of_them_moves(
    taught: EmbeddedModel,
) -> None:
    found = [find_motion(example) for example in EXAMPLES]
    assert any(found)
    for example, moving in zip(EXAMPLES, found, strict=True):
        assert taught.known.called_by_name(moving[1] if moving else example), example
        assert taught.familiar(example), example
