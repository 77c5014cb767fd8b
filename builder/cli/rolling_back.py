"""`builder deploy --rollback`: from a flow's name to the template that its schedules start again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.cli import output, wiring
from builder.cli.deploy import Done
from builder.cli.deploying_to import noted, remembering
from builder.cli.person import who
from builder.cli.reading import Reader
from builder.cli.starting import on_default_branch
from builder.errors import RevisionError

if TYPE_CHECKING:
    from builder.cli.deploy import Asked
    from builder.cli.making import Maker
    from builder.cluster.interface import Cluster
    from builder.deploy.rollback import Manifest, Rollback
    from builder.source.repository import Git

_LAST = 50
"""Changes of a schedule among which a template is looked for."""


def roll_back(maker: Maker, asked: Asked) -> Done:
    """Raises DeployError when nothing is live, or nothing is there to go back to."""
    from builder.deploy.rollback import foresee_rollback
    from builder.deploy.rollback import roll_back as do

    cluster = wiring.open_cluster(maker.settings)
    rollback = _plan(maker, cluster, asked)
    _check_config(maker, rollback)
    if asked.look:
        done = foresee_rollback(rollback)
    else:
        _warn_of_watchers(rollback)
        done = [noted(applied) for applied in do(cluster, rollback, who(), remember=remembering(maker))]
    return Done(done, rollback.commit, rollback.subject)


def _plan(maker: Maker, cluster: Cluster, asked: Asked) -> Rollback:
    from builder.deploy.history import eras
    from builder.deploy.rollback import Rollback, live, template_at

    (flow,), reader = asked.flows, Reader.beside(maker)
    crons = live(cluster, flow, maker.store.name, asked.schedule)
    sha = _named(reader, cluster, flow, asked.place) if asked.place else _last_green(reader, flow, crons)

    def was_live() -> list[str]:
        return [era.deployed.template for era in eras(reader.objects, None, flow, cluster.namespace, _LAST)]

    template = template_at(cluster, flow, sha, maker.store.name, was_live)
    return Rollback(flow, tuple(crons), template, main=_on_main(maker.git, sha, green=not asked.place))


def _named(reader: Reader, cluster: Cluster, flow: str, revision: str) -> str:
    """A shallow clone need not have the commit: the first digits of one that has a template will do."""
    from builder.cli.revisions import find_commit
    from builder.deploy.cron import commit_of

    try:
        return find_commit(reader, flow, revision).sha
    except RevisionError:
        known = {commit_of(template) for template in cluster.list("workflowtemplates", {"builder/flow": flow})}
        found = [sha for sha in known if len(revision) >= 7 and sha.startswith(revision)]
        if len(found) != 1:
            raise
        return found[0]


def _last_green(reader: Reader, flow: str, crons: list[Manifest]) -> str:
    from builder.deploy.rollback import last_green, live_commit
    from builder.deploy.schedules import ROLLED_BACK

    commit = live_commit(crons)
    left = {(cron["metadata"].get("annotations") or {}).get(ROLLED_BACK, "") for cron in crons}

    def came_before(sha: str) -> bool:
        known = _is_ancestor(reader.maybe_git, sha, commit)
        return sha not in left if known is None else known

    sha = last_green(reader.objects, flow, commit, came_before)
    output.note(f"the last green commit before {commit[:12]} is {sha[:12]}")
    return sha


def _is_ancestor(git: Git | None, older: str, newer: str) -> bool | None:
    """None where this clone cannot tell."""
    if git is None or git.shallow:
        return None
    try:
        git.commit(older), git.commit(newer)
    except RevisionError:
        return None
    return git.run("merge-base", "--is-ancestor", older, newer, check=False).returncode == 0


def _on_main(git: Git, sha: str, *, green: bool) -> bool:
    try:
        return on_default_branch(git, git.commit(sha))
    except RevisionError:
        return green  # green runs are those of the default branch


def _check_config(maker: Maker, rollback: Rollback) -> None:
    """What schedules set must be keys of that commit's configuration, too. Where the commit is not here, runs find out.

    Raises UsageError.
    """
    from builder.deploy.rollback import request_for
    from builder.steps.config import load

    try:
        commit = maker.git.commit(rollback.commit)
    except RevisionError:
        return
    for cron in rollback.crons:
        request = request_for(cron, rollback.template, main=rollback.main)
        if request.overrides and not request.settings.file:
            load(request.config, lambda path: maker.git.read_path(commit, path), request.overrides, request.settings.defaults)


def _warn_of_watchers(rollback: Rollback) -> None:
    from builder.deploy.gitops import watched_by

    for cron in rollback.crons:
        if watcher := watched_by(cron):
            name = cron["metadata"]["name"]
            output.warn(f"{watcher} looks after schedule {name} and may undo this: `git revert` the deploy in its repository, too")
