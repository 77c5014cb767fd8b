"""What travels between a step and its gang, through the data root, below `jobs/<name>/`. What is large is named by its content.

job.json        what every rank is to do, and what it reads
outputs.json    what rank 0 left, also when it failed
failed.json     the rank that failed first, and how: written once
done/<rank>     of each rank that ended well
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from builder.data.checkpoints import blob_key, freeze, materialise, put_blob
from builder.data.interface import Objects
from builder.errors import DataError
from builder.launch.interface import Job

Stored = Mapping[str, Mapping[str, str]]
"""By path below the job's base: `{"checkpoint": digest}` of a directory, `{"blob": sha256}` of a file."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A job as it is sent: paths as strings, absolute ones as the step has them. `files` are there when a rank begins; `carried` is what
    builder/launch/slurm/aboard.py takes.
    """

    name: str
    argv: tuple[str, ...]
    workdir: str
    base: str
    nodes: int
    pythonpath: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    files: Stored = field(default_factory=dict)
    carried: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gang:
    """The place of one attempt in the data root."""

    objects: Objects
    name: str

    def send(self, job: Job, nodes: int) -> None:
        paths = [path for path in (*job.inputs, *job.outputs) if path.exists()]
        sent = Sent(
            job.name,
            job.argv,
            str(job.workdir),
            str(job.base),
            nodes,
            job.pythonpath,
            job.env,
            job.variables,
            job.hidden,
            tuple(str(path.relative_to(job.base)) for path in job.outputs),
            store(self.objects, job.base, paths),
            _carried(job),
        )
        self._write("job.json", asdict(sent))

    def received(self) -> Sent:
        import msgspec

        data = self.objects.get(self._key("job.json"))
        if data is None:
            raise DataError(f"{self.objects.url(self._key('job.json'))} is not there", "who started this pod?")
        return msgspec.json.decode(data, type=Sent)

    def leave(self, base: Path, paths: Iterable[Path]) -> None:
        """What rank 0 has to show."""
        self._write("outputs.json", store(self.objects, base, [path for path in paths if path.exists()]))

    def collect(self, base: Path) -> None:
        """Brings what rank 0 left to this machine."""
        data = self.objects.get(self._key("outputs.json"))
        if data is not None:
            bring(self.objects, json.loads(data), base)

    def fail(self, rank: int, code: int, end: str = "") -> None:
        """The first one counts: the others may have failed because of it."""
        document = {"rank": rank, "code": code, "end": end}
        self.objects.put(self._key("failed.json"), json.dumps(document).encode(), new=True)

    def failure(self) -> Mapping[str, Any] | None:
        data = self.objects.get(self._key("failed.json"))
        return json.loads(data) if data is not None else None

    def finish(self, rank: int) -> None:
        self.objects.put(self._key(f"done/{rank}"), b"")

    def finished(self) -> int:
        """How many ranks have ended well."""
        return sum(1 for _ in self.objects.list(self._key("done/")))

    def forget(self) -> None:
        """So that the attempt may begin anew: nothing of it goes on."""
        self.objects.delete([found.key for found in self.objects.list(self._key(""))])

    def _write(self, name: str, document: object) -> None:
        self.objects.put(self._key(name), json.dumps(document).encode())

    def _key(self, name: str) -> str:
        return f"jobs/{self.name}/{name}"


def _carried(job: Job) -> dict[str, Any]:
    """With names below the job's base; nothing where nothing is carried."""
    if job.carried is None:
        return {}
    carried, base = job.carried, job.base
    told: dict[str, Any] = {"root": carried.root, "endpoint": carried.endpoint, "pattern": carried.pattern}
    told["brings"] = {str(path.relative_to(base)): digest for path, digest in carried.brings.items()}
    if carried.takes:
        told |= {"takes": str(carried.takes.relative_to(base)), "receipt": str(carried.receipt.relative_to(base))}
    return told


def store(objects: Objects, base: Path, paths: Iterable[Path]) -> dict[str, dict[str, str]]:
    """Directories as checkpoints, files as blobs; an empty directory is not worth a word."""
    found: dict[str, dict[str, str]] = {}
    for path in paths:
        name = str(path.relative_to(base))
        if path.is_dir():
            if any(path.iterdir()):
                found[name] = {"checkpoint": freeze(objects, path).digest}
        else:
            found[name] = {"blob": put_blob(objects, path.read_bytes())}  # a configuration, metrics
    return found


def bring(objects: Objects, stored: Stored, base: Path) -> None:
    """Writes them below `base`. Raises IntegrityError on what is not what it was."""
    for name, what in stored.items():
        target = base / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if "checkpoint" in what:
            shutil.rmtree(target, ignore_errors=True)  # of the try before this one
            materialise(objects, what["checkpoint"], target)
        elif not objects.fetch_file(blob_key(what["blob"]), target, what["blob"]):
            raise DataError(f"{name}: there is no {objects.url(blob_key(what['blob']))}", "somebody deleted it")
