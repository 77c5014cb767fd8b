"""What is reached: from entry points, through imports, through names and through what loads modules by name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from repo_slim.advice.imports import NOTEBOOKS, Imports
from repo_slim.advice.layout import Layout
from repo_slim.advice.tip import Tip, name_of


@dataclass(frozen=True, slots=True)
class Graph:
    """By number in `Tip.python`: which files a file imports, names, or cannot do without. `reads_text`: what texts and notebooks lead to.

    `unknown`: files of which nobody can say whether they are used, and why.
    """

    leads_to: Mapping[int, frozenset[int]]
    imports: Mapping[int, frozenset[int]]
    names: Mapping[int, frozenset[int]]
    reads_text: frozenset[int]
    unknown: Mapping[int, str]

    def reached(self, roots: Iterable[int]) -> set[int]:
        """The roots, what texts name, and all that those lead to."""
        waiting = [*roots, *self.reads_text]
        found = set(waiting)
        while waiting:
            for number in self.leads_to[waiting.pop()]:
                if number not in found:
                    found.add(number)
                    waiting.append(number)
        return found


def graph(tip: Tip, layout: Layout, imports: Imports) -> Graph:
    by_name: defaultdict[str, set[int]] = defaultdict(set)
    for number, file in enumerate(tip.python):
        by_name[name_of(file.path)].add(number)
    leads_to, names = {}, {}
    for number, file in enumerate(tip.python):
        names[number] = _all_of(by_name, file.names | file.imports if number in imports.unread else file.names) - {number}
        leads_to[number] = imports.of.get(number, frozenset()) | names[number] | frozenset(layout.parents(file.path))
    texts = _all_of(by_name, tip.named) | imports.of.get(NOTEBOOKS, frozenset())
    unknown = {**_loaded_by_name(tip), **imports.unread}
    return Graph(leads_to, imports.of, names, texts, unknown)


def _all_of(by_name: Mapping[str, AbstractSet[int]], names: Iterable[str]) -> frozenset[int]:
    return frozenset(number for name in names for number in by_name.get(name, ()))


def _loaded_by_name(tip: Tip) -> dict[int, str]:
    """Files in directories that some Python imports from by names that it makes."""
    inside, below = _directories(tip)
    found = {}
    for loader in tip.python:
        for place, deeply in loader.loads:
            for directory in _meant(place, loader.directory, inside):
                numbers = below[directory] if deeply else inside[directory]
                found.update(dict.fromkeys(numbers, f"{loader.path} imports by names that it makes"))
    return found


def _directories(tip: Tip) -> tuple[dict[str, set[int]], dict[str, set[int]]]:
    """Directory -> files right in it (of a package in it: its `__init__.py`), and all files below it."""
    inside: defaultdict[str, set[int]] = defaultdict(set)
    below: defaultdict[str, set[int]] = defaultdict(set)
    for number, file in enumerate(tip.python):
        inside[file.directory].add(number)
        if file.path.endswith("/__init__.py"):
            inside[file.directory.rpartition("/")[0]].add(number)
        parts = file.path.split("/")
        for depth in range(len(parts)):
            below["/".join(parts[:depth])].add(number)
    return inside, below


def _meant(place: str, own: str, known: Mapping[str, object]) -> list[str]:
    """The directories that a text may mean: the loader's own, one that ends so, or one that ends so but for a last part of a name."""
    if place == own:
        return [own]
    without_last = place.rpartition("/")[0]
    for text in (place, without_last):
        found = [directory for directory in known if text and (directory == text or directory.endswith(f"/{text}"))]
        if found:
            return found
    return []
