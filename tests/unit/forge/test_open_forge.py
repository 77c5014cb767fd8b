"""From settings, CI system and remote to the forge: whose word counts, and where a token may go."""

from __future__ import annotations

import pytest

from builder.errors import ForgeError
from builder.forge.here import Here
from builder.forge.open import open_forge, parts_of
from builder.settings import ForgeSettings

TOKEN = {"GITHUB_TOKEN": "secret"}
REMOTE = "git@github.com:team/agent.git"


@pytest.mark.parametrize(
    ("remote", "expected"),
    [
        (REMOTE, ("github.com", "team/agent")),
        ("https://github.com/team/agent", ("github.com", "team/agent")),
        ("https://x-access-token:secret@GitHub.com/team/agent.git/", ("github.com", "team/agent")),
        ("ssh://git@git.example.org:2222/team/agent.git", ("git.example.org", "team/agent")),
        ("github.com:team/agent", ("github.com", "team/agent")),
        ("file:///srv/git/agent.git", ("", "")),
        ("/srv/git/team/agent.git", ("", "")),
        ("../agent", ("", "")),
        ("https://gitlab.example.org/group/sub/agent", ("", "")),
        ("", ("", "")),
    ],
)
def test_remotes(remote: str, expected: tuple[str, str]) -> None:
    assert parts_of(remote) == expected


@pytest.mark.parametrize(
    ("settings", "here", "remote", "name"),
    [
        (ForgeSettings(), Here(), REMOTE, "github.com/team/agent"),
        (ForgeSettings(), Here(), "git@git.example.org:team/agent.git", "git.example.org/team/agent"),
        (ForgeSettings(repository="team/other"), Here(), REMOTE, "github.com/team/other"),
        (ForgeSettings(), Here("github", api="https://ghe/api/v3", repository="team/it"), REMOTE, "ghe/team/it"),
        (ForgeSettings(url="https://proxy.example.org/"), Here("github", api="https://ghe"), REMOTE, "proxy.example.org/team/agent"),
    ],
)
def test_the_settings_stand_above_the_ci_system_and_that_above_the_remote(
    settings: ForgeSettings, here: Here, remote: str, name: str
) -> None:
    assert open_forge(settings, here, remote, TOKEN).name == name


def test_no_repository() -> None:
    with pytest.raises(ForgeError, match="nothing says which repository") as caught:
        open_forge(ForgeSettings(), Here(), "https://ada:secret@git.example.org/agent", TOKEN)
    assert "secret" not in caught.value.message
    assert "[forge]" in caught.value.hint


@pytest.mark.parametrize(
    ("settings", "environ", "words"),
    [
        (ForgeSettings(), {}, r"neither \$BUILDER_FORGE_TOKEN nor \$GITHUB_TOKEN is set"),
        (ForgeSettings(), {"GITHUB_TOKEN": " "}, "neither"),
        (ForgeSettings(token_env="MINE"), TOKEN, r"\$MINE is not set"),
    ],
)
def test_no_token(settings: ForgeSettings, environ: dict[str, str], words: str) -> None:
    with pytest.raises(ForgeError, match=words):
        open_forge(settings, Here(), REMOTE, environ)


@pytest.mark.parametrize("url", ["http://git.example.org/api/v3", "http://127.0.0.1.example.org", "ftp://127.0.0.1"])
def test_a_token_does_not_travel_unencrypted(url: str) -> None:
    with pytest.raises(ForgeError, match="no https"):
        open_forge(ForgeSettings(url=url), Here(), REMOTE, TOKEN)
