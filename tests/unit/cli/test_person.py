"""Whose name runs carry."""

from __future__ import annotations

import pytest

from builder.cli.person import who
from tests.unit.forge.test_build_here import CIRCLE, GITHUB


@pytest.mark.parametrize(
    "environ", [GITHUB, CIRCLE, {"BUILDER_CI": "jenkins", "BUILDER_CI_WHO": "ada"}], ids=["github", "circleci", "another"]
)
def test_in_ci_it_is_who_started_the_build(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**environ, "LOGNAME": "runner"}.items():
        monkeypatch.setenv(name, value)
    assert who() == "ada"


@pytest.mark.parametrize("environ", [{}, {"BUILDER_CI": "jenkins"}, {"CIRCLECI": "true", "CIRCLE_USERNAME": ""}], ids=str)
def test_elsewhere_it_is_the_machines_user(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**environ, "LOGNAME": "runner"}.items():
        monkeypatch.setenv(name, value)
    assert who() == "runner"


def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr("getpass.getuser", nobody)
    monkeypatch.setattr("os.getuid", lambda: 4711)
    assert who() == "uid 4711"
