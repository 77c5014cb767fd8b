"""Which files share a layer: every file once, never more layers than there is room for, and little changes when little changes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.image.shards import COMPACT, FULL, LARGE, Budget, Shard, split_tree
from builder.model.tree import EXECUTABLE, FILE, SYMLINK, Entry

parts = st.sampled_from([b"a", b"b", b"c", b"ab", b"a.b", b"a-b", b"a0", b"\xff", b"n\n", b"src", b"data"])
paths = st.lists(parts, min_size=1, max_size=5).map(b"/".join)
budgets = st.builds(Budget, st.integers(1, 34), st.integers(1, 6))


def oid(text: object) -> str:
    return hashlib.sha1(repr(text).encode()).hexdigest()


def entries_of(names: Sequence[bytes]) -> list[Entry]:
    """A file for each name that no other name has as its directory."""
    directories = {name[:end] for name in names for end in range(len(name)) if name[end : end + 1] == b"/"}
    return [Entry(name, FILE, oid(name)) for name in sorted(set(names) - directories)]


trees = st.lists(paths, max_size=120).map(entries_of)


@st.composite
def plans(draw: st.DrawFn) -> tuple[list[Entry], dict[str, int]]:
    entries = draw(trees)
    large = draw(st.lists(st.sampled_from(entries), max_size=len(entries))) if entries else []
    return entries, {entry.oid: draw(st.integers(LARGE.bit_length(), 40)) for entry in large}


@settings(max_examples=80, deadline=None)
@given(plans(), budgets)
def test_every_file_is_in_exactly_one_shard_and_the_budget_holds(plan: tuple[list[Entry], dict[str, int]], budget: Budget) -> None:
    entries, large = plan
    shards = split_tree(entries, large, budget)
    assert sorted(entry.path for shard in shards for entry in shard.entries) == [entry.path for entry in entries]
    assert sum(shard.entries[0].oid not in large for shard in shards) <= budget.small
    assert sum(shard.entries[0].oid in large for shard in shards) <= budget.large
    for shard in shards:
        assert len({entry.oid in large for entry in shard.entries}) == 1
        assert list(shard.entries) == sorted(shard.entries, key=lambda entry: entry.path)
    assert [shard.entries[0].path for shard in shards] == sorted(shard.entries[0].path for shard in shards)


@settings(max_examples=60, deadline=None)
@given(plans(), budgets)
def test_a_changed_file_changes_one_shard(plan: tuple[list[Entry], dict[str, int]], budget: Budget) -> None:
    """Its content, while it stays as large as it is: where files go depends on paths and size classes alone."""
    entries, large = plan
    if not entries:
        return
    middle = len(entries) // 2
    after = entries[middle]._replace(oid=oid("changed"))
    sizes = large | ({after.oid: large[entries[middle].oid]} if entries[middle].oid in large else {})
    before = [shard.key("/code") for shard in split_tree(entries, large, budget)]
    now = [shard.key("/code") for shard in split_tree([*entries[:middle], after, *entries[middle + 1 :]], sizes, budget)]
    assert len(before) == len(now)
    assert sum(a != b for a, b in zip(before, now, strict=True)) == 1


ONE = Entry(b"src/a.py", FILE, oid("a"))
TWO = Entry(b"src/b.py", FILE, oid("b"))


@pytest.mark.parametrize(
    "other",
    [
        Shard((ONE._replace(path=b"src/A.py"), TWO)),
        Shard((ONE._replace(mode=EXECUTABLE), TWO)),
        Shard((ONE._replace(mode=SYMLINK), TWO)),
        Shard((ONE._replace(oid=oid("c")), TWO)),
        Shard((ONE,)),
        Shard((ONE, TWO, Entry(b"src/c.py", FILE, oid("c")))),
        Shard((ONE._replace(oid=TWO.oid), TWO._replace(oid=ONE.oid))),
    ],
)
def test_the_key_is_of_everything_that_is_in_the_layer(other: Shard) -> None:
    assert Shard((ONE, TWO)).key("/code") == Shard((ONE, TWO)).key("/code") != other.key("/code")


def test_the_key_is_of_the_working_directory_too() -> None:
    assert Shard((ONE,)).key("/code") != Shard((ONE,)).key("/app")


def test_the_home_of_a_blob_does_not_show_in_the_key() -> None:
    assert Shard((ONE,)).key("/code") == Shard((ONE._replace(home=b"src"),)).key("/code")


def test_a_shard_is_called_after_the_directory_that_holds_it() -> None:
    def title(*names: bytes) -> str:
        return Shard(tuple(Entry(name, FILE, oid(name)) for name in names)).title

    assert title(b"src/a.py", b"src/b.py") == "src/ (2 files)"
    assert title(b"src/a/x", b"src/a/y/z") == "src/a/ (2 files)"
    assert title(b"src/a/x", b"src/ab") == "src/ (2 files)"
    assert title(b"a/x", b"ab") == "./ (2 files)"
    assert title(b"a", b"b") == "./ (2 files)"
    assert title(b"src/weights/big.bin") == "src/weights/ (1 file)"
    assert title(b"top") == "./ (1 file)"
    assert title(b"s/\xff/a", b"s/\xff/b") == "s/\ufffd/ (2 files)"


def shape(count: int) -> list[Entry]:
    return entries_of([b"pkg%d/mod%d/f%d.py" % (n % 7, n % 60, n) for n in range(count)])


@pytest.mark.parametrize("budget", [FULL, COMPACT])
def test_a_large_tree_uses_its_budget_and_cuts_it_evenly(budget: Budget) -> None:
    shards = split_tree(shape(4000), {}, budget)
    assert len(shards) == budget.small
    assert max(len(shard.entries) for shard in shards) < 4 * 4000 / budget.small


def test_one_more_file_leaves_nearly_all_shards_as_they_were() -> None:
    before = shape(4000)
    keys = {shard.key("/code") for shard in split_tree(before, {}, FULL)}
    moved = []
    for number in range(12):
        after = sorted(
            [*before, Entry(b"pkg%d/mod%d/new%d.py" % (number % 7, number, number), FILE, oid(number))], key=lambda entry: entry.path
        )
        moved.append(sum(shard.key("/code") not in keys for shard in split_tree(after, {}, FULL)))
    assert sorted(moved)[len(moved) // 2] == 1
    assert max(moved) <= 6


def test_few_files_are_not_cut_up() -> None:
    assert len(split_tree(shape(16), {}, FULL)) == 1


def test_large_files_do_not_share_a_layer_with_small_ones() -> None:
    entries = shape(100)
    shards = split_tree(entries, {entries[3].oid: 30, entries[50].oid: 18}, FULL)
    assert {entries[3].path, entries[50].path} <= {shard.entries[0].path for shard in shards if len(shard.entries) == 1}


def test_no_files_are_no_shards() -> None:
    assert split_tree([], {}, FULL) == ()


def test_a_deep_tree_does_not_exhaust_the_stack() -> None:
    deep = b"/".join([b"d"] * 3000)
    entries = entries_of([deep + b"/%d" % number for number in range(20)])
    assert sum(len(shard.entries) for shard in split_tree(entries, {}, FULL)) == 20


def test_names_whose_hashes_begin_alike_are_still_told_apart() -> None:
    entries = [Entry(b"%05d" % number, FILE, oid(number)) for number in range(3000)]
    shards = split_tree(entries, {}, FULL)
    assert len(shards) == FULL.small
    assert max(len(shard.entries) for shard in shards) < 400
