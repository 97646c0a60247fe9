"""The frame of a page: one file, whose policy lets nothing be loaded and no script run but the one that is in it."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from fewfit import __version__
from fewfit.report.markup import Markup, tag

GENERATOR = "fewfit"
REPORT = "report.html"


def page(title: str, sections: Iterable[Markup | None]) -> str:
    """Sections are told apart by their ids; those that there are stand in the list of contents."""
    return frame(title, part("style.css"), part("page.js"), tag("main", [one for one in sections if one]))


def frame(title: str, style: str, script: str, *body: Markup, more: str = "", head: Markup | None = None) -> str:
    """`more` of a policy, where the page may ask for anything."""
    inside = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy(style, script) + more),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="generator", content=f"{GENERATOR} {__version__}"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", title),
        head,
        tag("style", Markup(style)),
    )
    outside = tag("body", *body, tag("footer", f"Made by fewfit {__version__}."), tag("script", Markup(script)))
    return f"<!doctype html>\n{tag('html', inside, outside, lang='en')}\n"


def policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; script-src '{digest(script)}'; style-src '{digest(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def section(id: str, title: str, *parts: object) -> Markup:
    return tag("section", tag("h2", title, id=f"{id}-title"), *parts, id=id, aria_labelledby=f"{id}-title")


@lru_cache
def part(name: str, folder: Path = Path(__file__).parent) -> str:
    """Our own style and script. Neither may hold what ends its element: they stand in it as they are."""
    text = (folder / name).read_text(encoding="utf-8")
    assert "</" not in text and "<!--" not in text, name
    return text


def digest(text: str) -> str:
    return f"sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}"
