"""`builder deploy`: the flows of a commit as templates and schedules of a cluster, or as manifests in a directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli import complete, output
from builder.errors import AuthError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from builder.cli.making import Maker
    from builder.deploy.apply import Applied
    from builder.deploy.deployment import Deployment
    from builder.model.tree import Commit

CLUSTER = "cluster"
_PLANNED = {"created": "would be created", "changed": "would be changed", "removed": "would be removed", "found": "is there"}
_UNKNOWN = "is not in the settings"


@click.command("deploy")
@click.argument("flows", metavar="[FLOW]...", nargs=-1, shell_complete=complete.flow_name)
@click.option("--commit", "revision", metavar="REV", default="HEAD", help="The commit. Default: HEAD.", shell_complete=complete.revision)
@click.option("--repo", metavar="DIR", type=click.Path(path_type=Path), help="The repository. Default: the one you are in.")
@click.option("--to", "place", metavar="cluster|DIR", default=CLUSTER, help="The cluster, or a directory for manifests. Default: cluster.")
@click.option("--diff", is_flag=True, help="Show what would change, field by field; change nothing. Ends with 1 when something would.")
@click.option("--bootstrap", is_flag=True, help="Once, as an administrator: namespace, accounts, roles, and images on nodes beforehand.")
@click.option("--prune", is_flag=True, help="Remove schedules that builder made and the settings no longer name.")
@click.option("--dry-run", is_flag=True, help="Say what would be done; do nothing.")
@output.format_option("table", "json", "name")
def command(
    flows: tuple[str, ...],
    revision: str,
    repo: Path | None,
    place: str,
    diff: bool,
    bootstrap: bool,
    prune: bool,
    dry_run: bool,
    form: str,
) -> int:
    """Deploy the flows of a commit.

    Each flow becomes a template that runs the commit's image by digest; a template is made once and never changed. Each
    [schedule.NAME] becomes a CronWorkflow of that name, which is changed in place; one that is paused stays paused. Without
    FLOW: all flows. Run again, it does nothing.
    """
    if bootstrap and (flows or prune):
        raise UsageError("--bootstrap makes a namespace ready; it takes no FLOW, and no --prune")
    if prune and place != CLUSTER:
        raise UsageError("--prune is for the cluster", "a directory holds what is deployed, and no more")
    from builder.cli.making import making

    look = diff or dry_run
    with making(repo, dry_run=look) as maker:
        commit = maker.git.resolve(revision)
        done = _bootstrap(maker, commit, place, look=look) if bootstrap else _flows(maker, commit, flows, place, look=look, prune=prune)
    _show(done, form, commit, diff=diff, look=look)
    _hint(done, "what a namespace needs" if bootstrap else f"{commit.sha[:12]} {commit.subject}", place, look=look)
    return int(diff and any(_differs(applied) for applied in done))


def _flows(maker: Maker, commit: Commit, flows: Sequence[str], place: str, *, look: bool, prune: bool) -> list[Applied]:
    from builder.cli.deploying import chosen_flows, deployment_of, require_image

    chosen = chosen_flows(maker.settings_at(commit), flows)
    if look:
        require_image(maker, commit)
    if place != CLUSTER:
        return _to_folder(maker, deployment_of(maker, commit, chosen), Path(place), set(flows), look=look)
    return _to_cluster(maker, commit, chosen, look=look, prune=prune)


def _to_cluster(maker: Maker, commit: Commit, flows: Sequence[str], *, look: bool, prune: bool) -> list[Applied]:
    from builder.cli.deploying import deployment_of
    from builder.cli.starting import who
    from builder.cluster.kubernetes import connect
    from builder.deploy.deployment import deploy, foresee

    settings = maker.settings.deploy
    cluster = connect(settings.namespace, settings.context)  # before anything is made
    deployment = deployment_of(maker, commit, flows)
    if look:
        return foresee(cluster, deployment, prune=prune)
    return [_noted(applied) for applied in deploy(cluster, deployment, who(), prune=prune)]


def _noted(applied: Applied) -> Applied:
    """As it is done: what comes after may fail."""
    if applied.done in ("created", "changed", "removed"):
        output.note(f"  {applied.kind} {applied.name} {applied.done}")
    return applied


def _to_folder(maker: Maker, deployment: Deployment, directory: Path, flows: set[str], *, look: bool) -> list[Applied]:
    from builder.deploy.folder import Folder

    def owned(manifest: Mapping[str, Any]) -> bool:
        of = (manifest["metadata"].get("labels") or {}).get("builder/flow", "")
        return _of_flows(manifest) and (not flows or of in flows)

    folder, manifests = Folder(directory), deployment.manifests(maker.settings.deploy.namespace)
    return folder.foresee(manifests, owned) if look else folder.write(manifests, owned)


def _of_flows(manifest: Mapping[str, Any]) -> bool:
    return manifest["kind"] in ("WorkflowTemplate", "CronWorkflow", "ConfigMap")


def _bootstrap(maker: Maker, commit: Commit, place: str, *, look: bool) -> list[Applied]:
    from builder.cluster.kubernetes import connect
    from builder.deploy.bootstrap import apply_bootstrap, bootstrap, foresee_bootstrap, secrets_needed
    from builder.deploy.folder import Folder

    settings = maker.settings
    cluster = connect(settings.deploy.namespace, settings.deploy.context) if place == CLUSTER else None
    manifests = bootstrap(settings, _pre_pulled(maker, commit, look=look))
    if cluster is not None:
        try:
            done = foresee_bootstrap(cluster, manifests) if look else [_noted(applied) for applied in apply_bootstrap(cluster, manifests)]
        except AuthError as error:
            hint = "this is an administrator's work: --to DIR writes the manifests for one"
            raise AuthError(error.message, hint) from error
    else:
        folder = Folder(Path(place))
        done = [*(folder.foresee if look else folder.write)(manifests, lambda manifest: not _of_flows(manifest))]
    for secret in secrets_needed(settings):
        output.note(f"secret {secret.name} must be there, with {secret.meaning}:\n  {secret.command}")
    return done


def _pre_pulled(maker: Maker, commit: Commit, *, look: bool) -> str:
    """The image that nodes are to have: a commit's without its code. None where the settings want none, or no base could run it."""
    from builder.cli.deploying import require_image
    from builder.cli.starting import handler_of

    if not maker.settings.deploy.pre_pull or not maker.store.hosts:
        return ""
    if look:
        require_image(maker, commit)
    image = maker.make(commit)
    if not any(layer.kind == "base" for layer in image.layers):
        return ""
    return handler_of(maker, image.manifest)


def _differs(applied: Applied) -> bool:
    return applied.done in ("created", "changed", "removed") or bool(applied.differences)


def _show(done: Sequence[Applied], form: str, commit: Commit, *, diff: bool, look: bool) -> None:
    if form == "json":
        objects = [{"kind": a.kind, "name": a.name, "done": a.done, "differences": list(a.differences)} for a in done]
        output.document({"commit": commit.sha, "looked": look, "objects": objects})
    elif diff:
        _show_differences(done)
    elif form == "name":
        for applied in done:
            output.result(f"{applied.kind}/{applied.name}")
    else:
        words = {**(_PLANNED if look else {"found": "is there"}), "unknown": _UNKNOWN}
        output.table(("KIND", "NAME", "DONE"), [(a.kind, a.name, words.get(a.done, a.done)) for a in done])


def _show_differences(done: Iterable[Applied]) -> None:
    for applied in filter(_differs, done):
        by_hand = ", and somebody changed it: delete it, and deploy again" if applied.done == "found" else ""
        output.result(f"{applied.kind} {applied.name} {_PLANNED[applied.done]}{by_hand}")
        for line in applied.differences:
            output.result(f"  {line}")


def _hint(done: Sequence[Applied], what: str, place: str, *, look: bool) -> None:
    unknown = [applied.name for applied in done if applied.done == "unknown"]
    if unknown:
        output.note(f"not in the settings any more, and still started: {', '.join(unknown)}; --prune removes such schedules")
    if not any(_differs(applied) for applied in done):
        output.note(f"{what} is there as the settings say; nothing to do")
    elif not look:
        output.note(f"{what} is deployed" if place == CLUSTER else f"{what} is written to {place}")
