"""Where `builder deploy` brings things: a cluster, or a directory, which may be in a git repository."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from builder.cli import output
from builder.cli.deploy import CLUSTER, Done
from builder.cli.deploying import chosen_flows, deployment_of, require_image
from builder.cli.naming_place import check_place
from builder.cli.person import who
from builder.cli.starting import handler_of
from builder.errors import AuthError, BuilderError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from builder.cli.deploy import Asked
    from builder.cli.making import Maker
    from builder.deploy.apply import Applied
    from builder.deploy.checkout import Checkout
    from builder.deploy.folder import Owned
    from builder.deploy.history import Deployed
    from builder.model.tree import Commit


def deploy(maker: Maker, asked: Asked) -> Done:
    """Also what `--bootstrap` makes."""
    if asked.place not in ("", CLUSTER):
        check_place(maker.git, asked.place, asked.flows)
    commit = maker.git.resolve(asked.revision or "HEAD")
    if asked.bootstrap:
        return _bootstrap(maker, commit, asked)
    flows = chosen_flows(maker.settings_at(commit), asked.flows)
    if asked.look:
        require_image(maker, commit)
    if asked.place not in ("", CLUSTER):
        checkout = _checkout(maker, asked)
        manifests = deployment_of(maker, commit, flows).manifests(maker.settings.deploy.namespace)
        return _to_folder(checkout, commit, manifests, owned_by(set(asked.flows)), asked)
    return Done(_to_cluster(maker, commit, flows, asked), commit.sha, commit.subject)


def _to_cluster(maker: Maker, commit: Commit, flows: Sequence[str], asked: Asked) -> list[Applied]:
    from builder.cluster.kubernetes import connect
    from builder.deploy.deployment import deploy, foresee

    settings = maker.settings.deploy
    cluster = connect(settings.namespace, settings.context)  # before anything is made
    deployment = deployment_of(maker, commit, flows)
    if asked.look:
        return _told(foresee(cluster, deployment, prune=asked.prune, again=asked.again or asked.diff), "would end")
    done = deploy(cluster, deployment, who(), prune=asked.prune, again=asked.again, remember=remembering(maker))
    return _told([noted(applied) for applied in done], "ended")


def _told(done: list[Applied], ends: str) -> list[Applied]:
    from builder.deploy.schedules import ROLLED_BACK_FIELD

    for applied in done:
        for line in applied.differences:
            if line.startswith(ROLLED_BACK_FIELD):
                left = line.partition('"')[2][:12]
                output.note(f"somebody rolled schedule {applied.name} back from {left}; this deploy {ends} that")
    return done


def noted(applied: Applied) -> Applied:
    """As it is done: what comes after may fail."""
    if applied.done in ("created", "changed", "removed"):
        output.note(f"  {applied.kind} {applied.name} {applied.done}")
    return applied


def remembering(maker: Maker) -> Callable[[Deployed], None]:
    """Writes down what is live from now on. It is done by then, so a data root that cannot be written is no failure."""
    from builder.cli.reading import Reader
    from builder.deploy.history import remember

    def write(entry: Deployed) -> None:
        try:
            remember(Reader.beside(maker).objects, entry)
        except BuilderError as error:
            output.warn(f"the history of {entry.schedule} lacks this: {error.message}")

    return write


def _to_folder(checkout: Checkout | None, commit: Commit, manifests: Sequence[Mapping[str, Any]], owned: Owned, asked: Asked) -> Done:
    from builder.deploy.folder import Folder
    from builder.deploy.recorded import Source, record

    folder = Folder(Path(asked.place))
    if asked.look:
        return Done(folder.foresee(manifests, owned), commit.sha, commit.subject)
    if checkout is None:
        return Done(folder.write(manifests, owned), commit.sha, commit.subject)
    source = Source(commit.sha, commit.subject, _image(manifests))
    done, recorded = record(checkout, folder, manifests, owned, source, push=asked.push)
    return Done(done, commit.sha, commit.subject, recorded)


def _checkout(maker: Maker, asked: Asked) -> Checkout | None:
    """Where to commit; None where nothing is to be. In the tree that is deployed only when asked for: each commit would need another.

    Raises DeployError where nothing could be committed.
    """
    from builder.deploy.checkout import Checkout

    directory, wanted = Path(asked.place), asked.record or asked.push
    if asked.look or asked.record is False:
        return None
    checkout = Checkout.around(directory)
    if checkout is None and wanted:
        raise UsageError(f"{directory} is in no git repository: nothing can be committed", "leave out --record and --push, or `git init`")
    if checkout is None:
        return None
    if wanted or not (checkout.is_ignored() or checkout.top == maker.git.top):
        checkout.check()
        return checkout
    output.note(f"not committed: {directory} is in {checkout.top}, which is what is deployed, or ignored there; --record commits it")
    return None


def _image(manifests: Sequence[Mapping[str, Any]]) -> str:
    """The image that templates run, by digest; empty where there is none."""
    marks = (manifest["metadata"].get("annotations") or {} for manifest in manifests)
    return next((str(found["builder/reference"]) for found in marks if "builder/reference" in found), "")


def owned_by(flows: set[str]) -> Owned:
    """Of whose objects those that are not rendered go: of flows that are deployed now; without any named, of all."""

    def owned(manifest: Mapping[str, Any]) -> bool:
        of = (manifest["metadata"].get("labels") or {}).get("builder/flow", "")
        return _of_flows(manifest) and (not flows or of in flows)

    return owned


def _of_flows(manifest: Mapping[str, Any]) -> bool:
    """Whether a deploy of flows made it."""
    from builder.deploy.render import QUEUES

    labels = manifest["metadata"].get("labels") or {}
    if manifest["kind"] == "ConfigMap":
        return bool(manifest["metadata"]["name"] == QUEUES)
    return manifest["kind"] in ("WorkflowTemplate", "CronWorkflow") and ("builder/flow" in labels or "builder/part" in labels)


def _bootstrap(maker: Maker, commit: Commit, asked: Asked) -> Done:
    from builder.cluster.kubernetes import connect
    from builder.deploy.bootstrap import apply_bootstrap, bootstrap, foresee_bootstrap, secrets_needed

    settings = maker.settings
    cluster = connect(settings.deploy.namespace, settings.deploy.context) if asked.place in ("", CLUSTER) else None
    manifests = bootstrap(settings, _pre_pulled(maker, commit, look=asked.look))
    if cluster is not None:
        try:
            applied = foresee_bootstrap(cluster, manifests) if asked.look else [*map(noted, apply_bootstrap(cluster, manifests))]
        except AuthError as error:
            hint = "this is an administrator's work: --to DIR writes the manifests for one"
            raise AuthError(error.message, hint) from error
        done = Done(applied, commit.sha, commit.subject)
    else:
        done = _to_folder(_checkout(maker, asked), commit, manifests, _of_namespace, asked)
    for secret in secrets_needed(settings):
        output.note(f"secret {secret.name} must be there, with {secret.meaning}:\n  {secret.command}")
    return done


def _of_namespace(manifest: Mapping[str, Any]) -> bool:
    from builder.deploy.names import MANAGED

    return not _of_flows(manifest) and MANAGED.items() <= (manifest["metadata"].get("labels") or {}).items()


def _pre_pulled(maker: Maker, commit: Commit, *, look: bool) -> str:
    """The image that nodes are to have: a commit's without its code. None where the settings want none, or no base could run it."""
    if not maker.settings.deploy.pre_pull or not maker.store.hosts:
        return ""
    if look:
        require_image(maker, commit)
    image = maker.make(commit)
    if not any(layer.kind == "base" for layer in image.layers):
        return ""
    return handler_of(maker, image.manifest)
