"""Clones a repository where there is none: all of its history, and no file's content before it is needed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from builder import process
from builder.errors import ProcessError, ProgramMissingError, SourceError
from builder.source.objects import git_environment

TOKEN = "BUILDER_GIT_TOKEN"  # noqa: S105 - its name
"""The environment variable from which git gets the token. It is on no command line, and in no file."""

_ANY_USER = "x-access-token"
"""What GitHub calls whoever comes with a token; other servers take any name, or the URL says one."""


def clone_bare(url: str, directory: Path, without: str = "blob:none") -> None:
    """A bare clone without blobs, or without trees either (`tree:0`). Raises SourceError when git is missing, or the server does not
    give it.
    """
    argv = ["git", "clone", "--quiet", "--bare", f"--filter={without}", "--template=", "--", url, str(directory)]
    try:
        process.run(argv, env=git_environment())
    except ProgramMissingError as error:
        hint = "it reads other revisions with git: put git into the base or the dependencies"
        raise SourceError("the image of this commit has no git", hint) from error
    except ProcessError as error:
        said = error.stderr.strip().splitlines()[-1:] or [f"git ended with exit code {error.returncode}"]
        raise SourceError(
            f"{url} cannot be cloned: {said[0]}", "are url and token right in the secret that [deploy] git_secret names?"
        ) from error


def with_token(url: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Variables with which every git that is started answers the URL's server, and no other, with the token in $BUILDER_GIT_TOKEN.

    As configuration through the environment (git-config(1), GIT_CONFIG_COUNT): git asks the helper only when the server wants to know.
    """
    parts = urlsplit(url)
    if not environ.get(TOKEN) or parts.scheme not in ("http", "https"):
        return {}
    server = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], "", "", ""))
    helper = f'!f() {{ test "$1" = get && echo "username={parts.username or _ANY_USER}" && echo "password=${TOKEN}"; }}; f'
    return {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"credential.{server}.helper", "GIT_CONFIG_VALUE_0": helper}
