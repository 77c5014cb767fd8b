"""From a merge to the nightly run that starts it: push, image, deploy, and the CronWorkflow names the new template."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import first_line
import measure
from measure import Cost
from scenarios import Plan, Section

from builder.deploy.cron import template_of
from tests.fixtures.team import Team

TITLE = "From merge to nightly"
_ROUNDS = 3
_NEEDED = {"BUILDER_TEST_CLUSTER", "BUILDER_TEST_S3", "BUILDER_TEST_BASE"}
_SCHEDULE = '\n[schedule.nightly]\nflow = "finetune"\ncron = "0 2 * * *"\n'
_ALL = "from `git push` until the CronWorkflow names the new template"
_STAGES = ("git push", "git clone, blobless", "builder image --missing", "builder deploy")
_TEXT = (
    "A branch is merged into main of a repository of 4,000 files and 100 MB and pushed; a job with a clone and a cache of its own, as on a "
    "new machine, makes the image and deploys; the clock stops when the cluster's CronWorkflow names the template of that commit. A CI "
    "system's own queue, the installation of the tool (see the whole CI job) and a team's tests are not in it."
)


def section(plan: Plan, env: Mapping[str, str]) -> Section | None:
    """None where there is no cluster."""
    if not set(env) >= _NEEDED:
        return None
    ways: dict[str, list[Cost]] = {name: [] for name in (_ALL, *(f"… {stage}" for stage in _STAGES))}
    with first_line._team(env) as team, tempfile.TemporaryDirectory(prefix="builder-bench-") as name:
        origin = _origin(team, Path(name))
        for number in range(_ROUNDS + 1):
            found = _merge(team, origin, Path(name) / f"job-{number}", number)
            for way, cost in zip(ways, found, strict=True):
                ways[way] += [cost] if number else []  # the first round only warms up
            plan.log(f"  round {number}: " + ", ".join(f"{cost.seconds:.1f} s" for cost in found))
    return Section(TITLE, _TEXT, ways)


def _origin(team: Team, folder: Path) -> Path:
    """What everybody pushes to. The schedule is deployed once."""
    origin = folder / "origin.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(origin)], check=True)
    for name in ("allowFilter", "allowAnySHA1InWant"):
        subprocess.run(["git", "-C", str(origin), "config", f"uploadpack.{name}", "true"], check=True)
    team.settings(_SCHEDULE)
    team.commit("Run every night")
    team.git("push", "--quiet", str(origin), "HEAD:refs/heads/main")
    return origin


def _merge(team: Team, origin: Path, job: Path, number: int) -> list[Cost]:
    """All of it, then stage by stage."""
    main = team.git("symbolic-ref", "--short", "HEAD")
    team.git("checkout", "--quiet", "-b", f"topic-{number}")
    with (team.repository / "agent/model.py").open("a") as file:
        file.write(f"# merged {number}\n")
    team.commit("Change the model")
    team.git("checkout", "--quiet", main)
    team.git("merge", "--quiet", "--no-ff", "-m", f"Merge topic {number}", f"topic-{number}")
    sha = team.git("rev-parse", "HEAD")
    env = {**team.environ, "XDG_CACHE_HOME": str(job / "cache"), "PYTHONSAFEPATH": "1"}
    builder, began = [sys.executable, "-m", "builder"], time.perf_counter()
    stages = [
        measure.run(["git", "push", "--quiet", str(origin), "HEAD:refs/heads/main"], cwd=team.repository, env=env),
        measure.run(["git", "clone", "--quiet", "--filter=blob:none", origin.as_uri(), str(job / "clone")], env=env),
        measure.run([*builder, "image", "--missing"], cwd=job / "clone", env=env),
        measure.run([*builder, "deploy", "--commit", sha], cwd=job / "clone", env=env),
    ]
    _wait_until_named(team, sha)
    seconds = time.perf_counter() - began
    shutil.rmtree(job)
    return [Cost(seconds, sum(cost.cpu for cost in stages), max(cost.rss for cost in stages)), *stages]


def _wait_until_named(team: Team, sha: str) -> None:
    deadline = time.monotonic() + 60
    while not template_of(team.get("cronworkflow", "nightly")).startswith(f"finetune-{sha[:12]}"):
        if time.monotonic() > deadline:
            raise measure.CommandFailed(f"the nightly run does not start {sha[:12]}")
        time.sleep(0.05)


if __name__ == "__main__":  # these figures alone, on the terminal
    import report

    quick = Plan(3, time.monotonic() + 3600, lambda text: print(text, file=sys.stderr, flush=True))
    if found := section(quick, os.environ):
        print(f"## {found.title}\n\n{found.text}\n\n{report._table(found.ways)}")
