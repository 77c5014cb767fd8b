"""From a repository to a proposal: base, dependencies, import path, command, excludes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from builder.init import dockerfile, dockerignore, training
from builder.init.dockerignore import Translated
from builder.init.repository import Repository, public_url
from builder.init.training import Training

_HASHED = re.compile(r"--hash=sha256:")
_DOCKERFILE = re.compile(r"(?:.*/)?(?:Dockerfile(?:\.[\w-]+)?|[\w-]+\.[Dd]ockerfile)\Z")
_REQUIREMENTS = re.compile(r"(?:.*/)?requirements[\w.-]*\.(?:txt|lock)\Z|(?:.*/)?requirements/[\w.-]+\.txt\Z")
_TEST = re.compile(r"(?:.*/)?(?:test_[\w-]+|[\w-]+_test|conftest)\.py\Z")
_PYTEST = re.compile(r"^\s*(?:.*\s)?pytest\b", re.MULTILINE)

OUR_DOCKERFILE = "dockerfiles/pytorch/Dockerfile"
"""Where it goes in a repository, which is where it is in this tool, too."""


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Either `dockerfile` (with `context`) or `lock` is proposed, or neither; `advice` says what to do instead, a line each.

    `requirements`: the file that the Dockerfile installs, where that must be said.
    """

    dockerfile: str = ""
    context: tuple[str, ...] = ()
    requirements: str = ""
    lock: str = ""
    advice: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Proposal:
    """What goes into builder.toml. `base_from` is the file that named the base."""

    base: str = ""
    base_from: str = ""
    import_roots: tuple[str, ...] = (".",)
    source: str = ""
    exclude: Translated = field(default_factory=Translated)
    lfs: bool = False
    submodules: bool = False
    dependencies: Dependencies = field(default_factory=Dependencies)
    training: Training = field(default_factory=Training)
    test: tuple[str, ...] = ()


def propose(repository: Repository) -> Proposal:
    """Everything that can be seen. What cannot stays empty, and becomes a comment to fill in."""
    files = _dockerfiles(repository)
    with_base = next(((path, found) for path, found in files if found.base and found.base != "scratch"), None)
    roots = _import_roots(repository)
    return Proposal(
        base=with_base[1].base if with_base else "",
        base_from=with_base[0] if with_base else "",
        import_roots=roots,
        source=public_url(repository.remote),
        exclude=dockerignore.translate(repository.text(".dockerignore"), repository.files),
        lfs="filter=lfs" in repository.text(".gitattributes"),
        submodules=".gitmodules" in repository.files,
        dependencies=_dependencies(repository, files),
        training=training.find(repository, roots),
        test=_test(repository),
    )


def with_dockerfile(proposal: Proposal, repository: Repository) -> Proposal:
    """For a repository that lists packages, and has neither a lock nor a Dockerfile: the Dockerfile that comes with this tool."""
    requirements = next(iter(_requirements(repository)), "")
    if proposal.dependencies.dockerfile or proposal.dependencies.lock or not requirements or _dockerfiles(repository):
        return proposal
    said = requirements if requirements != "requirements.txt" else ""
    return replace(proposal, dependencies=Dependencies(dockerfile=OUR_DOCKERFILE, context=(requirements,), requirements=said))


def _dockerfiles(repository: Repository) -> list[tuple[str, dockerfile.Dockerfile]]:
    """Those at the root first."""
    paths = sorted((path for path in repository.files if _DOCKERFILE.match(path)), key=lambda path: (path.count("/"), path))
    read = ((path, dockerfile.read(repository.text(path))) for path in paths)
    return [(path, found) for path, found in read if found is not None]


def _import_roots(repository: Repository) -> tuple[str, ...]:
    below_src = any(re.match(r"src/\w+/__init__\.py\Z", path) for path in repository.files)
    at_root = any(re.match(r"\w+/__init__\.py\Z", path) and not path.startswith(("src/", "tests/")) for path in repository.files)
    return (("src",) if below_src else ()) + ((".",) if at_root or not below_src else ())


def _dependencies(repository: Repository, files: list[tuple[str, dockerfile.Dockerfile]]) -> Dependencies:
    ready = next(((path, found) for path, found in files if found.takes_base), None)
    if ready:
        return Dependencies(dockerfile=ready[0], context=_tracked(repository, ready[1].copied))
    requirements = _requirements(repository)
    locked = next((path for path in requirements if _HASHED.search(repository.text(path))), "")
    if locked:
        return Dependencies(lock=locked)
    return Dependencies(advice=tuple(_advice(repository, files, requirements)))


def _requirements(repository: Repository) -> list[str]:
    return sorted((path for path in repository.files if _REQUIREMENTS.match(path)), key=lambda path: (path.count("/"), path))


def _test(repository: Repository) -> tuple[str, ...]:
    """pytest, where there are tests for it and what is installed names it."""
    has_tests = any(_TEST.match(path) for path in repository.files)
    lists = (path for path in repository.files if _REQUIREMENTS.match(path) or _DOCKERFILE.match(path))
    installed = has_tests and any(_PYTEST.search(repository.text(path)) for path in lists)
    return ("python", "-m", "pytest") if installed else ()


def _advice(repository: Repository, files: list[tuple[str, dockerfile.Dockerfile]], requirements: list[str]) -> list[str]:
    advice = []
    if "uv.lock" in repository.files:
        advice.append("uv export --format requirements-txt --no-emit-project -o requirements.lock")
    elif requirements or "pyproject.toml" in repository.files:
        advice.append(f"uv pip compile --generate-hashes {requirements[0] if requirements else 'pyproject.toml'} -o requirements.lock")
    if files:
        advice.append(f"or begin {files[0][0]} with `ARG BASE` and `FROM ${{BASE}}`, and copy no code in it; then: dockerfile = ...")
    if any(path.endswith(("environment.yml", "environment.yaml")) for path in repository.files):
        advice.append("conda environments go through a Dockerfile")
    return advice


def _tracked(repository: Repository, sources: tuple[str, ...]) -> tuple[str, ...]:
    """The files and directories that are there; not the whole repository, or every commit would build anew."""
    return tuple(path for path in sources if path in repository.files or repository.has_directory(path))
