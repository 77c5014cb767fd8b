"""Files to the cluster and back, over the connection that is there: tar streams."""

from __future__ import annotations

import io
import shlex
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from builder.errors import LaunchError
from builder.launch.slurm.bastion import Bastion, Said


def fetch(bastion: Bastion, directory: str, names: Sequence[str], into: Path) -> None:
    """Those of the files and directories that are there, by their names below `directory`."""
    quoted = " ".join(shlex.quote(name) for name in names)
    found = f'cd {shlex.quote(directory)} && for name in {quoted}; do [ ! -e "$name" ] || printf \'%s\\0\' "$name"; done'
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile() as packed:
        checked(bastion, bastion.ask(f"{found} | tar -c --null -T - -f -", stdout=packed), directory)
        packed.seek(0)
        with tarfile.open(fileobj=packed) as archive:
            _extract(archive, into)


def _extract(archive: tarfile.TarFile, into: Path) -> None:
    """Nothing that leads out of the directory. Pythons before 3.10.12 and 3.11.4 lack the filter (PEP 706): there links are left out."""
    if hasattr(tarfile, "data_filter"):
        archive.extractall(into, filter="data")
        return
    for member in archive:
        if (member.isfile() or member.isdir()) and ".." not in member.name.split("/"):
            member.name = member.name.lstrip("/")
            archive.extract(member, into)


def packed(files: Mapping[str, Path | bytes]) -> BinaryIO:
    """Files and directories by their names, as a tar. On disk: checkpoints are large."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller's to close
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in files.items():
            if isinstance(content, Path):
                archive.add(content, name or ".", filter=owned_by_nobody)
            else:
                add_bytes(archive, name, content)
    file.flush()
    return file


def add_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(owned_by_nobody(entry), io.BytesIO(content))


def owned_by_nobody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def checked(bastion: Bastion, said: Said, what: str) -> None:
    """Raises LaunchError where what was said of `what` is no success."""
    if said.code != 0:
        raise LaunchError(
            f"{bastion.name}: {what}: {said.error or f'exit code {said.code}'}", "look at [launch.STEP.slurm] root, rights and quota"
        )
