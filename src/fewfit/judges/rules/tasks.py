"""Tasks with an answer that a program knows: the request and the rule are one."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from itertools import pairwise

from fewfit.judges.rules.rule import WHOLE, Rule
from fewfit.judges.rules.sentences import sentences
from fewfit.judges.rules.words import PUNCTUATION, without_punctuation

# By latitude as the published checker has them. Reykjavik comes first, and some that could be argued for are not there.
_CAPITALS = """Reykjavik Helsinki Oslo Tallinn Stockholm Riga Moscow Copenhagen Vilnius Minsk Dublin Berlin Amsterdam
    Warsaw London Brussels Prague Luxembourg Paris Vienna Bratislava Budapest Vaduz Chisinau Bern Ljubljana
    Zagreb""".split()  # noqa: SIM905


def plain(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def multiples(answer: str) -> bool:
    return re.findall(r"\d+", answer) == ["14", "21", "28", "35", "42", "49"]


def longer_questions(answer: str) -> bool:
    if not answer.startswith("Question"):
        return False
    found = [one.strip() for one in re.split(r"\n*Question \d+[.|):;]?\s*", answer) if one.strip()]
    lengths = []
    for question in found:
        lines = [line.strip() for line in question.split("\n")]
        is_option = [re.match(r"[A-Ea-e][.|)]\s*\w+", line) is not None for line in lines]
        if sum(is_option) != 5:
            return False
        lengths.append(len(" ".join(lines[: is_option.index(True)]).strip()))
    return len(found) == 4 and all(a < b for a, b in pairwise(lengths))


def africa_backwards(answer: str) -> bool:
    """52 lines from Zimbabwe on that are in falling order: whether they are countries is not looked at."""
    lines = [text for text in (line.strip(PUNCTUATION + " ") for line in answer.split("\n")) if text]
    start = next((k for k, line in enumerate(lines) if "Zimbabwe" in line), len(lines))
    names = [plain(line) for line in lines[start:]]
    return len(names) >= 52 and names == sorted(names, reverse=True)


def backwards_by_word(answer: str) -> bool:
    text = " ".join(without_punctuation(answer.lower()).split()[::-1])
    return "bald eagle" in text and sentences(text) == [text]


def backwards_by_letter(answer: str) -> bool:
    return "elgae dlab" in answer.lower()


def sentences_by_alphabet(answer: str) -> bool:
    found = sentences(answer)
    return len(found) == 26 and all(one[:1].lower() == chr(ord("a") + k) for k, one in enumerate(found))


def northern_capitals(answer: str) -> bool:
    return [one.strip() for one in plain(answer).split(",") if one.strip()] == _CAPITALS


def cities_as_csv(answer: str) -> bool:
    rows = _rows(answer, ",")
    return (
        len(rows) == 8 and rows[0] == ["ID", "Country", "City", "Year", "Count"] and all(len(row) == 5 for row in rows)
    )


def products_as_csv(answer: str) -> bool:
    header = ", ".join(f'({name}|"{name}")' for name in ("ProductID", "Category", "Brand", "Price", "Stock"))
    if not re.match(header.replace(", ", ",[ \\t]*") + "$", answer.split("\n")[0].strip()):
        return False
    rows = _rows(answer.replace('"', '"""'), ",")  # so that the marks stay where they are
    if len(rows) != 15:
        return False
    for row in rows[1:]:  # rows after the one with the special character are not counted, as published
        if len(row) != 5:
            return False
        if any(re.match(r'".*[^\d\w\s].*"', field) for field in row):
            return True
    return False


def students_as_csv(answer: str) -> bool:
    header = "\\t *".join(f'({name}|"{name}")' for name in ("StudentID", "Subject", "Grade", "Semester", "Score"))
    if not re.match(header + "$", answer.split("\n")[0].strip()):
        return False
    rows = _rows(answer.replace('"', '"""'), "\t")
    fields = [field.strip() for row in rows for field in row]
    return (
        len(rows) == 4
        and all(len(row) == 5 for row in rows)
        and all(field[:1] == field[-1:] == '"' for field in fields)
    )


def _rows(text: str, delimiter: str) -> list[list[str]]:
    try:
        return list(csv.reader(io.StringIO(text), delimiter=delimiter))
    except csv.Error:  # a field of more than 131,072 letters, or a NUL
        return []


def dates(answer: str) -> bool:
    """Of Napoleon's lifetime; whether there were battles is not looked at."""
    found = [re.fullmatch(r"(\d{4})-(\d{2})-(\d{2})", one.strip()) for one in answer.split(",")]
    return all(one and _is_date(*map(int, one.groups())) for one in found)


def _is_date(year: int, month: int, day: int) -> bool:
    """A month 0 or a day 0 is let pass, and a day of month 0, as published."""
    last = 29 if month == 2 else 30 if month in (4, 6, 9, 11) else 31 if month else 99
    return 1769 <= year <= 1821 and month <= 12 and day <= last


RULES = {
    "custom:multiples": Rule(multiples, "Of the numbers from 10 to 50 write those that 7 divides.", WHOLE),
    "custom:mcq_count_length": Rule(
        longer_questions,
        'Write 4 questions about art of the 20th century, each with 5 options, each beginning with "Question" and its '
        "number, each longer than the one before. Explain nothing.",
        WHOLE,
    ),
    "custom:reverse_newline": Rule(
        africa_backwards, "List the countries of Africa from Z to A, each on a line of its own.", WHOLE
    ),
    "custom:word_reverse": Rule(
        backwards_by_word,
        "Which animal is the symbol of the USA? Answer with a sentence whose words stand backwards.",
        WHOLE,
    ),
    "custom:character_reverse": Rule(
        backwards_by_letter,
        "Which animal is the symbol of the USA? Answer with a sentence whose letters stand backwards.",
        WHOLE,
    ),
    "custom:sentence_alphabet": Rule(
        sentences_by_alphabet, "Write a story of 26 sentences that begin with a, b, c and so on to z.", WHOLE
    ),
    "custom:european_capitals_sort": Rule(
        northern_capitals,
        "Name the capitals of Europe that lie north of 45 degrees, without countries, with commas between them, from "
        "north to south.",
        WHOLE,
    ),
    "custom:csv_city": Rule(cities_as_csv, "Write 7 rows of CSV under the header ID,Country,City,Year,Count.", WHOLE),
    "custom:csv_special_character": Rule(
        products_as_csv,
        "Write 14 rows of CSV under the header ProductID,Category,Brand,Price,Stock, with one field that has a "
        "special character and stands in double quotation marks.",
        WHOLE,
    ),
    "custom:csv_quotes": Rule(
        students_as_csv,
        "Write 3 rows with tabs between their fields under the header StudentID, Subject, Grade, Semester, Score, "
        "every field in double quotation marks.",
        WHOLE,
    ),
    "custom:date_format_list": Rule(
        dates,
        "List the days on which Napoleon's battles began as YYYY-MM-DD, with commas between them and no more.",
        WHOLE,
    ),
}
