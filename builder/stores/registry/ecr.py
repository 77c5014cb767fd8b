"""Amazon ECR: credentials and repositories come from AWS, not from the registry.

https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

from builder.aws import be_the_role
from builder.errors import AuthError, BuilderError, StoreError
from builder.model.reference import Repository

if TYPE_CHECKING:
    from builder.stores.registry.credentials import Credential

_HOST = re.compile(r"(?P<account>\d{12})\.dkr\.ecr(-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?\Z")

NO_REPOSITORY = "RepositoryNotFoundException"
_NO_RIGHTS = ("AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException")


def region(host: str) -> str:
    """The AWS region of an ECR host (`<account>.dkr.ecr.<region>.amazonaws.com`); empty for any other host."""
    match = _HOST.match(host)
    return match["region"] if match else ""


def credential(host: str) -> Credential:
    """The user `AWS` with a password that lives for 12 hours."""
    from botocore.exceptions import BotoCoreError, ClientError

    from builder.stores.registry.credentials import Credential

    try:
        answer = client(host).get_authorization_token()
        token = base64.b64decode(answer["authorizationData"][0]["authorizationToken"]).decode()
    except (BotoCoreError, ClientError, LookupError, ValueError) as error:
        raise AuthError(f"{host}: AWS gives no token for it: {said(error)}", "aws sts get-caller-identity shows who you are") from error
    user, _, password = token.partition(":")
    return Credential(user, password)


def create_repository(repository: Repository) -> None:
    """Makes the repository; one that is there already (create-on-push, or someone else was quicker) is fine."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client(repository.host).create_repository(registryId=account(repository.host), repositoryName=repository.name)
    except (BotoCoreError, ClientError) as error:
        if code(error) == "RepositoryAlreadyExistsException":
            return
        hint = "create it, or allow ecr:CreateRepository"
        raise StoreError(f"{repository}: there is no such repository, and AWS does not create it: {said(error)}", hint) from error


def client(host: str) -> Any:
    import boto3

    be_the_role()
    return boto3.Session().client("ecr", region_name=region(host))  # the default session would keep the credentials it once found


def account(host: str) -> str:
    """The number in an ECR host's name."""
    match = _HOST.match(host)
    return match["account"] if match else ""


def code(error: Exception) -> str:
    """AWS's name for it; empty when it comes from somewhere else."""
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))


def said(error: Exception) -> str:
    """An AWS error's code and message; other errors by their name alone: their text may hold what a server sent."""
    return f"{code(error)}: {error}" if code(error) else type(error).__name__


def failure(repository: Repository, what: str, right: str, error: Exception) -> BuilderError:
    """What is raised when AWS does not do `what`, for which one needs `right`."""
    message = f"{repository}: AWS does not {what}: {said(error)}"
    if code(error) in _NO_RIGHTS or type(error).__name__ == "NoCredentialsError":
        return AuthError(message, f"allow {right}; aws sts get-caller-identity shows who you are")
    return StoreError(message, "try again in a minute; https://health.aws.amazon.com tells of troubles")
