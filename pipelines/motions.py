"""What a thing in a video may do besides being turned round, and the words that ask for it.

Text alone: how the things move is `pipelines/training/motions.py`'s to say.
"""

import re
from dataclasses import dataclass
from functools import cache

from pipelines.english import indefinite, is_plural, plain_prompt, with_article


@dataclass(frozen=True, kw_only=True)
class Motion:
    """One way to move."""

    name: str
    forms: tuple[str, ...]
    """Captions with the fields {a} and {name}; the first is what prompts are put into."""
    words: tuple[str, ...]
    """What asks for it in a prompt, as regular expressions."""


MOTIONS = (
    Motion(
        name="spin",
        forms=(
            "{a} {name} spinning",
            "spinning {name}",
            "{a} {name} spinning around",
            "{a} rotating {name}",
            "{a} {name} turning on the spot",
            "{a} {name} that spins",
        ),
        words=(
            *("spinning", "spins", "rotating", "rotates", "twirling", "twirls", "whirling"),
            *("turning on the spot", "turning around", "turns around", "turns on the spot"),
        ),
    ),
    Motion(
        name="bounce",
        forms=(
            "{a} {name} bouncing",
            "bouncing {name}",
            "{a} {name} bouncing up and down",
            "{a} {name} jumping up and down",
            "{a} {name} hopping",
            "{a} {name} that bounces",
        ),
        words=("bouncing", "bounces", "jumping", "jumps", "hopping", "hops", "leaping", "leaps"),
    ),
    Motion(
        name="pass",
        forms=(
            "{a} {name} moving past",
            "moving {name}",
            "{a} {name} driving past",
            "{a} {name} passing by",
            "{a} {name} moving from left to right",
            "{a} {name} flying past",
            "{a} {name} that drives past",
            "{a} {name} running past",
            "{a} {name} sliding past",
        ),
        words=(
            *("driving", "drives", "passing", "passes", "moving", "moves", "travelling", "racing"),
            *("flying", "flies", "running", "runs", "walking", "walks", "sailing", "sails"),
            *("sliding", "slides", "swimming", "swims", "speeding", "traveling"),
        ),
    ),
    Motion(
        name="roll",
        forms=(
            "{a} {name} rolling past",
            "rolling {name}",
            "{a} {name} rolling along",
            "{a} {name} rolling on the ground",
            "{a} {name} that rolls by",
        ),
        words=("rolling", "rolls"),
    ),
    Motion(
        name="swing",
        forms=(
            "{a} {name} swinging",
            "swinging {name}",
            "{a} {name} swinging from side to side",
            "{a} {name} swaying back and forth",
            "{a} {name} dangling and swinging",
            "{a} {name} that swings",
        ),
        words=("swinging", "swings", "swaying", "sways", "dangling", "dangles"),
    ),
    Motion(
        name="grow",
        forms=(
            "{a} {name} growing",
            "growing {name}",
            "{a} {name} that grows",
            "{a} {name} getting bigger",
            "{a} {name} growing larger and larger",
        ),
        words=(
            *("growing", "grows", "swelling", "swells"),
            "(?:getting|becoming) (?:bigger|larger)(?: and (?:bigger|larger))?",
        ),
    ),
    Motion(
        name="shrink",
        forms=(
            "{a} {name} shrinking",
            "shrinking {name}",
            "{a} {name} that shrinks",
            "{a} {name} getting smaller",
            "{a} {name} becoming smaller and smaller",
        ),
        words=(
            *("shrinking", "shrinks"),
            "(?:getting|becoming) smaller(?: and smaller)?",
        ),
    ),
    Motion(
        name="fall",
        forms=(
            "{a} {name} falling down",
            "falling {name}",
            "{a} {name} dropping to the ground",
            "{a} {name} falling from the sky",
            "{a} {name} that falls",
        ),
        words=("falling", "falls", "dropping", "drops", "landing", "lands"),
    ),
    Motion(
        name="rise",
        forms=(
            "{a} {name} rising up",
            "rising {name}",
            "{a} {name} taking off",
            "{a} {name} floating up into the air",
            "{a} {name} lifting off",
            "{a} {name} that rises",
        ),
        words=(
            *("rising", "rises", "taking off", "takes off", "lifting off", "lifts off"),
            *("floating(?! on)", "floats(?! on)", "levitating", "launching", "launches"),
        ),
    ),
    Motion(
        name="tumble",
        forms=(
            "{a} {name} tumbling",
            "tumbling {name}",
            "{a} {name} flipping over",
            "{a} {name} doing a somersault",
            "{a} {name} tumbling head over heels",
        ),
        words=(
            *("tumbling", "tumbles", "flipping", "flips", "somersaulting"),
            *("doing a somersault", "doing somersaults"),
        ),
    ),
    Motion(
        name="shake",
        forms=(
            "{a} {name} shaking",
            "shaking {name}",
            "{a} {name} trembling",
            "{a} {name} that shakes",
            "{a} {name} shivering",
        ),
        words=("shaking", "shakes", "trembling", "trembles", "shivering", "shivers", "wobbling"),
    ),
)
"""A prompt asks for the motion whose word comes first in it."""

# What people and beasts do, and what is worn or used for that, or is the place for it: a running
# shoe does not run, and a landing strip does not land.
DONE = r"(running|walking|jumping|swimming|driving|sailing|racing|landing|launching|travell?ing)"
FOR_IT = (
    *("shoe", "boot", "sock", "shorts", "suit", "costume", "cap", "glove", "helmet", "goggles"),
    *("trunks", "bag", "case", "gear", "stick", "pole", "cane", "frame", "machine", "board"),
    *("seat", "wheel", "rope", "ring", "licen[cs]e", "track", "pool", "lane", "pad", "strip"),
    *("range", "path", "craft", "net", "page"),
)
# Other things whose names hold a word of the tables, as regular expressions. One that the network
# knows is here only if the words together are a thing of their own: a growing tent grows.
STILL = (
    rf"{DONE} ({'|'.join(FOR_IT)})",
    *("rocking chair", "rocking horse", "rolling pin", "rolling stock", "rolling suitcase"),
    *("rolling luggage", "rolling hill", "rolling machine", "rolling papers"),
    *("spinning wheel", "spinning top", "spinning reel", "spinning rod", "spinning bike"),
    *("spinning machine", "spinning jenny"),
    *("flying saucer", "flying fish", "flying carpet", "flying machine", "flying squirrel"),
    *("flying fox", "flying boat", "flying buttress", "flying disc"),
    *("swinging door", r"sliding (\w+ )?door", r"sliding (\w+ )?window", "sliding puzzle"),
    *("moving van", "moving truck", "moving box", "moving walkway", "moving staircase"),
    *("jumping castle", "bouncing castle", "jumping jack", "jumping bean", "jumping spider"),
    *("growing lamp", "falling star", "shooting star", "falling rocks? sign"),
    *("rising sun", "rising damp", "tumbling mat", "flipping book"),
    *("running water", "walking dead", "passing lane", "passing place", "speeding ticket"),
    *("travell?ing circus", "drops of"),
)
# Right before a noun these say what kind it is, and where: a racing car, a floating island.
KINDS = ("racing", "sailing", "floating")
# What may follow such a word and belongs to it.
MANNERS = (
    *("slowly", "quickly", "fast", "gently", "happily", "wildly", "around", "round", "about"),
    *("past", "by", "along", "away", "over", "down", "up", "upwards", "downwards", "across"),
    *("back and forth", "to and fro", "up and down", "head over heels", "on its axis"),
    *("on the spot", "in place", "in circles", "in a circle", "in the air", "into the air"),
    *("in the wind", "on the ground", "to the ground", "on the floor", "through the air"),
    *("from side to side", "from left to right", "from the sky", "across the screen"),
    *("taller", "bigger", "smaller", "larger", "and swinging", "and jumping"),
    # "Smaller and smaller", "round and round".
    r"(?P<twice>\w+) and (?P=twice)",
)

ARTICLE = re.compile(r"(?<!\S)an?$", re.IGNORECASE)
OWNER = "its|my|his|her|their|our|your"
COUNT = r"""two|three|four|five|six|seven|eight|nine|ten|eleven|twelve
    |(thir|four|fif|six|seven|eigh|nine)teen|(twen|thir|for|fif|six|seven|eigh|nine)ty
    |hundred|thousand|dozen|many|several|both|\d+"""
COUNTED = re.compile(rf"({COUNT})(?![\w-])", re.IGNORECASE | re.VERBOSE)
# Not "two-headed", nor what begins a clause: "a car moving past that is red".
DETERMINED = re.compile(
    rf"""(an?|the|this|these|those|that(?!\s+(is|are|was|were|has|have|can)\b)|some|one|all|each
    |every|another|{OWNER}|{COUNT})(?![\w-])""",
    re.IGNORECASE | re.VERBOSE,
)
# What comes after is what moves: it shakes its head, but runs past its kennel, and passes it.
OBJECT = re.compile(
    rf"(\s+(slowly|quickly|gently|happily|wildly))*\s+({OWNER})\s+\w", re.IGNORECASE
)
LINKED = re.compile(r"(that|which|who|it)\b", re.IGNORECASE)
PART = re.compile(r"\b(with|of|for|from)( an?| the| its)?\s*$", re.IGNORECASE)
# What is done besides goes on without "and".
JOINING = re.compile(r"^\s*,?\s*and\s+(?=\w+ing\b)", re.IGNORECASE)
PASSING = re.compile("pass(es|ing)", re.IGNORECASE)
ONE_THING = re.compile(rf"\s*(an?|the|one|this|that|{OWNER})\s+\S", re.IGNORECASE)
NOUN = re.compile(
    r"\s+(?!(an?|the|with|without|of|and|for|from|in|on|like|to|at|by|under|above|below|near|"
    r"around|round|against|towards?|between|among|behind|beside|inside|through|across|over|into|"
    r"after|before|while|as)\b)[\w#]",
    re.IGNORECASE,
)
JOINED = re.compile(r"\b(with|without|of|and|for|from|in|on|like|full)\b", re.IGNORECASE)


@cache
def _pattern(motion: Motion) -> re.Pattern[str]:
    words, manners = _any_of(motion.words), _any_of(MANNERS)
    before = r"(?:(?:that|which|who|it|and|is|are|slowly|quickly|gently|happily)\s+)*"
    return re.compile(
        rf"\b{before}(?P<word>{words})\b(?P<manners>(?:\s+{manners}\b)*)", re.IGNORECASE
    )


def _any_of(words: tuple[str, ...]) -> str:
    # The longest first, or "up" would be found in "up and down".
    return f"(?:{'|'.join(sorted(words, key=len, reverse=True))})"


def _asks(prompt: str, match: re.Match[str]) -> bool:
    """Return whether a word that was found says what the whole thing does.

    Of "a windmill with spinning blades" only a part does it, and "bread rolls" and "a ship with
    sails" are things: such a word is a verb after one thing ("a ball bounces"), before how it is
    done ("sails past"), or where it is linked to the thing ("that sails"). Nor does a cat shake
    that shakes its head.
    """
    before = prompt[: match.start()]
    if OBJECT.match(prompt[match.end("word") :]) and not PASSING.fullmatch(match["word"]):
        return False
    if LINKED.match(match[0]):
        return True
    if PART.search(before):
        return False
    if match[0].lower() in KINDS and NOUN.match(prompt[match.end() :]):
        return False
    if match["word"].split()[0].lower().endswith("ing") or match["manners"]:
        return True
    return ONE_THING.match(before) is not None and not JOINED.search(before)


def find_motion(prompt: str) -> tuple[Motion, str] | None:
    """Return what a prompt lets its thing do, and the prompt without those words; None for nothing.

    "a bouncing red ball" bounces, and is "a red ball"; a rocking chair is a thing.
    """
    masked = prompt
    for thing in STILL:
        masked = re.sub(
            rf"\b{thing}(e?s)?\b", lambda found: "#" * len(found[0]), masked, flags=re.IGNORECASE
        )
    found = [
        (motion, match)
        for motion in MOTIONS
        for match in _pattern(motion).finditer(masked)
        if _asks(masked, match)
    ]
    if not found:
        return None
    motion, match = min(found, key=lambda pair: pair[1].start())
    rest = _without(prompt, match.start(), match.end())
    if not re.search(r"\w", rest):
        return None
    thing = rest if DETERMINED.match(rest) else plain_prompt(rest)
    # It can do one thing at a time, the first that is said.
    further = find_motion(thing)
    return motion, further[1] if further else thing


def _without(prompt: str, start: int, end: int) -> str:
    """Return the prompt without a word for a motion, nor what the way goes past."""
    before, after = prompt[:start].strip(), JOINING.sub(" ", prompt[end:])
    if DETERMINED.fullmatch(before):
        # The thing itself comes after: "a spinning, golden coin".
        after = after.strip(" ,.!?")
    elif DETERMINED.match(after.strip()) and (before or not COUNTED.match(after.strip())):
        after = ""
    article = ARTICLE.search(before)
    if article and (before == article[0] or NOUN.match(after)):
        # It stood before a word that is gone.
        other = indefinite(after.strip()) if after else ""
        other = other.capitalize() if article[0][0].isupper() else other
        before = before[: article.start()] + other
    rest = re.sub(r"\s+", " ", f"{before} {after}")
    return re.sub(r"[\s,]+(?=[,.;])", "", rest).strip(" ,.!?")


def moving_prompt(motion: Motion, thing: str) -> str:
    """Return the caption under which the network knows a thing that moves so."""
    given = re.match(r"(an?|the) ", thing, re.IGNORECASE)
    article, name = (given[1].lower(), thing[given.end() :]) if given else ("", thing)
    if article not in ("a", "an") and DETERMINED.match(name):
        article = ""
    elif article == "the":
        article = "" if is_plural(name) else indefinite(name)
    elif not article:
        article = with_article(name)
    return motion.forms[0].format(a=article, name=name).strip()
