"""A process that freezes is killed, anywhere, and the next one completes what it began."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from builder.data.checkpoints import freeze, materialise
from builder.data.directory import DirectoryObjects

FREEZE = """
import sys
from pathlib import Path
from builder.data.checkpoints import freeze, materialise
from builder.data.directory import DirectoryObjects
print("ready", flush=True)
sys.stdin.readline()
frozen = freeze(DirectoryObjects(Path(sys.argv[1])), Path(sys.argv[2]))
materialise(DirectoryObjects(Path(sys.argv[1])), frozen.digest, Path(sys.argv[3]))
"""


def begin(*arguments: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", FREEZE, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    assert child.stdout
    assert child.stdout.readline() == "ready\n"
    return child


def end(child: subprocess.Popen[str], after: float | None) -> float:
    """Lets it go, kills it after so many seconds (never: None); returns how long it took."""
    assert child.stdin
    began = time.monotonic()
    child.stdin.write("\n")
    child.stdin.flush()
    if after is not None:
        time.sleep(after)
        os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    return time.monotonic() - began


def test_killed_anywhere_nothing_is_half(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    for number in range(300):
        (checkpoint / f"{number}").write_bytes(b"%d" % number * 2000)
    expected = freeze(DirectoryObjects(tmp_path / "whole"), checkpoint)
    took = end(begin(tmp_path / "first", checkpoint, tmp_path / "first-copy"), None)
    unfinished = 0
    for step in range(1, 9):
        root, copy = tmp_path / f"root-{step}", tmp_path / f"copies/{step}"
        end(begin(root, checkpoint, copy), took * step / 10)
        objects = DirectoryObjects(root)
        manifests = list(objects.list("checkpoints/"))
        unfinished += not manifests
        if manifests:
            materialise(objects, expected.digest, tmp_path / f"seen-{step}")
        if copy.exists():
            assert len(list(copy.iterdir())) == 300
        assert freeze(objects, checkpoint) == expected
        materialise(objects, expected.digest, copy)
        assert len(list(objects.list("blobs/"))) == 300
    assert unfinished  # or nothing was tested
