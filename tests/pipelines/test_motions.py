"""Which words let a thing move, and which belong to things that stand still."""

import json
import re

import pytest
from safetensors import safe_open

from pipelines.english import plain_prompt, with_article
from pipelines.models.catalogue import EMBEDDED
from pipelines.models.embedded_card import KNOWN_NAME
from pipelines.motions import MOTIONS, find_motion, moving_prompt
from pipelines.training.prompts import MOVING, TURNING

NAMES = ("coin", "apple", "red car", "cherries", "glass vase", "pot of gold", "ship with sails")


def test_every_caption_is_found_to_say_its_motion_and_its_thing() -> None:
    for motion in MOTIONS:
        for form in motion.forms:
            for name in NAMES:
                caption = form.format(a=with_article(name), name=name).strip()
                assert find_motion(caption) == (motion, plain_prompt(name)), caption


def test_a_moving_thing_is_called_by_the_first_of_its_captions() -> None:
    for motion in MOTIONS:
        for name in NAMES:
            caption = moving_prompt(motion, plain_prompt(name))
            assert caption == motion.forms[0].format(a=with_article(name), name=name).strip()
            assert find_motion(caption) == (motion, plain_prompt(name))


def test_nothing_that_the_model_knows_moves_by_its_name() -> None:
    with safe_open(EMBEDDED.folder / KNOWN_NAME, "np") as file:
        told = file.metadata()
    names = {*json.loads(told["names"]), *json.loads(told["words"])}
    assert names
    assert [name for name in names if find_motion(plain_prompt(name))] == []


@pytest.mark.parametrize(
    "prompt",
    [
        *("a rocking chair", "running shoes", "moving boxes", "a spinning top"),
        # Plurals, not verbs.
        *("a ship with white sails", "bread rolls", "a swarm of flies", "niagara falls", "flies"),
        *("a playground with swings and slides", "a bottle of cough drops", "usb drives"),
        # Only a part would move, and what floats on water does not rise.
        *("a windmill with spinning blades", "a duck floating on the water"),
        # There is nothing that could.
        *("spinning", "a chair"),
    ],
)
def test_a_word_that_belongs_to_a_thing_moves_nothing(prompt: str) -> None:
    assert find_motion(prompt) is None


@pytest.mark.parametrize(
    "prompt",
    [
        *("a rolling pin", "a spinning wheel", "a bowling ball", "a swing set", "a jumping rope"),
        *("a flying saucer", "a growing lamp", "a falling star", "a washing machine"),
        *("a walking stick", "a swinging door", "a rising sun", "a shooting star", "falling stars"),
        # What is worn or used does not do it, nor does the place where it is done.
        *("a red running shoe", "walking boots", "a driving glove", "a swimming costume"),
        *("a running machine", "a landing craft", "a passing place", "a spinning machine"),
        # Before a noun these say what kind it is, and where.
        *("a racing horse", "a racing drone", "an old sailing cap", "a floating island"),
        *("a floating candle", "a sliding glass door", "a jumping spider", "a rolling suitcase"),
    ],
)
def test_a_word_that_is_part_of_a_things_name_moves_nothing(prompt: str) -> None:
    assert find_motion(prompt) is None
    # Said of it, the same word does.
    name = re.sub(r"^(an?) ", "", prompt)
    found = find_motion(f"the {name} spinning around")
    assert found is not None
    assert (found[0].name, found[1]) == ("spin", f"the {name}")


def test_what_the_evaluation_moves_is_moved() -> None:
    for prompt, name in MOVING.items():
        found = find_motion(prompt)
        assert found is not None, prompt
        assert found[0].name == name, prompt
    assert all(find_motion(prompt) is not None for prompt in TURNING)


@pytest.mark.parametrize(
    ("prompt", "name", "thing"),
    [
        ("a bouncing red ball", "bounce", "a red ball"),
        ("a big bouncing ball", "bounce", "a big ball"),
        ("a spinning, golden coin", "spin", "a golden coin"),
        ("A tree that is slowly growing taller.", "grow", "A tree"),
        ("a boat sails past", "pass", "a boat"),
        ("the coin spins", "spin", "the coin"),
        ("a car driving past a house", "pass", "a car"),
        ("two jumping frogs", "bounce", "two frogs"),
        ("a spinning top spinning", "spin", "a spinning top"),
        ("a sailing boat sailing past", "pass", "a sailing boat"),
        ("a boat sailing on the sea", "pass", "a boat on the sea"),
        ("a racing car racing through a town", "pass", "a racing car through a town"),
        ("a candle floating up", "rise", "a candle"),
        ("a balloon that is floating", "rise", "a balloon"),
        ("a falling, golden star", "fall", "a golden star"),
        ("a star falling from the sky", "fall", "a star"),
        ("a walking robot", "pass", "a robot"),
        # It can do one thing at a time, the first that is said.
        ("a ball spinning and bouncing", "spin", "a ball"),
    ],
)
def test_the_thing_is_what_is_left_without_the_words_for_what_it_does(
    prompt: str, name: str, thing: str
) -> None:
    found = find_motion(prompt)
    assert found is not None
    assert (found[0].name, found[1]) == (name, thing)
    assert find_motion(found[1]) is None
