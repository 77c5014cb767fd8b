"""`builder bisect` on a real Argo: interrupted while its runs go on, it goes on with these, and names the commit that was planted."""

from __future__ import annotations

import json
import signal

import pytest

from builder.data.ledger import RUN
from tests.fixtures.team import Team
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2400)]


def runs(team: Team) -> list[str]:
    return [entry.run for entry in team.ledger.runs() if entry.records.get(RUN, {}).get("state") == "submitted"]


def test_the_commit_that_was_planted(team: Team) -> None:
    good = team.git("rev-parse", "HEAD")
    features, config = (team.repository / name for name in ("agent/features.py", "configs/finetune.yaml"))
    broken = features.read_text().replace("sum(word in asked for word in offered)", "int(all(word in asked for word in offered))")
    less = config.read_text().replace("epochs: 8", "epochs: 2")
    planted = team.commit("Count whole labels alone", {"agent/features.py": broken, "configs/finetune.yaml": less})
    bad = team.commit("Explain the features", {"README.md": "Features are hashed.\n"})
    words = ("bisect", "finetune", "--good", good, "--bad", "HEAD", "--metric", "click<0.9", "--on", "argo", "--yes", "-o", "json")

    first = team.start(*words)
    ends = until(lambda: found if len(found := runs(team)) == 2 else None)
    first.send_signal(signal.SIGINT)
    _, said = first.communicate(timeout=600)
    assert (first.returncode, "2 runs go on" in said, "the same command goes on" in said) == (130, True, True), said

    second = team.start(*words)
    out, said = second.communicate(timeout=2000)
    assert second.returncode == 0, said
    found = json.loads(out)
    assert said.count("goes on already, on argo: it is waited for") == 2
    assert (found["sure"], found["suspects"], found["commit"]["commit"]) == (True, [planted], planted)
    assert (found["commit"]["before"], found["commit"]["author"]) == (good, "Ada <ada@example.org>")
    assert [file["path"] for file in found["commit"]["files"]] == ["agent/features.py", "configs/finetune.yaml"]
    assert [(commit["commit"], commit["verdict"]) for commit in found["tested"]] == [(bad, "bad"), (planted, "bad"), (good, "good")]
    before, after = found["comparison"]["sides"]
    assert (before["commit"], after["commit"], after["changes"]["config"]) == (good, planted, {"epochs": ["8", "2"]})
    assert {row["metric"] for row in found["comparison"]["scores"]} == {"loss", "click"}, "nothing else was evaluated"
    assert (set(runs(team)) - set(ends), len(runs(team))) == (set(found["started"]), 3), "nothing ran twice"

    other = team.commit("Explain the data", {"README.md": "Data is recorded.\n"})
    foreseen = team.json("bisect", "finetune", "--good", good, "--metric", "click<0.9", "--on", "argo", "--dry-run")
    assert (foreseen["suspects"], foreseen["next"], foreseen["cost"]["high"], foreseen["bad"]) == ([planted], [], 0, other), "it is known"
    assert foreseen["cost"]["seconds"] > 0
