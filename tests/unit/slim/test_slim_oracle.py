"""Small histories of any shape: every new tree is what the oracle computes from the old one; and whatever is wrong is found."""

from __future__ import annotations

import fnmatch
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repo_slim.analyse import analyse, tips
from repo_slim.archive import Entry, archive
from repo_slim.errors import SourceError, VerifyError
from repo_slim.git import Git
from repo_slim.rewrite import rewrite
from repo_slim.rules import Rules
from repo_slim.selection import select
from repo_slim.stores import Directory
from repo_slim.verify import verify
from tests.fixtures.patience import stride
from tests.fixtures.repositories import CLEAN
from tests.fixtures.slim_history import Change, Writer, git, make, pointer
from tests.fixtures.slimming import Plain

PATHS = (b"a.bin", b"b.txt", b"d/a.bin", b"d/e/c.ckpt", b"d", b"x\xff\xfe", b"d/keep.bin", b"lfs/p.bin")
CONTENTS = (b"small", b"other", b"L" * 600, b"M" * 700, b"N" * 800, pointer(b"one"), pointer(b"two"))
MODES = (b"100644", b"100644", b"100755", b"120000")
changes = st.lists(st.tuples(st.sampled_from(MODES), st.sampled_from(PATHS), st.one_of(st.none(), st.sampled_from(CONTENTS))), max_size=4)
commits = st.lists(st.tuples(changes, st.lists(st.integers(0, 5), max_size=3), st.sampled_from(["main", "side"])), min_size=1, max_size=14)
some_globs = st.lists(st.sampled_from(["*.bin", "/d/**", "d/e/", "x*", "a.bin", "*.ckpt"]), max_size=2, unique=True).map(tuple)
plans = st.builds(
    Rules,
    drop_over=st.one_of(st.none(), st.just(500), st.just(650)),
    drop=some_globs,
    keep=st.one_of(st.just(()), st.just(("keep.bin",)), some_globs),
    drop_from_tips=st.one_of(st.just(()), st.just(()), some_globs),
    protect=st.sampled_from([("refs/heads/*",), ("refs/heads/main",), ()]),
    lfs=st.sampled_from(["keep-pointers", "drop"]),
    replace=st.sampled_from(["delete", "placeholder"]),
)


def build(directory: Path, history: list[tuple[list[Change], list[int], str]]) -> None:
    """Each commit has those before it as parents that its numbers count back to; none: a root."""
    git(directory.parent, "init", "--quiet", "--bare", "--template=", "--initial-branch=main", str(directory))
    writer = Writer(directory)
    made: list[int] = []
    for number, (changed, back, branch) in enumerate(history):
        parents = list(dict.fromkeys(made[-1 - step] for step in back if step < len(made)))
        distinct = list({path: (mode, path, content) for mode, path, content in changed}.values())
        made.append(writer.commit(f"refs/heads/{branch}", b"commit %d\n" % number, distinct, tuple(parents)))
    writer.flush()
    (directory / "marks").unlink()
    if b"refs/heads/main" not in git(directory, "for-each-ref"):
        git(directory, "symbolic-ref", "HEAD", "refs/heads/side")


@dataclass(frozen=True)
class Work:
    mirror: Git
    slim: Git
    commits: dict[str, str]
    entries: tuple[Entry, ...]
    rules: Rules

    def verify(self, **other: Any) -> dict[str, Any]:
        said = {"commits": self.commits, "entries": self.entries, **other}
        return verify(self.mirror, self.slim, said["commits"], self.rules, said["entries"])


def slimmed(mirror: Path, place: Path, rules: Rules) -> Work:
    source = Git(mirror)
    found = analyse(source)
    selection = select(found, rules, tips(source, rules.protects))
    entries = archive(source, selection, found.size, Directory(place / "archive"), place / "spool")
    made = rewrite(source, place / "slim.git", selection, entries, placeholders=rules.replace == "placeholder")
    return Work(source, Git(place / "slim.git"), dict(made.commits), entries, rules)


def hypothesis_settings(examples: int) -> Callable[[Any], Any]:
    health = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=examples, deadline=None, suppress_health_check=health)


def check(history: list[tuple[list[Change], list[int], str]], rules: Rules) -> None:
    with tempfile.TemporaryDirectory() as name:
        build(Path(name) / "mirror.git", history)
        work = slimmed(Path(name) / "mirror.git", Path(name), rules)
        work.verify()
        if rules.replace == "delete" and rules.lfs != "drop":
            check_plainly(work)


def check_plainly(work: Work) -> None:
    """A third opinion, the shortest that can be written."""
    old, new = Plain(work.mirror.directory), Plain(work.slim.directory)
    refs = {name: oid for name, oid in old.refs().items() if any(fnmatch.fnmatchcase(name, each) for each in work.rules.protect)}
    heads = [*refs.values(), git(work.mirror.directory, "rev-parse", "HEAD").decode().strip()]
    held = {oid for tip in heads for path, (_, oid) in old.files(old.tree_of(tip)).items() if not from_tips(work.rules, path)}
    for sha in old.revisions():
        files = old.files(old.tree_of(sha))
        wanted = {
            path: what for path, what in files.items() if not plainly_goes(work.rules, path, len(old.read(what[1])[1]), what[1] in held)
        }
        assert new.files(new.tree_of(work.commits[sha])) == wanted
    old.close()
    new.close()


def plainly_goes(rules: Rules, path: bytes, size: int, held: bool) -> bool:
    if matches(rules.keep, path):
        return False
    return from_tips(rules, path) or (not held and (matches(rules.drop, path) or (rules.drop_over is not None and size > rules.drop_over)))


def from_tips(rules: Rules, path: bytes) -> bool:
    return matches(rules.drop_from_tips, path) and not matches(rules.keep, path)


def matches(globs: tuple[str, ...], path: bytes) -> bool:
    text, name = path.decode("latin-1"), path.rpartition(b"/")[2].decode("latin-1")
    meaning = {"/d/**": text.startswith("d/"), "d/e/": text.startswith("d/e/")}
    return any(meaning.get(glob, fnmatch.fnmatchcase(name, glob)) for glob in globs)


@hypothesis_settings(12)
@given(history=commits, rules=plans)
def test_any_history_and_any_plan(history: list[tuple[list[Change], list[int], str]], rules: Rules) -> None:
    check(history, rules)


@pytest.mark.minutes
@hypothesis_settings(400 // stride(4))
@given(history=commits, rules=plans)
def test_hundreds_of_histories_and_plans(history: list[tuple[list[Change], list[int], str]], rules: Rules) -> None:
    check(history, rules)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    """Some hundred commits with all that `slim_history` has."""
    place = tmp_path_factory.mktemp("verify")
    make(place / "mirror.git", 320)
    return slimmed(place / "mirror.git", place, Rules(drop_over=4000))


@pytest.fixture
def refs(work: Work) -> Iterator[Mapping[str, str]]:
    """The new repository's; whatever a test does to them is undone."""
    before = work.slim.refs()
    yield before
    now = work.slim.refs()
    work.slim.set_refs(before, gone=[name for name in now if name not in before])
    work.slim.set_head("refs/heads/main")


def test_nothing_is_wrong_at_first(work: Work) -> None:
    assert work.verify()["changed"] > 100


def recommit(work: Work, name: str, old: bytes, new: bytes) -> str:
    """The same commit with other bytes."""
    raw = work.slim.run("cat-file", "commit", name)
    assert old in raw
    return work.slim.text("hash-object", "-t", "commit", "-w", "--stdin", stdin=raw.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"The end", b"The  end", "the message differs"),
        (b"author Ada", b"author Eve", "people or dates differ"),
        (b"committer Bob", b"committer Eve", "people or dates differ"),
        (b" +0", b" -0", "people or dates differ"),
        (b"parent ", b"parent 1111111111111111111111111111111111111111\nparent ", "parents, people"),
    ],
)
def test_a_commit_that_differs_is_found(work: Work, refs: Mapping[str, str], old: bytes, new: bytes, said: str) -> None:
    tip = refs["refs/heads/main"]
    if b"1111" in new:
        new = new.replace(b"1" * 40, work.commits[work.mirror.text("rev-list", "--max-count=1", "--skip=9", "main")].encode())
    changed = recommit(work, tip, old, new)
    work.slim.set_refs({"refs/heads/main": changed, "refs/heads/same-as-main": changed})
    was = work.mirror.refs()["refs/heads/main"]
    with pytest.raises(VerifyError, match=said):
        work.verify(commits={**work.commits, was: changed})


def test_a_tree_that_differs_is_found(work: Work, refs: Mapping[str, str]) -> None:
    tip = refs["refs/heads/main"]
    tree, other = (work.slim.text("rev-parse", f"{tip}{end}^{{tree}}") for end in ("", "~3"))
    changed = recommit(work, tip, tree.encode(), other.encode())
    work.slim.set_refs({"refs/heads/main": changed, "refs/heads/same-as-main": changed})
    with pytest.raises(VerifyError, match="the tree is"):
        work.verify(commits={**work.commits, work.mirror.refs()["refs/heads/main"]: changed})


def test_a_hole_in_the_map_is_found(work: Work) -> None:
    lost = work.mirror.refs()["refs/heads/main"]
    with pytest.raises(VerifyError, match=f"commit {lost} is not in the map"):
        work.verify(commits={old: new for old, new in work.commits.items() if old != lost})


def test_a_lost_ref_is_found(work: Work, refs: Mapping[str, str]) -> None:
    work.slim.set_refs({}, gone=["refs/heads/same-as-main"])
    with pytest.raises(VerifyError, match="refs/heads/same-as-main is lost"):
        work.verify()


def test_a_new_ref_is_found(work: Work, refs: Mapping[str, str]) -> None:
    work.slim.set_refs({"refs/heads/surprise": refs["refs/heads/main"]})
    with pytest.raises(VerifyError, match="refs/heads/surprise is new"):
        work.verify()


@pytest.mark.parametrize("name", ["refs/heads/same-as-main", "refs/tags/v1", "refs/tags/v1-again", "refs/tags/trees", "refs/tags/light"])
def test_a_ref_that_leads_elsewhere_is_found(work: Work, refs: Mapping[str, str], name: str) -> None:
    work.slim.set_refs({name: refs["refs/heads/other-root"]})
    with pytest.raises(VerifyError, match=f"{name} is {refs['refs/heads/other-root']}"):
        work.verify()


def test_another_head_is_found(work: Work, refs: Mapping[str, str]) -> None:
    work.slim.set_head("refs/heads/other-root")
    with pytest.raises(VerifyError, match="HEAD is refs/heads/other-root"):
        work.verify()


def test_notes_that_stay_on_old_names_are_found(work: Work, refs: Mapping[str, str]) -> None:
    """As git-filter-repo leaves them."""
    old = work.mirror.refs()["refs/notes/commits"]
    git(work.slim.directory, "fetch", "--quiet", str(work.mirror.directory), f"+{old}:refs/notes/commits")
    notes = {sha: sha for sha in work.mirror.text("rev-list", old).split()}
    with pytest.raises(VerifyError, match="refs/notes/commits: the notes that commit"):
        work.verify(commits={**work.commits, **notes})


def test_a_blob_that_the_archive_lacks_is_found(work: Work) -> None:
    lost = work.entries[0]
    with pytest.raises(VerifyError, match=f"blob {lost.blob} is lost"):
        work.verify(entries=work.entries[1:])


def test_a_blob_that_is_still_there_is_found(work: Work) -> None:
    kept = work.mirror.text("rev-parse", "main:kept.bin")
    with pytest.raises(VerifyError, match=f"blob {kept} should be gone"):
        work.verify(entries=(*work.entries, Entry("blob", kept, "0" * 64, 1, gone=True)))


def naive(tmp_path: Path) -> tuple[Path, dict[str, str], list[str]]:
    """Small, big, small again, and what `git filter-repo --strip-blobs-bigger-than` makes of it: the new repository, its map."""
    git(tmp_path, "init", "--quiet", "--bare", "--template=", "--initial-branch=main", "mirror.git")
    writer = Writer(tmp_path / "mirror.git")
    tip: tuple[int, ...] = ()
    for number, content in enumerate((b"first", b"L" * 3000, b"third")):
        tip = (writer.commit("refs/heads/main", b"%d\n" % number, [(b"100644", b"f", content), (b"100644", b"g", b"%d" % number)], tip),)
    writer.flush()
    git(tmp_path, "clone", "--quiet", "--bare", "--no-local", "mirror.git", "naive.git")
    argv = [sys.executable, "-m", "git_filter_repo", "--force", "--quiet", "--strip-blobs-bigger-than", "1000"]
    subprocess.run(argv, cwd=tmp_path / "naive.git", check=True, capture_output=True, env={**os.environ, **CLEAN})
    lines = (tmp_path / "naive.git/filter-repo/commit-map").read_text().splitlines()[1:]
    return tmp_path / "naive.git", dict(line.split() for line in lines), writer.names  # type: ignore[misc]


def test_what_naive_stripping_does_to_history_is_found(tmp_path: Path) -> None:
    """Where the big version was, an earlier small one lives on: a tree that nobody ever committed."""
    repository, commits, names = naive(tmp_path)
    assert git(repository, "show", f"{commits[names[1]]}:f") == b"first"
    mirror = Git(tmp_path / "mirror.git")
    blob = mirror.text("rev-parse", f"{names[1]}:f")
    with pytest.raises(VerifyError, match=f"commit {names[1]}: the tree is"):
        verify(mirror, Git(repository), commits, Rules(drop_over=1000), [Entry("blob", blob, "0" * 64, 3000, gone=True)])


def test_two_commits_that_become_one_and_have_notes_are_refused(tmp_path: Path) -> None:
    """They differ only in what goes, so that both get the same name, and one note would hide the other."""
    git(tmp_path, "init", "--quiet", "--bare", "--template=", "--initial-branch=main", "mirror.git")
    directory = tmp_path / "mirror.git"
    names = []
    for content in (b"L" * 3000, b"M" * 3000):
        writer = Writer(directory)
        mark = writer.commit(f"refs/heads/{len(names)}", b"the same\n", [(b"100644", b"f", content), (b"100644", b"g", b"g")], ())
        writer.flush()
        names.append(writer.name(mark))
        (directory / "marks").unlink()
        git(directory, "notes", "add", "-m", f"note {len(names)}", names[-1])
    with pytest.raises(SourceError, match="become one"):
        slimmed(directory, tmp_path, Rules(drop_over=1000, protect=()))
