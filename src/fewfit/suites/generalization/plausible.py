"""Plausible names: coined of real words ("reedwings have hooked tails"), so that a model knows the parts and never the
fact. Hardly any of them is a word; those that a dictionary has are left out.
"""

from __future__ import annotations

from fewfit.suites.generalization.drawing import Key, sample
from fewfit.suites.generalization.listed import listed

COINED_FROM = listed(
    """
    amber ash birch brine clay cloud copper dune dusk fern flint frost glass gravel hazel heath iron ivory lime
    marsh mist moss mud oak pearl pine plum reed ridge rust sage salt sand silk slate snow straw thorn violet wax
    willow
    """
)
ANIMAL_ENDS = listed("backs bills crests fins hoofs horns paws snouts tails wings")
OBJECT_ENDS = listed("bars boxes caps clocks frames jars lamps nets pins wheels")
COINED_AND_REAL = listed(
    """
    hazelcrests ivorybills mossbacks mudcaps pinecrests ridgebacks ridgecrests saltboxes sandbars sandboxes
    silktails snowcaps thornbacks thornbills waxbills waxwings
    """
)
SHADES = listed("bright dark deep dull faint pale rich soft warm cool")
COLOURS = listed(
    """
    amber blue bronze brown cream crimson gold green grey olive orange pink purple red silver white
    """
)
PART_KINDS = listed(
    """
    blunt bright coarse crooked curved flat forked heavy hollow hooked long narrow notched rough round short slender
    smooth spiral thick thin tiny twisted wide
    """
)
PARTS = listed(
    """
    bands bristles bumps cords edges flaps grooves hooks knobs plates ribs ridges rims rings rods scales seams
    shells spikes spots stems stripes tips tubes
    """
)
ABILITIES = listed(
    """
    bend bounce drift float glide glow hang hum jump roll sink slide spin stand swing turn
    """
)
PLACES = listed(
    """
    after sunset; all winter; at dawn; at night; beneath ice; between rocks; for hours; in cold water; in deep snow;
    in loose sand; in still air; in strong wind; on steep slopes; on wet grass; under bright light; without noise
    """,
    by=";",
)
VERBS = listed(
    """
    attract block carry chase collect cover damage detect disturb follow guard lift pull push support surround touch
    warm
    """
)
FIRST_NAMES = listed(
    """
    Adela Alden Anton Astrid Bastian Beatrix Bram Calla Casper Celeste Clement Corin Dahlia Delphine Edmund Elsbeth
    Emeric Esme Fabian Felicia Florian Gideon Greta Gustav Harriet Hester Ignace Imogen Isolde Jasper Joachim Juno
    Kasimir Katrin Lavinia Leopold Linus Lorelei Lucian Magnus Marguerite Matilda Mortimer Nadia Nestor Odette Orson
    Ottilie Percival Petra Quentin Ramona Rosalind Rufus Sabine Selwyn Silas Tabitha Thaddeus Theodora Tobias Ursula
    Valentin Verena Vivian Walburga Wendel Wilhelmina Xavier Yolanda Yorick Zelda
    """
)
LAST_NAMES = listed(
    """
    Abelard Ackerby Amberley Arkwell Ashcombe Barrowby Birkhead Blackmere Bramwell Brockhurst Calloway Carrowell
    Cawthorne Cheswick Claverton Coldridge Copperfeld Crowhurst Dapplewood Denholt Draycott Eastlake Elmsworth
    Fairbourne Farrowgate Fenwright Foxglade Garlock Glasswell Greycroft Hallowby Harrowgate Hawksmere Heatherley
    Holloway Hornbeck Inglewood Ivorstone Kettleby Kirkbride Lanternby Larkfield Limeburn Lockridge Marchbank
    Merrivale Millhaven Moorcroft Netherby Nightingill Oakhurst Orchardson Osterby Pebblewick Pennywell Quillfeather
    Rainsborough Ravenscar Redfern Rookwood Saltmarsh Sedgwell Silverlock Starling Stonebridge Swallowell Tamarind
    Tanglewood Thistleby Thornquist Umberfield Vandermere Wakefall Weatherby Westerholt Winterbourne Wolfenden
    Wrenfield Yarborough
    """
)

QUALITIES = tuple(f"{shade} {colour}" for shade in SHADES for colour in COLOURS)
HAD = tuple(f"{kind} {part}" for kind in PART_KINDS for part in PARTS)
DONE = tuple(f"{ability} {place}" for ability in ABILITIES for place in PLACES)


def coin(ends: tuple[str, ...]) -> list[str]:
    """Plural nouns such as "reedwings"."""
    return [start + end for start in COINED_FROM for end in ends if start + end not in COINED_AND_REAL]


def name_people(count: int, *key: Key) -> tuple[str, ...]:
    """First and last names, each used once while there are enough; the second time round they meet other ones."""
    first = sample(FIRST_NAMES, len(FIRST_NAMES), *key, "first")
    last = sample(LAST_NAMES, len(LAST_NAMES), *key, "last")
    pairs = [(first[i % len(first)], last[(i + 3 * (i // len(first))) % len(last)]) for i in range(count)]
    return tuple(f"{one} {other}" for one, other in pairs)
