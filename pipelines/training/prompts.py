"""What the evaluation asks beside the plain names; no caption of the training is made from it."""

from pipelines.english import plain_prompt

# fmt: off
# Things that come in any colour, none of which names one.
PAINTED = (
    "chair", "couch", "armchair", "sedan car", "van", "bottle", "book", "backpack", "bucket",
    "tent", "vase", "helmet",
)
# fmt: on
PAINTS = ("red", "yellow", "blue", "pink", "black", "orange", "green", "purple", "brown", "white")


def colour_prompts() -> list[tuple[str, str, str]]:
    """Return prompts with the name and the colour that each asks for: sixty, half the paints each.

    Neighbours take alternate paints, so that every paint is asked of six things.
    """
    return [
        (plain_prompt(f"{paint} {name}"), name, paint)
        for place, name in enumerate(PAINTED)
        for paint in PAINTS[place % 2 :: 2]
    ]


PARAPHRASES = {
    "something to sit on, with four legs and a backrest": "chair",
    "a long curved yellow fruit that monkeys peel": "banana",
    "a frozen dessert in a cone": "ice cream",
    "a ring of sweet fried pastry with icing": "donut",
    "a vehicle that takes the injured to hospital": "ambulance",
    "a lorry that collects rubbish": "garbage truck",
    "a cab for hire": "taxi car",
    "a patrol vehicle of the cops": "police car",
    "an engine that pulls railway carriages": "train locomotive",
    "a farm vehicle with big rear wheels": "tractor",
    "the biggest animal in the sea": "whale",
    "a predator of the sea with a fin on its back": "shark",
    "an eight-legged arachnid": "spider",
    "a dinosaur with three horns": "triceratops",
    "a dinosaur with plates along its back": "stegosaurus",
    "a man made of frozen white balls, in winter": "snowman",
    "a spooky floating white spirit": "ghost",
    "an old hag with a pointed hat and a broomstick": "witch",
    "an undead man of nothing but bones": "skeleton",
    "Count Dracula in his cape": "vampire",
    "a mechanical android": "robot",
    "a home with a roof, a door and windows": "house",
    "a canvas shelter for camping": "tent",
    "a building with turning sails that grinds grain": "windmill",
    "a loo": "toilet",
    "a cold cupboard for milk and butter": "fridge",
    "an appliance that does the laundry": "washing machine",
    "an appliance that browns slices of bread": "toaster",
    "a notebook PC with a folding screen": "laptop",
    "a shackle with a keyhole that secures a gate": "padlock",
    "what a monarch wears on the head": "crown",
    "a long blade with a hilt": "sword",
    "a blade on a handle for chopping firewood": "axe",
    "an orange root vegetable": "carrot",
    "a green vegetable like a tiny tree": "broccoli",
    "a tropical fruit with spiky leaves on top": "pineapple",
    "an Italian flatbread with tomato and cheese": "pizza",
    "a beef patty in a bun": "burger",
    "a sausage in a bun": "hot dog",
    "a little frosted muffin": "cupcake",
    "a desert plant with thorns": "cactus",
    "a fir under white frost": "snowy pine tree",
    "an evergreen with baubles and lights": "Christmas tree",
    "a hollowed orange gourd with a grinning face": "orange jack-o'-lantern",
    "a round wooden vat of beer with iron hoops": "barrel",
    "a pirate's box of coins and jewels": "treasure chest full of gold",
    "a signal that tells drivers to stop or go": "traffic light",
    "a street tap for the firemen's hose": "fire hydrant",
    "a pot for a magic brew": "cauldron",
    "somebody in a white suit who floats in orbit": "astronaut",
}
"""Fifty things in words that no caption of them has, and the known name that is meant."""

MOVING = {
    "a bouncing ball": "bounce",
    "a frog jumping up and down": "bounce",
    "a bouncing pumpkin": "bounce",
    "a car driving past": "pass",
    "a fire truck that drives by": "pass",
    "a dog running from left to right": "pass",
    "a shark swimming past": "pass",
    "a barrel rolling on the floor": "roll",
    "a rolling cannon ball": "roll",
    "a swinging lantern": "swing",
    "an axe swinging back and forth": "swing",
    "a swaying palm tree": "swing",
    "a growing tree": "grow",
    "a growing cactus": "grow",
    "a mushroom getting bigger": "grow",
    "a shrinking birthday cake": "shrink",
    "an apple getting smaller": "shrink",
    "a shrinking house": "shrink",
    "a falling apple": "fall",
    "a rock falling from the sky": "fall",
    "a crate dropping to the ground": "fall",
    "a spaceship taking off": "rise",
    "a ghost floating up": "rise",
    "a rising red ball": "rise",
}
"""Things that do something, and what their outlines shall do (`pipelines.motions.MOTIONS`)."""
TURNING = ("a spinning coin", "a spinning chair", "a tumbling crate", "a shaking robot")
"""Things that do what an outline does not tell."""
FILMED = ("a wooden chair", "a burger", "a fire truck")
"""Things for every move of the camera."""
