"""The port to a Kubernetes cluster: objects of one namespace as plain JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

Manifest = Mapping[str, Any]


class Cluster(Protocol):
    """One namespace of a cluster. A kind is Kubernetes' word in lower case and plural, such as `workflowtemplates`.

    All raise ClusterError naming the object and the server; AuthError when the server does not let this account do it.
    """

    @property
    def namespace(self) -> str: ...

    @property
    def server(self) -> str:
        """Its address, as people know it."""

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """The object as the server has it; None when there is none."""

    def create(self, manifest: Manifest) -> bool:
        """Makes the object; False when one of that name is there, which stays as it is."""

    def apply(self, manifest: Manifest) -> dict[str, Any]:
        """Makes the object be as the manifest says, field by field; fields that it does not name stay. The object as it is now."""

    def patch(self, kind: str, name: str, change: Manifest) -> dict[str, Any] | None:
        """A JSON merge patch; None when there is no such object."""

    def delete(self, kind: str, name: str) -> bool:
        """False when there was none."""

    def list(self, kind: str, labels: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
        """Every object of the kind that has the labels."""

    def log(self, pod: str, container: str, *, follow: bool = False, since: str = "") -> Iterator[bytes]:
        """What a container wrote, in pieces as they come; ends with the container when followed.

        With `since`, a time such as `2024-05-01T08:00:00Z`, only what it wrote from then on, with its time before each line.
        """

    def may(self, verb: str, kind: str, name: str = "") -> bool:
        """Whether this account may do so in the namespace: with the object of that name, or with any. Also `pods/log` is a kind."""


class WideCluster(Cluster, Protocol):
    """A cluster beyond the one namespace, for who must know all that it needs."""

    def list_everywhere(self, kind: str) -> Iterator[dict[str, Any]]:
        """Every object of the kind in all namespaces; AuthError where the account may not do that."""

    def knows(self, kind: str) -> bool:
        """Whether the server has this kind at all: what Argo, Kueue and others bring need not be installed."""


def kind_of(manifest: Mapping[str, Any]) -> str:
    """`WorkflowTemplate` is `workflowtemplates` in a path."""
    return f"{manifest['kind'].lower()}s"
