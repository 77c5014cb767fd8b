"""The commit that a search ended with, beside the good one that it is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from builder.bisect.between import graph_between
from builder.bisect.blame import File, blame_of
from builder.bisect.hunt import Found, Task, survey
from builder.bisect.metric import Metric
from builder.source.repository import Git
from tests.fixtures.bisecting import Pretended
from tests.fixtures.repositories import Repository

METRIC = Metric.parse("click<0.8")


def found_with(task: Task, scores: Mapping[str, float | None]) -> Found:
    """After one run of each of these; None: it failed."""
    bench = Pretended(lambda sha, number: None)
    for sha, score in scores.items():
        if score is None:
            bench.failed[sha] = {"run": "it fell over"}
        else:
            bench.values[sha] = {"run": score}
    return survey(task, bench)


def test_its_parent_and_what_it_changed(tmp_path: Path) -> None:
    repository = Repository.make(tmp_path / "r")
    changes = [{"a": b"1\n2\n", "b": b"\0"}, {"c": b""}, {"a": b"1\n3\n", "b": b"\0\1", b"d\n\xc3\xa9": b"new\n"}, {"c": b"x"}]
    root, good, blame, bad = repository.history(*changes, author="B\x1b[31mo <bo@example.org>")
    repository.git("config", "diff.noprefix", "true")
    repository.git("config", "color.ui", "always")
    repository.git("config", "diff.external", "/bin/false")
    with Git.open(repository.directory) as git:
        task = Task(graph_between(git, git.commit(root), git.commit(bad)), root, METRIC)
        found = blame_of(git, task, found_with(task, {root: 0.9, good: 0.9, blame: 0.6, bad: 0.6}))
    assert (found.commit.sha, found.before, found.author) == (blame, good, "B\x1b[31mo <bo@example.org>")
    assert found.date.startswith("2023-11-14T22:13:2")
    assert found.files == (File("a", 1, 1), File("b", None, None), File('"d\\n\u00e9"', 1, 0))
    assert "-2" in found.diff
    assert "+3" in found.diff


def test_where_its_parents_were_passed_over_the_nearest_good_commit(tmp_path: Path) -> None:
    repository = Repository.make(tmp_path / "r")
    shas = repository.history(*({"a": str(number).encode()} for number in range(7)))
    with Git.open(repository.directory) as git:
        task = Task(graph_between(git, git.commit(shas[0]), git.commit(shas[6])), shas[0], METRIC)
        scores: dict[str, float | None] = {shas[0]: 0.9, shas[1]: 0.9, shas[3]: 0.9, shas[4]: None, shas[5]: 0.6, shas[6]: 0.6}
        found = found_with(task, scores)
        assert found.step.suspects == (shas[5], shas[4])
        assert blame_of(git, task, found).before == shas[3]


def test_of_a_merge_the_parent_that_was_tested(tmp_path: Path) -> None:
    """Both parents are good, and only one of them had to be tested."""
    repository = Repository.make(tmp_path / "r")
    (root,) = repository.history({"a": b"0"})
    tree = repository.text("rev-parse", f"{root}^{{tree}}")
    side = repository.text("commit-tree", "-m", "side", "-p", root, tree)
    longer = repository.text("commit-tree", "-m", "longer", "-p", side, tree)
    merge = repository.text("commit-tree", "-m", "merge", "-p", side, "-p", longer, tree)
    with Git.open(repository.directory) as git:
        task = Task(graph_between(git, git.commit(root), git.commit(merge)), root, METRIC)
        found = found_with(task, {root: 0.9, longer: 0.9, merge: 0.6})
        assert (found.step.suspects, blame_of(git, task, found).before) == ((merge,), longer)
