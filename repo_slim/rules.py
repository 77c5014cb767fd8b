"""What is to go: sizes and globs, as a person writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Literal

from repo_slim.errors import AskedError

Lfs = Literal["keep-pointers", "drop"]
Replace = Literal["delete", "placeholder"]

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "kb": 10**3, "mb": 10**6, "gb": 10**9}
_UNITS |= {"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*\Z", re.IGNORECASE)


def parse_size(text: str) -> int:
    """`500kB`, `1MB`, `1.5MiB`, `1m` (as git's own), `1000000`: bytes. Raises AskedError."""
    found = _SIZE.match(text)
    if not found or found[2].lower() not in _UNITS:
        raise AskedError(f"{text!r} is no size", "write 500kB, 1MB, 1MiB or a number of bytes")
    return int(float(found[1]) * _UNITS[found[2].lower()])


@dataclass(frozen=True)
class Rules:
    """A file goes from a commit when it is larger than `drop_over` bytes or matches `drop`, unless it matches `keep`.

    What the tips of `protect` contain stays everywhere, but for what matches `drop_from_tips`: that goes from the tips, too.
    With `lfs = "drop"` pointers to LFS objects go as if they matched `drop`.
    """

    drop_over: int | None = None
    drop: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    drop_from_tips: tuple[str, ...] = ()
    protect: tuple[str, ...] = ("refs/heads/*",)
    lfs: Lfs = "keep-pointers"
    replace: Replace = "delete"
    _memo: dict[bytes, tuple[bool, bool, bool]] = field(default_factory=dict, repr=False, compare=False)

    def said_of(self, path: bytes) -> tuple[bool, bool, bool]:
        """Whether `drop`, `keep` and `drop_from_tips` match the path."""
        known = self._memo.get(path)
        if known is None:
            text = path.decode("utf-8", "surrogateescape")
            known = self._memo[path] = tuple(bool(each and each.match(text)) for each in self._compiled)  # type: ignore[assignment]
        return known  # type: ignore[return-value]

    @cached_property
    def _compiled(self) -> tuple[re.Pattern[str] | None, ...]:
        return tuple(_any_of(globs) for globs in (self.drop, self.keep, self.drop_from_tips))

    def protects(self, ref: str) -> bool:
        """Whether a ref's tip keeps exactly what it contains. In `protect` a `*` stands for anything, slashes too."""
        return any(re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), ref) for pattern in self.protect)


def _any_of(globs: tuple[str, ...]) -> re.Pattern[str] | None:
    return re.compile("|".join(f"(?:{_expression(glob)})" for glob in globs), re.DOTALL) if globs else None


@lru_cache
def _expression(glob: str) -> str:
    """As in .gitignore: without a slash it is the name of a file or directory anywhere, with one a path from the top.

    What it matches goes with all that is below; with a slash at its end it matches directories only. `*` and `?` stop at a slash; `**`
    between slashes is any number of directories.
    """
    text = glob.rstrip("/")
    if not text.strip("/") or "\n" in text:
        raise AskedError(f"{glob!r} is no glob", "write *.ckpt, data/** or outputs/")
    start = "" if "/" in text else "(?:.*/)?"
    return start + "".join(map(_piece, _PIECES.findall(text.removeprefix("/")))) + (r"/.*\Z" if glob.endswith("/") else r"(?:/.*)?\Z")


_PIECES = re.compile(r"\A\*\*/|/\*\*/|/\*\*\Z|\*\*|\*|\?|\[[!^]?\]?[^\]/]*\]|.", re.DOTALL)
_MEANING = {"/**/": "/(?:.*/)?", "**/": "(?:.*/)?", "/**": "/.*", "*": "[^/]*", "?": "[^/]"}


def _piece(piece: str) -> str:
    if piece == "**":
        piece = "*"  # it stands for directories only where it is one itself
    if piece in _MEANING:
        return _MEANING[piece]
    if len(piece) > 2 and piece[0] == "[":
        inside = piece[1:-1]
        negated, inside = (True, inside[1:]) if inside[0] in "!^" else (False, inside)
        safe = inside.replace("\\", r"\\").replace("[", r"\[").replace("]", r"\]").replace("^", r"\^")
        return f"(?!/)[{'^' if negated else ''}{safe}]"
    return re.escape(piece)
