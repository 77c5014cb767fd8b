"""The files of a commit as the search for dead code needs them: Python written to a directory, of all others the names they contain."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import tempfile
import tokenize
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from repo_slim.advice.kinds import Kind, is_python, kind_of_python, kind_of_text
from repo_slim.advice.words import Names, places_loaded, without_imports
from repo_slim.git import Git
from repo_slim.history import SYMLINK, files_of

ENTRIES = "builder_entries"
"""A package below which every Python file (`m17`) and the code of every notebook (`n3`) is a module of its own."""
_LARGEST, _LARGEST_CODE = 2_000_000, 20_000_000
"""Bytes: larger files are data, and not looked into. Code is what is called so, and notebooks, which have pictures in them."""
_COOKIE = re.compile(r"\A((?:[^\n]*\n)?[ \t\f]*#[^\n]*?)coding(?=[:=])")
EXECUTABLE = "100755"
_RELATIVE = re.compile(r"^([ \t]*)from[ \t]*\.[\w.]*", re.MULTILINE)
"""Of a file by itself: what it means is known where the file stands in its package."""
_MAGIC = re.compile(r"^([ \t]*)[%!?].*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Python:
    """A Python file: its path, the kind of entry point it is (None: a module), and whether it is text at all.

    `names`: what it names but in import statements; `imports`: what it names in those alone, of which grimp knows better.
    `loads`: directories from which it loads modules by names made at run time, each with whether what is below them is meant, too.
    """

    path: str
    blob: str
    kind: Kind | None
    names: frozenset[str]
    imports: frozenset[str]
    decoded: bool
    loads: tuple[tuple[str, bool], ...]

    @property
    def directory(self) -> str:
        return self.path.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class Tip:
    """`python[17]` is the module `m17`. `texts`: kind of entry point -> files that are no Python; `named`: all that those name.

    `notebooks`: how many have code. `large`: files that were not looked into, for their size.
    """

    python: list[Python] = field(default_factory=list)
    texts: Counter[Kind] = field(default_factory=Counter)
    named: set[str] = field(default_factory=set)
    notebooks: list[str] = field(default_factory=list)
    large: list[str] = field(default_factory=list)


def name_of(path: str) -> str:
    """What others call a module: `a/b.py` is `b`, and so is `a/b/__init__.py`."""
    pure = PurePosixPath(path)
    return pure.parent.name if pure.stem in ("__init__", "__main__") else pure.stem


def read_tip(git: Git, commit: str, sizes: Mapping[str, int], scratch: Path) -> Tip:
    """Reads every file of the commit once. Below `scratch`: `tree/` with Python as the commit has it, and `ENTRIES`/."""
    files = [(os.fsdecode(path), mode, blob) for path, mode, blob in files_of(git, commit)]
    names = Names({name_of(path) for path, _, _ in files if path.endswith(".py")} - {""})
    packages = {path.removesuffix("__init__.py") for path, _, _ in files if path.endswith("/__init__.py")}
    tip = Tip()
    for path, mode, blob, data in _texts(git, files, sizes, tip.large):
        if mode != SYMLINK and is_python(path, data):
            packaged = path[: path.rfind("/") + 1] in packages
            kind = kind_of_python(path, data, executable=mode == EXECUTABLE, packaged=packaged)
            written = _written(scratch, len(tip.python), path, data)
            tip.python.append(_python(path, blob, kind, data, names, decoded=written))
        else:
            tip.texts[kind_of_text(path)] += 1
            tip.named.update(names.within(data))
            if path.endswith(".ipynb") and (code := _code_of(data)):
                _write(scratch / ENTRIES / f"n{len(tip.notebooks)}.py", code)
                tip.notebooks.append(path)
    return tip


def _texts(
    git: Git, files: list[tuple[str, str, str]], sizes: Mapping[str, int], large: list[str]
) -> Iterator[tuple[str, str, str, bytes]]:
    """Path, mode, blob and content of what is text, as far as a look at the beginning tells."""
    large += [path for path, _, blob in files if _is_large(path, sizes.get(blob, 0))]
    small = [file for file in files if not _is_large(file[0], sizes.get(file[2], 0))]
    with tempfile.TemporaryFile() as asked:
        asked.write("".join(f"{blob}\n" for _, _, blob in small).encode())
        asked.seek(0)
        with git.piped("cat-file", "--batch", stdin=asked) as out:  # all at once: to ask for one after the other takes longer
            for path, mode, blob in small:
                size = out.readline().split()[2]
                data = out.read(int(size) + 1)[:-1]
                if b"\0" not in data[:8000] or path.endswith(".py"):
                    yield path, mode, blob, data


def _is_large(path: str, size: int) -> bool:
    return size > (_LARGEST_CODE if path.endswith((".py", ".ipynb")) else _LARGEST)


def _written(scratch: Path, number: int, path: str, data: bytes) -> bool:
    """Puts it where grimp will read it; False where it is no text."""
    text = _decoded(data)
    if text is None:
        return False
    _write(scratch / ENTRIES / f"m{number}.py", _RELATIVE.sub(r"\1from builder_entries", text))
    if _can_be_named(path):
        _write(scratch / "tree" / path, text)
    return True


def _python(path: str, blob: str, kind: Kind | None, data: bytes, names: Names, *, decoded: bool) -> Python:
    said, anywhere = (names.within(each) - {name_of(path)} for each in (without_imports(data), data))
    return Python(path, blob, kind, said, anywhere - said, decoded, places_loaded(path.rpartition("/")[0], data))


def _decoded(data: bytes) -> str | None:
    """Python as text, without what it says about its encoding; None where it is not in that encoding."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return _COOKIE.sub(r"\1c0ding", data.decode(encoding))
    except (SyntaxError, UnicodeError, LookupError, ValueError):
        return None


def _can_be_named(path: str) -> bool:
    """Whether an import could lead to it."""
    *directories, name = path.split("/")
    return name.endswith(".py") and name.isprintable() and all(directory.isidentifier() for directory in directories)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8", "replace"))


def _code_of(notebook: bytes) -> str:
    """The code of a notebook's cells, without what only IPython understands; empty where that is no Python that can be parsed.

    https://nbformat.readthedocs.io
    """
    try:
        cells = json.loads(notebook)["cells"]
        sources = [cell["source"] for cell in cells if cell["cell_type"] == "code"]
        code = _MAGIC.sub(r"\1pass", "\n".join(source if isinstance(source, str) else "".join(source) for source in sources))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(code)
    except (ValueError, KeyError, TypeError, SyntaxError, RecursionError, MemoryError):
        return ""
    return code
