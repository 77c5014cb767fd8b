"""Random local work on a hard history, moved, and compared commit by commit with what plain dictionaries of files say.

The oracle knows nothing of the library: what was taken out of a commit of before is what it has and its new one has not; a local commit
has of that what any of its parents has of it.
"""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pytest

from repo_slim.move.move_clone import Asked, move
from repo_slim.slim import Asked as Slimming
from repo_slim.slim import run
from tests.fixtures.repositories import Repository, at_nobodys_home  # noqa: F401
from tests.fixtures.slim_history import BIG, make

File = tuple[str, str]
Files = dict[str, File]


@pytest.fixture(name="world", scope="module")
def a_slimmed_history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    made = make(root / "before.git", 200, seed=7)
    asked = Slimming(str(made.directory), root / "work", str(root / "archive"), rules={"drop_over": BIG})
    Repository.make(root / "after.git", "--bare")
    run(dataclasses.replace(asked, approve=run(asked)["approve"], publish_to=str(root / "after.git")))
    return root


@dataclass
class Work:
    """A clone with local branches, made from a seed."""

    clone: Repository
    map: dict[str, str]
    random: random.Random
    tips: dict[str, str] = field(default_factory=dict)
    parents: dict[str, list[str]] = field(default_factory=dict)
    _files: dict[str, Files] = field(default_factory=dict)

    @cached_property
    def old(self) -> list[str]:
        return sorted(commit for commit in self.clone.text("rev-list", "--branches", "--remotes").split() if commit in self.map)

    def files(self, commit: str) -> Files:
        if commit not in self._files:
            lines = self.clone.git("ls-tree", "-r", "-z", commit).decode("utf-8", "surrogateescape").split("\0")[:-1]
            split = [line.partition("\t") for line in lines]
            self._files[commit] = {path: (what.split()[0], what.split()[2]) for what, _, path in split}
        return self._files[commit]

    def commit(self, branch: str, parents: list[str]) -> None:
        """Some of each parent's files, and changes of one's own."""
        files = dict(self.files(parents[0]))
        for other in parents[1:]:
            theirs = self.files(other)
            for path in self.random.sample(sorted({*files, *theirs}), k=min(25, len(theirs))):
                files.pop(path, None)
                if path in theirs and not any(each.startswith(f"{path}/") or path.startswith(f"{each}/") for each in files):
                    files[path] = theirs[path]
        for _ in range(self.random.randrange(4)):
            self._change(files)
        tree = self._tree(files)
        words = [word for parent in parents for word in ("-p", parent)]
        name = self.clone.text("commit-tree", tree, *words, "-m", f"Work {len(self.parents)} on {branch}")
        self.parents[name], self.tips[branch] = parents, name

    def _change(self, files: Files) -> None:
        path = self.random.choice(sorted(files))
        what = self.random.randrange(10)
        if what < 2:
            del files[path]
        elif what < 3:
            files[f"moved/{self.random.randrange(10**9)}"] = files.pop(path)
        elif what < 4:
            files[path] = ("100755" if files[path][0] == "100644" else files[path][0], files[path][1])
        else:
            name = path if what < 6 and path.startswith("src/") else f"new/{self.random.randrange(10**9)}.py"
            files[name] = ("100644", self.clone.blob(b"%d\n" % self.random.randrange(10**9)))

    def _tree(self, files: Files) -> str:
        index = {"GIT_INDEX_FILE": str(self.clone.directory / ".git" / "test-index")}
        Path(index["GIT_INDEX_FILE"]).unlink(missing_ok=True)
        lines = "".join(f"{mode} {blob}\t{path}\0" for path, (mode, blob) in files.items())
        self.clone.git("update-index", "-z", "--index-info", stdin=lines.encode("utf-8", "surrogateescape"), **index)
        return self.clone.git("write-tree", **index).decode().strip()

    # the oracle

    def removed(self, commit: str) -> set[tuple[str, File]]:
        """What is not in the new commit, of what is in this one."""
        if commit in self.map:
            now = self.files(self.map[commit])
            return {(path, file) for path, file in self.files(commit).items() if path not in now}
        below = set().union(*map(self.removed, self.parents[commit]))
        blobs = {(path, file[1]) for path, file in below}
        return {(path, file) for path, file in self.files(commit).items() if (path, file[1]) in blobs}

    def clashes(self, commit: str) -> bool:
        """Whether it changes or brings back what was taken out, itself or in a commit below it."""
        if commit in self.map:
            return False
        parents = self.parents[commit]
        first = {path: file[1] for path, file in self.removed(parents[0])}
        gone = {file[1] for parent in parents for _, file in self.removed(parent)} | self.nowhere
        for path, file in self.files(commit).items():
            blobs = {self.files(parent).get(path, ("", ""))[1] for parent in parents}
            if file[1] not in blobs and (path in first or file[1] in gone):
                return True
        return any(map(self.clashes, parents))

    @cached_property
    def nowhere(self) -> set[str]:
        """Blobs of before that no commit of now has."""
        have = [
            {file[1] for commit in commits for file in self.files(commit).values()}
            for commits in (self.old, {self.map[c] for c in self.old})
        ]
        return have[0] - have[1]


def work_in(world: Path, tmp_path: Path, seed: int) -> Work:
    clone = Repository(tmp_path / "clone")
    Repository(world / "before.git").git(
        "clone", "--quiet", "--template=", "--no-checkout", f"file://{world / 'before.git'}", str(clone.directory)
    )
    after = Repository(world / "after.git")
    clone.git("fetch", "--quiet", "--no-write-fetch-head", str(after.directory), "refs/heads/*:refs/looked-at/*")
    lines = after.text("cat-file", "blob", "refs/builder/commit-map:commit-map").splitlines()
    made = Work(clone, dict(line.split() for line in lines), random.Random(seed))
    for number in range(8):
        branch = f"work-{number}"
        parents = [made.random.choice(made.old)]
        for _ in range(made.random.randrange(1, 6)):
            if made.random.random() < 0.3:
                parents += made.random.sample(
                    sorted({*made.random.sample(made.old, 3), *made.tips.values()} - set(parents)), k=made.random.randrange(1, 3)
                )
            made.commit(branch, parents)
            parents = [made.tips[branch]]
        clone.git("update-ref", f"refs/heads/{branch}", made.tips[branch])
    return made


@pytest.mark.parametrize("seed", range(6))
def test_every_commit_is_what_the_oracle_says(world: Path, tmp_path: Path, seed: int) -> None:
    work = work_in(world, tmp_path, seed)
    told = move(Asked(work.clone.directory, str(world / "after.git"), really=True))
    steps = {step["name"].removeprefix("refs/heads/"): step for step in told["branches"]}
    assert {name for name, step in steps.items() if step["why"]} == {name for name, tip in work.tips.items() if work.clashes(tip)}
    seen: dict[str, str] = {}
    for name, tip in work.tips.items():
        if not steps[name]["why"]:
            assert work.clone.text("rev-parse", name) == steps[name]["after"]
            compare(work, tip, steps[name]["after"], seen)
        else:
            assert work.clone.text("rev-parse", name) == tip
    assert seen, "no branch moved: this seed shows nothing"
    assert work.clone.git("fsck", "--full", "--no-dangling") == b""


def compare(work: Work, old: str, new: str, seen: dict[str, str]) -> None:
    if seen.setdefault(old, new) != new or old in work.map:
        assert new == work.map.get(old, seen[old])
        return
    taken = dict(work.removed(old))
    assert work.files(new) == {path: file for path, file in work.files(old).items() if path not in taken}
    heads = [work.clone.git("cat-file", "commit", each).split(b"\n") for each in (old, new)]
    plain = [[line for line in head if not line.startswith((b"tree ", b"parent "))] for head in heads]
    assert plain[0] == plain[1]
    parents = [[line[7:].decode() for line in head if line.startswith(b"parent ")] for head in heads]
    assert parents[0] == work.parents[old]
    assert len(parents[0]) == len(parents[1])
    for before, after in zip(*parents, strict=True):
        compare(work, before, after, seen)
