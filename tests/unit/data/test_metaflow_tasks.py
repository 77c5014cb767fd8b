"""What Metaflow keeps of a run, read without it."""

from __future__ import annotations

import collections
from pathlib import Path

import pytest

from builder.data.directory import DirectoryObjects
from builder.data.metaflow_tasks import MetaflowRun, Task
from tests.fixtures.metaflow_store import BEGAN, write_task


class Evil:
    """Unpickling it would make a directory."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.mkdir, (Path("unpickled"),)  # type: ignore[return-value]


def run_in(store: Path, folder: str = "") -> MetaflowRun:
    return MetaflowRun(DirectoryObjects(store), folder, "Train", "7")


def test_tasks_with_their_last_attempts(tmp_path: Path) -> None:
    write_task(tmp_path, "Train/7/_parameters/0", 0)
    write_task(tmp_path, "Train/7/start/1", 1)
    write_task(tmp_path, "Train/7/work/2", 2, ok=False)
    write_task(tmp_path, "Train/7/work/2", 5, attempt=1)
    write_task(tmp_path, "Train/7/work/3", 3, ok=False)
    write_task(tmp_path, "Train/7/join/4", 9, ok=None)
    write_task(tmp_path, "Train/8/start/1", 1)
    assert run_in(tmp_path).tasks() == [
        Task("start", "1", 0, "succeeded", BEGAN + 1, BEGAN + 2),
        Task("work", "3", 0, "failed", BEGAN + 3, BEGAN + 4),
        Task("work", "2", 1, "succeeded", BEGAN + 5, BEGAN + 6),
        Task("join", "4", 0, "running", BEGAN + 9, None),
    ]


def test_a_folder_of_the_root(tmp_path: Path) -> None:
    write_task(tmp_path / "metaflow", "Train/7/end/1", 1, scores={"click": 0.5})
    run = run_in(tmp_path, "metaflow")
    assert run.artifact(run.tasks()[0], "scores") == {"click": 0.5}


def test_plain_artifacts(tmp_path: Path) -> None:
    values = {"a": 1, "b": [1.5, None, True], "c": {"x": "y"}}
    write_task(tmp_path, "Train/7/end/1", 1, **values)
    run = run_in(tmp_path)
    (end,) = run.tasks()
    assert {name: run.artifact(end, name) for name in values} == values
    assert run.artifact(end, "other") is None


def test_an_artifact_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_task(tmp_path, "Train/7/end/1", 1, evil=Evil(), counter=collections.Counter(a=1))
    run = run_in(tmp_path)
    (end,) = run.tasks()
    with pytest.raises(ValueError, match="artifact evil of step end is no plain value"):
        run.artifact(end, "evil")
    with pytest.raises(ValueError, match=r"it is a collections\.Counter"):
        run.artifact(end, "counter")
    assert not (tmp_path / "unpickled").exists()


def test_a_damaged_artifact(tmp_path: Path) -> None:
    write_task(tmp_path, "Train/7/end/1", 1, scores={"click": 0.5})
    run = run_in(tmp_path)
    (end,) = run.tasks()
    blob = max((tmp_path / "Train/data").glob("*/*"), key=lambda path: path.stat().st_size)
    blob.write_bytes(b"no gzip")
    with pytest.raises(ValueError, match="artifact scores"):
        run.artifact(end, "scores")


def test_logs_without_stamps(tmp_path: Path) -> None:
    write_task(tmp_path, "Train/7/end/1", 1, out="one\ntwo", err="three")
    run = run_in(tmp_path)
    (end,) = run.tasks()
    assert (run.log(end, "stdout"), run.log(end, "stderr")) == (b"one\ntwo\n", b"three\n")


def test_nothing_is_there_yet(tmp_path: Path) -> None:
    assert run_in(tmp_path).tasks() == []
