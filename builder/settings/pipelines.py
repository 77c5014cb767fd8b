"""What continuous integration does with commits. Taken from the settings in force, never from a commit."""

from __future__ import annotations

from dataclasses import dataclass

from builder.settings import checks, times
from builder.settings.fields import key


@dataclass(frozen=True, slots=True)
class CiSettings:
    """What `builder init --ci` writes into the files of CircleCI or GitHub Actions, and what `builder test` runs."""

    test: tuple[str, ...] = key(
        ("python", "-m", "compileall", "-q", "."),
        "the command of `builder test`, in the commit's image; the default only sees whether its Python can read every file",
        checks.command,
    )
    install: str = key("", "what pip installs in a job: a requirement or a wheel; this version of `anycommit` when empty", checks.word)
    branch: str = key("", "the branch whose commits are deployed; the remote's default one when empty", checks.word)
    images: str = key("builder-images", "the CircleCI context with which jobs read and write images", checks.kubernetes_name)
    deploy: str = key("builder-deploy", "the context (GitHub: environment) of the job that deploys", checks.kubernetes_name)
    housekeep: str = key("builder-housekeep", "the context (GitHub: environment) of the job that clears away", checks.kubernetes_name)
    cron: str = key("17 3 * * *", "when it clears away, in UTC", times.cron)
    wait: str = key(
        "",
        "how long `builder image` waits for a base or for dependencies from a Dockerfile that another job brings; when empty it makes "
        "them itself, or says where it can be done",
        checks.maybe_time_limit,
    )
