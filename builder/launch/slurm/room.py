"""What partitions can give at most, as Slurm says it, and whether that is less than what the settings ask for.

Only what can never be: nodes that are busy, drained or down count, as a job for them waits. What somebody may not know (Slurm hides
partitions, and need not account) is no reason to refuse: then sbatch decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from builder.launch.slurm.states import SEPARATOR
from builder.settings import SlurmSettings, seconds

_MARK = "--room--"
_NODES = SEPARATOR.join(("%N", "%P", "%c", "%m", "%G", "%f"))
_ACCOUNTS = "sacctmgr -n -P show assoc where user=$(id -un) format=account; echo {mark}; sacctmgr -n -P show qos format=name"
_ENFORCED = "scontrol show config | grep ^AccountingStorageEnforce"

_GPUS = re.compile(r"(?:^|,)gpu(?::[^:,()]+)?:(\d+)")
_UNITS = {"K": 1 / 1024, "": 1.0, "M": 1.0, "G": 1024.0, "T": 1024.0**2}
_UNLIMITED = ("UNLIMITED", "INFINITE", "N/A", "(null)", "")
_ALL = ("ALL", "N/A", "(null)", "")
_WORDS = {
    "nodes": ("-N", "--nodes", "-w", "--nodelist", "-n", "--ntasks"),
    "gpus_per_node": ("-G", "--gres", "--gpus"),
    "cpus": ("-c", "--cpus-per-task"),
    "mem": ("--mem",),
    "time": ("-t", "--time"),
    "constraint": ("-C", "--constraint"),
    "account": ("-A", "--account"),
    "qos": ("-q", "--qos"),
}
"""Of sbatch's options those that say otherwise than the setting does: then nothing is known of it."""
_ANYWHERE = ("-p", "--partition", "-M", "--clusters", "--reservation")


@dataclass(frozen=True, slots=True)
class Node:
    """Memory is in MiB, as Slurm counts."""

    name: str
    cpus: int
    mem: float
    gpus: int
    features: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Partition:
    """`most_*` are limits of one job, None where there is none; minutes of time, MiB of memory. `accounts` and `qos` None: all."""

    name: str
    is_default: bool = False
    nodes: tuple[Node, ...] = ()
    most_nodes: int | None = None
    most_minutes: int | None = None
    most_cpus: int | None = None
    most_mem: float | None = None
    accounts: frozenset[str] | None = None
    qos: frozenset[str] | None = None

    @property
    def has(self) -> str:
        """In words: what is available."""
        count = len(self.nodes) if self.most_nodes is None else min(len(self.nodes), self.most_nodes)
        most = (max((getattr(node, name) for node in self.nodes), default=0) for name in ("gpus", "cpus", "mem"))
        time = "" if self.most_minutes is None else f", for {_minutes_in_words(self.most_minutes)} at most"
        return f"{_each(count, *most)}{time}"


@dataclass(frozen=True, slots=True)
class Room:
    """`accounts` and `qos` are those that Slurm knows for this user; None where it does not say, or does not mind."""

    partitions: Mapping[str, Partition] = field(default_factory=dict)
    accounts: frozenset[str] | None = None
    qos: frozenset[str] | None = None

    def partition(self, name: str) -> Partition | None:
        """Of that name, or the default one."""
        return self.partitions.get(name) if name else next((found for found in self.partitions.values() if found.is_default), None)


@dataclass(frozen=True, slots=True)
class Lack:
    """Why a job can never start. `is_nodes`: more, or other, nodes would do."""

    message: str
    hint: str
    is_nodes: bool = False


def command(settings: SlurmSettings) -> str:
    """The remote command that asks for all of it; accounts are slow to ask for, so only where the settings name one."""
    asked = ["scontrol -o show partition", f"sinfo -h -N -o '{_NODES}'"]
    if settings.account or settings.qos:
        asked += [_ENFORCED, _ACCOUNTS.format(mark=_MARK)]
    return f"; echo {_MARK}; ".join(asked)


def parse_room(text: str) -> Room:
    """What the command printed. What is missing in it is not known."""
    partitions, nodes, enforced, accounts, qos = ([*text.split(f"{_MARK}\n"), "", "", "", ""])[:5]
    listed = list(_nodes(nodes))
    found = (_partition(line, listed) for line in partitions.splitlines() if line.startswith("PartitionName="))
    return Room(
        {partition.name: partition for partition in found}, _names(accounts, enforced, "associations"), _names(qos, enforced, "qos")
    )


def lack(room: Room, settings: SlurmSettings) -> Lack | None:
    """What the partition can never give of what the settings ask for; None when a job may start one day."""
    words = settings.options
    if not room.partitions or _says(words, _ANYWHERE):
        return None
    settings = _known(settings)
    partition = room.partition(settings.partition)
    if partition is None:
        return _unknown("partition", settings.partition, room.partitions) if settings.partition else None
    return next(filter(None, (*_people(room, partition, settings), *_nodes_lacking(partition, settings), _time(partition, settings))), None)


def _known(settings: SlurmSettings) -> SlurmSettings:
    """Without what sbatch's options say otherwise."""
    empty = SlurmSettings()
    return replace(settings, **{name: getattr(empty, name) for name, words in _WORDS.items() if _says(settings.options, words)})


def _says(options: Sequence[str], words: Sequence[str]) -> bool:
    return any(option.startswith(words_of) for option in options for words_of in words)


# --- what is not enough ---------------------------------------------------------------------------------------------------------------


def _people(room: Room, partition: Partition, settings: SlurmSettings) -> Iterator[Lack | None]:
    where = f"partition {partition.name}"
    for kind, known, allowed in (("account", room.accounts, partition.accounts), ("qos", room.qos, partition.qos)):
        asked = getattr(settings, kind)
        if asked and known is not None and asked not in known:
            yield _unknown(kind, asked, known)
        if asked and allowed is not None and asked not in allowed:
            yield Lack(f"{where} takes no {kind} {asked}: only {', '.join(sorted(allowed))}", f"look at [launch.STEP.slurm] {kind}")


def _nodes_lacking(partition: Partition, settings: SlurmSettings) -> Iterator[Lack | None]:
    """First of each node alone, then of how many such there are."""
    count, mem = max(1, settings.nodes), mebibytes(settings.mem)
    features = _features(settings.constraint)
    asked = _each(count, settings.gpus_per_node, settings.cpus, mem)
    enough: dict[str, Callable[[Node], bool]] = {
        "gpus_per_node": lambda node: node.gpus >= settings.gpus_per_node,
        "cpus": lambda node: min(node.cpus, partition.most_cpus or node.cpus) >= settings.cpus,
        "mem": lambda node: min(node.mem, partition.most_mem or node.mem) >= mem,
        "constraint": lambda node: features <= node.features,
    }
    for key, fits in enough.items():
        if not any(map(fits, partition.nodes)):
            yield _too_much(partition, key, settings, asked)
    fitting = [node for node in partition.nodes if all(fits(node) for fits in enough.values())]
    if len(fitting) < count or (partition.most_nodes is not None and partition.most_nodes < count):
        yield _too_much(
            partition, "nodes", settings, asked, f"; {len(fitting)} of them are such" if len(fitting) < len(partition.nodes) else ""
        )


def _too_much(partition: Partition, key: str, settings: SlurmSettings, asked: str, more: str = "") -> Lack:
    text = (
        f"partition {partition.name} can never give {key} = {getattr(settings, key)}: asked for {asked}; available: {partition.has}{more}"
    )
    return Lack(text, f"[launch.STEP.slurm] {key}, or another partition; --wait-for-nodes waits until there are such nodes", is_nodes=True)


def _time(partition: Partition, settings: SlurmSettings) -> Lack | None:
    minutes = -(-seconds(settings.time) // 60) if settings.time else 0
    if partition.most_minutes is None or minutes <= partition.most_minutes:
        return None
    asked = _minutes_in_words(minutes)
    text = f"partition {partition.name} can never give time = {settings.time}: asked for {asked}; available: {partition.has}"
    return Lack(text, "[launch.STEP.slurm] time, or another partition")


def _unknown(kind: str, name: str, known: Mapping[str, object] | frozenset[str]) -> Lack:
    there = ", ".join(sorted(known)) or "none that this user may see"
    return Lack(f"Slurm knows no {kind} {name}; available: {there}", f"look at [launch.STEP.slurm] {kind}")


def _features(constraint: str) -> frozenset[str]:
    """Of a plain list. Slurm's other ways to write one (alternatives, counts) are for sbatch to judge."""
    return frozenset(constraint.split("&")) if re.fullmatch(r"[\w.-]+(&[\w.-]+)*", constraint) else frozenset()


# --- what Slurm says ------------------------------------------------------------------------------------------------------------------


def _partition(line: str, nodes: Sequence[tuple[str, Node]]) -> Partition:
    """A line of `scontrol -o show partition`."""
    words = dict(word.partition("=")[::2] for word in line.split())
    name = words["PartitionName"]
    return Partition(
        name=name,
        is_default=words.get("Default") == "YES",
        nodes=tuple(node for partition, node in nodes if partition == name),
        most_nodes=_number(words.get("MaxNodes", "")),
        most_minutes=minutes_of(words.get("MaxTime", "")),
        most_cpus=_number(words.get("MaxCPUsPerNode", "")),
        most_mem=_number(words.get("MaxMemPerNode", "")),
        accounts=_allowed(words.get("AllowAccounts", "")),
        qos=_allowed(words.get("AllowQos", "")),
    )


def _nodes(text: str) -> Iterator[tuple[str, Node]]:
    """With the partition that each is in."""
    for line in text.splitlines():
        words = line.split(SEPARATOR)
        if len(words) == 6 and words[2].rstrip("+").isdecimal() and words[3].rstrip("+").isdecimal():
            name, partition, cpus, mem, gres, features = words
            gpus = sum(int(count) for count in _GPUS.findall(gres))
            there = frozenset() if features == "(null)" else frozenset(features.split(","))
            yield partition.rstrip("*"), Node(name, int(cpus.rstrip("+")), float(mem.rstrip("+")), gpus, there)


def _names(text: str, enforced: str, what: str) -> frozenset[str] | None:
    """None where Slurm does not mind, or there is no accounting."""
    names = frozenset(filter(None, text.split()))
    return names if names and what in enforced.lower() else None


def _allowed(text: str) -> frozenset[str] | None:
    return None if text in _ALL else frozenset(text.split(","))


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def minutes_of(text: str) -> int | None:
    """`7-00:00:00`, `12:00:00` or `05:00`, rounded down; None where there is no limit."""
    if text in _UNLIMITED:
        return None
    days, _, rest = text.rpartition("-")
    parts = rest.split(":")
    if not all(part.isdecimal() for part in (days or "0", *parts)) or len(parts) > 3:
        return None
    hours, minutes, _seconds = ([0] * (3 - len(parts))) + [int(part) for part in parts]
    return int(days or "0") * 24 * 60 + hours * 60 + minutes


def mebibytes(text: str) -> float:
    """What `--mem` means: MiB unless a letter says otherwise; 0 for what is no size, and for 0, which asks for all of a node."""
    match = re.fullmatch(r"(\d+)([KMGT]?)B?", text.upper())
    return int(match[1]) * _UNITS[match[2]] if match else 0.0


# --- in words -------------------------------------------------------------------------------------------------------------------------


def _each(nodes: int, gpus: int, cpus: int, mem: float) -> str:
    told = [_plural(gpus, "GPU")] if gpus else []
    told += [_plural(cpus, "CPU")] if cpus else []
    told += [f"{mem:.0f}M of memory" if mem < 10 * 1024 else f"{mem / 1024:.0f}G of memory"] if mem else []
    return f"{_plural(nodes, 'node')}{' with ' if told else ''}{', '.join(told)}{' each' if told and nodes > 1 else ''}"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _minutes_in_words(minutes: int) -> str:
    return f"{minutes} min" if minutes < 120 or minutes % 60 else f"{minutes // 60} h"
