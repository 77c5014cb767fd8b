"""Who a job of continuous integration is to AWS: whoever its role says, for which the provider's token vouches. No key is kept.

botocore takes such a token from a file (https://docs.aws.amazon.com/sdkref/latest/guide/feature-assume-role-credentials.html); here it
gets one. What the environment says already (keys, a profile, a file of a pod) goes before it.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import MutableMapping
from pathlib import Path
from urllib.parse import urlsplit

from builder.errors import AuthError

ROLE, FILE, REGION = "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_DEFAULT_REGION"
_AUDIENCE = "sts.amazonaws.com"
_OWN = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", FILE)
_lock = threading.Lock()


def be_the_role(environ: MutableMapping[str, str] | None = None) -> None:
    """Before a client of AWS is made. Does nothing outside of CircleCI and GitHub Actions, without a role, and the second time.

    Raises AuthError when GitHub gives no token.
    """
    environ = os.environ if environ is None else environ
    with _lock:
        if environ.get("AWS_REGION") and not environ.get(REGION):  # botocore reads the other one alone
            environ[REGION] = environ["AWS_REGION"]
        if not environ.get(ROLE) or any(environ.get(name) for name in _OWN):
            return
        token = environ.get("CIRCLE_OIDC_TOKEN_V2") or environ.get("CIRCLE_OIDC_TOKEN") or _of_github(environ)
        if token:
            environ[FILE] = _written(token)
            environ.setdefault("AWS_ROLE_SESSION_NAME", _session(environ))


def _session(environ: MutableMapping[str, str]) -> str:
    """What AWS's own log calls it: the run of the provider, so that one is found from the other."""
    number = environ.get("CIRCLE_WORKFLOW_JOB_ID") or environ.get("GITHUB_RUN_ID") or "job"
    return f"builder-{number}"[:64]


def _written(token: str) -> str:
    """Only this user can read it, and it is worth nothing in an hour."""
    handle, name = tempfile.mkstemp(prefix="builder-token-")
    with os.fdopen(handle, "w") as file:
        file.write(token)
    _forget_at_the_end(Path(name))
    return name


def _forget_at_the_end(path: Path) -> None:
    import atexit

    owner = os.getpid()
    atexit.register(lambda: path.unlink(missing_ok=True) if os.getpid() == owner else None)


def _of_github(environ: MutableMapping[str, str]) -> str:
    """https://docs.github.com/en/actions/reference/security/oidc#methods-for-requesting-the-oidc-token"""
    url, bearer = environ.get("ACTIONS_ID_TOKEN_REQUEST_URL", ""), environ.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "")
    if not url or not bearer:
        return ""
    import urllib3

    try:
        answer = urllib3.request("GET", f"{url}&audience={_AUDIENCE}", headers={"Authorization": f"bearer {bearer}"}, timeout=20.0)
        token = json.loads(answer.data)["value"] if answer.status == 200 else None
    except (urllib3.exceptions.HTTPError, ValueError, LookupError, TypeError) as error:
        raise _refused(url, type(error).__name__) from error
    if not isinstance(token, str):
        raise _refused(url, f"HTTP {answer.status}")
    return token


def _refused(url: str, why: str) -> AuthError:
    hint = "the job needs `permissions: { id-token: write }`"
    return AuthError(f"{urlsplit(url).hostname or 'GitHub'} gives this job no token for {_AUDIENCE}: {why}", hint)
