"""Files to the cluster and back, over the connection that is there: tar streams, written aside and renamed."""

from __future__ import annotations

import io
import os
import shlex
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from builder.errors import LaunchError
from builder.launch.slurm.bastion import Bastion, Said


def ensure(bastion: Bastion, source: Path, target: str) -> bool:
    """The directory `source` as `target` on the cluster, once; False when it was there. Two at once: one of them wins, whole."""
    there = bastion.ask(f"test -d {shlex.quote(target)}")
    if there.code == 0:
        return False
    aside = f"{target}.{os.urandom(6).hex()}"
    unpacked = f"mkdir -p {shlex.quote(aside)} && tar -x -C {shlex.quote(aside)}"
    placed = f"mv -T {shlex.quote(aside)} {shlex.quote(target)} 2>/dev/null || rm -rf {shlex.quote(aside)}"
    with _tar({"": source}) as packed:
        _checked(bastion, bastion.ask(f"{unpacked} && {{ {placed}; }} && test -d {shlex.quote(target)}", packed), target)
    return True


def put(bastion: Bastion, files: Mapping[str, Path | bytes], directory: str) -> None:
    """Files and directories (by their names below `directory`): what is there is written over."""
    with _tar(files) as packed:
        _checked(bastion, bastion.ask(f"mkdir -p {shlex.quote(directory)} && tar -x -C {shlex.quote(directory)}", packed), directory)


def fetch(bastion: Bastion, directory: str, names: Sequence[str], into: Path) -> None:
    """Those of the files and directories that are there, by their names below `directory`."""
    quoted = " ".join(shlex.quote(name) for name in names)
    found = f'cd {shlex.quote(directory)} && for name in {quoted}; do [ ! -e "$name" ] || printf \'%s\\0\' "$name"; done'
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile() as packed:
        _checked(bastion, bastion.ask(f"{found} | tar -c --null -T - -f -", stdout=packed), directory)
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


def _tar(files: Mapping[str, Path | bytes]) -> BinaryIO:
    """On disk: checkpoints are large."""
    packed = tempfile.TemporaryFile()  # noqa: SIM115 - the caller's to close
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            if isinstance(content, Path):
                archive.add(content, name or ".", filter=_owned_by_nobody)
            else:
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(_owned_by_nobody(entry), io.BytesIO(content))
    packed.flush()
    return packed


def _owned_by_nobody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _checked(bastion: Bastion, said: Said, what: str) -> None:
    if said.code != 0:
        raise LaunchError(
            f"{bastion.name}: {what}: {said.error or f'exit code {said.code}'}", "look at [launch.STEP.slurm] root, rights and quota"
        )
