"""A namespace of a real cluster. Finding the server, its certificate and who we are is the library's; objects go as the JSON they are."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from builder.cluster.interface import kind_of
from builder.errors import AuthError, BuilderError, ClusterError

_GROUPS = {
    "workflows": "apis/argoproj.io/v1alpha1",
    "workflowtemplates": "apis/argoproj.io/v1alpha1",
    "cronworkflows": "apis/argoproj.io/v1alpha1",
    "roles": "apis/rbac.authorization.k8s.io/v1",
    "rolebindings": "apis/rbac.authorization.k8s.io/v1",
    "daemonsets": "apis/apps/v1",
    "deployments": "apis/apps/v1",
    "statefulsets": "apis/apps/v1",
    "jobs": "apis/batch/v1",
    "cronjobs": "apis/batch/v1",
    "jobsets": "apis/jobset.x-k8s.io/v1alpha2",
    "workloads": "apis/kueue.x-k8s.io/v1beta1",
    "pods": "api/v1",
    "persistentvolumeclaims": "api/v1",
    "events": "api/v1",
    "configmaps": "api/v1",
    "secrets": "api/v1",
    "serviceaccounts": "api/v1",
    "namespaces": "api/v1",
    "nodes": "api/v1",
}
_WHOLE_CLUSTER = frozenset({"namespaces", "nodes"})
_IN_CLUSTER = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
_KUBECONFIG = "~/.kube/config"
_MANAGER = "builder"
_PAGE = 200
_TIMEOUT = (5, 30)  # seconds to connect, and between two pieces of an answer
_AGAIN = 3
_WHERE = "set KUBECONFIG, or [deploy] context in the settings; `kubectl config view` reads the same file"
_HINT = "is the cluster reachable? `kubectl get namespaces` asks the same server"


def connect(namespace: str, context: str = "") -> KubernetesCluster:
    """The cluster of the kubeconfig ($KUBECONFIG), of its `context` if one is named; inside a pod that pod's own.

    Raises ClusterError when nothing says where a cluster is, or what says so cannot be read. Nothing is asked yet.
    """
    import yaml
    from kubernetes import client, config

    file = os.environ.get("KUBECONFIG") or _KUBECONFIG  # the library reads the variable once, when it is imported
    try:
        if _IN_CLUSTER.exists() and not os.environ.get("KUBECONFIG"):
            configuration = client.Configuration()
            config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]
        else:
            configuration = client.Configuration()
            config.load_kube_config(file, context or None, configuration)  # type: ignore[no-untyped-call]
    except (config.ConfigException, OSError, ValueError) as error:
        raise ClusterError(f"no cluster: {_named(file, error)}", _WHERE) from error
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:  # the library takes for granted what a kubeconfig looks like
        raise ClusterError(f"no cluster: {file} is no kubeconfig: {' '.join(str(error).split())[:200]}", _WHERE) from error
    configuration.retries = False
    return KubernetesCluster(client.ApiClient(configuration), namespace)


def no_namespace(namespace: str, server: str) -> ClusterError:
    hint = "`builder deploy --bootstrap` makes it; [deploy] namespace and context name another"
    return ClusterError(f"there is no namespace {namespace} at {server}", hint)


class KubernetesCluster:
    """Every method may be called from several threads."""

    def __init__(self, api: Any, namespace: str) -> None:
        self._api = api
        self._namespace = namespace

    @property
    def namespace(self) -> str:
        return self._namespace

    @property
    def server(self) -> str:
        return str(self._api.configuration.host)

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        status, body = self._ask("GET", self._path(kind, name))
        return None if status == 404 else self._checked(status, body, f"{kind} {name}")

    def create(self, manifest: Mapping[str, Any]) -> bool:
        kind, name = kind_of(manifest), manifest["metadata"]["name"]
        status, body = self._ask("POST", self._path(kind), manifest)
        if status == 409:
            return False
        self._checked(status, body, f"{kind} {name}")
        return True

    def apply(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        kind, name = kind_of(manifest), manifest["metadata"]["name"]
        path = f"{self._path(kind, name)}?{urlencode({'fieldManager': _MANAGER, 'force': 'true'})}"
        status, body = self._ask("PATCH", path, manifest, "application/apply-patch+yaml")
        return self._checked(status, body, f"{kind} {name}")

    def patch(self, kind: str, name: str, change: Mapping[str, Any]) -> dict[str, Any] | None:
        status, body = self._ask("PATCH", self._path(kind, name), change, "application/merge-patch+json")
        return None if status == 404 else self._checked(status, body, f"{kind} {name}")

    def delete(self, kind: str, name: str) -> bool:
        status, body = self._ask("DELETE", self._path(kind, name))
        if status == 404:
            return False
        self._checked(status, body, f"{kind} {name}")
        return True

    def list(self, kind: str, labels: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
        return self._pages(kind, self._path(kind), labels)

    def list_everywhere(self, kind: str) -> Iterator[dict[str, Any]]:
        return self._pages(kind, f"/{_GROUPS[kind]}/{kind}")

    def _pages(self, kind: str, path: str, labels: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
        selector = ",".join(f"{name}={value}" for name, value in (labels or {}).items())
        more = ""
        while True:
            query = {"limit": str(_PAGE), **({"labelSelector": selector} if selector else {}), **({"continue": more} if more else {})}
            page = self._checked(*self._ask("GET", f"{path}?{urlencode(query)}"), kind)
            yield from page["items"]
            more = page.get("metadata", {}).get("continue", "")
            if not more:
                return

    def log(self, pod: str, container: str, *, follow: bool = False, since: str = "") -> Iterator[bytes]:
        import urllib3

        timed = {"timestamps": "true", "sinceTime": since} if since else {}
        query = urlencode({"container": container, **({"follow": "true"} if follow else {}), **timed})
        response = self._open("GET", f"{self._path('pods', pod)}/log?{query}", None, "", timeout=(_TIMEOUT[0], None if follow else 30))
        if response.status != 200:
            self._checked(response.status, response.read(), f"the log of pod {pod}")
        try:
            yield from response.stream(1 << 16)
        except urllib3.exceptions.HTTPError as error:
            raise ClusterError(f"{self.server} broke off the log of pod {pod}: {_plain(error)}", _HINT) from error
        finally:
            response.release_conn()

    def forward(self, pod: str, port: int) -> Any:
        """A connection to a port of a pod: `.socket(port)`, and `.error(port)` once it is over. Raises ClusterError, AuthError."""
        from kubernetes import client, stream

        core = client.CoreV1Api(self._api)
        try:
            return stream.portforward(core.connect_get_namespaced_pod_portforward, pod, self._namespace, ports=str(port))
        except client.ApiException as error:
            raise self._error(error.status or 500, str(error.reason).encode(), f"port {port} of pod {pod}") from error

    def may(self, verb: str, kind: str, name: str = "") -> bool:
        resource, _, part = kind.partition("/")
        _, *group = _GROUPS[resource].split("/")[:-1]
        asked = {"verb": verb, "group": "".join(group), "resource": resource, "subresource": part, "name": name}
        attributes = {"namespace": self._namespace, **{key: value for key, value in asked.items() if value}}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": attributes}}
        status, body = self._ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
        return bool(self._checked(status, body, "what this account may do")["status"]["allowed"])

    def knows(self, kind: str) -> bool:
        status, body = self._ask("GET", f"/{_GROUPS[kind]}")
        if status != 404:
            return kind in [found["name"] for found in self._checked(status, body, kind).get("resources", ())]
        groups = self._checked(*self._ask("GET", "/apis"), "the kinds of objects").get("groups", ())
        known = [f"apis/{version['groupVersion']}" for group in groups for version in group["versions"]]
        if not known or _GROUPS[kind] in known:  # what answers here is no Kubernetes, or only a part of it
            raise self._error(status, body, kind)
        return False

    def _path(self, kind: str, name: str = "") -> str:
        inside = kind if kind in _WHOLE_CLUSTER else f"namespaces/{quote(self._namespace)}/{kind}"
        return f"/{_GROUPS[kind]}/{inside}" + (f"/{quote(name)}" if name else "")

    def _ask(self, method: str, path: str, body: Any = None, media: str = "application/json") -> tuple[int, bytes]:
        response = self._open(method, path, body, media)
        try:
            return response.status, response.read()
        finally:
            response.release_conn()

    def _open(self, method: str, path: str, body: Any, media: str, timeout: Any = _TIMEOUT) -> Any:
        """A request that changes nothing, or the same thing again, is sent again when the server goes away."""
        import urllib3

        headers: dict[str, str] = {"Accept": "application/json", **({"Content-Type": media} if body is not None else {})}
        self._api.update_params_for_auth(headers, [], ["BearerToken"], path, method, body, None)
        data = None if body is None else json.dumps(body).encode()
        retries = urllib3.Retry(total=_AGAIN if method in ("GET", "PATCH") else 0, backoff_factor=0.5, status_forcelist=(429, 503))
        retries.raise_on_status = False
        limits = urllib3.Timeout(connect=timeout[0], read=timeout[1])
        pool = self._api.rest_client.pool_manager
        try:
            return pool.request(
                method, self.server + path, body=data, headers=headers, timeout=limits, retries=retries, preload_content=False
            )
        except urllib3.exceptions.HTTPError as error:
            raise ClusterError(f"{self.server} did not answer: {_plain(error)}", _HINT) from error

    def _checked(self, status: int, body: bytes, what: str) -> dict[str, Any]:
        if status in (200, 201, 202):
            found: dict[str, Any] = json.loads(body)
            return found
        raise self._error(status, body, what)

    def _error(self, status: int, body: bytes, what: str) -> BuilderError:
        try:
            said = str(json.loads(body).get("message", ""))
        except (ValueError, AttributeError):
            said = body[:200].decode("utf-8", "replace")
        where = f"{what} in namespace {self._namespace} of {self.server}"
        if status in (401, 403):
            return AuthError(
                f"{where}: {said or status}", "`builder deploy --bootstrap` makes the accounts and roles; `builder doctor` checks them"
            )
        if status == 404 and said.startswith("namespaces "):
            return no_namespace(self._namespace, self.server)
        if status == 404:
            return ClusterError(f"{where}: there is none", "is Argo Workflows installed? `builder deploy --bootstrap` makes the namespace")
        return ClusterError(f"{where}: {said or 'status'} ({status})", _HINT if status >= 500 else "")


def _named(file: str, error: Exception) -> str:
    """What was said, with the file's name where it is not in it."""
    return str(error) if file in str(error) else f"{file}: {error}"


def _plain(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return str(getattr(reason, "args", [reason])[-1] if isinstance(reason, Exception) else reason)[:200]
