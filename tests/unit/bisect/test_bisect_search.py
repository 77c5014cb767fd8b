"""The search over histories of any shape: it names the commit to blame, or a set that holds it, and needs few tests."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.bisect.between import graph_between
from builder.bisect.search import Graph, Step, Verdict, contradictions, next_step, steps_left
from builder.errors import UsageError
from builder.source.repository import Git
from tests.fixtures.repositories import Repository

Parents = dict[str, tuple[str, ...]]


@st.composite
def histories(draw: st.DrawFn, most: int = 24) -> Parents:
    """Commits with up to three parents each; the newest one has all others below it. `good` is no key: it is known to be good."""
    count = draw(st.integers(1, most))
    parents: Parents = {}
    heads: set[str] = set()
    for number in range(count):
        older = [f"c{n}" for n in range(number)]
        chosen = draw(st.lists(st.sampled_from(["good", *older]), min_size=1, max_size=3, unique=True))
        if number == count - 1:
            chosen = sorted({*chosen, *heads})
        heads = (heads - set(chosen)) | {f"c{number}"}
        parents[f"c{number}"] = tuple(chosen)
    return dict(reversed(parents.items()))


def line(count: int) -> Parents:
    return {f"c{number}": (f"c{number - 1}" if number else "good",) for number in reversed(range(count))}


def search(graph: Graph, test: Callable[[str], Verdict], width: int = 1) -> tuple[Step, dict[str, Verdict], int]:
    """The last step, all verdicts, and in how many steps."""
    verdicts: dict[str, Verdict] = {}
    steps = 0
    while (step := next_step(graph, verdicts, width)).tests:
        assert len(set(step.tests)) == len(step.tests) <= width
        assert not set(step.tests) & verdicts.keys(), "nothing is tested twice"
        assert set(step.tests) < set(step.suspects)
        assert step.head not in step.tests
        verdicts |= {sha: test(sha) for sha in step.tests}
        steps += 1
    return step, verdicts, steps


@given(histories(), st.data())
@settings(max_examples=150, deadline=None)
def test_the_commit_to_blame_is_found_whatever_the_history_and_whatever_is_skipped(parents: Parents, data: st.DataObject) -> None:
    graph = Graph.of(parents)
    blame = data.draw(st.sampled_from(graph.commits))
    skipped = data.draw(st.sets(st.sampled_from(graph.commits))) - {graph.commits[0]}
    width = data.draw(st.integers(1, 4))
    bad = {sha for sha in graph.commits if blame in graph.members(graph.below[sha])}

    def test(sha: str) -> Verdict:
        return "skip" if sha in skipped else "bad" if sha in bad else "good"

    step, verdicts, _ = search(graph, test, width)
    if graph.commits[0] not in bad:
        return
    assert blame in step.suspects
    assert set(step.suspects) - {step.head} <= skipped, "several are left only where all others were skipped"
    if not skipped:
        assert step.suspects == (blame,)
        assert all(parent not in bad for parent in parents[blame])
    assert contradictions(graph, verdicts) == []


@given(st.integers(1, 200), st.data())
@settings(max_examples=100, deadline=None)
def test_a_line_takes_the_logarithm(count: int, data: st.DataObject) -> None:
    graph, blame = Graph.of(line(count)), data.draw(st.integers(0, count - 1))
    width = data.draw(st.integers(1, 3))
    step, verdicts, steps = search(graph, lambda sha: "bad" if int(sha[1:]) >= blame else "good", width)
    assert step.suspects == (f"c{blame}",)
    assert steps <= steps_left(count, width)
    if width == 1:
        assert len(verdicts) == steps <= math.ceil(math.log2(count))


def test_a_stretch_that_cannot_be_run_is_left_in_few_tests() -> None:
    """Somebody broke the training, and somebody else mended it much later: its commits are not all tried."""
    graph, broken = Graph.of(line(100)), range(40, 60)

    def test(blame: int, sha: str) -> Verdict:
        number = int(sha[1:])
        return "skip" if number in broken else "bad" if number >= blame else "good"

    for blame in (*range(1, 30), *range(70, 100)):
        step, verdicts, _ = search(graph, lambda sha, blame=blame: test(blame, sha))  # type: ignore[misc]
        assert step.suspects == (f"c{blame}",)
        assert len(verdicts) <= 7 + 5, (blame, verdicts)
    for blame in broken:
        step, _, _ = search(graph, lambda sha, blame=blame: test(blame, sha))  # type: ignore[misc]
        assert step.suspects == ("c60", *(f"c{number}" for number in reversed(broken)))


@given(histories(), st.data())
@settings(max_examples=80, deadline=None)
def test_noise_ends_too_and_the_end_fits_what_was_said(parents: Parents, data: st.DataObject) -> None:
    graph = Graph.of(parents)
    said: dict[str, Verdict] = {sha: data.draw(st.sampled_from(["good", "bad", "skip"])) for sha in graph.commits}
    step, verdicts, _ = search(graph, lambda sha: said[sha])
    assert step.head == graph.commits[0] or verdicts[step.head] == "bad"
    assert all(verdicts[sha] == "skip" for sha in step.suspects if sha != step.head)
    known = next_step(graph, said)
    assert known.tests == (), "where all is known already nothing is tested"
    for old, new in contradictions(graph, verdicts):
        assert (verdicts[old], verdicts[new]) == ("bad", "good")
        assert old in graph.members(graph.below[new])


def test_what_is_known_from_elsewhere_counts_before_anything_is_tested() -> None:
    graph = Graph.of(line(64))
    assert next_step(graph, {"c9": "good", "c12": "bad", "c50": "bad"}).suspects == ("c12", "c11", "c10")
    assert next_step(graph, {"c10": "bad", "c20": "good"}).head in ("c10", "c63"), "contradictions are no reason to stop"
    assert contradictions(graph, {"c10": "bad", "c20": "good"}) == [("c10", "c20")]
    assert next_step(graph, {}, 3).tests == ("c15", "c31", "c47")


@given(histories(16))
@settings(max_examples=12, deadline=None)
def test_git_would_test_no_better_commit(tmp_path_factory: pytest.TempPathFactory, parents: Parents) -> None:
    repository = tmp_path_factory.mktemp("history")
    names = commit_all(Repository.make(repository), parents)
    with Git.open(repository) as git:
        graph = graph_between(git, git.commit(names["good"]), git.commit(names[next(iter(parents))]))
        assert {sha: set(graph.members(bits)) for sha, bits in graph.below.items()} == ancestors(parents, names)
        chosen = next_step(graph, {}).tests
        listed = git.run("rev-list", "--bisect-all", graph.commits[0], f"^{names['good']}").text.splitlines()
    distances = {words[0]: int(words[-1].strip("()").removeprefix("dist=")) for words in map(str.split, listed)}
    if chosen:
        assert distances[chosen[0]] == max(distances.values())


def commit_all(repository: Repository, parents: Parents) -> Mapping[str, str]:
    """Makes empty commits with these parents; their names by ours."""
    tree = repository.text("mktree")
    names = {"good": repository.text("commit-tree", "-m", "good", tree)}
    for ours, theirs in reversed(parents.items()):
        words = [word for parent in theirs for word in ("-p", names[parent])]
        names[ours] = repository.text("commit-tree", "-m", ours, *words, tree)
    return names


def ancestors(parents: Parents, names: Mapping[str, str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {"good": set()}
    for ours, theirs in reversed(parents.items()):
        found[ours] = {names[ours]}.union(*(found[parent] for parent in theirs))
    del found["good"]
    return {names[ours]: below for ours, below in found.items()}


@pytest.fixture
def merged(tmp_path: Path) -> tuple[Repository, dict[str, str]]:
    """good - main1 - merge - main2; the merge brings side1 and side2, which part from the commit before `good`."""
    repository = Repository.make(tmp_path / "merged")
    tree = repository.text("mktree")

    def commit(name: str, *parents: str) -> str:
        return repository.text("commit-tree", "-m", name, *(word for parent in parents for word in ("-p", parent)), tree)

    root = commit("root")
    good = commit("good", root)
    main1, side1 = commit("main1", good), commit("side1", root)
    side2 = commit("side2", side1)
    merge = commit("merge", main1, side2)
    names = {"root": root, "good": good, "main1": main1, "side1": side1, "side2": side2, "merge": merge, "main2": commit("main2", merge)}
    return repository, names


def test_a_merge_may_stand_for_what_it_brought(merged: tuple[Repository, dict[str, str]]) -> None:
    repository, names = merged
    with Git.open(repository.directory) as git:
        good, bad = git.commit(names["good"]), git.commit(names["main2"])
        whole, first = graph_between(git, good, bad), graph_between(git, good, bad, first_parent=True)
    assert set(whole.commits) == {names[name] for name in ("main2", "merge", "main1", "side2", "side1")}
    assert first.commits == (names["main2"], names["merge"], names["main1"])
    assert set(first.members(first.below[names["merge"]])) == {names["merge"], names["main1"]}


def test_ends_that_cannot_be(merged: tuple[Repository, dict[str, str]]) -> None:
    repository, names = merged
    with Git.open(repository.directory) as git:
        commit = {name: git.commit(sha) for name, sha in names.items()}
        with pytest.raises(UsageError, match="the same commit"):
            graph_between(git, commit["good"], commit["good"])
        with pytest.raises(UsageError, match="comes after the bad one") as turned:
            graph_between(git, commit["main2"], commit["good"])
        assert "swap them" in turned.value.hint
        with pytest.raises(UsageError, match="is no ancestor of the bad one") as apart:
            graph_between(git, commit["side1"], commit["main1"])
        assert f"--good {names['root'][:12]}" in apart.value.hint
