"""What `builder image --dry-run` prints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from builder.cli import output
from builder.cli.image import as_json
from builder.model.image import BuiltImage, LayerReport


def show(images: Iterable[BuiltImage], form: str, unmade: Sequence[str]) -> None:
    """Every layer with its state and why; what nodes would pull. With `json`, the same as of a build.

    `unmade` is filled while the images are planned: with anything in it, nobody knows the digests yet, and none is printed.
    """
    planned = list(images)
    if form == "json":
        unknown = {"reference": None, "digest": None} if unmade else {}
        output.document([{**as_json(image), **unknown} for image in planned])
        return
    for image in planned:
        output.note(f"{image.commit.sha[:12]} {image.commit.subject[:60]}")
        if form == "table":
            rows = [(layer.digest[7:19], layer.kind, output.size(layer.size), layer.state, _why(layer, image)) for layer in image.layers]
            output.table(("LAYER", "KIND", "SIZE", "STATE", "WHY"), rows, right=("SIZE",))
        elif not unmade:
            output.result(image.reference)
        _pulls(image)
    output.note("nothing was written; next: the same without --dry-run")


def _why(layer: LayerReport, image: BuiltImage) -> str:
    title = f"{layer.title}: " if layer.title else ""
    if layer.kind == "base":
        return "the base" if layer.state != "absent" else "the base; this store does without its layers"
    if layer.state == "uploaded":
        return f"{title}{'changed since the ancestor' if image.previous else 'no ancestor has an image here'}"
    return f"{title}{'as in the ancestor' if image.previous else 'in the store already'}"


def _pulls(image: BuiltImage) -> None:
    held = {layer.digest for layer in image.previous.layers} if image.previous else set()
    new = [layer for layer in image.layers if layer.digest not in held]
    if image.previous:
        output.note(f"a node that has the ancestor's image pulls {_amount(new)}")
    output.note(f"a cold node pulls {_amount(image.layers)}")


def _amount(layers: Sequence[LayerReport]) -> str:
    return f"{output.size(sum(layer.size for layer in layers))} in {output.plural(len(layers), 'layer')}"
