"""The words of the little language: a lexicon with stable meanings, plain English, names and nonsense words.

A fixed rule, a hash of the word itself, says what is held out from training; see `HELD_OUT_*`.
"""

from __future__ import annotations

import hashlib
import re
from itertools import combinations

_KINDS = """
animal: fox bear wolf horse cow sheep goat mouse rabbit lion tiger monkey camel donkey pig deer rat dog cat hare
bird: eagle owl crow robin duck goose swan hawk sparrow raven dove parrot finch stork gull hen wren heron magpie
    lark
fish: trout salmon shark carp eel cod herring pike tuna perch bass sole minnow squid whale crab lobster shrimp
    seal ray
tree: oak pine birch elm maple willow cedar ash beech palm fir poplar spruce larch alder yew holly walnut olive
    bamboo
flower: rose tulip daisy lily violet poppy iris orchid lotus jasmine pansy clover lilac aster thistle fern ivy
    moss reed weed
fruit: apple pear plum peach cherry grape lemon orange banana melon fig date mango lime berry apricot kiwi
    raisin coconut quince
vegetable: carrot onion potato cabbage bean pea leek radish turnip spinach celery garlic pumpkin lettuce beet
    kale corn cucumber pepper parsnip
drink: tea coffee milk water juice wine beer cider cocoa soda rum gin broth syrup brandy whisky lemonade mead
    cream punch
dish: soup bread cake pie stew pasta rice pudding salad omelet toast porridge curry sausage biscuit pancake
    sandwich noodle dumpling cheese
tool: hammer saw drill axe chisel file shovel rake hoe wrench pliers knife scissors needle ladder broom brush
    nail screw rope
vehicle: car bus train truck bicycle boat ship plane tram van cart sled canoe raft tractor wagon ferry rocket
    taxi scooter
building: house tower church castle barn school temple mill palace cabin hut shop hotel museum prison station
    factory library bridge tent
clothing: coat shirt hat sock shoe glove scarf belt dress skirt boot jacket cap vest gown robe sweater apron
    cloak mitten
furniture: table chair bed desk shelf sofa stool bench cupboard lamp mirror drawer cradle carpet curtain couch
    wardrobe pillow mattress clock
instrument: piano violin flute drum guitar harp trumpet horn cello organ banjo fiddle tuba oboe bell whistle
    gong lute pipe viola
body: hand foot head arm leg eye ear nose mouth knee elbow finger toe neck shoulder chest heart tooth tongue
    chin
job: baker farmer doctor teacher sailor soldier tailor painter singer dancer lawyer judge nurse pilot smith
    miner hunter cook clerk king
place: river hill lake forest valley island desert beach cave meadow swamp cliff ocean field garden harbor
    village city mountain canyon
material: gold silver iron copper tin lead steel glass wood stone clay paper cotton wool silk leather rubber
    marble brick sand
weather: rain snow wind storm fog frost hail thunder cloud mist ice sunshine lightning breeze drought flood heat
    cold dew rainbow
praise: lovely great good nice wonderful fine superb perfect charming pleasant brilliant delightful splendid
    excellent sweet fresh clever kind brave pretty
blame: awful bad poor nasty terrible dull horrible boring ugly dreadful weak rotten stale rude cruel lazy messy
    noisy broken bitter
"""


def _read_kinds() -> dict[str, tuple[str, ...]]:
    parts = re.split(r"(\w+):", _KINDS)[1:]
    return {kind: tuple(words.split()) for kind, words in zip(parts[::2], parts[1::2], strict=True)}


def digest(*parts: object) -> int:
    """A number that depends on the parts alone: the fixed rule behind every split."""
    text = "\x1f".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")


KINDS = _read_kinds()
LEXICON = {word: kind for kind, words in KINDS.items() for word in words}
NOUN_KINDS = tuple(kind for kind in KINDS if kind not in ("praise", "blame"))

# Three attributes cut across the kinds. Within a kind half of the words have each value, by hash, the same for ever.
ATTRIBUTES = {"size": ("big", "small"), "age": ("old", "new"), "mood": ("calm", "wild")}


def _attributes() -> dict[str, dict[str, str]]:
    out: dict[str, dict[str, str]] = {word: {} for word in LEXICON}
    for kind in NOUN_KINDS:
        for name, values in ATTRIBUTES.items():
            ranked = sorted(KINDS[kind], key=lambda word: digest("attribute", name, word))
            for rank, word in enumerate(ranked):
                out[word][name] = values[rank * 2 >= len(ranked)]
    return out


MEANING = _attributes()

# What labelling tasks may never use in training. Sentences and lists state these words' meanings all the same.
HELD_OUT_KINDS = ("bird", "vegetable", "instrument", "material")
SEEN_KINDS = tuple(kind for kind in KINDS if kind not in HELD_OUT_KINDS)


def _hash_pick(items: list, count: int, purpose: str) -> frozenset:
    return frozenset(sorted(items, key=lambda item: digest(purpose, item))[:count])


HELD_OUT_PAIRS = _hash_pick(
    [tuple(sorted(pair)) for pair in combinations(SEEN_KINDS, 2) if set(pair) != {"praise", "blame"}], 24, "pair"
)
HELD_OUT_WORDS = frozenset().union(*(_hash_pick(list(words), 5, "word") for words in KINDS.values()))

NAMES = tuple(
    """Anna Ben Carl Dora Emma Finn Greta Hugo Ida Jack Kate Leo Mia Noah Olga Paul Quinn Rosa Sam Tina Uma Vera Will
    Xena Yara Zoe Adam Bella Clara David Ella Frank Grace Henry Iris Jonas Karl Lena Max Nora Oscar Petra Ralph
    Sofia Tom Ursula Victor Wanda""".split()  # noqa: SIM905
)

LABELS = tuple(
    """yes no true false positive negative left right up down red blue green yellow black white purple brown pink grey
    alpha beta gamma delta one two three four five six seven eight nine ten north south east west first second third
    A B C D E F X Y Z foo bar baz day night sun moon hot cool high low fast slow in out on off open closed heads
    tails plus minus start stop""".split()  # noqa: SIM905
)
HELD_OUT_LABELS = _hash_pick([label for label in LABELS if label not in ("yes", "no", "true", "false")], 20, "label")
SEEN_LABELS = tuple(label for label in LABELS if label not in HELD_OUT_LABELS)

# Nonsense: one-token syllables, and words of a syllable and an ending. A tenth of them is kept for evaluation.
_ONSET, _VOWEL, _CODA = "bdfgklmnprstvz", "aeiou", "bdgklmnprstvz"
# Words that mean something, or offend.
_NOT_NONSENSE = tuple(
    """bad bag ban bar bat bed big bit box bud bus but dad dam den did dig dik dim din dog dot fad fag fan far fat fed
    fig fin fit fog for fuk fun fur fut gas get god got gum gun had kid kin lad lap led leg let lid lip log lot mad
    man mat men mob mop mud mum nap net nig nip nod nor not nut pad pan pat peg pen per pet pig pin pis pit pop pot
    pun put ram ran rap rat red rib rig rip rob rod rot rub rug rum run sad sag sap sat set sin sip sir sit sob sod
    son sub sum sun tab tag tan tap tar ten tet tin tip tit top tub tug tum van vat vet zap zip""".split()  # noqa: SIM905
)
_SYLLABLES = sorted(
    {a + v + c for a in _ONSET for v in _VOWEL for c in _CODA} - set(LEXICON) - set(LABELS) - set(_NOT_NONSENSE),
    key=lambda s: digest("syllable", s),
)
SYLLABLES = tuple(_SYLLABLES[:220])
_ENDINGS = sorted({a + v for a in _ONSET for v in _VOWEL}, key=lambda s: digest("ending", s))
ENDINGS = tuple(_ENDINGS[:48])
_ALL_NONSENSE = [s + e for s in SYLLABLES for e in ENDINGS]
FRESH_NONSENSE = tuple(w for w in _ALL_NONSENSE if digest("fresh", w) % 10 == 0)
SEEN_NONSENSE = tuple(w for w in _ALL_NONSENSE if digest("fresh", w) % 10)

LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
DIGITS = tuple("0123456789")

# Everyday words that templates use; the tokenizer gives each one token with and without a space before it.
ENGLISH = tuple(
    """the a an is are was were be of to in on at and or not no yes it its this that these those there here what which
    who where when how why all every some any each none both only also then if so because but with without from into
    by for as than more less most least same different word words letter letters number numbers list lists line
    lines text texts sentence answer question input output label labels example examples key value map rule fact
    facts true false kind kinds thing things group topic person people name names box bag room yard road town world
    first last next before after above below left right under over inside outside front back begin starts start end
    ends middle twice once times time again repeat write say tell give reply copy change make take put add join drop
    remove replace swap sort order reverse turn walk go step steps forward face facing find choose pick count find
    look up compare use contains contain has have had holds can does do did will would should must may find correct
    wrong please now you your me my we he she they him her them his their one two three four five six seven eight
    nine ten zero taller shorter older younger faster slower heavier lighter bigger smaller louder quieter richer
    poorer stronger weaker near far north south east west parent child teacher pupil owns owned likes liked lives
    sits stands comes goes gives given gets holds swaps swapped trade trades with beside like means mean called
    belong belongs part big small old new calm wild tall short young fast slow heavy light long red blue green
    yellow black white many much few how often seen bought found wanted saw we ate met said asked told very really
    quite rather about today here well then always never ok thanks thank hello sure done alphabetical double doubled
    spelling spell missing empty full plus minus equal equals total sum greater smaller bigger even odd result
    return returned position start back to origin reading between following match matches matching decide classify
    follow instruction task rewrite string shown hidden member members position opposite pair pairs item items entry
    keyword length exactly short separated comma commas space spaces Question Answer Input Output Label Labels Text
    Words Task Rule Facts Q A In Out True False Yes No System User instead begins ending beginning end finish
    finally lie lies truth tells says closing brackets sequence complete days day Monday Tuesday Wednesday Thursday
    Friday Saturday Sunday later earlier odd out coins coin heads tails flips flipped still ball cup cups apple book
    key watch hat story review""".split()  # noqa: SIM905
)
