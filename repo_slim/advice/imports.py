"""Who imports whom among the Python files of a tip: grimp's answer, by file."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from repo_slim import process
from repo_slim.advice.layout import Layout
from repo_slim.advice.tip import ENTRIES, Tip

NOTEBOOKS = -1
"""The number that stands for all notebooks."""
_SCAN = Path(__file__).with_name("scan.py")


@dataclass(frozen=True, slots=True)
class Imports:
    """By number in `Tip.python`: what each file imports. `unread`: files whose imports are not known, and why."""

    of: Mapping[int, frozenset[int]]
    unread: Mapping[int, str]


def read_imports(tip: Tip, layout: Layout, scratch: Path) -> Imports:
    """Runs grimp over what `read_tip` wrote, in a process of its own: a file that breaks a parser breaks nothing else."""
    tree, entries = scratch / "tree", scratch / ENTRIES
    layout.complete(tree)
    builds = layout.builds()
    places = [{package: str(tree / place) for package, place in build.items()} for build in builds]
    places[0][ENTRIES] = str(entries)
    job = json.dumps({"tree": str(scratch), "builds": places, "path": _where_grimp_is()}).encode()
    done = process.run([sys.executable, "-I", str(_SCAN)], stdin=job, check=False)
    if done.returncode:
        return Imports({}, dict.fromkeys(range(len(tip.python)), "imports could not be read"))
    answer = json.loads(done.stdout)
    found, seen = _by_file(tip, layout, builds, answer["builds"])
    unread = {number: "no text in the encoding that it says" for number, file in enumerate(tip.python) if not file.decoded}
    unread |= {number: "no import can name it" for number in range(len(tip.python)) if number not in seen and number not in unread}
    unread |= _parsed_badly(tip, scratch, answer["unread"])
    return Imports(found, unread)


def _where_grimp_is() -> str:
    """A Python that is started on its own looks for nothing where `PYTHONPATH` says."""
    spec = find_spec("grimp")
    return str(Path(spec.origin).parents[1]) if spec and spec.origin else ""


def _by_file(
    tip: Tip, layout: Layout, builds: list[dict[str, str]], answers: list[dict[str, list[str]]]
) -> tuple[dict[int, frozenset[int]], set[int]]:
    """Also: which files can be imported at all."""
    found: defaultdict[int, set[int]] = defaultdict(set)
    seen = {number for number, file in enumerate(tip.python) if not layout.is_inside(file.directory)}
    for build, answer in zip(builds, answers, strict=True):
        for module, imported in answer.items():
            importer, folder = _importer(tip, layout, build, module)
            if importer is None:
                continue
            by_itself = module.startswith(f"{ENTRIES}.")
            if not by_itself:
                seen.add(importer)
            for name in imported:
                found[importer] |= _imported(layout, build, name, folder, beside=by_itself)
    return {number: frozenset(imported - {number}) for number, imported in found.items()}, seen


def _importer(tip: Tip, layout: Layout, build: dict[str, str], module: str) -> tuple[int | None, str]:
    """Its number, and the directory it is in."""
    package, _, rest = module.partition(".")
    if package == ENTRIES and rest:
        number = int(rest[1:])
        return (NOTEBOOKS, tip.notebooks[number].rpartition("/")[0]) if rest[0] == "n" else (number, tip.python[number].directory)
    number_ = layout.module(build, module) if package in build else None
    return number_, tip.python[number_].directory if number_ is not None else ""


def _imported(layout: Layout, build: dict[str, str], name: str, folder: str, *, beside: bool) -> frozenset[int]:
    """`beside`: the importer may be a script, for which what stands beside it comes before any package."""
    package = name.partition(".")[0]
    if package not in build:
        return layout.resolve(package, folder)
    number = layout.module(build, name)
    found = frozenset[int]() if number is None else frozenset((number,))
    known = build[package] == f"{folder}/{package}".lstrip("/")  # what stands beside it is what grimp looked into
    return found | layout.beside(package, folder) if beside and not known else found


def _parsed_badly(tip: Tip, scratch: Path, unread: Mapping[str, str]) -> dict[int, str]:
    by_path = {str(scratch / "tree" / file.path): number for number, file in enumerate(tip.python)}
    by_path |= {str(scratch / ENTRIES / f"m{number}.py"): number for number in range(len(tip.python))}
    return {by_path[path]: why for path, why in unread.items() if path in by_path}
