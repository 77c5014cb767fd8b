"""Amazon ECR: what deletes images by itself there."""

from __future__ import annotations

from builder.doctor.scene import Found, Scene, failed, not_needed, ok
from builder.errors import AuthError

_REMEDY = (
    "leave that to `builder gc`, which knows what is needed: `aws ecr delete-lifecycle-policy --repository-name {name}`, "
    "or let the rule take `untagged` images alone"
)


def lifecycle(scene: Scene) -> Found:
    """A policy knows nothing of who names an image by its digest."""
    from builder.model.reference import Repository
    from builder.stores.registry import ecr
    from builder.stores.registry.lifecycle import harmful_rules, read_policy

    target = scene.settings.store.target
    if target.startswith(("oci:", "docker:")) or not ecr.region(Repository.parse(target).host):
        return not_needed("of ECR alone")
    repository = Repository.parse(target)
    try:
        policy = read_policy(repository)
    except AuthError as error:
        return not_needed(f"not looked at: {error.message}")
    rules = harmful_rules(policy) if policy else ()
    if not rules:
        return ok(f"no rule of {repository.name} deletes images that are named by digest")
    said = "; ".join(f"rule {rule.priority} {rule.does}: {', '.join(rule.takes)}" for rule in rules)
    return failed(f"its policy in ECR takes images away that something may need: {said}", _REMEDY.format(name=repository.name))
