"""Words that the rules ask for by their kind: the published checkers' sets, or what stands in for their data."""

from __future__ import annotations


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


CONJUNCTIONS = _set("and but for nor or so yet")
PRONOUNS = _set(
    """i me my mine myself we us our ours ourselves you your yours yourself yourselves he him his himself she her
    hers herself it its itself they them their theirs themselves"""
)
# English words that carry grammar and no content, and what a splitter at apostrophes leaves of contractions.
STOP_WORDS = PRONOUNS - {"mine", "us"} | _set(
    """a an the this that these those each few more most other some such any all both own same no not nor only so
    than too very and but if or because as until while of at by for with about against between into through
    during before after above below to from up down in out on off over under again further then once here there
    when where why how what which who whom am is are was were be been being have has had having do does did
    doing can will just should now s t d m o y ll re ve ma ain aren couldn didn doesn don hadn hasn haven isn
    mightn mustn needn shan shouldn wasn weren won wouldn"""
)
NAMES = tuple(
    """Emma Liam Sophia Jackson Olivia Noah Ava Lucas Isabella Mason Mia Ethan Charlotte Alexander Amelia Benjamin
    Harper Leo Zoe Daniel Chloe Samuel Lily Matthew Grace Owen Abigail Gabriel Ella Jacob Scarlett Nathan
    Victoria Elijah Layla Nicholas Audrey David Hannah Christopher Penelope Thomas Nora Andrew Aria Joseph
    Claire Ryan Stella Jonathan""".split()  # noqa: SIM905
)
# Everyday ones that Punkt's English model has (it lacks e.g. and i.e.), and letters that end no sentence there.
ABBREVIATIONS = _set(
    """mr mrs ms dr prof jr sr st lt gen maj sgt rep reps sen gov adm messrs inc ltd corp co cos cie bros vs ave ok
    u.s u.k u.n u.s.a d.c n.y n.j a.m p.m ph.d m.b.a jan feb sep sept oct nov dec aug tues wed fri calif fla ill
    pa va wash minn c d e f g h j k l m n p r s t v w"""
)
# Base forms; `is_verb` knows what ends in -ing, -ed and -s.
VERBS = _set(
    """be have do go get make take come see know think look want give use find tell ask work seem feel try leave
    call put keep let begin start help show hear play run move like live believe hold bring happen write provide
    sit stand lose pay meet include continue set learn change lead understand watch follow stop create speak
    read allow add spend grow open walk win offer remember love consider appear buy wait serve die send expect
    build stay fall cut reach kill remain suggest raise pass sell require report decide pull return explain hope
    develop carry break receive agree support hit produce eat cover catch draw choose cause note point listen
    realize place close involve increase imagine describe compare discuss explore identify list name outline
    define state prove show assume suppose solve compute calculate determine analyze evaluate examine embrace
    discover join picture dive step embark visit enjoy avoid ensure check apply plan prepare practice focus
    share teach turn act answer avoid ban bake boil clean climb collect connect cook count dance design drink
    drive drop enter fight fill fix fly gather generate grab greet guess hide hike ignore improve install invest
    invite jump laugh lift limit locate mix observe order organize paint pick plant pour pray press protect push
    recall reduce reflect refuse remove repeat replace respond rest review rise save say search seek select sing
    sleep slice smile stir store study summarize swim test touch track train travel trust type unite update
    upload wake warn wash wear welcome wish wonder"""
)


def is_verb(word: str) -> bool:
    """By the list and its endings: a tagger would look at the sentence, which this does not."""
    word = word.lower()
    if word in VERBS or word in {"is", "are", "was", "were", "been", "has", "had", "does", "did", "went", "made"}:
        return True
    stems = [word.removesuffix(ending) for ending in ("ing", "ed", "d", "es", "s") if word.endswith(ending)]
    return any(
        stem in VERBS or f"{stem}e" in VERBS or (len(stem) > 3 and stem[-1] == stem[-2] and stem[:-1] in VERBS)
        for stem in stems
    )
