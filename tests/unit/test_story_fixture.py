"""The reader of the tutorial notices what the page shows wrongly."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures.story import Reader, Told, told


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    home = tmp_path / "ada"
    home.mkdir()
    return Reader(home, {"registry.example.com": "127.0.0.1:5000"}, {"PATH": "/usr/bin:/bin"})


def test_every_command_of_the_tutorial_is_found() -> None:
    commands = [one.command for one in told("tutorial.md")]
    assert commands[0] == "builder demo --dir agent"
    assert any(command.endswith("\nEOF") and "[schedule.nightly]" in command for command in commands), "with what it is given"
    assert sum(command.startswith("builder ") for command in commands) > 12


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        (("took 3.1 s, 12 kB",), "took 250 ms, 1.5 MB"),
        (("a    b",), "a  b"),
        (("...", "end"), "one\ntwo\nend"),
        (("first", "..."), "first\nsecond"),
        (("first, ...",), "first, and more"),
        (("sha256:88602b7783b0 is there",), "sha256:aaaaaabbbbbb is there"),
        ((), "whatever"),
    ],
)
def test_what_is_the_same(reader: Reader, shown: tuple[str, ...], printed: str) -> None:
    reader.follow(Told(f"printf '%s\\n' '{printed}'", shown))


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        (("found 3 runs",), "found 3 images"),
        (("found 3 runs",), "found 4 runs"),
        (("9 commits, 9 of them have new names",), "9 commits, 3 of them have new names"),
        (("one",), "one\ntwo"),
        (("one", "two"), "one"),
        (("two", "one"), "one\ntwo"),
        (("...", "end"), "one"),
        (("+1",), "-1"),
    ],
)
def test_what_is_not(reader: Reader, shown: tuple[str, ...], printed: str) -> None:
    with pytest.raises(AssertionError, match=r"should print|more than"):
        reader.follow(Told(f"printf '%s\\n' '{printed}'", shown))


def test_a_command_that_fails(reader: Reader) -> None:
    with pytest.raises(AssertionError, match="false"):
        reader.follow(Told("false", ()))


def test_a_name_that_was_printed_is_used(reader: Reader) -> None:
    reader.follow(Told("echo run abc1234def56", ("run 0123456789ab",)))
    assert reader.follow(Told("echo 0123456 registry.example.com", ("0123456 registry.example.com",))) == "abc1234 registry.example.com\n"


def test_it_goes_where_it_was_led(reader: Reader) -> None:
    reader.follow(Told("mkdir below && cd below", ()))
    assert reader.follow(Told("pwd", ("/home/ada/below",))) == "/home/ada/below\n"
