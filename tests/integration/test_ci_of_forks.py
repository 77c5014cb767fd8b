"""What CI's other commands do in the build of a fork's pull request, which has no credentials; and that only forks are forgiven."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.cli.frame import run
from tests.fixtures.images import put_base, tar
from tests.fixtures.registry_auth import Auth
from tests.fixtures.registry_server import RegistryServer
from tests.fixtures.repositories import Repository, at_nobodys_home  # noqa: F401

pytestmark = pytest.mark.usefixtures("at_home")

FORK = {"CIRCLECI": "true", "CIRCLE_PR_USERNAME": "mallory", "CIRCLE_PR_NUMBER": "12"}
SETTINGS = '[image]\nbase = "{base}"\npython = "3.11"\n[image.deps]\nlock = "lock"\n[store]\nto = "{store}"\n'


@pytest.fixture
def registry() -> Iterator[RegistryServer]:
    with RegistryServer() as server:
        yield server


@pytest.fixture(autouse=True)
def team(tmp_path: Path, registry: RegistryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its registry lets nobody in."""
    from builder.stores.layout import LayoutStore

    base = f"oci:{tmp_path}/base@{put_base(LayoutStore(tmp_path / 'base'), tar({'usr/lib/base': b'1'}))}"
    repository = Repository.make(tmp_path / "team")
    repository.history({"builder.toml": SETTINGS.format(base=base, store=registry.repository()).encode(), "lock": b""})
    repository.check_out()
    registry.auth = Auth("bearer", users={"ci": "secret"})
    monkeypatch.chdir(repository.directory)
    for name in (*FORK, "GITHUB_ACTIONS", "BUILDER_CI"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("words", "said"), [(["base", "mirror"], "its base is not copied"), (["deps", "--missing"], "its dependencies are not built")]
)
def test_it_says_so_and_is_content(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == 4
    assert said not in capsys.readouterr().err
    for name, value in FORK.items():
        monkeypatch.setenv(name, value)
    assert run(words) == 0
    told = capsys.readouterr()
    assert (told.out, said in told.err) == ("", True)


def test_what_was_not_tested_is_not_green(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in FORK.items():
        monkeypatch.setenv(name, value)
    assert run(["test"]) == 4
