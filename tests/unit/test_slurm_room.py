"""What a partition can never give is found before anything is submitted, and said in words that help."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from builder.errors import LaunchError
from builder.launch.slurm import admission
from builder.launch.slurm.admission import Admission
from builder.launch.slurm.bastion import Said
from builder.launch.slurm.room import Room, command, lack, mebibytes, minutes_of, parse_room
from builder.launch.slurm.states import SEPARATOR
from builder.settings import SlurmSettings

PARTITIONS = """\
PartitionName=gpu AllowGroups=ALL AllowAccounts=vision,agents AllowQos=ALL Default=YES DefaultTime=01:00:00 MaxNodes=3 MaxTime=2-00:00:00 MaxCPUsPerNode=UNLIMITED Nodes=g[1-4] State=UP TotalNodes=4 MaxMemPerNode=UNLIMITED
PartitionName=cpu AllowAccounts=ALL AllowQos=normal Default=NO MaxNodes=UNLIMITED MaxTime=UNLIMITED MaxCPUsPerNode=32 Nodes=c[1-2] State=UP MaxMemPerNode=4000
slurm_load_partitions error: x
"""  # noqa: E501 - as scontrol writes it
NODES = (
    ("g1", "gpu*", "128", "2000000", "gpu:h100:8(S:0-1),nvme:1", "h100,nvlink"),
    ("g2", "gpu*", "128", "2000000", "gpu:h100:8(S:0-1)", "h100,nvlink"),
    ("g3", "gpu*", "64", "500000", "gpu:4", "a100"),
    ("g4", "gpu*", "64", "500000", "gpu:a100:2,gpu:v100:2", "a100"),
    ("c1", "cpu", "64", "8000", "(null)", "(null)"),
    ("c2", "cpu", "64", "8000", "(null)", "(null)"),
    ("bad", "cpu", "many", "8000", "(null)", "(null)"),
)


def said(*more: str) -> str:
    nodes = "".join(f"{SEPARATOR.join(row)}\n" for row in NODES)
    return "--room--\n".join([PARTITIONS, nodes, *more])


@pytest.fixture
def room() -> Room:
    return parse_room(said())


def settings(**more: Any) -> SlurmSettings:
    return SlurmSettings(bastion="login", root="/shared", **more)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"nodes": 2, "gpus_per_node": 8, "cpus": 128, "mem": "1900G", "time": "2d", "constraint": "h100&nvlink"},
        {"nodes": 3, "gpus_per_node": 4},
        {"partition": "cpu", "cpus": 32, "mem": "4000"},
        {"partition": "cpu", "time": "365d", "mem": "0"},
        {"constraint": "[rack1|rack2]*2"},
        {"options": ("--partition=other",), "partition": "none", "nodes": 99},
        {"options": ("--gres=gpu:h100:8", "-N2"), "gpus_per_node": 99, "nodes": 99},
        {"account": "anybody's", "options": ("-A", "agents")},
    ],
)
def test_what_can_start_one_day(room: Room, asked: dict[str, Any]) -> None:
    assert lack(room, settings(**asked)) is None


@pytest.mark.parametrize(
    ("asked", "words", "is_nodes"),
    [
        ({"gpus_per_node": 9}, "gpus_per_node = 9: asked for 1 node with 9 GPUs; available: 3 nodes with 8 GPUs", True),
        ({"nodes": 4}, "asked for 4 nodes; available: 3 nodes with 8 GPUs, 128 CPUs, 1953G of memory each, for 48 h at most", True),
        ({"nodes": 3, "gpus_per_node": 8}, "asked for 3 nodes with 8 GPUs each; available: 3 nodes with 8 GPUs, 128 CPUs", True),
        ({"nodes": 3, "gpus_per_node": 8}, "; 2 of them are such", True),
        ({"partition": "cpu", "cpus": 33}, "cpus = 33", True),
        ({"partition": "cpu", "mem": "4001"}, "mem = 4001: asked for 1 node with 4001M of memory; available: 2 nodes", True),
        ({"constraint": "h100&tpu"}, "constraint = h100&tpu", True),
        ({"time": "49h"}, "time = 49h: asked for 49 h; available: 3 nodes", False),
        ({"partition": "none"}, "Slurm knows no partition none; available: cpu, gpu", False),
        ({"account": "sales"}, "partition gpu takes no account sales: only agents, vision", False),
        ({"partition": "cpu", "qos": "high"}, "partition cpu takes no qos high: only normal", False),
    ],
)  # fmt: skip
def test_what_never_can(room: Room, asked: dict[str, Any], words: str, is_nodes: bool) -> None:
    found = lack(room, settings(**asked))
    assert found is not None
    assert words in found.message
    assert found.is_nodes == is_nodes
    assert "[launch.STEP.slurm]" in found.hint


def test_accounts_count_where_slurm_minds_them() -> None:
    enforced, mine = "AccountingStorageEnforce = associations,limits,qos\n", "agents\nagents\n"
    asked = settings(account="agent")
    minds, forgives = (
        parse_room(said(enforced, mine, "normal\nhigh\n")),
        parse_room(said("AccountingStorageEnforce = none\n", mine, "normal\n")),
    )
    assert "Slurm knows no account agent; available: agents" in str(lack(minds, asked))
    assert "knows no qos low; available: high, normal" in str(lack(minds, settings(account="agents", qos="low")))
    assert lack(forgives, settings(partition="cpu", account="agent", qos="normal")) is None
    assert "sacctmgr" in command(asked)
    assert "sacctmgr" not in command(settings()), "it is slow"


def test_where_nothing_is_known_sbatch_decides() -> None:
    for text in ("", "slurm_load_partitions error: Unable to contact slurm controller\n--room--\n", "\0"):
        assert lack(parse_room(text), settings(partition="gpu", nodes=99)) is None


def test_sizes_and_times() -> None:
    assert [mebibytes(text) for text in ("64G", "100", "2048K", "1T", "0", "x")] == [65536, 100, 2, 1048576, 0, 0]
    assert [minutes_of(text) for text in ("1-02:03:04", "12:00:00", "00:05:00", "30:00", "UNLIMITED", "soon")] == [
        1563,
        720,
        5,
        30,
        None,
        None,
    ]


class Bastion:
    """Answers with what the cluster has, in turn; then with what sbatch says of a job that it only tries."""

    name = "login"

    def __init__(self, wanted: SlurmSettings, rooms: list[str], tried: list[Said]) -> None:
        self.settings, self.rooms, self.tried, self.asked = wanted, rooms, tried, 0

    def ask(self, command: str, stdin: bytes = b"") -> Said:
        if command.startswith("sbatch --test-only"):
            return self.tried.pop(0)
        self.asked += 1
        return Said(0, (self.rooms.pop(0) if len(self.rooms) > 1 else self.rooms[0]).encode(), b"")


@pytest.fixture
def admit(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Bastion, list[str]]]:
    clock = [0.0]
    monkeypatch.setattr(admission.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(admission.time, "sleep", lambda pause: clock.__setitem__(0, clock[0] + pause))

    def admitted(rooms: list[str], tried: list[Said] | None = None, **more: Any) -> tuple[Bastion, list[str]]:
        bastion, heard = Bastion(settings(**more), rooms, tried or []), list[str]()
        door = Admission(bastion)  # type: ignore[arg-type]
        door.admit((), heard.append)
        return bastion, heard

    return admitted


def test_what_there_is_is_asked_once_for_a_connection() -> None:
    bastion = Bastion(settings(), [said()], [])
    door = Admission(bastion)  # type: ignore[arg-type]
    door.admit((), print)
    door.admit((), print)
    assert bastion.asked == 1


def test_an_error_comes_before_anything_is_submitted(admit: Callable[..., Any]) -> None:
    with pytest.raises(LaunchError, match="login: partition gpu can never give nodes = 32") as caught:
        admit([said()], nodes=32)
    assert "--wait-for-nodes" in caught.value.hint


def test_nodes_are_waited_for_where_somebody_asks_for_that(admit: Callable[..., Any]) -> None:
    more = said().replace("MaxNodes=3", "MaxNodes=4")
    refused = Said(1, b"", b"allocation failure: Requested node configuration is not available")
    bastion, heard = admit([said(), said(), more], [refused, Said(0, b"", b"to start at")], nodes=4, wait_for_nodes=True)
    assert bastion.asked == 4
    assert [text.partition(":")[0] for text in heard] == ["partition gpu can never give nodes = 4"] * 2 + ["sbatch"]


def test_nodes_are_not_waited_for_longer_than_the_limit(admit: Callable[..., Any]) -> None:
    with pytest.raises(LaunchError, match="waited for 2h: partition gpu") as caught:
        admit([said()], nodes=4, wait_for_nodes=True, queue_limit="2h")
    assert caught.value.end == "timeout"
    with pytest.raises(LaunchError, match="knows no partition none"):
        admit([said()], partition="none", wait_for_nodes=True)
