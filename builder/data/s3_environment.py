"""What another process needs to reach the S3 that this one reaches: environment variables alone, no files."""

from __future__ import annotations

from collections.abc import Mapping

from builder.aws import be_the_role
from builder.errors import AuthError

_OF_FILES = ("PROFILE", "DEFAULT_PROFILE", "SHARED_CREDENTIALS_FILE", "CONFIG_FILE", "WEB_IDENTITY_TOKEN_FILE", "CA_BUNDLE")
"""They name what is on this machine's disk."""


def s3_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of AWS that are set; where they hold no credentials, those that boto3 finds (a profile, a single sign-on).

    Raises AuthError when what it should look at is not there, or no longer good.
    """
    files = {f"AWS_{name}" for name in _OF_FILES}
    given = {name: value for name, value in environ.items() if name.startswith("AWS_") and name not in files}
    return given if "AWS_ACCESS_KEY_ID" in given else {**given, **_found()}


def _found() -> dict[str, str]:
    import boto3
    from botocore.exceptions import BotoCoreError

    be_the_role()
    try:
        session = boto3.Session()
        credentials = session.get_credentials()
        if credentials is None:
            return {}
        frozen = credentials.get_frozen_credentials()
    except BotoCoreError as error:
        raise AuthError(f"no credentials for S3: {error}", "`aws sts get-caller-identity` asks with the same ones") from error
    found = {"AWS_ACCESS_KEY_ID": frozen.access_key, "AWS_SECRET_ACCESS_KEY": frozen.secret_key}
    found |= {"AWS_SESSION_TOKEN": frozen.token or "", "AWS_DEFAULT_REGION": session.region_name or ""}
    return {name: value for name, value in found.items() if value}
