"""Runs a flow file's `argo-workflows create` with a code package that holds the flow file alone: `python .../thin.py FLOW ...`.

Metaflow packs itself into every package, and everything beside the flow, and puts that first on the path of every step; what steps need
is in the image already. It has no option for that (packaging_sys/v1.py, package/__init__.py), so three of its methods are replaced here;
the package's size is asserted by a test. Nothing else of this tool is imported: a team's own flow is compiled on the team's path.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any


def main(argv: list[str]) -> None:
    flow = Path(argv[0]).absolute()
    sys.path[0] = str(flow.parent)  # as if it was started itself
    _pack_no_metaflow()
    _pack_the_flow_alone(flow)
    _forget_this_machine()
    sys.argv = argv
    runpy.run_path(argv[0], run_name="__main__")


def _pack_no_metaflow() -> None:
    v1: Any = import_module("metaflow.packaging_sys.v1")

    def nothing(_: object) -> Iterator[Any]:
        return iter(())

    v1.MetaflowCodeContentV1._metaflow_distribution_files = nothing  # noqa: SLF001
    v1.MetaflowCodeContentV1._metaflow_extension_files = nothing  # noqa: SLF001


def _pack_the_flow_alone(flow: Path) -> None:
    package: Any = import_module("metaflow.package")

    def alone(_: object) -> Iterator[tuple[str, str]]:
        yield str(flow), flow.name

    package.MetaflowPackage._user_code_tuples = alone  # noqa: SLF001


def _forget_this_machine() -> None:
    """What the package and the steps' environment say of the machine that compiled: another one must make the same template."""
    module: Any = import_module("metaflow.metaflow_environment")
    asked = module.MetaflowEnvironment.get_environment_info

    def answer(self: Any, *arguments: Any, **named: Any) -> dict[str, Any]:
        return {**asked(self, *arguments, **named), "platform": "Linux", "python_version": "3", "python_version_code": "3"}

    module.MetaflowEnvironment.get_environment_info = answer


if __name__ == "__main__":
    main(sys.argv[1:])
