"""`builder base pin`: from a tag to a digest and a Python, written into the settings' file."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from builder.cache import Cache
from builder.errors import SettingsError
from builder.files import write_whole
from builder.image.base import SCRATCH, Base, resolve, split_reference
from builder.image.base_python import PythonFound, find_python
from builder.model.oci import is_digest
from builder.model.progress import SILENT, Progress
from builder.stores.interface import Store

_TAG = "# tag "


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

    An empty `python` leaves the file's own. In pyproject.toml the table is `[tool.builder.image]`.
    """
    import tomlkit

    try:
        document = tomlkit.parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{file} cannot be read: {error}") from error
    image = _image_table(document, ("tool", "builder", "image") if file.name == "pyproject.toml" else ("image",))
    changed = [_set(image, "base", reference), bool(python) and _set(image, "python", python)]
    if any(changed):
        _note_tag(image, tag)
        try:
            write_whole(file, tomlkit.dumps(document).encode())
        except OSError as error:
            raise SettingsError(f"{file} cannot be written: {error.strerror}") from error
    return any(changed)


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
    from tomlkit.items import Table

    if table.get(key) == value:
        return False
    if key == "python" and key not in table and isinstance(table, Table):
        # a new key goes to the table's very end, behind the comment that belongs to the next one; tomlkit has no public way around
        table.value._insert_after("base", key, tomlkit.item(value))  # noqa: SLF001
    else:
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
