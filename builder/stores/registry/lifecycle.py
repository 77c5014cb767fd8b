"""Lifecycle policies of Amazon ECR, which delete images by age or number, whoever names them.

https://docs.aws.amazon.com/AmazonECR/latest/userguide/lifecycle_policy_parameters.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from builder.errors import StoreError
from builder.model.reference import Repository
from builder.stores.registry import ecr

_HEX = "0123456789abcdef"
_VERSION = _HEX + "ghijklmnopqrstuvwxyz._-"  # such as 0.1.0-cp311-amd64: of about twenty characters
_SHA, _KEY = [_HEX] * 40, [_HEX] * 16
_TAGS: Mapping[str, Sequence[Sequence[str]]] = {
    "images of commits": (_SHA, [*_SHA, "-", *_KEY]),
    "dependencies": [[*"deps-", *([_HEX] * 64)]],
    "tool layers": [[*"tool-", *([_HEX] * 32)], [*"tool-", *([_VERSION] * 20)]],
    "bases": [[*"base-", *([_HEX] * 12)]],
    "handlers": [[*"handler-", *([_HEX] * 32)]],
    "dev boxes": [[*"devbox-", *([_HEX] * 32)]],
}
"""What is kept in a repository of ours -> tags that one may have: at every place the characters that may stand there."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that would take images of ours: its number, what it does, and to which."""

    priority: int
    does: str
    takes: tuple[str, ...]


def read_policy(repository: Repository) -> str:
    """The text of the repository's policy; empty when there is none, or no repository. Raises AuthError, StoreError."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client = ecr.client(repository.host)
        found = client.get_lifecycle_policy(registryId=ecr.account(repository.host), repositoryName=repository.name)
    except (BotoCoreError, ClientError) as error:
        if ecr.code(error) in ("LifecyclePolicyNotFoundException", ecr.NO_REPOSITORY):
            return ""
        raise ecr.failure(repository, "show the lifecycle policy", "ecr:GetLifecyclePolicy", error) from error
    return str(found.get("lifecyclePolicyText", ""))


def harmful_rules(policy: str) -> tuple[Rule, ...]:
    """Those that could match an image of ours, the first ones first. Raises StoreError on what is no policy.

    Of images without a tag we have none that something names.
    """
    try:
        rules = json.loads(policy)["rules"]
        return tuple(sorted(_harmful(rules), key=lambda rule: rule.priority))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise StoreError("the lifecycle policy is none that we could read", "aws ecr get-lifecycle-policy shows it") from error


def _harmful(rules: Sequence[Mapping[str, Any]]) -> Iterator[Rule]:
    for rule in rules:
        selection = rule["selection"]
        if takes := tuple(what for what, tags in _TAGS.items() if _selects(selection, tags)):
            yield Rule(int(rule["rulePriority"]), _does(rule, selection), takes)


def _selects(selection: Mapping[str, Any], tags: Sequence[Sequence[str]]) -> bool:
    """Of several patterns each must fit one of an image's tags."""
    if selection["tagStatus"] != "tagged":
        return bool(selection["tagStatus"] == "any")
    patterns = [*selection.get("tagPatternList", ()), *(f"{prefix}*" for prefix in selection.get("tagPrefixList", ()))]
    return all(any(_can_fit(pattern, tag) for tag in tags) for pattern in patterns)


def _can_fit(pattern: str, tag: Sequence[str]) -> bool:
    """Whether a pattern with `*` for any characters fits some tag of this kind."""
    reached = {0}  # how many places of the tag what has been read of the pattern can have taken
    for char in pattern:
        if char == "*":
            reached = set(range(min(reached), len(tag) + 1)) if reached else reached
        else:
            reached = {place + 1 for place in reached if place < len(tag) and char in tag[place]}
    return len(tag) in reached


def _does(rule: Mapping[str, Any], selection: Mapping[str, Any]) -> str:
    """`deletes all but the newest 100`, `deletes 30 days after the push`."""
    verb = "deletes" if rule["action"]["type"] == "expire" else "archives"
    count, kind = selection["countNumber"], str(selection["countType"])
    if kind == "imageCountMoreThan":
        return f"{verb} all but the newest {count}"
    since = {"sinceImagePushed": "the push", "sinceImagePulled": "the last pull"}.get(kind, "it was archived")
    return f"{verb} {count} {selection.get('countUnit', 'days')} after {since}"
