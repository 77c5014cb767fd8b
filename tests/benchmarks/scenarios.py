"""What is measured: each scenario runs all its ways in turn, A B C A B C ..., and says which goals were reached."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import measure
from measure import Cost
from peers import BUILDER, CRANE, HERE, Bench, Crane, Limit, Ours, Way, furnish, git, measured

MISSING = 60
_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Goal:
    """`figure` and `limit` are in the same unit; `form` writes either of them."""

    what: str
    figure: float
    limit: float
    form: str
    at_least: bool = False

    @property
    def reached(self) -> bool:
        return self.figure >= self.limit if self.at_least else self.figure <= self.limit


@dataclass(frozen=True, slots=True)
class Section:
    """One table. `ways`: name -> what each round cost; the first one is ours. `profiled`: the arguments of a `builder` to look into when a
    goal is missed, and its environment.
    """

    title: str
    text: str
    ways: Mapping[str, Sequence[Cost]] = field(default_factory=dict)
    goals: Sequence[Goal] = ()
    profiled: Callable[[], tuple[list[str], Mapping[str, str]]] | None = None


@dataclass(slots=True)
class Plan:
    """How often, and until when (time.monotonic): rounds after the deadline are left out, but for the first few."""

    rounds: int
    deadline: float
    log: Callable[[str], None]

    def each(self, count: int, least: int = 3) -> Iterator[int]:
        for number in range(count):
            if number >= least and time.monotonic() > self.deadline:
                self.log(f"the time is up: {number} rounds")
                return
            yield number


class Line:
    """One-file commits of the repository, each handed out once."""

    def __init__(self, bench: Bench) -> None:
        changes = git(bench.repository, "log", "--first-parent", "--reverse", "--format=>%H %P", "--name-only", "HEAD")
        blocks = [block.split() for block in changes.split(">")[2:]]  # the first commit has no parent
        self._left = [(sha, parent) for sha, parent, *names in blocks if len(names) == 1]

    def take(self) -> tuple[str, str]:
        """A commit and its parent."""
        return self._left.pop(0)


def help_text(bench: Bench, plan: Plan) -> Section:
    costs: dict[str, list[Cost]] = {"builder --help": [], "python -c pass": []}
    for _ in plan.each(2 * plan.rounds):
        costs["builder --help"].append(measure.run([str(BUILDER), "--help"], env=bench.env))
        costs["python -c pass"].append(measure.run([sys.executable, "-c", "pass"], env=bench.env))
    goal = Goal("wall", measure.median(costs["builder --help"], _wall), 0.120, "{:.3f} s")
    return Section("builder --help", "Start-up alone.", costs, [goal], lambda: (["--help"], bench.env))


def one_file(bench: Bench, plan: Plan, line: Line, peers: Sequence[Way]) -> Section:
    """Warm: the base's manifest is in the cache, the parent's image in the registry, the daemons have built the commit before."""
    ours = Ours(bench)
    ways: list[Way] = [ours, Limit(bench), *peers]
    costs: dict[str, list[Cost]] = {way.name: [] for way in ways}
    for way in ways:
        furnish(bench, _target(way))
    for number in plan.each(plan.rounds + 1, least=4):
        commit, parent = line.take()
        measured(bench, ours, parent, _target(ours))
        for way in ways:
            cost = measured(bench, way, commit, _target(way))
            if number:  # the first round only warms up
                costs[way.name].append(cost)
        plan.log(f"  round {number}: " + ", ".join(f"{found[-1].seconds:.2f}" for found in costs.values() if found))
    goals = [Goal("wall", measure.median(costs[ours.name], _wall), 0.4, "{:.3f} s"), *_ratios(costs, ours.name)]
    text = "Each round takes a commit that changes one file, whose parent has an image. Everything that can be warm is."
    return Section("One-file commit, warm", text, costs, goals, lambda: _next(ours, line))


def _ratios(costs: Mapping[str, Sequence[Cost]], ours: str) -> Iterator[Goal]:
    walls = {name: measure.median(found, _wall) for name, found in costs.items()}
    builders = [wall for name, wall in walls.items() if name.startswith(("BuildKit", "Docker"))]
    if builders:
        yield Goal("the best of Docker and BuildKit, by ours", min(builders) / walls[ours], 10, "{:.1f} x", at_least=True)
    if CRANE in walls:
        yield Goal("crane append, by ours", walls[CRANE] / walls[ours], 5, "{:.1f} x", at_least=True)


def cold(bench: Bench, plan: Plan, line: Line) -> Section:
    """A fresh blobless clone and an empty cache each round, warm ones in between."""
    costs: dict[str, list[Cost]] = {"cold, blobless clone": [], "warm, whole clone": []}
    for number in plan.each(plan.rounds):
        for name in costs:
            commit, parent = line.take()
            measured(bench, Ours(bench), parent, "bench/cold")
            ours = _cold_one(bench, commit, number) if name.startswith("cold") else Ours(bench)
            costs[name].append(measured(bench, ours, commit, "bench/cold"))
            if ours.repository and ours.cache:
                shutil.rmtree(ours.repository)
                shutil.rmtree(ours.cache)
    cold_wall, warm_wall = (measure.median(found, _wall) for found in costs.values())
    goal = Goal("cold, by warm", cold_wall / warm_wall, 2, "{:.2f} x")
    text = (
        "Each round clones anew (`git clone --filter=blob:none --no-checkout`, from this machine's disk, not counted) and has an empty "
        "cache, as a CI job does. The parent has an image."
    )
    return Section("One-file commit, cold cache on a blobless clone", text, costs, [goal], lambda: _next_cold(bench, line))


def _cold_one(bench: Bench, commit: str, number: int) -> Ours:
    clone, cache = bench.folder / f"blobless-{number}", bench.folder / f"cache-{number}"
    cache.mkdir()
    git(bench.folder, "clone", "--quiet", "--filter=blob:none", "--no-checkout", bench.repository.as_uri(), str(clone))
    git(clone, "rev-parse", commit)
    return Ours(bench, clone, cache)


def nothing(bench: Bench, plan: Plan, line: Line) -> Section:
    ours = Ours(bench)
    commit, _ = line.take()
    measured(bench, ours, commit, "bench/nothing")
    costs = [measured(bench, ours, commit, "bench/nothing") for _ in plan.each(2 * plan.rounds)]
    goals = [
        Goal("wall", measure.median(costs, _wall), 0.2, "{:.3f} s"),
        Goal("requests", max(cost.requests for cost in costs), 2, "{:.0f}"),
    ]
    argv = ours.argv(commit, f"{bench.registry.host}/bench/nothing")
    return Section("Nothing to do", "The commit has its image.", {ours.name: costs}, goals, lambda: (argv, ours.environment()))


def first(bench: Bench, plan: Plan, line: Line, crane: Crane | None) -> Section:
    """The whole tree into a repository that has base and tool layers, and nothing else."""
    ways: list[Way] = [Ours(bench), *([crane] if crane else [])]
    costs: dict[str, list[Cost]] = {way.name: [] for way in ways}
    for number in plan.each(max(3, plan.rounds // 2)):
        commit, _ = line.take()
        for way in ways:
            target = f"bench/first-{number}-{way.name.split()[0]}"
            _begin(bench, way, target)
            costs[way.name].append(measured(bench, way, commit, target))
    walls = [measure.median(found, _wall) for found in costs.values()]
    goals = [Goal("ours, by crane append", walls[0] / walls[1], 1, "{:.2f} x")] if crane else []
    text = (
        "Into a repository of the registry that holds the base (and for ours the tool layers, which are made once per version), and no "
        "image of any ancestor."
    )
    return Section("First build of the whole tree", text, costs, goals, lambda: _first_again(bench, line))


def _begin(bench: Bench, way: Way, target: str) -> None:
    """The base, and a repository of one small file."""
    furnish(bench, target)
    commit = git(bench.tiny, "rev-parse", "HEAD").strip()
    measured(bench, replace(way, repository=bench.tiny), commit, target)  # type: ignore[type-var]


def missing(bench: Bench, plan: Plan) -> Section:
    ours, target = Ours(bench), "bench/missing"
    _begin(bench, ours, target)
    newest, oldest = bench.commits[-1], bench.commits[-1 - MISSING]
    mark = bench.registry.mark()
    cost = ours.push(newest, f"{bench.registry.host}/{target}", "--missing", "--since", oldest)
    cost = replace(cost, requests=bench.registry.requests_since(mark), sent=_sent(bench, target))
    goal = Goal("commits per second", MISSING / cost.seconds, 10, "{:.1f}", at_least=True)
    text = f"{MISSING} commits, none of which has an image, in one `builder image --missing`."
    return Section("Every commit of a branch", text, {ours.name: [cost]}, [goal], lambda: _missing_again(bench))


def _sent(bench: Bench, target: str) -> int:
    """Fails when a commit has no image."""
    return sum(bench.registry.new_bytes(target, commit) for commit in bench.commits[-MISSING:])


def sharding(bench: Bench, plan: Plan, other: Path | None) -> Section:
    """New bytes per commit, from the plans alone."""
    rows = {"this repository": _statistics(bench.repository, len(bench.commits) - 1)}
    if other:
        rows["a large public training repository"] = _statistics(other, 300)
    forms = {"files": "{:,.0f}", "bytes": "{:.0f} MB", "commits": "{:.0f}", "layers": "{:.0f}", "median": "{:.1f} MB", "p90": "{:.1f} MB"}
    lines = [
        " | ".join([f"| {name}", *(form.format(found[key] / (_MB if "MB" in form else 1)) for key, form in forms.items())]) + " |"
        for name, found in rows.items()
    ]
    goals = [
        goal
        for name, found in rows.items()
        for goal in (
            Goal(f"new bytes, median, {name}", found["median"] / _MB, 3, "{:.1f} MB"),
            Goal(f"code layers, {name}", found["layers"], 40, "{:.0f}"),
        )
    ]
    head = "| repository | files | size | commits | code layers | new per commit, median | p90 |\n|---|--:|--:|--:|--:|--:|--:|\n"
    text = "Bytes of the uncompressed tars of the layers that a commit does not share with the one before.\n\n" + head + "\n".join(lines)
    return Section("New bytes per commit", text, {}, goals)


def memory(sections: Sequence[Section]) -> Section:
    """Over everything of ours that was measured."""
    peaks = {section.title: max(cost.rss for cost in next(iter(section.ways.values()))) for section in sections if section.ways}
    worst = max(peaks, key=lambda title: peaks[title])
    goal = Goal("peak RSS", peaks[worst] / _MB, 200, "{:.0f} MB")
    return Section("Memory", f"The largest process of ours in any round: “{worst}”.", {}, [goal])


def _statistics(repository: Path, commits: int) -> dict[str, float]:
    """In a process of its own: memory that this one had used would count as its children's."""
    argv = [sys.executable, str(HERE / "sharding.py"), str(repository), str(commits)]
    return dict(json.loads(subprocess.run(argv, check=True, capture_output=True).stdout))


def _next(ours: Ours, line: Line) -> tuple[list[str], Mapping[str, str]]:
    commit, parent = line.take()
    measured(ours.bench, ours, parent, _target(ours))
    return ours.argv(commit, f"{ours.bench.registry.host}/{_target(ours)}"), ours.environment()


def _next_cold(bench: Bench, line: Line) -> tuple[list[str], Mapping[str, str]]:
    commit, parent = line.take()
    measured(bench, Ours(bench), parent, "bench/cold")
    ours = _cold_one(bench, commit, 1000 + len(list(bench.folder.iterdir())))
    return ours.argv(commit, f"{bench.registry.host}/bench/cold"), ours.environment()


def _first_again(bench: Bench, line: Line) -> tuple[list[str], Mapping[str, str]]:
    target = f"bench/again-{time.monotonic_ns()}"
    _begin(bench, Ours(bench), target)
    return Ours(bench).argv(line.take()[0], f"{bench.registry.host}/{target}"), bench.env


def _missing_again(bench: Bench) -> tuple[list[str], Mapping[str, str]]:
    """Ten of them, into a repository of its own each time."""
    target = f"bench/again-{time.monotonic_ns()}"
    _begin(bench, Ours(bench), target)
    argv = Ours(bench).argv(bench.commits[-1], f"{bench.registry.host}/{target}", "--missing", "--since", bench.commits[-11])
    return argv, bench.env


def _target(way: Way) -> str:
    return "bench/" + "".join(letter for letter in way.name.lower() if letter.isalnum())


def _wall(cost: Cost) -> float:
    return cost.seconds
