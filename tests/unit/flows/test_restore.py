"""The files that a commit lost are there before its command starts: once for a tree, and for steps that share one."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from builder.data.bring import object_key
from builder.data.restore_list import write_list
from builder.errors import IntegrityError
from builder.model.removed import Lost, Removed
from builder.runs.prepare import release_request
from builder.settings import DataSettings
from builder.steps.request import Request, identity
from builder.steps.restore import main, restored, restored_by
from builder.steps.root import ledger_of, objects_of
from tests.fixtures.requests import request_in

CONTENT = b"weights"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(name="request_")
def a_request_that_restores(tmp_path: Path) -> Request:
    request = request_in(tmp_path)
    objects_of(request).put(object_key(DIGEST), CONTENT)
    lost = Lost(request.commit, "b" * 40, (Removed("data/w", DIGEST, len(CONTENT)),))
    return replace(request, restore=write_list(objects_of(request), lost))


def test_once_for_a_tree(request_: Request, tmp_path: Path) -> None:
    told = restored(request_)["restored"]
    assert told == {"list": request_.restore, "was": "b" * 40, "files": 1, "size": 7} == restored_by(request_)
    file = tmp_path / "code/data/w"
    assert file.read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "code").iterdir()] == ["data"]
    file.write_bytes(b"trained")
    assert restored(request_)["restored"] == told
    assert file.read_bytes() == b"trained"


def test_nothing_to_restore(tmp_path: Path) -> None:
    request = request_in(tmp_path)
    assert restored(request) == {} == restored_by(request)
    assert not (tmp_path / "out").exists()


def test_steps_that_begin_at_once(request_: Request, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda _: restored(request_), range(8)))
    assert all(each == told[0] for each in told)
    assert (tmp_path / "code/data/w").read_bytes() == CONTENT


def test_an_archive_elsewhere(request_: Request, tmp_path: Path) -> None:
    (tmp_path / "data/archive").rename(tmp_path / "archive")
    (tmp_path / "kept").mkdir()
    (tmp_path / "archive").rename(tmp_path / "kept/archive")
    restored(replace(request_, data=DataSettings(request_.data.root, archive=str(tmp_path / "kept"))))
    assert (tmp_path / "code/data/w").read_bytes() == CONTENT


def test_broken_off_it_begins_again(request_: Request, tmp_path: Path) -> None:
    key = tmp_path / "data" / object_key(DIGEST)
    key.chmod(0o644)
    key.write_bytes(b"damaged")
    with pytest.raises(IntegrityError):
        restored(request_)
    key.write_bytes(CONTENT)
    restored(request_)
    assert (tmp_path / "code/data/w").read_bytes() == CONTENT


def test_a_template_keeps_it_and_says_what_runs_are_the_same(request_: Request) -> None:
    assert release_request(request_).restore == request_.restore
    assert identity(request_, "c") != identity(replace(request_, restore=""), "c")
    assert Request.unpack(request_.pack()) == request_
    assert "data/w" not in json.dumps(request_.to_json())


def test_a_teams_own_step_that_cannot_begin_says_why(request_: Request, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    environ = {"BUILDER_REQUEST": request_.pack(), "BUILDER_RUN": "run-1"}
    assert main(environ, "work") == 0
    (tmp_path / "data" / object_key(DIGEST)).unlink()
    for name in ("restored", "restored.lock"):
        (tmp_path / "out" / name).unlink()
    (tmp_path / "code/data/w").unlink()
    assert main(environ, "work") == 1
    assert "error: data/w cannot be restored" in capsys.readouterr().err
    record = ledger_of(request_).read("run-1")["work"]
    assert record["state"] == "failed" and "data/w cannot be restored" in record["error"]
