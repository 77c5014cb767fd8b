"""What a look at a deploy says: which commit instead of which, and how it is done."""

from __future__ import annotations

import pytest

from builder.cli.deploy import Asked, Done
from builder.cli.foretelling import foretell
from builder.deploy.apply import Applied

SHA = "8c1f0a2b3d4e" + "0" * 28
ASKED = Asked((), "", "", "", rollback=False, bootstrap=False, prune=False, record=None, push=False, again=False, diff=False, dry_run=True)


def said(capsys: pytest.CaptureFixture[str], *applied: Applied) -> list[str]:
    foretell(Done(applied, SHA, "Train"), ASKED)
    heard = capsys.readouterr()
    assert heard.out == ""
    *lines, last = heard.err.splitlines()
    assert last == "nothing is done yet; the same command without --dry-run does it"
    return lines


@pytest.mark.parametrize(
    ("applied", "line"),
    [
        (Applied("schedule", "n", "changed", ("x",), "0f9e8d7c6b5a Low"), "would start 8c1f0a2b3d4e Train instead of 0f9e8d7c6b5a Low"),
        (Applied("schedule", "n", "changed", ("x",), "8c1f0a2b3d4e Train"), "would be changed, and start 8c1f0a2b3d4e Train as before"),
        (Applied("schedule", "n", "created"), "would be made, and start 8c1f0a2b3d4e Train"),
        (Applied("schedule", "n", "removed"), "would be removed"),
    ],
)
def test_a_schedule(applied: Applied, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, applied) == [f"schedule n {line}"]


def test_the_rest_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    templates = [Applied("template", name, "created") for name in "ab"]
    lines = said(capsys, *templates, Applied("queue", "x", "changed"), Applied("schedule", "n", "found"))
    assert lines == ["8c1f0a2b3d4e Train: 2 templates would be created, 1 queue would be changed"]
