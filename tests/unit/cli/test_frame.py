"""The frame: which command a line means, what help lists, what becomes of an error."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest

from builder.cli import commands, frame
from builder.cli.errors import EXIT_CODES
from builder.errors import AuthError, BuilderError, SettingsError, StoreError


def fake(name: str, body: click.Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes `body` the command of that name."""
    module = ModuleType(f"builder.cli.{name}")
    module.command = body  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, f"builder.cli.{name}", module)
    names = [*commands.names(), name]
    monkeypatch.setattr(commands, "names", lambda: names)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What the `run` command was called with."""
    seen: list[str] = []

    @click.command()
    @click.argument("words", nargs=-1)
    @click.option("--on")
    def run(words: tuple[str, ...], on: str | None) -> None:
        seen.extend([*words, *([on] if on else [])])

    fake("run", run, monkeypatch)
    monkeypatch.chdir(tmp_path)
    return seen


def failing(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def body() -> None:
        raise error

    fake("failing", body, monkeypatch)


def test_help_lists_only_commands_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.run(["--help"]) == 0
    text = capsys.readouterr().out
    here = Path(commands.__file__).parent
    for listed in commands.GROUPS.values():
        for name in listed:
            assert (f"\n  {name} " in text) == (here / f"{commands.module_name(name)}.py").exists(), name
    assert "\nOnce:\n" in text
    assert "Later" not in text, "what is there is for now"


def test_no_words_at_all_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.run([]) == 0
    assert capsys.readouterr().out.startswith("Usage: builder")


def test_every_command_explains_itself() -> None:
    for name in commands.names():
        command = frame.command_of([name])
        assert isinstance(command, click.Command), name
        assert command.help, name
        assert any("-v" in parameter.opts for parameter in command.params), name


def test_help_imports_no_command_and_nothing_heavy() -> None:
    script = (
        "import sys; from builder.cli.frame import run; run(['--help']); "
        "sys.stderr.write(' '.join(sorted(sys.modules)))"
    )  # fmt: skip
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    ours = {name for name in loaded if name.startswith("builder")}
    assert ours == {"builder", *(f"builder.{m}" for m in ("cli", "cli.commands", "cli.errors", "cli.frame", "cli.output", "errors"))}
    assert loaded.isdisjoint({"urllib3", "rich", "git", "docker", "msgspec", "subprocess", "tomllib"})


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["finetune@abc1234"], ["finetune@abc1234"]),
        (["finetune@main@{yesterday}", "lr=1", "--on", "docker"], ["finetune@main@{yesterday}", "lr=1", "docker"]),
        (["finetune"], ["finetune"]),
        (["mine", "x=1"], ["mine", "x=1"]),
        (["run", "mine"], ["mine"]),
        (["-v", "mine@HEAD"], ["mine@HEAD"]),
    ],
)
def test_a_flow_is_short_for_run(ran: list[str], line: list[str], words: list[str]) -> None:
    Path("builder.toml").write_text("[flow.mine]\n")
    assert frame.run(line) == 0
    assert ran == words


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("compltion", "did you mean `builder completion`?"),
        ("abc1234", "to run that revision: `builder run finetune@abc1234`"),
        ("HEAD~3", "to run that revision: `builder run finetune@HEAD~3`"),
        ("origin/main", "to run that revision: `builder run finetune@origin/main`"),
        ("zzz", "`builder --help` lists the commands"),
    ],
)
def test_an_unknown_word(ran: list[str], capsys: pytest.CaptureFixture[str], word: str, hint: str) -> None:
    assert frame.run([word]) == 2
    assert capsys.readouterr().err == f"error: no such command: {word}\nhint: {hint}\n"


@pytest.mark.parametrize("line", [["image", "e85a89e"], ["image", "--dry-run", "HEAD~2"], ["deps", "v1.0"]])
def test_a_commit_that_is_named_as_if_it_were_an_argument(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.run(line) == 2
    assert capsys.readouterr().err.endswith(f"hint: a commit is named so: --commit {line[-1]}\n")


@pytest.mark.parametrize("line", [["--nonsense"], ["completion"], ["completion", "csh"], ["completion", "bash", "--nonsense"]])
def test_wrong_usage_ends_with_2(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.run(line) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: ")
    assert "hint: `builder" in said.err
    assert said.out == ""


@pytest.mark.parametrize("group", ["base", "data", "devbox"])
def test_a_group_without_a_word_is_its_help(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.run([group]) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"Usage: builder {group} ")
    assert "hint:" not in said.err
    assert said.out == ""


@pytest.mark.parametrize(
    ("line", "whose"),
    [(["deploy", "--to"], "deploy"), (["base", "mirror", "--to"], "base mirror"), (["finetune@HEAD", "--on"], "run")],
)
def test_an_option_without_its_value(line: list[str], whose: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.run(line) == 2
    said = capsys.readouterr().err
    assert "requires an argument" in said
    assert said.endswith(f"hint: `builder {whose} --help` shows what it takes\n")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (StoreError("r/x: cannot push", "try again"), 1, "error: r/x: cannot push\nhint: try again\n"),
        (SettingsError("builder.toml: a: unknown key"), 2, "error: builder.toml: a: unknown key\n"),
        (AuthError("r: denied"), 4, "error: r: denied\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (click.Abort("run the same line again, it goes on"), 130, "interrupted: run the same line again, it goes on\n"),
        (KeyError("x"), 1, "error: internal error: KeyError: 'x'\nhint: run it again with -v"),
        (BuilderError("\x1b[31mred\x07"), 1, "error: \\x1b[31mred\\x07\n"),
        (click.exceptions.Exit(1), 1, ""),
    ],
)
def test_errors_become_lines_and_exit_codes(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(error, monkeypatch)
    assert frame.run(["failing"]) == code
    assert code in EXIT_CODES
    err = capsys.readouterr().err.lstrip("\n")
    assert err.startswith(said)
    assert "Traceback" not in err


@pytest.mark.parametrize("line", [["-v", "failing"], ["failing", "-v"], ["failing", "--verbose"]])
def test_the_traceback_comes_with_v(line: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    failing(StoreError("broken"), monkeypatch)
    assert frame.run(line) == 1
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert said.endswith("error: broken\n")


def test_a_returned_number_is_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def body() -> int:
        return 1

    fake("answer", body, monkeypatch)
    assert frame.run(["answer"]) == 1


def below(kind: type[BuilderError]) -> Iterator[type[BuilderError]]:
    for inner in kind.__subclasses__():
        yield inner
        yield from below(inner)


def test_every_error_class_has_a_documented_exit_code() -> None:
    kinds: list[type[BuilderError]] = [BuilderError, *below(BuilderError)]
    assert {kind.exit_code for kind in kinds} <= set(EXIT_CODES)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (["image", "--to", ""], "--to"),
        (["image", "--to="], "--to"),
        (["image", "-o", ""], "-o"),
        (["base", "pin", ""], "an argument"),
        (["verify", "--repo", "", "HEAD"], "--repo"),
    ],
)
def test_an_empty_value_is_not_the_default(line: list[str], what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.run(line) == 2
    assert capsys.readouterr().err == f"error: {what} is empty\nhint: is a variable unset?\n"


def test_an_empty_value_of_a_key_is_the_flows_affair(ran: list[str]) -> None:
    assert frame.run(["finetune", "name="]) == 0
    assert ran == ["finetune", "name="]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("builder 0.")


def git(repository: Path, *arguments: str) -> None:
    identity = {"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@x", "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@x"}
    subprocess.run(["git", *arguments], cwd=repository, check=True, env={**os.environ, **identity}, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "builder.toml").write_text('[flow.mine]\nconfig = "c.yaml"\ndefaults = { seed = 7 }\nevals = { click = ["true"] }\n')
    (tmp_path / "c.yaml").write_text("lr: 0.1\nmodel: {layers: 2}\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "First")
    git(tmp_path, "tag", "v1")
    return tmp_path


def complete_in_bash(repository: Path, *words: str) -> list[str]:
    """Sources the script in a real bash and presses tab after the last word."""
    bin_path = repository / ".git" / "bin"
    bin_path.mkdir(exist_ok=True)
    tool = bin_path / "builder"
    tool.write_text(f'#!/bin/sh\nexec {sys.executable} -m builder "$@"\n')
    tool.chmod(0o755)
    quoted = " ".join(f"'{word}'" for word in ("builder", *words))
    script = (
        'eval "$(builder completion bash 2>/dev/null)"; '
        f"COMP_WORDS=({quoted}); COMP_CWORD={len(words)}; _builder_completion builder; "
        'printf "%s\\n" "${COMPREPLY[@]}"; [[ $COMP_WORDBREAKS == *@* ]] && echo broken at @'
    )  # fmt: skip
    environ = {**os.environ, "PATH": f"{bin_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], cwd=repository, capture_output=True, text=True, env=environ, check=False)
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1]


def test_completion_in_a_real_bash(repository: Path) -> None:
    assert complete_in_bash(repository, "compl") == ["completion"]
    assert complete_in_bash(repository, "mi") == ["mine@"]
    words = ["mine@green", "mine@live", "mine@last", "mine@HEAD", "mine@main", "mine@v1"]
    assert complete_in_bash(repository, "mine@")[:-1] == words  # and the short sha


def test_completion_of_the_configurations_keys(repository: Path) -> None:
    assert complete_in_bash(repository, "mine@HEAD", "") == ["seed=", "lr=", "model.layers=", "evals="]
    assert complete_in_bash(repository, "run", "mine@HEAD", "mod") == ["model.layers="]
    (repository / "c.yaml").write_text("other: 1\n")
    assert complete_in_bash(repository, "mine@HEAD", "o") == [""], "the commit's own file counts"
    assert complete_in_bash(repository, "mine@nowhere", "l") == [""]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_and_says_where_it_goes(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.run(["completion", shell]) == 0
    said = capsys.readouterr()
    assert "_BUILDER_COMPLETE" in said.out
    assert f"builder completion {shell} >" in said.err


def test_completion_outside_of_a_repository_offers_what_it_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("builder.toml").write_text("broken")
    offered = [item.value for item in frame.root.shell_complete(click.Context(frame.root), "finetune@")]
    assert offered == ["finetune@green", "finetune@live", "finetune@last", "finetune@HEAD"]


def test_what_the_system_refuses_is_no_internal_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert frame.run(["image"]) == 1
    said = capsys.readouterr().err
    assert "error: the working directory is gone" in said
    assert "internal" not in said
