"""Images in Amazon ECR: AWS lists them with their times, and removes a hundred at a time. The registry itself answers 405 to DELETE.

https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchDeleteImage.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from builder.model.oci import is_digest
from builder.model.reference import Repository
from builder.stores.batches import remove_in_batches
from builder.stores.interface import GONE, REMOVED, Held
from builder.stores.registry import ecr

_BATCH, _PAGE = 100, 1000


def held(repository: Repository) -> Iterator[Held]:
    seen: set[str] = set()
    for page in _pages(repository):
        for image in page.get("imageDetails") or ():
            digest, tags = str(image.get("imageDigest", "")), sorted(image.get("imageTags") or ())
            if not is_digest(digest) or digest in seen:
                continue
            seen.add(digest)
            pushed = image.get("imagePushedAt")
            yield Held(digest, tuple(tags), pushed.timestamp() if pushed else None)


def remove(repository: Repository, digests: Iterable[str]) -> Iterator[tuple[str, str]]:
    """What an index names still is refused, as is what ECR fails at for its own reasons."""
    client = ecr.client(repository.host)
    return remove_in_batches(digests, _BATCH, lambda batch: _some(client, repository, batch))


def _pages(repository: Repository) -> Iterator[Mapping[str, Any]]:
    from botocore.exceptions import BotoCoreError, ClientError

    pages = ecr.client(repository.host).get_paginator("describe_images")
    try:
        yield from pages.paginate(
            registryId=ecr.account(repository.host), repositoryName=repository.name, PaginationConfig={"PageSize": _PAGE}
        )
    except (BotoCoreError, ClientError) as error:
        if ecr.code(error) != ecr.NO_REPOSITORY:
            raise ecr.failure(repository, "list the images", "ecr:DescribeImages", error) from error


def _some(client: Any, repository: Repository, batch: list[str]) -> dict[str, str]:
    from botocore.exceptions import BotoCoreError, ClientError

    ids = [{"imageDigest": digest} for digest in batch]
    try:
        answer = client.batch_delete_image(registryId=ecr.account(repository.host), repositoryName=repository.name, imageIds=ids)
    except (BotoCoreError, ClientError) as error:
        if ecr.code(error) == ecr.NO_REPOSITORY:
            return dict.fromkeys(batch, GONE)
        raise ecr.failure(repository, "delete images", "ecr:BatchDeleteImage", error) from error
    failures = dict(map(_failure, answer.get("failures") or ()))
    return {digest: failures.get(digest, REMOVED) for digest in batch}


def _failure(failure: Mapping[str, Any]) -> tuple[str, str]:
    digest, code = str((failure.get("imageId") or {}).get("imageDigest", "")), str(failure.get("failureCode", ""))
    return digest, GONE if code == "ImageNotFound" else f"refused: {code}: {failure.get('failureReason', '')}"
