"""`builder base pin`: from a tag to a digest and a Python, written into the settings' file."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builder.cache import Cache
from builder.errors import SettingsError
from builder.files import write_whole
from builder.image.base import SCRATCH, Base, resolve, split_reference
from builder.image.base_python import PythonFound, find_python
from builder.model.oci import is_digest
from builder.model.progress import SILENT, Progress
from builder.stores.interface import Store

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

_TAG = "# tag "
_HEADER = r"(?m)^[ \t]*\[{}\][ \t]*(?:#.*)?\n"
_NEXT_TABLE = re.compile(r"(?m)^[ \t]*(?:#[ \t]*)?\[")
_BASE = r"(?m)^[ \t]*base[ \t]*=.*\n"


@dataclass(frozen=True, slots=True)
class Pin:
    """A base by digest, with what was found out about its Python. `tag` is what it was called, empty when a digest was given."""

    base: Base
    found: PythonFound
    tag: str = ""


def pin(text: str, store: Store, cache: Cache, platform: str = "linux/amd64", progress: Progress = SILENT) -> Pin:
    """What `text` (a tag, a digest, `oci:DIR`, `scratch`) names now, for `platform`, and its Python.

    Layers are read only when the environment does not say the Python, from the top down to the first that has one.
    """
    base = resolve(text, store, cache, platform)
    tag = "" if text == SCRATCH else split_reference(text)[1]
    with progress.task("looking for the base's Python", base.size, "bytes") as advance:
        found = find_python(base.config, base.layers, store, advance)
    return Pin(replace(base, python=found.version), found, "" if is_digest(tag) else tag)


def write_pin(file: Path, reference: str, python: str, tag: str = "") -> bool:
    """Sets `base` and `python` of `[image]` and keeps all else, comments too. False when the file says so already.

    What is there only as a comment (`# base = ""`) takes the comment's place. An empty `python` leaves the file's own. In pyproject.toml
    the table is `[tool.builder.image]`.
    """
    import tomlkit

    path = ("tool", "builder", "image") if file.name == "pyproject.toml" else ("image",)
    try:
        document = tomlkit.parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{file} cannot be read: {error}") from error
    document = _with_place(document, path, "base", _HEADER.format(re.escape(".".join(path))))
    if python:
        document = _with_place(document, path, "python", _BASE)
    image = _image_table(document, path)
    changed = [_set(image, "base", reference), bool(python) and _set(image, "python", python)]
    if any(changed):
        _note_tag(image, tag)
        try:
            write_whole(file, tomlkit.dumps(document).encode())
        except OSError as error:
            raise SettingsError(f"{file} cannot be written: {error.strerror}") from error
    return any(changed)


def _with_place(document: TOMLDocument, path: tuple[str, ...], key: str, after: str) -> TOMLDocument:
    """The document with an empty `key` in the table, for tomlkit puts a new one at its very end, behind comments of the next table.

    It replaces the comment that stands for it, else follows the line that `after` matches. A file of another shape stays as it is.
    """
    import tomlkit

    text = tomlkit.dumps(document)
    place = _place(text, ".".join(path), key, after)
    if place is None or key in _image_table(tomlkit.parse(text), path):
        return document
    try:
        changed = tomlkit.parse(f'{text[: place[0]]}{key} = ""\n{text[place[1] :]}')
    except ValueError:
        return document
    return changed if _image_table(changed, path).get(key) == "" else document


def _place(text: str, table: str, key: str, after: str) -> tuple[int, int] | None:
    header = re.search(_HEADER.format(re.escape(table)), text)
    if header is None:
        return None
    ending = _NEXT_TABLE.search(text, header.end())
    end = ending.start() if ending else len(text)
    if commented := re.compile(rf"(?m)^#[ \t]*{key}[ \t]*=.*$\n?").search(text, header.end(), end):
        return commented.span()
    line = re.compile(after).search(text, header.start(), end)
    return (line.end(), line.end()) if line else None


def _image_table(document: MutableMapping[str, Any], path: tuple[str, ...]) -> MutableMapping[str, Any]:
    import tomlkit

    table = document
    for name in path:
        if name not in table:
            table[name] = tomlkit.table(is_super_table=name != path[-1])
        table = table[name]
    return table


def _set(table: MutableMapping[str, Any], key: str, value: str) -> bool:
    import tomlkit

    if table.get(key) == value:
        return False
    table[key] = tomlkit.item(value)
    return True


def _note_tag(image: MutableMapping[str, Any], tag: str) -> None:
    """A comment after the digest, for people. Somebody's own comment there is left alone."""
    from tomlkit.items import InlineTable

    if isinstance(image, InlineTable):
        return  # it is one line: a comment would end it
    trivia = image["base"].trivia
    if not trivia.comment or trivia.comment.startswith(_TAG):
        trivia.comment_ws, trivia.comment = ("  ", f"{_TAG}{tag}") if tag else ("", "")
