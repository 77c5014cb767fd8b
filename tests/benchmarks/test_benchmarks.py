"""The benchmark's own arithmetic: what it counts, and what it calls reached."""

import os
import re
import subprocess
import sys
from pathlib import Path

import ci_figures
import code_figures
import cold_docker
import gc_figures
import measure
import pytest
import queue_figures
import report
import sharding
import slimming
from measure import Cost
from peers import Bench
from repository import generate
from scenarios import Goal, Plan, Section

_BUSY = "import subprocess, sys, time\nsubprocess.run([sys.executable, '-c', {child!r}])"


def test_cpu_and_memory_of_children_count() -> None:
    child = "x = bytearray(120_000_000)\nfor _ in range(3_000_000): pass"
    cost = measure.run([sys.executable, "-c", _BUSY.format(child=child)])
    assert cost.cpu > 0.05
    assert 120e6 < cost.rss < 400e6
    assert cost.seconds > 0.05


def test_a_command_that_fails_is_no_figure() -> None:
    with pytest.raises(measure.CommandFailed, match="too bad"):
        measure.run([sys.executable, "-c", "raise SystemExit('too bad')"])


@pytest.mark.parametrize(("values", "share", "expected"), [([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 0.9, 9), ([5], 0.9, 5), ([3, 1, 2], 0.5, 2)])
def test_percentile(values: list[float], share: float, expected: float) -> None:
    assert measure.percentile(values, share) == expected


def test_page_marks_what_is_not_reached() -> None:
    fast, slow = Cost(0.2, 0.1, 30_000_000), Cost(2.0, 1.0, 90_000_000, sent=40_000_000, requests=60)
    goals = [Goal("wall", 0.2, 0.4, "{:.3f} s"), Goal("theirs, by ours", 9.9, 10, "{:.1f} x", at_least=True)]
    page = report.page(["2 cores"], [Section("One", "Text.", {"ours": [fast], "theirs": [slow]}, goals)], {"One": "PROFILE"}, [])
    assert "| One | wall ≤ 0.4 s | 0.200 s | reached |" in page
    assert "| One | theirs, by ours ≥ 10 x | 9.9 x | NOT reached |" in page
    assert "| theirs | 2.00 s | one round | 10.0 x | 1.00 s |  | 40.0 MB | 60 | 90 MB |" in page
    assert "PROFILE" in page


def test_status_of_runs_that_were_read_before(tmp_path: Path) -> None:
    section = queue_figures.status(Plan(1, 0.0, print), {}, runs=7)
    assert list(section.ways) == ["a directory"]
    assert [goal.limit for goal in section.goals] == [1.0]


@pytest.mark.slurm
def test_a_change_of_one_file_to_the_cluster(tmp_path: Path, services: dict[str, str]) -> None:
    repository = generate(tmp_path / "repository", files=300, megabytes=1, commits=2)
    section = code_figures.section(Plan(1, 0.0, print), services, repository)
    assert section is not None
    ours, rsync, tar = (costs[0].sent for costs in section.ways.values())
    assert 0 < ours < tar / 3
    assert 0 < rsync < tar / 3
    assert code_figures.section(Plan(1, 0.0, print), {}, repository) is None


def test_a_job_is_the_sum_of_its_stages() -> None:
    stages = ci_figures.Stages()
    for factor in (1, 2, 3):
        stages.add({"clone": (Cost(1.0 * factor, 0.5, 10), 100), "push": (Cost(2.0, 1.0, 30, daemon_cpu=4.0, sent=7, requests=9), 7)})
    assert [cost.seconds for cost in stages.totals] == [3.0, 4.0, 5.0]
    assert (stages.totals[0].cpu, stages.totals[0].rss, stages.totals[0].daemon_cpu) == (1.5, 30, 4.0)
    assert (stages.totals[0].sent, stages.totals[0].requests, stages.bytes()) == (7, 9, 107)


def test_a_code_layer_is_the_whole_tree(tmp_path: Path) -> None:
    """What one layer takes is about what its files do, compressed, whatever the commit changed."""
    repository = generate(tmp_path / "repository", files=200, megabytes=1, commits=3)
    bench = Bench(tmp_path, repository, repository, (), None, "", {})  # type: ignore[arg-type]
    sizes = [ci_figures._whole_layer(bench, revision) for revision in ("HEAD", "HEAD~1")]
    assert all(100_000 < size < 1_000_000 for size in sizes)
    assert max(sizes) < 1.1 * min(sizes)


@pytest.mark.docker
@pytest.mark.containerd
def test_a_cold_engine_has_nothing(services: dict[str, str]) -> None:
    docker, containerd = services["BUILDER_TEST_DOCKER"], services["BUILDER_TEST_CONTAINERD"]
    with cold_docker.engine(docker, containerd, services.get("BUILDER_TEST_REGISTRY", "127.0.0.1:1")) as socket:
        said = subprocess.run([docker, "--host", socket, "images", "--quiet"], capture_output=True, text=True, check=True).stdout
        assert said == ""
        assert Path(socket.removeprefix("unix://")).exists()
    assert not Path(socket.removeprefix("unix://")).parent.exists()


@pytest.mark.minutes
@pytest.mark.parametrize("place", [gc_figures.LAYOUT, gc_figures.REGISTRY, pytest.param(gc_figures.DOCKER, marks=pytest.mark.registry)])
def test_clean_up_that_is_killed_goes_on(place: str) -> None:
    """The section itself checks that all went that should, and nothing else."""
    section = gc_figures.section(Plan(1, 0.0, print), os.environ, 100, (place,))
    assert [goal.what for goal in section.goals] == [f"minutes, {place}", f"peak memory, {place}"]
    assert f"| {place} | 100 | {5 if place == gc_figures.DOCKER else 99} |" in section.text


@pytest.mark.minutes
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("place", [gc_figures.LAYOUT, gc_figures.REGISTRY])
def test_clean_up_needs_kilobytes_for_an_image(place: str) -> None:
    grown = peak_of_clean_up(2200, place) - peak_of_clean_up(200, place)
    assert grown < 30, f"{grown} MB for 2,000 images of 40 layers"


def peak_of_clean_up(images: int, place: str) -> int:
    """In MB. Seen from a small process: what a process had when it forks counts for what it starts."""
    done = subprocess.run([sys.executable, gc_figures.__file__, str(images), place], stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(re.findall(r"removed, (\d+) MB", done.stderr)[-1])


def test_new_bytes_are_those_of_changed_layers(tmp_path: Path) -> None:
    found = sharding.main(generate(tmp_path / "repository", files=300, megabytes=1, commits=6), 5)
    assert (found["commits"], found["files"]) == (5, 300)
    assert found["layers"] <= 40
    assert 0 < found["median"] <= found["p90"] < 1_000_000 + 300 * 1024


@pytest.mark.parametrize(
    ("after", "wrong"),
    [
        ({"small": "s", "big": "b"}, False),  # kept
        ({"small": "s"}, False),  # taken out
        ({"small": "s", "big": "placeholder", ".gitattributes": "made"}, False),
        ({"small": "s", "big": "earlier"}, True),  # an earlier version lives on
        ({"big": "b"}, True),  # a small one is lost
        ({}, True),  # the commit is lost
        ({"small": "s", "other": "earlier"}, True),  # a file that was gone lives on
    ],
)
def test_which_trees_are_wrong(after: dict[str, str], wrong: bool) -> None:
    sizes = {"s": 10, "b": 10 << 20, "earlier": 10}
    assert slimming.is_wrong({"small": "s", "big": "b"}, after, sizes) == wrong
