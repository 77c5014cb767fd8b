"""The report that people read: as Markdown, and as the parts of a card; and links to other tools."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from builder.model.run import Metric, RunResult, Training
from builder.steps.cards import loss_chart, thinned
from builder.steps.links import links_of
from builder.steps.markdown import plain, render
from tests.fixtures.requests import request_in

BACKTICK = "\N{MODIFIER LETTER GRAVE ACCENT}"
RESULT = RunResult(
    run="run-1",
    flow="finetune",
    commit="a" * 40,
    reference="registry.test/x@sha256:00",
    state="succeeded",
    config="sha256:c0",
    checkpoint="sha256:c4",
    loss=0.25,
    scores={"click": 0.5, "a|b": None},
    holes={"a|b": "it <b>ended</b>\nbadly"},
    baseline={"run": "run-0", "commit": "b" * 40, "scores": {"click": 0.4}, "loss": 0.5},
    links={"argo": "https://argo.test/a (b)", "report": "s3://bucket/runs/run-1/report.md"},
)


def test_a_whole_report(tmp_path: Path) -> None:
    request = replace(request_in(tmp_path), subject="Stop sooner, at first_loss")
    assert (
        render(request, RESULT, {})
        == """\
# finetune at aaaaaaaaaaaa: succeeded

Stop sooner, at first_loss

|  | value | change |
| --- | ---: | ---: |
| click | 0.5000 | +0.1000 |
| `a\\|b` | - |  |
| loss | 0.2500 | -0.2500 |

Change: since run-0, the last green run of the default branch.

**`a|b`** has no score: `it <b>ended</b>`

[argo](https://argo.test/a%20(b%29)

- run: `run-1`
- commit: `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa`
- image: `registry.test/x@sha256:00`
- configuration: `sha256:c0`
- checkpoint: `sha256:c4`
- compared with: `run-0` at `bbbbbbbbbbbb`
- report: `s3://bucket/runs/run-1/report.md`
"""
    )


def test_without_a_run_before_it_nothing_has_changed(tmp_path: Path) -> None:
    text = render(request_in(tmp_path), replace(RESULT, baseline={}, holes={}, loss=None, checkpoint="", links={}), {})
    assert "|  | value |\n| --- | ---: |\n| click | 0.5000 |\n" in text
    for word in ("loss", "hange", "checkpoint"):
        assert word not in text


@pytest.mark.parametrize("text", ["_x_", "*x*", "<b>", "a | b", "[x](y)", "# x", "&amp;", "- x", "~~x~~", "a `b`"])
def test_text_that_would_be_markup_is_code(text: str) -> None:
    assert plain(text) == f"`{text.replace('`', BACKTICK)}`"


def test_other_text_stays() -> None:
    for text in ("Read first_name as two words", "Ä/ö (x), y: 'z'?", "double-click", "Übung 7.5"):
        assert plain(text) == text


def curve(*values: tuple[float, float]) -> Training:
    return Training("", tuple(Metric(step, "loss", value) for step, value in values), 1.0)


def test_the_curve_of_the_loss() -> None:
    chart = loss_chart(curve((0, 2.0), (10, float("nan")), (20, 0.5)))
    assert chart["data"]["values"] == [{"step": 0, "loss": 2.0}, {"step": 10, "loss": None}, {"step": 20, "loss": 0.5}]
    assert chart["encoding"]["x"]["axis"]["tickMinStep"] == 1
    assert "tickMinStep" not in loss_chart(curve((0.5, 2.0)))["encoding"]["x"]["axis"]


def test_a_long_curve_is_thinned_out_evenly() -> None:
    for count in (1, 1000, 1001, 54321):
        losses = curve(*((step, 1.0) for step in range(count))).losses
        shown = thinned(losses)
        assert 500 <= len(shown) <= 1000 if count > 1000 else len(shown) == count
        assert shown[-1] == losses[-1]
        assert len({b.step - a.step for a, b in pairwise(shown)}) <= 1


def test_the_jobs_of_steps_with_their_links(tmp_path: Path) -> None:
    job = {"id": "7", "cluster": "login_node", "state": "COMPLETED"}
    records = {
        "finetune": {"state": "succeeded", "started": "", "job": job, "links": {"log": "https://l.test/7 (x)"}},
        "end": {"state": "running"},
    }
    text = render(request_in(tmp_path), RESULT, records)
    assert text.endswith("- finetune: job `7` on login_node · [log](https://l.test/7%20(x%29)\n")


def test_links_of_a_step_and_its_job(tmp_path: Path) -> None:
    links = {
        "slurm": "https://s.test/{job}/{job_name}?file={job_log}",
        "logs": "https://l.test/{run}/{step}",
        "run": "https://r.test/{run}",
    }
    request = replace(request_in(tmp_path), links=links)
    job = {"id": "7", "name": "run-1.finetune-a1", "log": "/shared/{step}/log"}
    assert links_of(request) == {"run": "https://r.test/run-1"}
    assert links_of(request, "finetune") == {"logs": "https://l.test/run-1/finetune", "run": "https://r.test/run-1"}
    assert links_of(request, "finetune", {**job, "log": "/shared/log"})["slurm"] == "https://s.test/7/run-1.finetune-a1?file=/shared/log"


def test_links_are_filled_where_their_words_mean_something(tmp_path: Path) -> None:
    links = {"argo": "https://a.test/{namespace}/{workflow}", "logs": "https://l.test/{run}?{flow}={commit}"}
    request = replace(request_in(tmp_path), links=links, namespace="team")
    logs = f"https://l.test/run-1?finetune={'a' * 40}"
    assert links_of(replace(request, on="argo")) == {"argo": "https://a.test/team/run-1", "logs": logs}
    assert links_of(replace(request, on="local")) == {"logs": logs}
