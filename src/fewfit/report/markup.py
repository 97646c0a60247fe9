"""HTML and SVG as text. Whatever is no `Markup` is escaped here, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

VOID = ("br", "input", "meta")
# What a page would obey, or could not hold: control characters, halves of pairs, marks that turn the
# direction of writing.
SIGNS = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n"}
SIGNS |= {code: f"\\x{code:02x}" for code in range(0x7F, 0xA0)}
SIGNS |= {code: f"\\u{code:04x}" for code in (0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))}
SIGNS |= {code: f"\\u{code:04x}" for code in (*range(0xD800, 0xE000), 0xFFFE, 0xFFFF)}


class Markup(str):
    """Text that is HTML already."""


def escaped(value: Any) -> Markup:
    """A child of an element: markup as it is, several joined, None as nothing, everything else as plain text."""
    if isinstance(value, Markup):
        return value
    if value is None:
        return Markup("")
    if isinstance(value, Iterable) and not isinstance(value, str):
        return Markup("".join(escaped(one) for one in value))
    return Markup(plain(value))


def plain(value: Any) -> str:
    return escape(str(value).translate(SIGNS), quote=True)


def tag(name: str, /, *children: Any, **attributes: Any) -> Markup:
    """`class_` is class, `data_v` data-v; an attribute of None or False is left out, one of True has no value."""
    words = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        spelled = key.rstrip("_").replace("_", "-")
        words.append(spelled if value is True else f'{spelled}="{plain(value)}"')
    opened = f"<{' '.join(words)}>"
    return Markup(opened if name in VOID else f"{opened}{escaped(children)}</{name}>")


def data(text: str, *, most: int | None = None) -> Markup:
    """Text of the user's or a model's: it keeps its direction of writing to itself, and its line breaks."""
    return tag("bdi", text if most is None else middle_cut(text, most), class_="data", dir="auto")


def middle_cut(text: str, most: int) -> str:
    left_out = len(text) - most
    if left_out <= 0:
        return text
    return f"{text[: most // 2]} … {left_out:,} characters left out … {text[-(most - most // 2) :]}"


def table(
    caption: str, heads: Iterable[Any], rows: Iterable[Any], *, class_: str | None = None, hidden_caption: bool = False
) -> Markup:
    """`heads` and `rows` are finished cells and rows; wide ones scroll by themselves, by keyboard too."""
    whole = tag(
        "table",
        tag("caption", caption, class_="unseen" if hidden_caption else None),
        tag("thead", tag("tr", heads)),
        tag("tbody", rows),
        class_=class_,
    )
    return tag("div", whole, class_="scroll", tabindex="0", role="region", aria_label=caption)


def heads(*names: str, numbers: Iterable[str] = (), sortable: bool = False) -> list[Markup]:
    """Heads of columns; those of numbers stand at the right."""
    right = set(numbers)
    return [
        tag(
            "th",
            tag("button", name, type="button") if sortable else name,
            scope="col",
            class_="number" if name in right else None,
        )
        for name in names
    ]


def number(text: Any, value: float | None = None) -> Markup:
    """A cell that is sorted by `value`."""
    return tag("td", text, class_="number", data_v=None if value is None else f"{value:.9g}")
