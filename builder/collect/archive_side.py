"""What workflows need that are in the archive of Argo's server, and no longer in the cluster: they can be started again from there.

https://argo-workflows.readthedocs.io/en/latest/workflow-archive/
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from builder.collect.cluster_side import digests_in
from builder.collect.needs import CLUSTER, Needs
from builder.errors import AuthError, BuilderError, ClusterError
from builder.model.units import plural
from builder.settings import GcSettings

_PAGE = 200
_TIMEOUT = (5.0, 60.0)  # seconds to connect, and between two pieces of an answer
_HINT = "look at [gc] argo_server and argo_token_env"


def archive_needs(settings: GcSettings) -> Needs:
    """Raises ClusterError, AuthError naming the server when it does not tell all of its archive."""
    needs, count = Needs(), 0
    for found in _workflows(settings):
        count += 1
        metadata = found.get("metadata") or {}
        why = f"workflow {metadata.get('name')} is in Argo's archive"
        labels = metadata.get("labels") or {}
        for digest in digests_in(found, f"archived workflow {metadata.get('name')}"):
            needs.digest(digest, CLUSTER, why)
        if digest := str(labels.get("builder/digest", "")):
            needs.digest(f"sha256:{digest}", CLUSTER, why)
        needs.commit(str(labels.get("builder/commit", "")), CLUSTER, why)
    needs.said.append(f"Argo's archive at {settings.argo_server}: {plural(count, 'workflow')}")
    return needs


def _workflows(settings: GcSettings) -> Iterator[dict[str, Any]]:
    more, seen = "", set[str]()
    while more not in seen:
        seen.add(more)
        page = _page(settings, {"listOptions.limit": str(_PAGE), **({"listOptions.continue": more} if more else {})})
        yield from page.get("items") or ()
        more = str((page.get("metadata") or {}).get("continue") or "")
        if not more:
            return
    raise ClusterError(f"Argo's archive at {settings.argo_server} gives the same page again and again", _HINT)


def _page(settings: GcSettings, query: dict[str, str]) -> dict[str, Any]:
    import urllib3

    token = os.environ.get(settings.argo_token_env, "")
    headers = {"Accept": "application/json", **({"Authorization": f"Bearer {token.removeprefix('Bearer ')}"} if token else {})}
    url = f"{settings.argo_server.rstrip('/')}/api/v1/archived-workflows?{urlencode(query)}"
    where = f"Argo's archive at {settings.argo_server}"
    limits = urllib3.Timeout(connect=_TIMEOUT[0], read=_TIMEOUT[1])
    try:
        answer = urllib3.request("GET", url, headers=headers, timeout=limits, retries=urllib3.Retry(3, backoff_factor=0.5))
    except urllib3.exceptions.HTTPError as error:
        raise ClusterError(f"{where} does not answer: {type(error).__name__}", _HINT) from error
    if answer.status != 200:
        raise _refused(where, answer.status)
    try:
        page = json.loads(answer.data)
    except ValueError as error:
        raise ClusterError(f"{where} answers with something that is no JSON", _HINT) from error
    if not isinstance(page, dict):
        raise ClusterError(f"{where} answers with something that is no list", _HINT)
    return page


def _refused(where: str, status: int) -> BuilderError:
    kind = AuthError if status in (401, 403) else ClusterError
    return kind(f"{where} answers with status {status}", _HINT)
