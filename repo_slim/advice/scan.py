"""Runs by itself (`python -I scan.py`): reads with grimp which module imports which.

On stdin: JSON `{"tree": DIR, "builds": [{PACKAGE: DIR, ...}, ...], "path": where grimp is}`. On stdout: JSON `{"builds": [{MODULE:
[MODULE, ...], ...}, ...], "unread": {FILE: WHY}}`. Nothing of the tree is executed: grimp parses. What it cannot parse is taken out of the
tree and named.
"""

from __future__ import annotations

import ast
import json
import logging
import sys
import tokenize
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path

_TRIES = 200
_NO_PYTHON = "line {} is no Python that can be parsed"


class _Finder:
    """Says where a package is, and how to load it: not at all. So nothing of the tree is executed, whatever it is called."""

    def __init__(self, packages: Mapping[str, str]) -> None:
        self._packages = packages

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG002
        if name not in self._packages:
            return None
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [self._packages[name]]
        return spec


def main() -> None:
    logging.disable()
    warnings.simplefilter("ignore")
    job = json.load(sys.stdin)
    sys.path.append(job["path"])
    unread: dict[str, str] = {}
    builds = [_imports(Path(job["tree"]), packages, unread) for packages in job["builds"]]
    json.dump({"builds": builds, "unread": unread}, sys.stdout)


def _imports(tree: Path, packages: Mapping[str, str], unread: dict[str, str]) -> dict[str, list[str]]:
    """Module -> what it imports, in one line or another; empty where nothing can be read."""
    found: dict[str, list[str]] | None = None
    for attempt in range(_TRIES if packages else 0):
        found = _tried(tree, packages, unread, all_at_once=attempt == 0)
        if found is not None:
            break
    return found or {}


def _tried(tree: Path, packages: Mapping[str, str], unread: dict[str, str], *, all_at_once: bool) -> dict[str, list[str]] | None:
    """None: something has been taken out of the tree, and it is worth another try."""
    import grimp

    try:
        with _found(packages):
            graph = grimp.build_graph(*packages, include_external_packages=True, cache_dir=None)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - a panic of grimp's is no Exception
        return None if _taken_out(tree, packages, error, unread, all_at_once=all_at_once) else {}
    return {module: sorted(graph.find_modules_directly_imported_by(module)) for module in graph.modules}


@contextmanager
def _found(packages: Mapping[str, str]) -> Iterator[None]:
    """While it lasts Python finds these packages, and none of its own of the same names."""
    finder = _Finder(packages)
    ours = {name: sys.modules.pop(name) for name in packages if name in sys.modules}
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        sys.modules.update(ours)


def _taken_out(tree: Path, packages: Mapping[str, str], error: BaseException, unread: dict[str, str], *, all_at_once: bool) -> bool:
    """Takes out the file that the error is about or, all at once, what Python itself cannot parse. False: there was none."""
    before = len(unread)
    name = getattr(error, "filename", None)
    if isinstance(name, str) and Path(name).is_relative_to(tree):
        _take_out(Path(name), _NO_PYTHON.format(getattr(error, "lineno", "?")), unread)
    if all_at_once:
        for place in packages.values():
            for path in sorted(Path(place).rglob("*.py")):
                _check(path, len(path.relative_to(place).parts), unread)
    return len(unread) > before


def _check(path: Path, depth: int, unread: dict[str, str]) -> None:
    """`depth`: how many directories there are between it and where its package is imported from."""
    try:
        with tokenize.open(path) as file:
            found = ast.walk(ast.parse(file.read()))
        if any(isinstance(node, ast.ImportFrom) and node.level > depth for node in found):
            _take_out(path, "it imports from beyond the top", unread)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        _take_out(path, _NO_PYTHON.format(getattr(error, "lineno", None) or "?"), unread)


def _take_out(path: Path, why: str, unread: dict[str, str]) -> None:
    path.unlink(missing_ok=True)
    unread[str(path)] = why


if __name__ == "__main__":
    main()
