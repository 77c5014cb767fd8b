"""Which modules a text names, and which Python loads modules by names that it makes itself."""

from __future__ import annotations

import re
from collections.abc import Iterable

_WORD = re.compile(rb"\w+")
_IMPORT = re.compile(rb"^[ \t]*(?:from[ \t]+[\w.]+[ \t]+import[ \t]*(?:\([^)]*\)|[^\n;]*)|import[ \t]+[^\n;]*)", re.MULTILINE)
_LOADS = re.compile(
    rb"\b(?:import_module|__import__|iter_modules|walk_packages|spec_from_file_location|run_module|run_path|SourceFileLoader|"
    rb"find_modules|load_module|import_string)\b|\bpydoc\.locate\b"
)
_BELOW = re.compile(rb"\b(?:walk_packages|rglob|walk)\b")
_LITERAL = re.compile(rb"""["']([\w./]+)""")
_PLAIN = re.compile(rb"""\b(?:import_module|__import__|run_module|import_string)\(\s*['"][\w.:]+['"]\s*[,)]""")
"""Loading by a name that stands there: found as any other name is."""
_NEAR = 20
_CONTINUED = re.compile(rb"\\\r?\n")


class Names:
    """Names of modules to look for in texts."""

    def __init__(self, names: Iterable[str]) -> None:
        encoded = {name.encode("utf-8", "surrogateescape"): name for name in names}
        self._plain = {data: name for data, name in encoded.items() if _WORD.fullmatch(data)}
        self._others = {data: name for data, name in encoded.items() if data not in self._plain}

    def within(self, data: bytes) -> frozenset[str]:
        """Those that stand in the text as words; a name that is no word (`my-script`) anywhere."""
        words = self._plain.keys() & set(_WORD.findall(data))
        return frozenset([self._plain[word] for word in words] + [name for each, name in self._others.items() if each in data])


def without_imports(source: bytes) -> bytes:
    """Python without its import statements: what those lead to is known better than by name."""
    return _IMPORT.sub(b"", _CONTINUED.sub(b" ", source))


def places_loaded(directory: str, source: bytes) -> tuple[tuple[str, bool], ...]:
    """Directories out of which a Python file in `directory` may import by names made at run time, and whether deeply.

    Its own, and those that literals near the loading may mean: `"agent.tasks."` and `"agent/tasks/"` are `agent/tasks`, with what is below.
    Of a single name only what is right in it: else one `"agent"` would stand for all there is.
    """
    source = _PLAIN.sub(b"", without_imports(source))
    near = [_around(source, found.start()) for found in _LOADS.finditer(source)]
    if not near:
        return ()
    texts = {literal.decode("ascii", "replace") for lines in near for literal in _LITERAL.findall(lines)}
    named = {text.removesuffix(".py").replace(".", "/").strip("/") for text in texts} - {""}
    own = (directory, bool(directory and _BELOW.search(source)))
    return (own, *sorted((place, "/" in place) for place in named))


def _around(source: bytes, place: int) -> bytes:
    """The lines before and after one."""
    start = end = place
    for _ in range(_NEAR):
        start = max(0, source.rfind(b"\n", 0, start))
        end = source.find(b"\n", end + 1) if end >= 0 else end
    return source[start : end if end >= 0 else len(source)]
