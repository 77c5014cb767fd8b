"""What is printed where, and how numbers read."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from builder.cli import output
from builder.cli.progress import Bars, Lines, progress


def test_only_results_go_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    output.result("r")
    output.note("n")
    output.warn("w")
    output.error("e", "h")
    said = capsys.readouterr()
    assert said.out == "r\n"
    assert said.err == "n\nwarning: w\nerror: e\nhint: h\n"


def test_what_goes_to_stderr_holds_no_password(capsys: pytest.CaptureFixture[str]) -> None:
    output.note("https://me:secret@h/x and ssh://git@h:22/x")
    output.error("https://secret@h/x", "s3://key:secret@bucket")
    assert capsys.readouterr().err == "https://***@h/x and ssh://git@h:22/x\nerror: https://***@h/x\nhint: s3://***@bucket\n"


def test_a_terminal_never_obeys_what_others_wrote(capsys: pytest.CaptureFixture[str]) -> None:
    output.result("a\x1b]0;owned\x07b\x9bc\rd\te")
    output.table(["subject"], [["x\x1b[2J\ny"]])
    assert capsys.readouterr().out == "a\\x1b]0;owned\\x07b\\x9bc\\x0dd\te\nsubject\nx\\x1b[2J y\n"


def test_a_table_off_a_terminal_is_plain_columns(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(["commit", "new"], [["abc", "1.2 MB"], ["defghij", "3 B"]], right=["new"])
    assert capsys.readouterr().out == "commit      new\nabc      1.2 MB\ndefghij     3 B\n"


@pytest.mark.parametrize("columns", [20, 40, 59])
def test_a_narrow_terminal_cuts_subjects_and_never_digests(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "is_terminal", lambda _: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    output.table(("COMMIT", "SUBJECT", "NEW"), [("abcdef123456", "A long subject that goes on and on and on", "1.2 MB")], right=("NEW",))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("abcdef123456  A long")
    assert lines[1].endswith("1.2 MB")
    assert "…" in lines[1]


def test_every_document_says_its_schema(capsys: pytest.CaptureFixture[str]) -> None:
    output.document({"a": 1})
    assert json.loads(capsys.readouterr().out) == {"schema": 1, "a": 1}
    output.document([{"a": 1}, {"a": 2}])
    assert json.loads(capsys.readouterr().out) == [{"schema": 1, "a": 1}, {"schema": 1, "a": 2}]


@pytest.mark.parametrize(("arguments", "form"), [([], "name"), (["-o", "json"], "json"), (["--output", "table"], "table")])
def test_off_a_terminal_names_are_the_default(arguments: list[str], form: str) -> None:
    @click.command()
    @output.format_option("table", "json", "name")
    def command(form: str) -> None:
        output.result(form)

    assert CliRunner().invoke(command, arguments).output == f"{form}\n"


def test_without_names_the_first_form_is_the_default() -> None:
    @click.command()
    @output.format_option("table", "json")
    def command(form: str) -> None:
        output.result(form)

    assert CliRunner().invoke(command, []).output == "table\n"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_234_567, "1.2 MB"),
        (999_960, "1.0 MB"),
        (20_400_000_000, "20.4 GB"),
        (10**16, "10000.0 TB"),
    ],
)
def test_sizes(count: int, text: str) -> None:
    assert output.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "40 ms"),
        (0.41, "0.4 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.9, "1 h 00 min"),
        (6000, "1 h 40 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert output.duration(seconds) == text


def test_plural() -> None:
    assert [output.plural(n, "layer") for n in (0, 1, 2)] == ["0 layers", "1 layer", "2 layers"]


def test_progress_off_a_terminal_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 1.0, 11.0, 11.0, 12.0])
    monkeypatch.setattr("builder.cli.progress.time.monotonic", lambda: next(now))
    assert isinstance(progress(), Lines)
    with Lines().task("mirroring", 2_000_000, "bytes") as advance:
        for _ in range(3):
            advance(500_000)
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "mirroring: 1.0 MB of 2.0 MB\n")


def test_bars_draw_on_stderr_only(capsys: pytest.CaptureFixture[str]) -> None:
    with Bars().task("[b]copying", 3) as advance:
        advance(3)
    assert capsys.readouterr().out == ""


SHOW = """
from builder.cli import output
output.table(["a"], [["[bold]x"]])
output.warn("w")
"""


def on_a_terminal(**environ: str) -> str:
    """What a program writes to a real (pseudo) terminal."""
    master, slave = pty.openpty()
    variables = {**os.environ, "TERM": "xterm", **environ}
    subprocess.run([sys.executable, "-c", SHOW], stdout=slave, stderr=slave, env=variables, check=True)
    os.close(slave)
    said = io.BytesIO()
    try:
        while chunk := os.read(master, 4096):
            said.write(chunk)
    except OSError:  # Linux says so at the end of a terminal
        pass
    os.close(master)
    return said.getvalue().decode()


def test_colour_on_a_terminal_unless_it_is_not_wanted() -> None:
    coloured = on_a_terminal(NO_COLOR="")
    assert "\x1b[33mwarning: \x1b[0mw" in coloured
    assert "[bold]x" in coloured
    assert "\x1b" not in on_a_terminal(NO_COLOR="1")
    assert "\x1b" not in on_a_terminal(TERM="dumb")
