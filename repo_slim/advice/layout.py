"""Where Python would find the files of a tip: which directories are packages, from where they are imported, and under which names."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cached_property, lru_cache
from pathlib import Path

from repo_slim.advice.tip import Tip

_SOURCES = frozenset(("src", "lib", "python"))
"""Directories that are on the path by habit, also where what they hold has no `__init__.py`."""


class Layout:
    """Directories are texts without a slash at the end; the top is empty."""

    def __init__(self, tip: Tip) -> None:
        self._paths = {file.path: number for number, file in enumerate(tip.python)}
        self._regular = {file.directory for file in tip.python if file.path.endswith("/__init__.py")}
        self._folders = {folder for path in self._paths for folder in _above(path)}
        self._anywhere = lru_cache(maxsize=None)(self._called)

    def complete(self, tree: Path) -> None:
        """Python imports from a directory without `__init__.py` inside of a package; grimp does not look there, so it gets an empty one."""
        for folder in self._folders - self._regular:
            if self.is_inside(folder) and (tree / folder).is_dir():
                (tree / folder / "__init__.py").touch()

    def is_inside(self, folder: str) -> bool:
        """Whether it is a package with an `__init__.py`, or below one."""
        return bool(folder) and (folder in self._regular or any(above in self._regular for above in _above(folder)))

    def builds(self) -> list[dict[str, str]]:
        """Package -> directory, in groups in which no two packages share a name: one with all names, then one for each place with more.

        The same file may be in several, under several names.
        """
        first: dict[str, str] = {}
        others: list[dict[str, str]] = []
        for root in sorted(self._roots, key=lambda root: (root.count("/"), root)):
            here = {folder.rpartition("/")[2]: folder for folder in self._folders if folder and folder.rpartition("/")[0] == root}
            here = {name: folder for name, folder in here.items() if name.isidentifier() and name not in sys.builtin_module_names}
            if any(name in first for name in here):
                others.append(here)
            first = {**here, **first}
        return [first, *others]

    @cached_property
    def _roots(self) -> set[str]:
        """From where something is imported: the top, what holds a package and is none itself, `src` and its like."""
        holders = {folder.rpartition("/")[0] for folder in self._regular if not self.is_inside(folder.rpartition("/")[0])}
        return {"", *holders, *(folder for folder in self._folders if folder.rpartition("/")[2] in _SOURCES and not self.is_inside(folder))}

    def module(self, build: dict[str, str], name: str) -> int | None:
        """The file of a module of a build."""
        package, _, rest = name.partition(".")
        place = "/".join([build[package], *rest.split(".")]) if rest else build[package]
        return self._paths.get(f"{place}.py", self._paths.get(f"{place}/__init__.py"))

    def resolve(self, name: str, folder: str) -> frozenset[int]:
        """What a file in a directory may mean by a name that is of no package: all files and directories that are called so.

        Somebody may put any directory on the path. Where Python itself has such a module only what stands beside the file counts.
        """
        return self.beside(name, folder) | (self._anywhere(name) if name not in sys.stdlib_module_names else frozenset())

    def _called(self, name: str) -> frozenset[int]:
        return frozenset(number for numbers in self._by_name.get(name, {}).values() for number in numbers)

    def beside(self, name: str, folder: str) -> frozenset[int]:
        """What a script in a directory means by a name, if that stands beside it."""
        return frozenset(self._by_name.get(name, {}).get(folder, ()))

    @cached_property
    def _by_name(self) -> dict[str, dict[str, list[int]]]:
        """First word of an import -> the directory that would have to be on the path for it -> the files that it may lead to."""
        found: dict[str, dict[str, list[int]]] = {}
        for path, number in self._paths.items():
            parts = path.removesuffix(".py").split("/")
            for depth, part in enumerate(parts):
                found.setdefault(part, {}).setdefault("/".join(parts[:depth]), []).append(number)
        return found

    def parents(self, path: str) -> Iterator[int]:
        """The `__init__.py` of every package that an import of the file runs first."""
        for folder in _above(path):
            number = self._paths.get(f"{folder}/__init__.py")
            if number is not None and folder:
                yield number


def _above(path: str) -> Iterator[str]:
    """All directories that a file or directory is in; not the top."""
    while path := path.rpartition("/")[0]:
        yield path
