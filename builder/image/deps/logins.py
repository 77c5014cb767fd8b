"""The docker command with the credentials that a registry's cloud gives this machine, where nobody ran `docker login`."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from builder.stores.registry.credentials import given_credential


@contextmanager
def docker_config(repositories: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """`NAME=VALUE` words for env(1), none where Docker's own configuration is enough. What is written goes away with the build."""
    hosts = sorted({repository.partition("/")[0] for repository in repositories})
    given = {host: found for host in hosts if (found := given_credential(host))}
    if not given:
        yield ()
        return
    own = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    with tempfile.TemporaryDirectory(prefix="builder-docker-") as scratch:
        for beside in own.iterdir() if own.is_dir() else ():  # plugins, contexts
            if beside.name != "config.json":
                (Path(scratch) / beside.name).symlink_to(beside.absolute())
        config = _read(own / "config.json")
        logins = {host: {"auth": found.basic.removeprefix("Basic ")} for host, found in given.items()}
        (Path(scratch) / "config.json").write_text(json.dumps({**config, "auths": {**config.get("auths", {}), **logins}}))
        yield (f"DOCKER_CONFIG={scratch}",)


def _read(file: Path) -> dict[str, Any]:
    """What is no JSON object was told of when the store was asked, and is of no use here either."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
