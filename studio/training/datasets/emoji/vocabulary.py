"""The pictures of the emoji world: which characters, under which plain names, and where each belongs in a landscape.

Plain data only. A name is the character's own in Unicode, without words such as "face", unless SHORTER has a better one.
"""

from __future__ import annotations

import unicodedata

from studio.training.datasets.tinyworld.vocabulary import COLOURS, PATTERNS, SCENES

CHARACTERS: dict[str, str] = {
    "land": (
        "🐶🐱🐭🐹🐰🦊🐻🐼🐨🐯🦁🐮🐷🐸🐵🐔🐧🐤🦉🐺🐗🐴🦄🐌🐢🐍🦎🦖🦕🦓🦍🐘🦛🦏🐪🦒🦘🐑🦙🐐🦌🐩🐓🦃🦚🦜"
        "🦩🦝🦨🦦🦥🐿🦔🐊🐆🕷🦂🐞🐛🐜🦗🐲"
        "🌵🎄🌲🌳🌴🍀🍁🍄🌷🌹🌻🌼🌸🌺🍇🍈🍉🍊🍋🍌🍍🥭🍎🍐🍑🍒🍓🥝🍅🥥🥑🍆🥔🥕🌽🌶🥒🥦🧄🧅🥜"
        "🍞🥐🥖🥨🥯🥞🧇🧀🍖🍗🥩🥓🍔🍟🍕🌭🥪🌮🌯🥚🍳🥗🍿🍛🍜🍝🍣🍤🍦🍩🍪🎂🍰🧁🥧🍫🍬🍭🍯🍼☕🍵🍷🍸🍹🍺🥤"
        "🍴🏺🏠🏰⛺🎡🎢🚂🚌🚑🚒🚓🚕🚗🚜🏎🛵🚲🛴🚚⛲🗽🗿🏯⚽🏀🏈⚾🎾🏐🎱🏓🥊🎳🪀🎲🧩🧸🎨🎺🎸🎻🥁🎷🎹"
        "👑🎩👒👓👗👕👖👠👢👟🧦🧤🎒👜☂💎💡🔦🕯📷📺📻⏰⌛☎💻📚📖📦📫✏🔑🔒🔨🪓🔧⚓🔔🎁🏆🥇🎃🪑🚪🛏🛁🚽🧻🧹🧺🪣🔬🔭💰🤖👻👽💀👾"
        "🧲🧭⛄🔥💣🏹🪴🧊🎀✂📌📎🪆🪁💈🛒🚦⛽"
    ),
    "sky": "☀🌙⭐☁🌈⚡🪐🌍🎈🦋🐝🦇🦅🚁🚀✈🛸🛰🕊☄❄🪂🐦",
    "water": "🐟🐠🐡🦈🐙🐬🐳🦀🦞🦐🦑🦭🦆🦢⛵🚤🛶🚢🐚",
}

SHORTER = {
    "alien monster": "space monster",
    "american football": "football",
    "amphora": "vase",
    "artist palette": "palette",
    "athletic shoe": "sneaker",
    "aubergine": "eggplant",
    "automobile": "car",
    "baby chick": "chick",
    "bacon": "slice of bacon",
    "baguette bread": "baguette",
    "basketball and hoop": "basketball",
    "billiards": "eight ball",
    "black scissors": "pair of scissors",
    "black sun with rays": "sun",
    "black telephone": "telephone",
    "blossom": "daisy",
    "books": "stack of books",
    "bowling": "set of bowling pins",
    "bread": "loaf of bread",
    "bug": "caterpillar",
    "candy": "piece of candy",
    "cheese wedge": "piece of cheese",
    "cherries": "pair of cherries",
    "closed mailbox with raised flag": "mailbox",
    "cooking": "fried egg",
    "crescent moon": "moon",
    "cup with straw": "cup with a straw",
    "curry and rice": "curry",
    "cut of meat": "steak",
    "deciduous tree": "tree",
    "delivery truck": "truck",
    "doughnut": "donut",
    "dove of peace": "dove",
    "dromedary camel": "camel",
    "drum with drumsticks": "drum",
    "ear of maize": "corn",
    "earth globe europe-africa": "earth",
    "electric light bulb": "light bulb",
    "electric torch": "flashlight",
    "european castle": "castle",
    "evergreen tree": "fir tree",
    "extraterrestrial alien": "alien",
    "eyeglasses": "pair of glasses",
    "fire": "flame",
    "first place medal": "gold medal",
    "four leaf clover": "clover",
    "french fries": "box of french fries",
    "game die": "die",
    "garlic": "garlic bulb",
    "gem stone": "diamond",
    "gloves": "pair of gloves",
    "grapes": "bunch of grapes",
    "green salad": "bowl of salad",
    "high-heeled shoe": "high heel",
    "hippopotamus": "hippo",
    "high voltage": "lightning bolt",
    "honeybee": "bee",
    "hot beverage": "cup of coffee",
    "hot pepper": "chili pepper",
    "house building": "house",
    "jack-o-lantern": "pumpkin",
    "japanese castle": "pagoda",
    "jeans": "pair of jeans",
    "jigsaw puzzle piece": "puzzle piece",
    "kiwifruit": "kiwi",
    "lady beetle": "ladybug",
    "meat on bone": "meat on a bone",
    "moyai": "stone head",
    "musical keyboard": "piano",
    "nesting dolls": "russian doll",
    "pancakes": "stack of pancakes",
    "peanuts": "peanut",
    "personal computer": "laptop",
    "popcorn": "box of popcorn",
    "poultry leg": "chicken leg",
    "red apple": "apple",
    "rhinoceros": "rhino",
    "ringed planet": "planet",
    "roll of paper": "toilet paper",
    "school satchel": "backpack",
    "shopping trolley": "shopping cart",
    "shortcake": "piece of cake",
    "snowman without snow": "snowman",
    "socks": "pair of socks",
    "soft ice cream": "ice cream",
    "spaghetti": "plate of spaghetti",
    "spiral shell": "seashell",
    "spouting whale": "whale",
    "steam locomotive": "locomotive",
    "steaming bowl": "bowl of noodles",
    "sushi": "piece of sushi",
    "t-rex": "dinosaur",
    "t-shirt": "shirt",
    "table tennis paddle and ball": "table tennis paddle",
    "teacup without handle": "cup of tea",
    "tennis racquet and ball": "tennis racket",
    "vertical traffic light": "traffic light",
    "white medium star": "star",
    "womans boots": "boot",
    "womans hat": "straw hat",
    "wrapped present": "present",
    "yo-yo": "yoyo",
}
_DROPPED = (" face", " symbol", " sign")


def plain_name(character: str) -> str:
    """The name that captions use."""
    name = unicodedata.name(character).lower()
    for word in _DROPPED:
        name = name.removesuffix(word)
    return SHORTER.get(name, name)


HABITATS: dict[str, str] = {plain_name(c): place for place, characters in CHARACTERS.items() for c in characters}
CHARACTER_OF: dict[str, str] = {plain_name(c): c for characters in CHARACTERS.values() for c in characters}
KINDS: tuple[str, ...] = tuple(CHARACTER_OF)
# Words of which one can be where another is, for captions that are nearly right.
RIVALS: tuple[tuple[str, ...], ...] = (
    KINDS,
    tuple(COLOURS),
    PATTERNS,
    SCENES,
    ("small", "large"),
    ("left", "right"),
    ("top", "bottom"),
    ("above", "below"),
)
