"""What of a pod's log is the team's, and how logs are followed where things go away."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from builder.data.directory import DirectoryObjects
from builder.errors import ClusterError
from builder.runs.history import Seen
from builder.runs.log_filter import BetweenMarkers, Keep, OfStep, filtered, without_chatter
from builder.runs.log_sources import Where
from builder.runs.logs import Follower, logs_of
from builder.steps.markers import BEGINS, ENDS
from tests.fixtures.memory_cluster import MemoryCluster

HEAD = b"Setting up task environment.\nDownloading code package...\nCode package downloaded.\nTask is starting.\n"
UPLOAD = b"[save_logs] upload_start datastore=s3 files=[]\n"
TAIL = b'time="2024-05-01T08:00:00.000Z" level=info msg="sub-process exited" argo=true error="<nil>"\n'
FLOW = (
    b"2024-05-01 08:00:00.100 Workflow starting (run-id 7):\n"
    b"2024-05-01 08:00:00.200 [7/start/1 (pid 11)] Task is starting.\n"
    b"2024-05-01 08:00:00.300 [7/work/2 (pid 12)] mine\n"
    b"2024-05-01 08:00:00.400 [7/start/1 (pid 11)] of start\n"
)


def pod(*tries: bytes) -> bytes:
    """The log of a pod whose command was tried so often, and wrote this."""
    return HEAD + UPLOAD + b"ours\n" + b"".join(f"{BEGINS}\n".encode() + text + f"{ENDS}\n".encode() for text in tries) + UPLOAD + TAIL


def kept(log: bytes, keep: Keep, size: int = 7) -> bytes:
    """In pieces that end in the middle of lines."""
    return b"".join(filtered([log[at : at + size] for at in range(0, len(log), size)], keep))


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_a_command_of_a_built_in_step(size: int) -> None:
    assert kept(pod(b"one\ntwo\n"), BetweenMarkers(), size) == b"one\ntwo\n"
    assert kept(pod(b"one\n" + UPLOAD + b"two"), BetweenMarkers(), size) == b"one\ntwo", "the last line has no end"
    assert kept(pod(b"first\n", b"second\n"), BetweenMarkers(), size) == b"first\nsecond\n"
    assert kept(pod(b"Task is starting.\n\xff\n"), BetweenMarkers(), size) == b"Task is starting.\n\xff\n", "the team may say so, too"


def test_a_log_whose_beginning_the_node_has_dropped() -> None:
    lost = pod(b"one\ntwo\n").partition(b"one\n")[2]
    assert kept(lost, BetweenMarkers()) == b"two\n"
    assert kept(UPLOAD + lost, BetweenMarkers()) == b"two\n"
    assert kept(TAIL + pod(b"one\n"), BetweenMarkers()) == b"one\n", "Argo may have said something first"


def test_a_command_that_died_with_its_pod() -> None:
    begun = HEAD + f"{BEGINS}\n".encode()
    assert kept(begun + b"half a li", BetweenMarkers()) == b"half a li"
    assert kept(begun + b"one\n" + TAIL, BetweenMarkers()) == b"one\n", "Argo says that it is gone"
    assert kept(begun + b"[builder] job 7 pending (Resources)\none\n", BetweenMarkers()) == b"one\n", "for what one waits"


def test_a_teams_own_step() -> None:
    assert kept(HEAD + b"mine\n" + UPLOAD + b"yours\n" + TAIL, without_chatter) == b"mine\nyours\n"
    assert kept(FLOW, OfStep("start", chatter=False)) == b"of start\n"
    assert kept(FLOW, OfStep("start", chatter=True)).count(b"[7/start/1") == 2


# --- following ------------------------------------------------------------------------------------------------------------------------


@dataclass
class Scene:
    """A run on Argo that goes on from one look to the next: each `after` is done before the next one."""

    where: Where
    cluster: MemoryCluster
    states: list[tuple[dict[str, Any], Callable[[], None]]]
    now: Seen
    said: list[str]

    def look(self) -> Seen:
        if self.states:
            records, change = self.states.pop(0)
            change()
            self.now = Seen.of("run-1", records)
        return self.now

    def follow(self, step: str = "") -> bytes:
        follower = Follower(self.look, replace(self.where, follow=True), self.said.append)
        return b"".join(piece.data for piece in (follower.one(step) if step else follower.all()))


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    cluster = MemoryCluster()
    where = Where(DirectoryObjects(tmp_path), lambda: cluster, tmp_path / "out")
    return Scene(where, cluster, [], Seen.of("run-1", {}), [])


RUN = {"state": "submitted", "on": "argo", "started": "2024-05-01T08:00:00Z"}
EXIT = {"state": "succeeded", "ended": "2024-05-01T09:00:00Z"}


def step(state: str, host: str = "pod-a", attempt: int = 0) -> dict[str, Any]:
    return {"state": state, "host": host, "attempt": attempt, "started": f"2024-05-01T08:00:0{attempt}Z", "log": "/elsewhere/log"}


def nothing() -> None:
    pass


def test_a_connection_that_breaks_is_taken_up_where_it_broke(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    log = pod(b"one\ntwo\nthree\n")
    calls = 0

    def breaks(name: str, container: str, *, follow: bool = False) -> Iterator[bytes]:
        nonlocal calls
        calls += 1
        assert follow
        yield log[: log.index(b"two\n") + 4] if calls == 1 else log
        if calls == 1:
            raise ClusterError("https://memory.test did not answer")

    monkeypatch.setattr(scene.cluster, "log", breaks)
    running = {"run": RUN, "finetune": step("running")}
    done = {"run": RUN, "exit": EXIT, "finetune": step("succeeded")}
    scene.states = [(running, nothing)] * 3 + [(done, nothing)]
    assert scene.follow("finetune") == b"one\ntwo\nthree\n"
    assert scene.said == ["https://memory.test did not answer; looking again"]


def test_the_rest_comes_from_the_data_root_when_the_pod_is_gone(scene: Scene) -> None:
    def ended() -> None:
        scene.cluster.logs.clear()
        scene.where.objects.put("runs/run-1/finetune/log", b"one\ntwo\n")

    scene.cluster.logs["pod-a", "main"] = HEAD + f"{BEGINS}\none\n".encode()
    scene.states = [({"run": RUN, "finetune": step("running")}, nothing)]
    scene.states += [({"run": RUN, "exit": EXIT, "finetune": step("succeeded")}, ended)]
    assert scene.follow("finetune") == b"one\ntwo\n"


def test_a_pod_that_is_made_again_writes_a_log_of_its_own(scene: Scene) -> None:
    def again() -> None:
        del scene.cluster.logs["pod-a", "main"]
        scene.cluster.logs["pod-b", "main"] = pod(b"from the start\n")

    scene.cluster.logs["pod-a", "main"] = HEAD + f"{BEGINS}\nhalf".encode()
    running = {"run": RUN, "finetune": step("running")}
    retried = {"run": RUN, "finetune": step("running", "pod-b", 1)}
    scene.states = [(running, nothing), (running, lambda: scene.cluster.logs.pop(("pod-b", "main"), None)), (retried, again)]
    scene.states += [({"run": RUN, "exit": EXIT, "finetune": step("succeeded", "pod-b", 1)}, nothing)]
    assert scene.follow("finetune") == b"halffrom the start\n"


def test_all_steps_in_the_order_in_which_they_began_until_the_run_ends(scene: Scene) -> None:
    scene.cluster.logs["pod-a", "main"] = pod(b"training\n")
    scene.cluster.logs["pod-b", "main"] = pod(b"scoring\n")
    begun = {"run": RUN, "start": {"state": "succeeded", "host": "pod-s", "started": "2024-05-01T07:00:00Z"}}
    running = {**begun, "finetune": step("running")}
    after = {**begun, "finetune": step("succeeded"), "evaluate-click": step("running", "pod-b", 2)}
    done = {**after, "evaluate-click": step("succeeded", "pod-b", 2), "exit": EXIT}
    scene.states = [(begun, nothing), (running, nothing), (running, nothing), (after, nothing), (after, nothing), (done, nothing)]
    assert scene.follow() == b"training\nscoring\n"


def test_a_step_that_never_begins_ends_with_the_run(scene: Scene) -> None:
    scene.states = [({"run": RUN}, nothing)] * 2 + [({"run": RUN, "exit": {**EXIT, "state": "failed", "error": "no image"}}, nothing)]
    assert scene.follow("finetune") == b""


def test_what_can_be_read_now(scene: Scene, tmp_path: Path) -> None:
    """Of a step whose process was killed nobody published a log: its pod still has it."""
    records = {"run": RUN, "exit": {**EXIT, "state": "failed"}, "finetune": step("running"), "freeze": {"state": "running"}}
    scene.cluster.logs["pod-a", "main"] = HEAD + f"{BEGINS}\nlast words".encode()
    seen = Seen.of("run-1", records)
    assert [piece.data for piece in logs_of(seen, scene.where, "", scene.said.append)] == [b"last words"]
    scene.cluster.logs.clear()
    assert list(logs_of(seen, scene.where, "", scene.said.append)) == []
    assert "there is none" in scene.said[0]


def test_a_running_step_of_another_machine_cannot_be_read(scene: Scene, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"written here\n")
    here = {"run": {**RUN, "on": "local", "host": socket.gethostname()}, "finetune": {**step("running"), "log": str(log)}}
    assert [piece.data for piece in logs_of(Seen.of("run-1", here), scene.where, "finetune", scene.said.append)] == [b"written here\n"]
    there = {**here, "run": {**here["run"], "host": "far-away"}}
    assert list(logs_of(Seen.of("run-1", there), scene.where, "finetune", scene.said.append)) == []


def test_a_kept_step_has_its_log_where_it_was_done(scene: Scene) -> None:
    scene.where.objects.put("runs/run-0/finetune/log", b"trained before\n")
    records = {"run": RUN, "exit": EXIT, "finetune": {"state": "succeeded", "kept": "run-0", "started": "2024-05-01T08:00:00Z"}}
    assert [piece.data for piece in logs_of(Seen.of("run-1", records), scene.where, "", scene.said.append)] == [b"trained before\n"]
