"""Back to a commit whose template the cluster still has: schedules are pointed at it, and nothing is made.

When a schedule starts, how it is paused, and what it sets stay as they are in the cluster.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from builder.cluster.interface import Cluster
from builder.data.interface import Objects
from builder.data.ledger import now
from builder.deploy.apply import Applied, is_fresh
from builder.deploy.compare import differences
from builder.deploy.cron import commit_of, image_of, pointing, request_of, template_of, told, who
from builder.deploy.deployment import NOTICED
from builder.deploy.history import ROLLBACK, Deployed, deployed
from builder.deploy.names import MANAGED
from builder.deploy.render import released_request
from builder.deploy.schedules import DEPLOYED, DEPLOYER, KIND, ROLLED_BACK, marked, touch
from builder.errors import AuthError, ClusterError, DeployError
from builder.steps import green
from builder.steps.request import Origin, Request

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rollback:
    """`crons` are the flow's schedules as the cluster has them, `template` what they are to start. `main`: its commit is on the default
    branch.
    """

    flow: str
    crons: tuple[Manifest, ...]
    template: Manifest
    main: bool

    @property
    def commit(self) -> str:
        return str(self.template["metadata"]["labels"]["builder/commit"])

    @property
    def subject(self) -> str:
        return str(self.template["metadata"]["annotations"].get("builder/subject", ""))


def live(cluster: Cluster, flow: str, repository: str, schedule: str = "") -> list[Manifest]:
    """The CronWorkflows that start the flow with images of the repository, or the one of that name. Raises DeployError when none does."""
    crons = [cron for cron in cluster.list(KIND, {**MANAGED, "builder/flow": flow}) if image_of(cron) == repository]
    found = sorted((cron for cron in crons if schedule in ("", cron["metadata"]["name"])), key=lambda cron: str(cron["metadata"]["name"]))
    if not found:
        known = ", ".join(sorted(cron["metadata"]["name"] for cron in crons))
        hint = f"schedules of {flow} there: {known}" if known else f"`builder deploy {flow}` deploys what [schedule] says"
        raise DeployError(f"no schedule{f' {schedule}' if schedule else ''} of {flow} is in namespace {cluster.namespace}", hint)
    return found


def live_commit(crons: Sequence[Mapping[str, Any]]) -> str:
    """What they start. Raises DeployError when they start different commits: nobody knows from where to go back."""
    commits = {cron["metadata"]["name"]: commit_of(cron) for cron in crons}
    if len(set(commits.values())) > 1:
        listed = ", ".join(f"{name} {commit[:12]}" for name, commit in commits.items())
        hint = "name the commit (--to REV), or one of the schedules (--schedule NAME)"
        raise DeployError(f"the schedules start different commits: {listed}", hint)
    return next(iter(commits.values()))


def last_green(objects: Objects, flow: str, commit: str, came_before: Callable[[str], bool]) -> str:
    """The commit of the newest green run that is of another commit, one that `came_before`. Raises DeployError when there is none."""
    for found in green.newest_first(objects, flow):
        if found["commit"] != commit and came_before(found["commit"]):
            return str(found["commit"])
    raise DeployError(
        f"no run of {flow} at a commit before {commit[:12]} has passed: there is nothing to go back to",
        f"--to REV names the commit; `builder show {flow} --history` lists those that were live",
    )


def template_at(cluster: Cluster, flow: str, commit: str, repository: str, was_live: Callable[[], Sequence[str]]) -> Manifest:
    """The flow's template of a commit: where there are several, the one that was live last, else the newest.

    `was_live` gives names, newest first. Raises DeployError when it is gone.
    """
    found = {
        str(template["metadata"]["name"]): template
        for template in cluster.list("workflowtemplates", {"builder/flow": flow, "builder/commit": commit})
        if image_of(template) == repository
    }
    if not found:
        text = f"the template of {flow} at {commit[:12]} is not in namespace {cluster.namespace} any more"
        raise DeployError(text, f"`builder deploy --commit {commit[:12]} {flow}` makes it again")
    if len(found) > 1 and (name := next((name for name in was_live() if name in found), "")):
        return found[name]
    return max(found.values(), key=lambda template: (template["metadata"].get("creationTimestamp", ""), template["metadata"]["name"]))


def request_for(cron: Mapping[str, Any], template: Mapping[str, Any], *, main: bool) -> Request:
    """What runs of the schedule are told at the template's commit: what the schedule sets stays.

    Raises DeployError where the commit lacks an action type that is set.
    """
    now_told, name = request_of(cron), cron["metadata"]["name"]
    released = released_request(template)
    chosen = now_told.evals if set(now_told.evals) != set(now_told.settings.evals) else tuple(sorted(released.settings.evals))
    missing = [action for action in chosen if action not in released.settings.evals]
    if missing:
        commit = released.commit[:12]
        raise DeployError(f"schedule {name} evaluates {', '.join(missing)}, which {commit} does not have", "name another commit (--to REV)")
    return replace(released, overrides=now_told.overrides, evals=chosen, origin=Origin(who=who(name), schedule=name, main=main))


def foresee_rollback(rollback: Rollback) -> list[Applied]:
    """What `roll_back` would do. Raises DeployError, UsageError for what a schedule sets and the commit does not take."""
    return [_look(cron, _pointed(cron, rollback)) for cron in rollback.crons]


def roll_back(
    cluster: Cluster,
    rollback: Rollback,
    by: str,
    *,
    remember: Callable[[Deployed], None] = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Applied]:
    """Points each schedule at the template, and says so when it is done. What can be refused is refused before anything is changed.

    Raises ClusterError, AuthError, DeployError; done again, it does the rest.
    """
    changed = []
    try:
        for planned, cron in zip(foresee_rollback(rollback), rollback.crons, strict=True):
            if planned.done == "changed":
                _point(cluster, cron, rollback, by)
                changed.append(planned.name)
                remember(deployed({**cron, **_pointed(cron, rollback)}, ROLLBACK, by, cluster.namespace, commit_of(cron)))
            yield planned
        if changed and is_fresh(rollback.template):
            sleep(NOTICED)
            for name in changed:
                touch(cluster, name)
    except (ClusterError, AuthError) as error:
        rest = f"`builder deploy --rollback {rollback.flow} --to {rollback.commit[:12]}` does the rest"
        raise type(error)(error.message, f"{rest}; {error.hint}" if error.hint else rest) from error


def _point(cluster: Cluster, cron: Mapping[str, Any], rollback: Rollback, by: str) -> None:
    name, marks = cron["metadata"]["name"], {DEPLOYED: now(), DEPLOYER: by, ROLLED_BACK: commit_of(cron)}
    if cluster.patch(KIND, name, marked(_pointed(cron, rollback), marks)) is None:
        raise DeployError(f"schedule {name} was removed meanwhile", f"`builder deploy {rollback.flow}` makes it again")


def _pointed(cron: Mapping[str, Any], rollback: Rollback) -> Manifest:
    pointed = pointing(cron["metadata"]["name"], rollback.template, request_for(cron, rollback.template, main=rollback.main))
    return {**pointed, "metadata": {**pointed["metadata"], "name": cron["metadata"]["name"]}}


def _look(cron: Mapping[str, Any], pointed: Mapping[str, Any]) -> Applied:
    changed = differences(pointed, cron)
    same = template_of(cron) == pointed["spec"]["workflowSpec"]["workflowTemplateRef"]["name"]
    done = "changed" if changed and not same else "found"
    return Applied("schedule", cron["metadata"]["name"], done, () if same else changed, told(cron))
