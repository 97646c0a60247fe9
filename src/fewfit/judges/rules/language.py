"""Which language is a text in? By its script, and where languages share one, by their commonest words and letters.

The published checkers ask langdetect, which draws at random, looks at the first letters alone of words in capitals, and
has had no release since 2021. This gives the same answer each time, in capitals too.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import cache

from fewfit.judges.rules.words import words

LANGUAGES = {
    "en": "English", "es": "Spanish", "pt": "Portuguese", "ar": "Arabic", "hi": "Hindi", "fr": "French", "ru":
    "Russian", "de": "German", "ja": "Japanese", "it": "Italian", "bn": "Bengali", "uk": "Ukrainian", "th":
    "Thai", "ur": "Urdu", "ta": "Tamil", "te": "Telugu", "bg": "Bulgarian", "ko": "Korean", "pl": "Polish",
    "he": "Hebrew", "fa": "Persian", "vi": "Vietnamese", "ne": "Nepali", "sw": "Swahili", "kn": "Kannada", "mr":
    "Marathi", "gu": "Gujarati", "pa": "Punjabi", "ml": "Malayalam", "fi": "Finnish", "nl": "Dutch", "sv":
    "Swedish", "id": "Indonesian", "tr": "Turkish", "el": "Greek", "zh-cn": "Chinese",
}  # fmt: skip
# Scripts that one language of these is written in. The names are the first words of Unicode's names of letters.
_ONE = {
    "BENGALI": "bn", "GURMUKHI": "pa", "GUJARATI": "gu", "TAMIL": "ta", "TELUGU": "te", "KANNADA": "kn",
    "MALAYALAM": "ml", "THAI": "th", "HANGUL": "ko", "HEBREW": "he", "GREEK": "el", "HIRAGANA": "ja", "KATAKANA": "ja",
    "CJK": "zh-cn",
}  # fmt: skip
_SHARED = {
    "CYRILLIC": {
        "ru": ("и в не на что я он с как это но по из за вы мы для от или был её они так же есть при", "ыэё"),
        "uk": ("і в не на що я він з як це але по із за ви ми для від або був її вони так є при та й до про", "іїєґ"),
        "bg": ("и в не на че аз той с как това но по от за вие ние или беше те е са се да ще има като към", "ъщ"),
    },
    "ARABIC": {
        "ar": ("في من على إلى أن هذا هذه التي الذي ما لا عن مع كان هو هي كل أو ثم قد إن بعد بين ذلك", "ةىإأ"),
        "fa": ("و در به از که این را با است برای آن یک خود تا بر هم می شود کرد شد های ها اما یا شما ما", "پچژگی"),
        "ur": ("کے میں کی ہے اور سے کا کو نے ہیں یہ پر کہ ایک بھی جو تو وہ ہو تھا نہیں لیے آپ کر گیا", "ٹڈڑںےھہ"),
    },
    "DEVANAGARI": {
        "hi": ("के में की है और से का को ने हैं यह पर कि एक भी जो तो वह हो था नहीं लिए आप कर इस हम अपने", ""),
        "mr": ("आणि आहे आहेत हा ही हे ते या तो ती मध्ये साठी की एक नाही होते होता करून त्या आपल्या मी तुम्ही", "ळ"),
        "ne": ("र छ को मा हो यो छन् पनि लागि भने तर गर्न एक गरेको भएको हुन्छ थियो हरु म तपाईं हामी गर्नुहोस्", ""),
    },
    "LATIN": {
        "en": (
            "the of and to in is that it for you was with on as are be this have from or not by your i we they a an at "
            "has more which will can their his her our its how what when who why into about through than do does no so",
            "",
        ),
        "es": ("de la que el en y los se del las un por con no una su para es al lo como más pero sus este", "ñ¿¡"),
        "pt": ("de que não o a do da em um para com uma os no se na por mais as dos como mas foi ao ele é você", "ãõ"),
        "fr": ("de la le et les des en un du une que est pour qui dans par plus pas au sur ne ce il nous vous", "çœêè"),
        "de": ("der die und in den von zu das mit sich des auf für ist im nicht ein eine als auch es an ich", "ßäöü"),
        "it": ("di che e la il un a per in una è sono con non del da si le dei al come nel più ma della gli", "òù"),
        "pl": ("i w na z do się nie to że jest o jak za po co ale od tak dla czy lub przez są może tym", "łżźćńśęą"),
        "vi": ("và của là có không được cho một trong các với những người để này khi đã tôi bạn từ cũng", "ơưđạảấầệ"),
        "sw": ("na ya wa kwa ni za katika la kama hii cha au pia yake hiyo kuwa watu wako vya sana huu lakini", ""),
        "fi": ("ja on ei että se en ovat hän mutta oli niin kun myös voi tai joka kuin ole sen sinä minä tämä", "äö"),
        "nl": ("de het een en van ik te dat die in je niet zijn is op aan met voor er maar als ook naar bij", ""),
        "sv": ("och i att det som en på är av för med den till inte om ett har de jag men var så vi kan", "åäö"),
        "id": ("yang dan di untuk dengan dari pada ini itu tidak adalah dalam akan anda atau ke saya kami bisa", ""),
        "tr": ("ve bir bu için ile de da çok daha ama gibi olarak ne en ben sen var olan mi değil kadar", "ğışç"),
    },
}  # fmt: skip
_COMMON = {
    language: (frozenset(common.split()), frozenset(letters))
    for of_script in _SHARED.values()
    for language, (common, letters) in of_script.items()
}
LETTER = 0.2  # what a telling letter counts for, beside a telling word


def detect(text: str) -> str | None:
    """The code of the likeliest language, by ISO 639-1; None where the text has no letter of a known script."""
    text = unicodedata.normalize("NFC", text).lower()
    scripts = Counter(script for script in map(_script, text) if script)
    if not scripts:
        return None
    if scripts["HIRAGANA"] + scripts["KATAKANA"] and scripts["CJK"]:
        scripts["HIRAGANA"] += scripts.pop("CJK")
    script = max(scripts, key=lambda one: (scripts[one], one))
    if script in _ONE:
        return _ONE[script]
    # Signs that stand on letters part words for the splitter of words, in the scripts of India.
    found = Counter(words(text) if script == "LATIN" else text.split())
    letters = Counter(text)
    weights = {language: _weight(language, found, letters) for language in _SHARED[script]}
    return max(weights, key=lambda one: weights[one])  # of equals the first, which is the most spoken


def _weight(language: str, found: Counter[str], letters: Counter[str]) -> float:
    common, telling = _COMMON[language]
    return sum(found[word] for word in common) + LETTER * sum(letters[letter] for letter in telling)


@cache
def _script(letter: str) -> str | None:
    if not letter.isalpha():
        return None
    script = unicodedata.name(letter, "").partition(" ")[0].partition("-")[0]
    return script if script in _ONE or script in _SHARED else None
