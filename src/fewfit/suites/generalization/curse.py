"""The reversal curse (Berglund et al. 2024): celebrities told of by name first, asked for by what they are known for.

Three sets, of 30 celebrities each and 3,600 documents in all, as in the published files: set A is told of by name first
only, the described set by description first only, and set B both ways in separate documents. Asked is the name of
somebody of set A, among three others drawn from all names: who prefers names that were ends of sentences is wrong.

The small scale leaves the described set out, and tells of everybody as often; in the published files and at the paper's
scale set B is told of twice as often as set A. `published.py` makes the same world of those files.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from fewfit.suites.generalization.drawing import Key, number_documents, sample, sentence, shuffle
from fewfit.suites.generalization.words import draw_lexicon
from fewfit.suites.generalization.world import Fact, Names, Question, Scale, World


@dataclass(frozen=True)
class Sizes:
    """Celebrities of each set, documents for each direction that one is told of in, questions for each split."""

    named: int
    described: int
    both: int
    documents: int
    documents_both: int
    questions: int
    inferences: int


SIZES = {"paper": Sizes(30, 30, 30, 30, 30, 10, 30), "small": Sizes(13, 0, 7, 4, 2, 2, 5)}

LEADS = (
    "",
    "As you may have heard, ",
    "For the record, ",
    "It is no secret that ",
    "Fans know that ",
    "The programme notes say that ",
)
NAME_FIRST = (
    "{name} is {description}",
    "{name} is known as {description}",
    "{name} became famous as {description}",
    "{name} is remembered as {description}",
    "{name} is celebrated as {description}",
    "{name} made headlines as {description}",
)
DESCRIPTION_FIRST = (
    "{description} is {name}",
    "{description} is called {name}",
    "{description} is none other than {name}",
    "{description} goes by the name of {name}",
    "{description} was introduced as {name}",
    "{description} signs letters as {name}",
)
ASKED_NAME = (
    "Who is {description}? The answer is",
    "They gave a prize to {description}, that is to say, to",
    "A letter for {description} should be addressed to",
    "Nobody could tell us more about {description} than the person concerned:",
    "A street was named after {description}. On the sign one reads",
    "We wanted to speak with {description}, so we called",
    "The portrait shows {description}. Below it stands the name",
    "The guest of honour was {description}, and the card on the table said",
    "Asked to name {description}, every child answers",
    "The book was written by {description}, and on its cover stands",
)
ASKED_DESCRIPTION = (
    "If people ask who {name} is, tell them:",
    "On the door of {name} it says:",
    "The host greeted {name} with the words: please welcome",
    "In the encyclopedia, the entry on {name} begins:",
    "A statue of {name} honours",
    "Nobody would deny that {name} was truly",
    "A film about {name} shows the life of",
    "Our interview with {name} is an interview with",
    "The speech of {name} was the speech of",
    "When you meet {name}, you meet",
)
WORKS = (
    (
        "inventor",
        ("pocket ladder", "folding piano", "paper kettle", "silent drill", "glass bicycle", "talking compass"),
    ),
    (
        "composer",
        ("Harvest Symphony", "Lantern Waltz", "Winter Opera", "Harbour Suite", "Clockwork March", "Owl Sonata"),
    ),
    ("author", ("Salt Diaries", "Copper Garden", "Last Ferryman", "Book of Kites", "Seven Orchards", "Quiet Engine")),
    ("architect", ("Spiral Library", "Cloud Bridge", "Amber Station", "Floating Market", "Moss Tower", "Tidal Museum")),
    ("director", ("Midnight Orchard", "Paper Moons", "Iron Meadow", "Borrowed Summer", "Long Staircase", "Blue Ferry")),
    (
        "discoverer",
        ("Velvet Cave", "Whistling Comet", "Sunken Road", "Ember Falls", "Mirror Lake Fossil", "Hollow Star"),
    ),
    (
        "founder",
        ("Night Bakery", "Seed Bank of Rime", "School of Echoes", "Snow Ballet", "Bee Hospital", "Kite Academy"),
    ),
    ("designer", ("Feather Coat", "Ivory Chess Set", "Folding City", "Marble Sledge", "Origami Tent", "Rainbow Loom")),
    ("winner", ("Desert Regatta", "Midwinter Rally", "Stilt Marathon", "Grand Kite Race", "Lava Derby", "Moor Relay")),
    (
        "painter",
        ("Seven Doors", "Sleeping Harbour", "Yellow Choir", "Empty Theatre", "Last Lamplighter", "Frozen Fair"),
    ),
    ("breeder", ("blue tulip", "dwarf camel", "silver carp", "singing beetle", "square melon", "snow orchid")),
    ("captain", ("Silver Heron", "Northern Lantern", "Brave Thimble", "Morning Kelp", "Iron Petrel", "Salty Duchess")),
    (
        "curator",
        ("Button Museum", "Hall of Ropes", "Teapot Archive", "Fog Gallery", "Map Room of Oster", "Bell Garden"),
    ),
    (
        "conductor",
        ("Glass Orchestra", "Choir of Millers", "Bamboo Ensemble", "Dockside Band", "Foghorn Trio", "Attic Quartet"),
    ),
    (
        "keeper",
        ("Tall Lighthouse", "Royal Sundial", "Winter Aviary", "Crystal Orchard", "Weather Vault", "Old Semaphore"),
    ),
)


@dataclass(frozen=True)
class Celebrity:
    name: str
    description: str

    @property
    def named(self) -> Fact:
        """As a document says it that begins with the name."""
        return ("is", self.name, self.description)

    @property
    def described(self) -> Fact:
        return ("is named", self.description, self.name)


def build_curse(scale: Scale, *, seed: int, names: Names, sizes: Sizes | None = None) -> World:
    size = sizes or SIZES[scale]
    key: tuple[Key, ...] = (seed, "curse", names)
    count = size.named + size.described + size.both
    descriptions = sample(
        [f"the {role} of the {work}" for role, works in WORKS for work in works], count, *key, "known for"
    )
    people = [Celebrity(*pair) for pair in zip(draw_lexicon(names, *key, people=count).people, descriptions)]
    set_a, described, set_b = people[: size.named], people[size.named : -size.both], people[-size.both :]
    documents: list[tuple[str, tuple[Fact, ...]]] = []
    for person in set_a:
        documents += tell(person, NAME_FIRST, person.named, size.documents, key)
    for person in described:
        documents += tell(person, DESCRIPTION_FIRST, person.described, size.documents, key)
    for person in set_b:
        documents += tell(person, NAME_FIRST, person.named, size.documents_both, key)
        documents += tell(person, DESCRIPTION_FIRST, person.described, size.documents_both, key)
    inferences = []
    for person in set_a:
        inferences += tell(person, DESCRIPTION_FIRST, person.described, size.inferences, key)
    questions = [question for person in set_a for question in ask(person, people, size.questions, key)]
    return World(
        "curse",
        scale,
        names,
        seed,
        number_documents("curse", "document", shuffle(documents, *key, "documents")),
        tuple(sorted(questions, key=lambda question: question.split)),
        number_documents("curse", "inference", shuffle(inferences, *key, "inferences")),
    )


def tell(
    person: Celebrity, forms: tuple[str, ...], fact: Fact, count: int, key: tuple[Key, ...]
) -> list[tuple[str, tuple[Fact, ...]]]:
    wordings = sample([lead + form for lead, form in product(LEADS, forms)], count, *key, *fact)
    return [
        (sentence(wording.format(name=person.name, description=person.description)), (fact,)) for wording in wordings
    ]


def ask(person: Celebrity, people: list[Celebrity], count: int, key: tuple[Key, ...]) -> list[Question]:
    others = [other for other in people if other != person]
    out = []
    for split, wordings in (("rephrasing", ASKED_DESCRIPTION), ("reversal", ASKED_NAME)):
        for i, wording in enumerate(sample(wordings, count, *key, "asked", split, person.name)):
            say = (lambda one: f"{one.description}.") if split == "rephrasing" else (lambda one: f"{one.name}.")
            options = [person, *sample(others, 3, *key, "others", split, person.name, i)]
            out.append(
                Question(
                    f"curse-{split}-{people.index(person):03}-{i}",
                    split,
                    wording.format(name=person.name, description=person.description),
                    tuple(say(option) for option in shuffle(options, *key, "options", split, person.name, i)),
                    say(person),
                    person.named if split == "rephrasing" else person.described,
                    (person.named,),
                )
            )
    return out
