"""What S3 and botocore say went wrong, as errors of ours. Imported only where the data root is in S3."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore import exceptions as aws
from s3transfer.exceptions import RetriesExceededError

from builder.errors import AuthError, BuilderError, DataError, IntegrityError

BROKEN_OFF = (aws.ReadTimeoutError, aws.ResponseStreamingError, aws.IncompleteReadError, aws.FlexibleChecksumError)
"""A body that did not come whole, or not as it was sent."""

_NO_CREDENTIALS = (
    aws.NoCredentialsError,
    aws.PartialCredentialsError,
    aws.CredentialRetrievalError,
    aws.ProfileNotFound,
    aws.MetadataRetrievalError,
    aws.TokenRetrievalError,
    aws.NoAuthTokenError,
    aws.RefreshWithMFAUnsupportedError,
    aws.SSOError,
)
_NO_ANSWER = (aws.ConnectionError, aws.HTTPClientError)
_WHO = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; `aws sts get-caller-identity` shows who you are"
_WHERE = "look at [data] endpoint and AWS_ENDPOINT_URL, and whether the network leads there"
_REFUSED = "this identity needs s3:ListBucket on the bucket, s3:GetObject, s3:PutObject and s3:DeleteObject on what is in it; " + _WHO


def status(error: aws.ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def code(error: aws.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def is_absent(error: aws.ClientError) -> bool:
    """There is no such object. (Not: no such bucket.)"""
    return status(error) == 404 and code(error) != "NoSuchBucket"


def tried_again(error: aws.ClientError) -> bool:
    """An earlier try of the same request may have done what this one could not."""
    return bool(error.response.get("ResponseMetadata", {}).get("RetryAttempts"))


@contextmanager
def translated(where: str, done: str) -> Iterator[None]:
    """Round requests: `where` is the object or the bucket they are for, `done` what should have been done with it."""
    try:
        yield
    except aws.ClientError as error:
        raise _refusal(error, where, done) from error
    except RetriesExceededError as error:
        raise DataError(f"{where} cannot be {done}: {error.last_exception}", _WHERE) from error
    except aws.BotoCoreError as error:
        raise _failure(error, where, done) from error


def _refusal(error: aws.ClientError, where: str, done: str) -> BuilderError:
    """The server answered, and it was no."""
    said = f"{where} cannot be {done}: {code(error) or status(error)}: {error.response.get('Error', {}).get('Message') or error}"
    if status(error) in (401, 403) or code(error) in ("ExpiredToken", "InvalidToken", "AuthorizationHeaderMalformed"):
        return AuthError(said, _REFUSED)
    if code(error) == "NoSuchBucket":
        return DataError(said, "create the bucket, or correct [data] root")
    if code(error) in ("BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"):
        return IntegrityError(said, "it was changed while it was sent, or damaged on its way: try again")
    return DataError(said, "try again; if it stays so, look at [data] root and [data] endpoint")


def _failure(error: aws.BotoCoreError, where: str, done: str) -> BuilderError:
    """No answer, or none that can be used."""
    said = f"{where} cannot be {done}: {error}"
    if isinstance(error, _NO_CREDENTIALS):
        return AuthError(said, _WHO)
    if isinstance(error, aws.FlexibleChecksumError):
        return IntegrityError(said, "it was damaged on its way or on its disk")
    if isinstance(error, _NO_ANSWER):
        return DataError(said, _WHERE)
    return DataError(said, "look at [data] root and [data] endpoint, and at your AWS configuration")
