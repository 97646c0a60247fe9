"""What an answer looks like: lists, sections, titles, quotations, brackets, templates."""

from __future__ import annotations

import json
import re
from itertools import pairwise

from fewfit.judges.rules.rule import WHOLE, Rule
from fewfit.judges.rules.sentences import sentences
from fewfit.judges.rules.words import bare, without_punctuation


def placeholders(answer: str, num_placeholders: int) -> bool:
    count = 0
    for line in answer.split("\n"):
        at = line.find("[")
        while at >= 0 and (end := line.find("]", at)) >= 0:
            count, at = count + 1, line.find("[", end)
    return count >= num_placeholders


def bullets(answer: str, num_bullets: int) -> bool:
    """Lines that begin with one * or with any number of -, so that a line of --- counts too, as published."""
    stars = re.findall(r"^[^\S\n]*\*[^*].*$", answer, re.MULTILINE)
    dashes = sum(line.lstrip().startswith("-") for line in answer.split("\n"))
    return len(stars) + dashes == num_bullets


def highlights(answer: str, num_highlights: int) -> bool:
    """**bold** counts twice, as published: **a** is found between two stars, and between four."""
    single = [one for one in re.findall(r"\*[^\n*]*\*", answer) if one.strip("*").strip()]
    double = [one for one in re.findall(r"\*\*([^\n*]*)\*\*", answer) if one.strip()]
    return len(single) + len(double) >= num_highlights


def sections(answer: str, section_spliter: str, num_sections: int) -> bool:
    return len(re.findall(rf"{re.escape(section_spliter.strip())}\s?\d+", answer)) >= num_sections


def title(answer: str) -> bool:
    for line in answer.split("\n"):
        start, end = line.find("<<"), line.rfind(">>")
        if 0 <= start < end - 2 and line[start : end + 2].lstrip("<").rstrip(">").strip():
            return True
    return False


def postscript(answer: str, postscript_marker: str) -> bool:
    """Anywhere, and what the marker says is a pattern but for the two usual ones, as published."""
    patterns = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}
    marker = postscript_marker.strip()
    return re.search(patterns.get(marker, re.escape(marker.lower())), answer.lower()) is not None


def is_json(answer: str) -> bool:
    text = answer.strip()
    for fence in ("```json", "```Json", "```JSON", "```"):
        text = text.removeprefix(fence)
    try:
        json.loads(text.removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True


def listed(answer: str, sep: str) -> bool:
    return answer.count(sep) >= 2


def sub_bullets(answer: str) -> bool:
    """No bullet at all keeps it, as published, and any - after a * is a sub-bullet."""
    return all("-" in bullet for bullet in answer.split("*")[1:])


def sentences_then_bullets(answer: str) -> bool:
    said = listed = 0
    for line in (one.strip() for one in answer.split("\n")):
        if line.startswith("*"):
            if said < 2:
                return False
            listed += 1
        elif listed:
            return False  # the published checker lets one empty line pass nowhere, nor does this
        else:
            said += len(sentences(line))
    return listed >= 2


def thesis(answer: str) -> bool:
    """The first thing in italics has content, and something follows it. Sections are not looked for, as published."""
    start = next((at for at in (answer.find("<i>"), answer.find("<em>")) if at >= 0), -1)
    if start < 0:
        return False
    text = answer[start:]
    end = next((at for at in (text.find("</i>"), text.find("</em>")) if at >= 0), -1)
    return end >= 0 and bool(text[3:end].strip()) and bool(text[end + 4 :].strip())


def parentheses(answer: str) -> bool:
    """Five deep, and one of them closed again. A wrong closing mark begins anew."""
    open_ones: list[str] = []
    deepest = 0
    for letter in answer:
        if letter in "([{":
            open_ones.append(letter)
            deepest = max(deepest, len(open_ones))
        elif letter in ")]}":
            if not open_ones or "([{".index(open_ones.pop()) != ")]}".index(letter):
                open_ones, deepest = [], 0
            elif deepest >= 5:
                return True
    return False


def quotes(answer: str) -> bool:
    """Three deep, and all three closed again. An apostrophe is a quotation mark, as published."""
    open_ones: list[str] = []
    deepest = 0
    for letter in answer:
        if open_ones and letter == open_ones[-1]:
            open_ones.pop()
            if deepest - len(open_ones) >= 3:
                return True
        elif letter in "\"'":
            open_ones.append(letter)
            deepest = max(deepest, len(open_ones))
    return False


def quote_explained(answer: str) -> bool:
    """No quotation stands beside another, nor at the end."""
    text = "".join(answer.replace("“", '"').replace("”", '"').replace("'\"'", "").split())
    rest = text.strip("0123456789!#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
    return '""' not in text and bool(rest) and not rest.endswith('"')


def word_a_line(answer: str) -> bool:
    text = without_punctuation(answer).strip()
    return sum(map(bool, text.split("\n"))) == len(text.split())


def stairs(answer: str) -> bool:
    lines = answer.split("\n")
    for line in lines:  # taken out while going through, as published: of two empty lines one stays, a step of none
        if not line.strip():
            lines.remove(line)
    steps = [len(line) - len(line.lstrip(" ")) for line in lines]
    return all(before < after for before, after in pairwise(steps))


def emoji_at_ends(answer: str) -> bool:
    """Each sentence ends with one, or the next one, which begins after the full stop, begins with one."""
    import regex  # comes with transformers

    is_emoji = regex.compile(r"[\p{Emoji}--[0-9#*]--\p{Regional_Indicator}]", regex.V1).fullmatch
    found = [without_punctuation(one).strip() for one in sentences(answer)]
    for text, after in zip(found, [*found[1:], ""]):
        if not text or not any(is_emoji(letter) for letter in (text[-1], text[-2:][0], *after[:1])):
            return False
    return True


def no_whitespace(answer: str) -> bool:
    return not any(letter.isspace() for letter in answer)


def template(answer: str) -> bool:
    return all(part in answer for part in ("My Answer:", "My Conclusion:", "Future Outlook:"))


def yes_no_maybe(answer: str) -> bool:
    return any(f"My answer is {one}." in answer for one in ("yes", "no", "maybe"))


def options(answer: str, options: str) -> bool:
    """Options a, b, c are to be written as asked, marks included; of others case and marks are let pass."""
    parting = "/" if "/" in options else "or" if "or" in options else ","
    allowed = [one.strip() for one in options.split(parting)]
    if re.match(r"\W*[aA]\W*[bB]\W*[cC]\W*", options):
        return answer in allowed
    return bare(answer).lower() in [bare(one).lower() for one in allowed]


def two_responses(answer: str) -> bool:
    found = [one.strip() for one in answer.split("******")]
    kept = [one for one in found if one]
    return all(found[1:-1]) and len(kept) == 2 and kept[0] != kept[1]


RULES = {
    "detectable_content:number_placeholders": Rule(
        placeholders, "Put in at least {num_placeholders} placeholders in square brackets, such as [name].", "brackets"
    ),
    "detectable_content:postscript": Rule(
        postscript, "Close with a postscript that begins with {postscript_marker}", "end"
    ),
    "detectable_format:number_bullet_lists": Rule(
        bullets, "Have exactly {num_bullets} bullet points, each on a line that begins with *.", "layout stars"
    ),
    "detectable_format:number_highlighted_sections": Rule(
        highlights, "Highlight at least {num_highlights} parts with stars, *like this*.", "stars"
    ),
    "detectable_format:multiple_sections": Rule(
        sections,
        'Have {num_sections} sections, and begin each with "{section_spliter}" and its number.',
        "layout case numbers",
    ),
    "detectable_format:title": Rule(title, "Give it a title in double angle brackets, <<like this>>.", "title"),
    "detectable_format:json_format": Rule(is_json, "Write nothing but JSON.", WHOLE),
    "detectable_format:constrained_response": Rule(
        yes_no_maybe, 'Answer with "My answer is yes.", "My answer is no." or "My answer is maybe."', WHOLE
    ),
    "combination:two_responses": Rule(
        two_responses, "Give two different answers, with a line of ****** between them.", WHOLE
    ),
    "format:list": Rule(listed, 'Make it a list whose points begin with "{sep}" instead of a bullet.', "layout"),
    "format:sub-bullets": Rule(
        sub_bullets, "Use bullet points that begin with *, each with a sub-bullet that begins with -.", "layout stars"
    ),
    "format:no_bullets_bullets": Rule(
        sentences_then_bullets,
        "Write two sentences or more that end in a full stop, and then two or more bullet points that begin with *.",
        "layout stars",
    ),
    "format:thesis": Rule(thesis, "Begin each section with its thesis, in italics by HTML.", "layout case"),
    "format:parentheses": Rule(parentheses, "Nest brackets (of [any {kind}]) five deep or deeper.".replace("{", "{{")
                               .replace("}", "}}"), "brackets"),
    "format:quotes": Rule(
        quotes, "Quote within a quotation within a quotation, double and single marks by turns.", "quotes"
    ),
    "format:quote_unquote": Rule(quote_explained, "Follow each quotation with an explanation outside of it.", "quotes"),
    "format:newline": Rule(word_a_line, "Put each word on a line of its own.", WHOLE),
    "format:line_indent": Rule(stairs, "Indent each line further than the line before.", WHOLE),
    "format:emoji": Rule(emoji_at_ends, "End every sentence with an emoji.", "sentences end"),
    "format:no_whitespace": Rule(no_whitespace, "Use no white space at all.", WHOLE),
    "format:output_template": Rule(
        template,
        'Write three parts that begin with "My Answer:", "My Conclusion:" and "Future Outlook:".',
        "layout case",
    ),
    "format:options": Rule(options, "Answer with one of these and nothing else: {options}", WHOLE),
}  # fmt: skip
