"""The page as one file. Its own rules (Content-Security-Policy) let it load nothing, and run nothing but the script that is in it."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from builder.page.document import document
from builder.page.facts import Facts

_WEB = Path(__file__).parent / "web"
_SCRIPTS = ("data", "dom", "charts", "search", "table", "overview", "commits", "runs", "scores", "losses", "graph", "run", "keys", "main")
"""The files of web/ that are the script, in order."""


def page(facts: Facts) -> bytes:
    """The same for the same facts."""
    return assembled(document(facts))


def assembled(told: Mapping[str, Any]) -> bytes:
    script = "".join(["(() => {\n", '"use strict";\n', *(_read(f"{name}.js") for name in _SCRIPTS), "})();\n"])
    style = _read("page.css")
    rules = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'; connect-src 'none'"
    )
    parts = {"RULES": rules, "TITLE": html.escape(f"{told['name']}: commits, images, runs"), "STYLE": style, "SCRIPT": script}
    parts["DATA"] = data(told)
    text = _read("page.html")
    for name, part in parts.items():  # the data last: whatever stands in it is not looked at again
        before, after = text.split(f"<!--{name}-->", 1)
        text = f"{before}{part}{after}"
    return text.encode()


def data(told: Mapping[str, Any]) -> str:
    """JSON that may stand in a `script` element: no text in it can end that, or begin a comment. All ASCII."""
    return json.dumps(told, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c").replace(">", "\\u003e")


def _read(name: str) -> str:
    return (_WEB / name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
