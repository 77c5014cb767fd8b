"""A repository in the shape of a large ML team's: about 100 MB and 4,000 files, sizes log-normal, changes in one place."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("core", "data", "models", "training", "evals", "serving", "tools", "agents", "tokenizers", "losses")
WORDS = tuple(
    f"{a}_{b}"
    for a in ("loss", "batch", "token", "grad", "layer", "cache", "shard", "rank")
    for b in ("size", "rate", "norm", "mask", "id")
)


def generate(directory: Path, files: int = 4000, megabytes: int = 100, commits: int = 120, seed: int = 7) -> Path:
    """Makes it (always the same one for the same numbers) and returns `directory`."""
    source = random.Random(seed)
    paths = list(_paths(source, files))
    sizes = _sizes(source, len(paths), megabytes * 1_000_000)
    directory.mkdir(parents=True)
    _git(directory, "init", "--quiet", "--initial-branch=main")
    stream = b"".join(_history(source, paths, sizes, commits))
    _git(directory, "fast-import", "--quiet", stdin=stream)
    _git(directory, "reset", "--quiet", "--hard", "main")
    return directory


def _paths(source: random.Random, count: int) -> Iterator[str]:
    for index in range(count):
        kind = source.random()
        package = source.choice(PACKAGES)
        if kind < 0.62:
            yield f"src/{package}/{source.choice(WORDS)}/{source.choice(WORDS)}_{index}.py"
        elif kind < 0.82:
            yield f"tests/{package}/{source.choice(WORDS)}/test_{index}.py"
        elif kind < 0.92:
            yield f"configs/{package}/{source.choice(WORDS)}_{index}.yaml"
        elif kind < 0.97:
            yield f"docs/{source.choice(WORDS)}/{index}.md"
        else:
            yield f"assets/{source.choice(WORDS)}/{index}.bin"


def _sizes(source: random.Random, count: int, total: int) -> list[int]:
    raw = [source.lognormvariate(0, 1.9) for _ in range(count)]
    return [max(40, int(size * total / sum(raw))) for size in raw]


def _content(source: random.Random, path: str, size: int) -> bytes:
    if path.endswith(".bin"):
        return source.randbytes(size)
    lines, length = [], 0
    while length < size:
        line = f"{source.choice(WORDS)} = {source.choice(WORDS)}({source.randrange(10**6)}, {source.choice(WORDS)}={source.random():.6f})\n"
        lines.append(line)
        length += len(line)
    return "".join(lines).encode()[:size]


def _history(source: random.Random, paths: list[str], sizes: list[int], commits: int) -> Iterator[bytes]:
    first = {path: _content(source, path, size) for path, size in zip(paths, sizes, strict=True)}
    yield _commit(0, "Import everything", first)
    code = [path for path in paths if path.endswith((".py", ".yaml"))]
    size_of = dict(zip(paths, sizes, strict=True))
    for number in range(1, commits):
        centre = source.choice(code)
        near = [path for path in code if path.rsplit("/", 2)[0] == centre.rsplit("/", 2)[0]]
        changed = {centre, *source.sample(near, min(len(near), source.choice((0, 0, 0, 1, 2, 4))))}
        yield _commit(number, f"Change {centre}", {path: _content(source, path, size_of[path] + number) for path in sorted(changed)})


def _commit(number: int, subject: str, files: dict[str, bytes]) -> bytes:
    head = (
        f"commit refs/heads/main\ncommitter Ann <ann@example.com> {1_700_000_000 + 3600 * number} +0000\ndata {len(subject)}\n{subject}\n"
    )
    changes = [b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(data), data) for path, data in files.items()]
    return head.encode() + b"".join(changes) + b"\n"


def _git(directory: Path, *argv: str, stdin: bytes = b"") -> None:
    subprocess.run(["git", "-C", str(directory), *argv], input=stdin, check=True, capture_output=True)


if __name__ == "__main__":
    generate(Path(sys.argv[1]))
