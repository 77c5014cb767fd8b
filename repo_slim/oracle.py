"""What every tree must be, computed from the old tree and the plan alone. Shares no code with the rewrite, nor with the selection.

It reads trees with `git cat-file --batch`, decides for every entry by itself, and hashes what is left: no object is written, and git is
not asked what it thinks. Each (tree, path) is looked at once in all of history.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from repo_slim.git import Git, Objects
from repo_slim.rules import Rules

_ENTRY = re.compile(rb"(\d+) ([^\0]+)\0(.{20})", re.DOTALL)
_DIRECTORY, _LINK, _SUBMODULE = b"40000", b"120000", b"160000"
_EMPTY = hashlib.sha1(b"tree 0\0", usedforsecurity=False).hexdigest()
_LFS = re.compile(rb"version https?://[^\n]*/spec/v1\n(?:ext-[^\n]*\n)*oid sha256:[0-9a-f]{64}\nsize [0-9]+\n?")


class Globs:
    """Matches part by part: `a/**/b` walks down, instead of being one expression."""

    def __init__(self, globs: tuple[str, ...]) -> None:
        self._globs = [self._parts(glob) for glob in globs]

    @staticmethod
    def _parts(glob: str) -> tuple[str | None, ...]:
        text = glob.rstrip("/")
        parts = [part for part in text.split("/") if part] if "/" in text else ["**", text]
        last = "*" if parts[-1] == "**" else parts[-1]  # at the end it is whatever is inside, and that goes with all below
        below = ["*"] if glob.endswith("/") else []
        return (*(None if part == "**" else part for part in parts[:-1]), last, *below)

    def match(self, path: bytes) -> bool:
        names = path.decode("utf-8", "surrogateescape").split("/")
        return any(_walk(parts, names) for parts in self._globs)


def _walk(parts: tuple[str | None, ...], names: list[str]) -> bool:
    """Whether the parts match the first names: what is below a match goes with it. A `**` (None) is any number of directories."""
    if not parts:
        return True
    if parts[0] is None:
        return any(_walk(parts[1:], names[skipped:]) for skipped in range(len(names)))
    return bool(names) and _name_matches(parts[0], names[0]) and _walk(parts[1:], names[1:])


def _name_matches(part: str, name: str) -> bool:
    return fnmatch.fnmatchcase(name, part.replace("**", "*").replace("[^", "[!"))


@dataclass
class Oracle:
    """Answers for one mirror and one plan. `sha256` of blobs is needed only where placeholders take the place of files."""

    git: Git
    rules: Rules
    sha256: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rules = self.rules
        self._drop, self._keep, self._from_tips = (Globs(globs) for globs in (rules.drop, rules.keep, rules.drop_from_tips))
        self._by_path = bool(rules.drop or rules.keep or rules.drop_from_tips)
        self._known: dict[tuple[bytes, str], str | None] = {}
        self._said: dict[tuple[bytes, str], bool] = {}
        self._objects = Objects(self.git)
        self._size, self._pointers = self._read_sizes()
        self._protected: set[str] = set()
        self._protected = set(self._read_tips())

    def __enter__(self) -> Oracle:
        return self

    def __exit__(self, *_: object) -> None:
        self._objects.__exit__()

    def tree(self, tree: str) -> str:
        """The name that the tree has when all that goes is taken out of it."""
        return self._tree(tree, b"") or _EMPTY

    def _tree(self, tree: str, path: bytes) -> str | None:
        """None when nothing is left of it."""
        key = (path if self._by_path else b"", tree)
        if key not in self._known:
            self._known[key] = self._computed(tree, path)
        return self._known[key]

    def _computed(self, tree: str, path: bytes) -> str | None:
        data = self._objects.read(tree)[1]
        left, same = [], True
        for mode, name, raw in _ENTRY.findall(data):
            old = raw.hex()
            new = self._entry(mode, path + name, old)
            same = same and new == old
            if new is not None:
                left.append(mode + b" " + name + b"\0" + (raw if new == old else bytes.fromhex(new)))
        if same:
            return tree
        content = b"".join(left)
        return hashlib.sha1(b"tree %d\0" % len(content) + content, usedforsecurity=False).hexdigest() if left else None

    def _entry(self, mode: bytes, path: bytes, oid: str) -> str | None:
        if mode == _DIRECTORY:
            return self._tree(oid, path + b"/")
        if mode == _SUBMODULE or not self._goes(path, oid):
            return oid
        if self.rules.replace == "placeholder" and mode != _LINK:
            return self._placeholder(oid)
        return None

    def _goes(self, path: bytes, blob: str) -> bool:
        key = (path if self._by_path else b"", blob)
        if key not in self._said:
            self._said[key] = self._decided(path, blob)
        return self._said[key]

    def _decided(self, path: bytes, blob: str) -> bool:
        if self._keep.match(path):
            return False
        if self._from_tips.match(path):
            return True
        if blob in self._protected:
            return False
        large = self.rules.drop_over is not None and self._size[blob] > self.rules.drop_over
        return large or self._drop.match(path) or (self.rules.lfs == "drop" and self._is_pointer(blob))

    def _is_pointer(self, blob: str) -> bool:
        known = self._pointers.get(blob)
        if known is None:
            size = self._size[blob]
            known = self._pointers[blob] = 100 <= size < 1024 and _LFS.fullmatch(self._objects.read(blob)[1]) is not None
        return known

    def _placeholder(self, blob: str) -> str:
        first = "removed from the history by slim-repo; it is in the archive"
        text = f"{first}\nsha256 {self.sha256[blob]}\nsize {self._size[blob]}\n".encode()
        return hashlib.sha1(b"blob %d\0" % len(text) + text, usedforsecurity=False).hexdigest()

    def _read_sizes(self) -> tuple[dict[str, int], dict[str, bool]]:
        with self.git.piped(
            "cat-file", "--batch-all-objects", "--unordered", "--batch-check=%(objecttype) %(objectname) %(objectsize)"
        ) as out:
            words = (line.split() for line in out)
            return {oid.decode(): int(size) for kind, oid, size in words if kind == b"blob"}, {}

    def _read_tips(self) -> Iterator[str]:
        """Blobs that a protected tip contains at a path from which the plan does not take them in so many words."""
        for commit in set(_protected_tips(self.git, self.rules.protects)):
            kind, data = self._objects.read(commit)
            top = data[5:45].decode() if kind == "commit" else commit
            for path, blob in self._files(top, b""):
                if not self._from_tips.match(path) or self._keep.match(path):
                    yield blob

    def _files(self, tree: str, path: bytes) -> Iterator[tuple[bytes, str]]:
        for mode, name, raw in _ENTRY.findall(self._objects.read(tree)[1]):
            if mode == _DIRECTORY:
                yield from self._files(raw.hex(), path + name + b"/")
            elif mode != _SUBMODULE:
                yield path + name, raw.hex()


def _protected_tips(git: Git, protects: Callable[[str], bool]) -> Iterator[str]:
    names = [name for name in git.text("for-each-ref", "--format=%(refname)").splitlines() if protects(name)]
    asked = "".join(f"{name}^{{}}\n" for name in names).encode("utf-8", "surrogateescape")
    for line in git.text("cat-file", "--batch-check=%(objecttype) %(objectname)", stdin=asked).splitlines():
        kind, oid = line.split()
        if kind in ("commit", "tree"):
            yield oid
    if head := git.ask("rev-parse", "--verify", "--quiet", "HEAD^{commit}"):
        yield head
