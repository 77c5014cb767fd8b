"""What looks dead, and what never does: whatever is imported, named, loaded by name, young, or no Python that can be read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repo_slim.advice.globs import glob_of
from repo_slim.advice.words import Names, places_loaded
from repo_slim.rules import Rules
from tests.fixtures.reports import START, advice_of, dead_in
from tests.fixtures.repositories import Repository, Tree, an_empty_repository, at_nobodys_home, executable

__all__ = ["an_empty_repository", "at_nobodys_home"]

PACKAGE: dict[str, bytes] = {
    "agent/__init__.py": b"",
    "agent/core.py": b"from agent import shared\nfrom .deep import inner\n",
    "agent/shared.py": b"x = 1\n",
    "agent/deep/__init__.py": b"",
    "agent/deep/inner.py": b"y = 1\n",
    "agent/legacy/__init__.py": b"",
    "agent/legacy/loop_one.py": b"import agent.core\nfrom . import zombie\n",
    "agent/legacy/zombie.py": b"z = 1\n",
    "train.py": b"import agent.core\nif __name__ == '__main__':\n    agent.core\n",
}
LEGACY = {"agent/legacy/__init__.py", "agent/legacy/loop_one.py", "agent/legacy/zombie.py"}


def test_modules_that_nothing_leads_to_are_dead_and_say_why(repository: Repository) -> None:
    advice = advice_of(repository, PACKAGE)
    assert dead_in(advice) == LEGACY
    assert advice.unknown == {}
    zombie = next(each for each in advice.dead if each.path.endswith("zombie.py"))
    imported, named, touched = zombie.evidence
    assert imported.startswith("no import, direct or through others, leads to it from 1 script, 1 other text")
    assert "it is imported by agent/legacy/loop_one.py" in imported
    assert named == "the name zombie stands nowhere else"
    assert touched == f"unchanged for 60 months before the tip: since 2017-07-14, {zombie.touch.commit[:10]} by ada@example.org"
    assert (zombie.touch.time, zombie.size, zombie.drop) == (START, 6, "agent/legacy/zombie.py")
    assert zombie.disk > 0


@pytest.mark.parametrize("root", ["", "src/", "services/one/python/"])
def test_packages_are_found_wherever_they_are(repository: Repository, root: str) -> None:
    moved = {path if path == "train.py" else f"{root}{path}": data for path, data in PACKAGE.items()}
    assert dead_in(advice_of(repository, moved)) == {f"{root}{path}" for path in LEGACY}


def test_packages_need_no_init(repository: Repository) -> None:
    spaces = {path: data for path, data in PACKAGE.items() if not path.endswith("__init__.py")}
    assert dead_in(advice_of(repository, spaces)) == {path for path in LEGACY if not path.endswith("__init__.py")}


def test_a_directory_without_init_in_a_package_is_a_package_too(repository: Repository) -> None:
    files = {path: data for path, data in PACKAGE.items() if path != "agent/deep/__init__.py"}
    assert dead_in(advice_of(repository, files)) == LEGACY


USES: Mapping[str, Tree] = {
    "an import of a test": {"tests/test_it.py": b"from agent.legacy import loop_one\n"},
    "an import of a test beside it": {"agent/core_test.py": b"from agent.legacy import loop_one\n"},
    "a notebook": {
        "a.ipynb": json.dumps({"cells": [{"cell_type": "code", "source": ["%time x\n", "import agent.legacy.loop_one"]}]}).encode()
    },
    "a notebook that says it in words": {"a.ipynb": b'{"cells": "broken", "see": "loop_one"'},
    "CI": {".github/workflows/ci.yml": b"run: python -m agent.legacy.loop_one\n"},
    "a Dockerfile": {"docker/Dockerfile.gpu": b"CMD python agent/legacy/loop_one.py\n"},
    "a crontab": {"ops/crontab": b"0 3 * * * cd /code && python -m agent.legacy.loop_one\n"},
    "a console script": {"pyproject.toml": b"[project.scripts]\nrun-it = 'agent.legacy.loop_one:main'\n"},
    "an old console script": {"setup.cfg": b"[options.entry_points]\nconsole_scripts =\n  run = agent.legacy.loop_one:main\n"},
    "a configuration": {"conf/model.yaml": b"_target_: agent.legacy.loop_one.Loop\n"},
    "a shell script": {"go.sh": b"exec python agent/legacy/loop_one.py\n"},
    "a name in live code": {"agent/core.py": b"MODULES = ['loop_one']\nfrom .deep import inner\nfrom agent import shared\n"},
    "an import in a function": {
        "agent/core.py": b"def f():\n    import agent.legacy.loop_one\nfrom . import shared, deep\nimport agent.deep.inner\n"
    },
    "an import for types": {
        "agent/core.py": b"if TYPE_CHECKING:\n    from .legacy.loop_one import X\nfrom . import shared\nimport agent.deep.inner\n"
    },
    "an executable without a suffix": {"bin/go": executable(b"#!/usr/bin/env python3\nfrom agent.legacy import loop_one\n")},
    "Python 2": {"bin/old.py": b"print 'x'\nimport agent.legacy.loop_one\n"},
    "a link": {"now.py": "agent/legacy/loop_one.py"},
    "its own main": {"agent/legacy/__main__.py": b"from . import loop_one\n"},
    "something young": {"agent/fresh.py": b"from agent.legacy import loop_one\n"},
}


@pytest.mark.parametrize("use", USES)
def test_whatever_uses_a_module_keeps_it_and_what_it_imports(repository: Repository, use: str) -> None:
    young = USES[use] if use == "something young" else None
    files = PACKAGE if young else PACKAGE | USES[use]
    assert dead_in(advice_of(repository, files, young)) == set()


def test_what_is_loaded_by_made_up_names_is_unknown(repository: Repository) -> None:
    loader = b"from importlib import import_module\ndef load(name):\n    return import_module(f'agent.legacy.{name}')\n"
    advice = advice_of(
        repository, PACKAGE | {"agent/core.py": loader, "agent/lonely.py": b"", "agent/deep/lost.py": b"", "lib/far.py": b""}
    )
    assert dead_in(advice) == {"agent/deep/inner.py", "agent/deep/lost.py", "lib/far.py"}
    assert advice.unknown["agent/legacy/zombie.py"] == "agent/core.py imports by names that it makes"
    assert advice.unknown["agent/lonely.py"] == "agent/core.py imports by names that it makes"  # it stands beside the loader


BROKEN: Mapping[str, Tree] = {
    "Python 2": {"agent/legacy/odd.py": b"print 'x'\n"},
    "no UTF-8": {"agent/legacy/odd.py": b"x = '\xe9'\n"},
    "no encoding": {"agent/legacy/odd.py": b"# coding: klingon\n"},
    "zero bytes": {"agent/legacy/odd.py": b"x\0y"},
    "too deep": {"agent/legacy/odd.py": b"x = " + b"(" * 9000 + b")" * 9000},
    "half a file": {"agent/legacy/odd.py": b"def f(:\n"},
    "beyond the top": {"agent/legacy/odd.py": b"from .... import x\n"},
    "markers of a conflict": {"agent/legacy/odd.py": b"<<<<<<< HEAD\n"},
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_cannot_be_read_is_unknown_never_dead(repository: Repository, kind: str) -> None:
    advice = advice_of(repository, PACKAGE | BROKEN[kind])
    assert list(advice.unknown) == ["agent/legacy/odd.py"]
    assert dead_in(advice) == LEGACY - {"agent/legacy/__init__.py"}


def test_other_encodings_are_read(repository: Repository) -> None:
    latin = b"# -*- coding: latin-1 -*-\n# caf\xe9\nfrom agent.legacy import loop_one\n"
    advice = advice_of(repository, PACKAGE | {"agent/shared.py": latin, "agent/deep/inner.py": b"\xef\xbb\xbfx = 1\n"})
    assert (dead_in(advice), advice.unknown) == (set(), {})


def test_names_that_python_has_itself(repository: Repository) -> None:
    """A package may be called as one that the reader has loaded, or as one that cannot be loaded from anywhere else."""
    files = {}
    for name in ("json", "logging", "click", "grimp", "sys", "os"):
        files |= {f"{name}/__init__.py": b"raise SystemExit('executed')\n", f"{name}/unused_{name}.py": b"", f"{name}/used.py": b""}
    files["run.py"] = b"".join(f"import {name}.used\n".encode() for name in ("json", "logging", "click", "grimp", "sys", "os"))
    files["run.py"] += b"if __name__ == '__main__': pass\n"
    advice = advice_of(repository, files)
    assert dead_in(advice) == {f"{name}/unused_{name}.py" for name in ("json", "logging", "click", "grimp", "os")}
    assert set(advice.unknown) == {f"sys/{name}.py" for name in ("__init__", "unused_sys", "used")}


def test_nothing_is_executed(repository: Repository, tmp_path: Path) -> None:
    trap = f"open({str(tmp_path / 'executed')!r}, 'w')\n".encode()
    names = ("agent/__init__.py", "agent/a.py", "conftest.py", "sitecustomize.py", "usercustomize.py", "setup.py", "json.py", "ast.py")
    advice_of(repository, dict.fromkeys(names, trap))
    assert not (tmp_path / "executed").exists()


def test_scripts_beside_each_other(repository: Repository) -> None:
    files = {
        "my-tools/go.py": b"import helper\nif __name__ == '__main__': pass\n",
        "my-tools/helper.py": b"",
        "my-tools/lost_helper.py": b"",
        "helper.py": b"",
        "run.sh": b"python my-tools/go.py",
    }
    assert dead_in(advice_of(repository, files)) == {"my-tools/lost_helper.py"}


def test_any_directory_may_be_on_the_path(repository: Repository) -> None:
    """As after `sys.path.append("..")`, in a package or not."""
    files = PACKAGE | {
        "agent/tools/__init__.py": b"",
        "agent/tools/lonely_helper.py": b"",
        "agent/tools/sub/go.py": b"import sys\nsys.path.append('..')\nimport lonely_helper\n",
        "go.sh": b"cd agent/tools/sub; python go.py",
    }
    assert dead_in(advice_of(repository, files)) == LEGACY


def test_a_script_that_nothing_starts_is_told_apart(repository: Repository) -> None:
    advice = advice_of(
        repository, PACKAGE | {"tools/forgotten_job.py": b"from agent.legacy import loop_one\nif __name__ == '__main__': pass\n"}
    )
    assert dead_in(advice) == set()  # perhaps somebody runs it
    assert [each.path for each in advice.scripts if each.path.startswith("tools")] == ["tools/forgotten_job.py"]


RUNS = b"from agent.legacy import loop_one\nimport os\nprint(os.sep)\n"


@pytest.mark.parametrize("path", ["tools/make_data.py", "agent/deep/make_data.py"])
def test_what_runs_from_the_top_to_the_bottom_is_a_script(repository: Repository, path: str) -> None:
    advice = advice_of(repository, PACKAGE | {path: RUNS, "go.sh": b"python train.py"})
    assert (dead_in(advice), [each.path for each in advice.scripts]) == (set(), [path])


def test_a_module_that_does_something_is_a_module(repository: Repository) -> None:
    advice = advice_of(repository, PACKAGE | {"agent/deep/registers.py": b"def f(): pass\nregister(f)\n"})
    assert dead_in(advice) == {*LEGACY, "agent/deep/registers.py"}


def test_what_was_changed_lately_is_in_use(repository: Repository) -> None:
    advice = advice_of(repository, PACKAGE, {"agent/legacy/loop_one.py": b"from . import zombie\nx = 2\n"})
    assert dead_in(advice) == set()


def test_old_content_that_came_back_lately_is_in_use(repository: Repository) -> None:
    from tests.fixtures.reports import commit_at

    zombie = {"agent/legacy/zombie.py": PACKAGE["agent/legacy/zombie.py"]}
    commit_at(repository, 0, PACKAGE)
    commit_at(repository, 1, {"agent/legacy/zombie.py": None})
    advice = advice_of(repository, {"a": b"1"}, zombie)
    assert "agent/legacy/zombie.py" not in dead_in(advice)


def test_two_packages_of_one_name(repository: Repository) -> None:
    files = {}
    for place in ("one", "two"):
        files |= {f"{place}/app/__init__.py": b"", f"{place}/app/main.py": b"import app.used\nif __name__ == '__main__': pass\n"}
        files |= {f"{place}/app/used.py": b"", f"{place}/app/gone_{place}.py": b"", f"{place}/__init__.txt": b""}
    assert dead_in(advice_of(repository, files)) == {"one/app/gone_one.py", "two/app/gone_two.py"}


def test_odd_names_break_nothing(repository: Repository) -> None:
    odd = {
        b"caf\xe9/x.py": b"",
        b"a b/y z.py": b"",
        b"agent/x.y.py": b"",
        b"agent/\xe2\x80\xae.py": b"",
        b"-/-.py": b"",
        "д/ж.py": b"",
        b"a\nb.py": b"",
    }
    advice = advice_of(repository, PACKAGE | odd)
    assert dead_in(advice) >= LEGACY
    assert {each.drop for each in advice.dead if each.path.startswith("caf")} <= {"caf?/x.py"}
    json.dumps([each.path for each in advice.dead]).encode("ascii")


def test_no_python_and_no_commit(repository: Repository, tmp_path: Path) -> None:
    from repo_slim.advice import advise
    from repo_slim.analyse import analyse
    from repo_slim.git import Git

    repository.history({"a.txt": b"x"})
    git = Git(repository.directory)
    assert advise(git, analyse(git)) is None
    empty = Git(Repository.make(tmp_path / "empty").directory)
    assert advise(empty, analyse(git)) is None


NAME = st.text(st.characters(exclude_characters="\0/", exclude_categories=("Cs",)), min_size=1, max_size=8)
SPECIAL = st.text(st.sampled_from("ab*?[]!^\\ -.{}"), min_size=1, max_size=5)


@given(NAME | SPECIAL)
def test_a_glob_matches_its_path(name: str) -> None:
    assert Rules(drop=(glob_of(name),)).said_of(name.encode())[0]
    assert Rules(drop=(glob_of(f"d/{name}"),)).said_of(f"d/{name}".encode())[0]


@given(NAME.filter(str.isprintable) | SPECIAL, SPECIAL)
def test_a_glob_matches_nothing_else(name: str, other: str) -> None:
    for glob, path in (
        (glob_of(name), other),
        (glob_of(name), f"d/{name}"),
        (glob_of(f"d/{name}"), f"d/{other}"),
        (glob_of(f"d/{name}"), name),
    ):
        same = path in (name, f"d/{name}") and path.count("/") == glob.rpartition("/")[0].count("d")
        assert Rules(drop=(glob,)).said_of(path.encode())[0] == same


@given(st.sets(st.from_regex(r"[a-z_]{1,6}", fullmatch=True), min_size=1), st.binary())
def test_words_are_found_as_words(names: set[str], noise: bytes) -> None:
    text = b" ".join(name.encode() for name in sorted(names)) + b"\n" + noise
    assert Names(names).within(text) >= names - {sorted(names)[-1]}
    assert Names({"nowhere_at_all"}).within(noise.replace(b"nowhere_at_all", b"")) == set()


def test_places_that_code_loads_from() -> None:
    assert places_loaded("a", b"import_module('a.b.c')\n") == ()
    assert places_loaded("a", b"import_module(name)\n" + b"x = 1\n" * 10 + b"y = 'models'\n") == (("a", False), ("models", False))
    assert places_loaded("a", b"import_module(name)\n" + b"x = 1\n" * 30 + b"y = 'models'\n") == (("a", False),)
    assert places_loaded("a", b"import_module(f'a.b.{name}')\n") == (("a", False), ("a/b", True))
    assert places_loaded("a", b"for m in pkgutil.walk_packages(__path__): pass\n") == (("a", True),)
    assert places_loaded("", b"for m in pkgutil.walk_packages(): pass\n") == (("", False),)
    assert places_loaded("a", b"from importlib import import_module\n") == ()
