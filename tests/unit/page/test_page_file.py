"""The page as one file: what is in it, what its rules are, and that no text of anybody's can become a part of it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import builder.page
from builder.page.html import assembled, data, page
from tests.fixtures.page_world import EVIL, world

WEB = Path(builder.page.__file__).parent / "web"


class Parts(HTMLParser):
    """Elements as a browser has them, and what is in scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[str] = []
        self.open = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open = tag in ("script", "style")
        if self.open:
            self.inside.append("")

    def handle_data(self, data: str) -> None:
        if self.open:
            self.inside[-1] += data

    def handle_endtag(self, tag: str) -> None:
        self.open = False


def hash_of(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_its_rules_name_the_very_script_and_style_and_nothing_else() -> None:
    parts = Parts(page(world(20, 20)).decode())
    style, told, script = parts.inside
    rules = next(attributes["content"] for tag, attributes in parts.tags if attributes.get("http-equiv") == "Content-Security-Policy") or ""
    given = {rule.split()[0]: rule.split()[1:] for rule in rules.split(";")}
    assert len(given) == len(rules.split(";")), "of two the first would count"
    assert given["default-src"] == given["base-uri"] == given["form-action"] == given["connect-src"] == ["'none'"]
    assert given["script-src"] == [hash_of(script)]
    assert given["style-src"] == [hash_of(style)]
    assert "unsafe" not in rules
    assert json.loads(told)["name"] == "agent"


def test_nothing_in_it_is_loaded_from_anywhere() -> None:
    parts = Parts(page(world(20, 20)).decode())
    places = [
        (tag, name, value)
        for tag, attributes in parts.tags
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "action")
    ]
    assert {(tag, value) for tag, _, value in places} == {("link", "data:,"), ("a", "#main"), ("a", "#/overview")}
    assert not re.search(r"@import|url\(", parts.inside[0])


def test_no_text_becomes_markup() -> None:
    plain, evil = (Parts(page(world(30, 30, evil=evil)).decode()) for evil in (False, True))
    assert [tag for tag, _ in evil.tags] == [tag for tag, _ in plain.tags]
    told = json.loads(evil.inside[1])
    assert {EVIL[0], EVIL[1], EVIL[2], EVIL[4]} <= {commit["subject"] for commit in told["commits"]}
    text = data({"name": "</script><!-- \u2028 \ud800"})
    assert text.isascii()
    assert not set("<>") & set(text)
    assert "<title>&lt;b&gt;: commits" in assembled({**told, "name": "<b>"}).decode()


def test_placeholders_in_texts_stay_texts() -> None:
    told = json.loads(Parts(page(world(3, 3)).decode()).inside[1])
    name = "<!--DATA--><!--SCRIPT--><!--STYLE-->"
    assert json.loads(Parts(assembled({**told, "name": name}).decode()).inside[1])["name"] == name


def test_the_same_facts_give_the_same_page() -> None:
    assert page(world(10, 10)) == page(world(10, 10))


def test_the_script_never_makes_markup_of_texts_and_asks_for_nothing() -> None:
    script = "".join(path.read_text("utf-8") for path in sorted(WEB.glob("*.js")))
    forbidden = (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "fetch(",
        "XMLHttpRequest",
        "import(",
        "DOMParser",
    )
    assert [word for word in forbidden if word in script] == []


def test_every_file_of_the_folder_is_part_of_it() -> None:
    text = page(world(3, 3)).decode()
    for path in WEB.iterdir():
        if path.suffix in (".js", ".css"):
            assert path.read_text("utf-8") in text, path.name
        assert len(path.read_text("utf-8").splitlines()) < 300, path.name
