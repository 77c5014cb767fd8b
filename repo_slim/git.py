"""A repository, through git's plumbing. Object names are text of 40 hex digits, ref names text, paths bytes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from repo_slim import process
from repo_slim.errors import ProcessError, SourceError

NOTHING = "0" * 40


@dataclass(frozen=True, slots=True)
class Git:
    """A bare repository's directory, or one with a working tree."""

    directory: Path

    def run(self, *words: str, stdin: bytes = b"", **environment: str) -> bytes:
        """What git wrote. Raises ProcessError."""
        return process.run(["git", "-C", str(self.directory), *words], env=environment, stdin=stdin).stdout

    def text(self, *words: str, stdin: bytes = b"", **environment: str) -> str:
        return os.fsdecode(self.run(*words, stdin=stdin, **environment)).strip()

    def ask(self, *words: str) -> str:
        """The same, and empty where git says no."""
        return os.fsdecode(process.run(["git", "-C", str(self.directory), *words], check=False).stdout).strip()

    def refs(self) -> dict[str, str]:
        """Name -> object, of every ref."""
        lines = os.fsdecode(self.run("for-each-ref", "--format=%(objectname) %(refname)")).split("\n")[:-1]  # names may have U+2028
        return {name: oid for oid, _, name in (line.partition(" ") for line in lines)}

    def peeled(self) -> dict[str, tuple[str, str]]:
        """Ref name -> what it leads to in the end: kind and object."""
        form = "%(refname) %(objecttype) %(objectname) %(*objecttype) %(*objectname)"
        found = {}
        for line in os.fsdecode(self.run("for-each-ref", f"--format={form}")).split("\n")[:-1]:
            name, kind, oid, *inner = line.split(" ")
            inner = [word for word in inner if word]
            found[name] = (inner[0], inner[1]) if inner else (kind, oid)
        return found | self._to_the_end({name: oid for name, (kind, oid) in found.items() if kind == "tag"})

    def _to_the_end(self, tags: dict[str, str]) -> dict[str, tuple[str, str]]:
        """Old gits peel one level of a tag of a tag."""
        asked = "".join(f"{oid}^{{}}\n" for oid in tags.values()).encode()
        lines = self.text("cat-file", "--batch-check=%(objecttype) %(objectname)", stdin=asked).splitlines() if tags else []
        return {name: (line.split()[0], line.split()[1]) for name, line in zip(tags, lines, strict=True)}

    def head(self) -> str:
        """`refs/heads/main`, or a commit where HEAD is detached; empty where it is neither."""
        return self.ask("symbolic-ref", "--quiet", "HEAD") or self.ask("rev-parse", "--verify", "--quiet", "HEAD")

    def set_refs(self, refs: dict[str, str], *, gone: Sequence[str] = ()) -> None:
        """All of them, or none."""
        lines = [f"update {name}\0{oid}\0\0" for name, oid in refs.items()] + [f"delete {name}\0\0" for name in gone]
        self.run("update-ref", "--no-deref", "--stdin", "-z", stdin=os.fsencode("".join(lines)))

    def set_head(self, head: str) -> None:
        if head.startswith("refs/"):
            self.run("symbolic-ref", "HEAD", head)
        elif head:
            self.run("update-ref", "--no-deref", "HEAD", head)

    @contextmanager
    def piped(self, *words: str, stdin: IO[bytes] | int = subprocess.DEVNULL) -> Iterator[IO[bytes]]:
        """What git writes, while it writes. Raises ProcessError at the end when it ended badly."""
        argv = ["git", "-C", str(self.directory), *words]
        with process.start(argv, stdin=stdin if isinstance(stdin, int) else stdin.fileno(), stderr=subprocess.PIPE) as child:
            assert child.stdout and child.stderr
            try:
                yield child.stdout
            except BaseException:
                child.kill()
                raise
            said = child.stderr.read()
        if child.returncode:
            raise ProcessError(tuple(argv), child.returncode, said.decode("utf-8", "replace"))


class Objects:
    """Reads objects one after the other, through one `git cat-file --batch`."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self._child = process.start(["git", "-C", str(git.directory), "cat-file", "--batch"])
        assert self._child.stdin and self._child.stdout
        self._in, self._out = self._child.stdin, self._child.stdout

    def __enter__(self) -> Objects:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()
        self._child.wait()
        self._in.close()
        self._out.close()

    def read(self, oid: str) -> tuple[str, bytes]:
        """Kind and content. Raises SourceError when it is not there, or cannot be read."""
        kind, size = self.begin(oid)
        data = self._out.read(size + 1)
        if len(data) != size + 1:
            raise SourceError(f"{oid} in {self._git.directory} cannot be read to its end", "`git fsck --full` there says what is broken")
        return kind, data[:-1]

    def begin(self, oid: str) -> tuple[str, int]:
        """Kind and size; `rest` must be read to the end before the next one."""
        self._in.write(oid.encode() + b"\n")
        self._in.flush()
        words = self._out.readline().split()
        if len(words) != 3:
            raise SourceError(f"{oid} is missing from {self._git.directory}", "`git fsck --full` there says what is broken")
        return words[1].decode(), int(words[2])

    def rest(self, oid: str, size: int, chunk: int = 1 << 20) -> Iterator[bytes]:
        """The content of what `begin` began."""
        left = size
        while left:
            data = self._out.read(min(chunk, left))
            if not data:
                raise SourceError(
                    f"{oid} in {self._git.directory} cannot be read to its end", "`git fsck --full` there says what is broken"
                )
            left -= len(data)
            yield data
        self._out.read(1)
