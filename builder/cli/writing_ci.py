"""`builder init --ci`: what CI does, as its provider reads it, and the settings where there are none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from builder.cli import output
from builder.errors import SettingsError, UsageError

if TYPE_CHECKING:
    from builder.ci import Pipeline
    from builder.init import Repository
    from builder.settings import Settings


def write_ci(repository: Repository, provider: str, *, force: bool, dry_run: bool) -> None:
    """Everything that can be refused is refused before the first file is written. Settings that are there stay as they are."""
    from builder.ci import pipeline_of, render

    proposed = _settings(repository)
    settings = _load(repository.root, proposed)
    pipeline = pipeline_of(settings, repository.branch)
    made = render(pipeline, provider)
    if dry_run:
        for path, text in {**proposed, **made}.items():
            output.result(f"# --- {path}\n{text.rstrip()}\n")
        _say_what_it_does(repository, settings, pipeline)
        return
    there = [path for path in made if os.path.lexists(repository.root / path)]
    if there and not force:
        raise UsageError(f"{repository.root / there[0]} is there already", "see a proposal with --dry-run, or replace it with --force")
    for path in (*proposed, *made):
        _check_way(repository.root, Path(path))
    for path, text in {**proposed, **made}.items():
        _write(repository.root / path, text)
        output.result(str(repository.root / path))
    _say_what_it_does(repository, settings, pipeline)
    _say_next(provider, settings, proposed=bool(proposed))


def _settings(repository: Repository) -> dict[str, str]:
    """Path to text; nothing when there are settings. A Dockerfile goes with them, where packages are listed and nothing locks them."""
    from builder.data_files import data_path
    from builder.init import propose, render, with_dockerfile
    from builder.init.propose import OUR_DOCKERFILE
    from builder.settings import FILE
    from builder.settings.load import has_project_table

    if (repository.root / FILE).exists() or has_project_table(repository.root):
        return {}
    proposal = with_dockerfile(propose(repository), repository)
    made = {FILE: render(proposal)}
    if proposal.dependencies.dockerfile == OUR_DOCKERFILE and not (repository.root / OUR_DOCKERFILE).exists():
        made[OUR_DOCKERFILE] = data_path(OUR_DOCKERFILE).read_text(encoding="utf-8")
    return made


def _load(root: Path, proposed: dict[str, str]) -> Settings:
    """The settings as they will be; no shell's variables: a file is for everybody."""
    from builder.settings import FILE, load

    if not proposed:
        return load(root, {})
    text = proposed[FILE].encode()
    return load(root, {}, lambda path: text if path == root.absolute() / FILE else None)


def _check_way(root: Path, path: Path) -> None:
    """The directories that `path` needs can be made. A link to nothing is none, and in the way of one."""
    for parent in path.parents:
        there = root / parent
        if os.path.lexists(there) and not there.is_dir():
            what = f"a link to {there.readlink()}, which is not there" if there.is_symlink() and not there.exists() else "no directory"
            raise UsageError(f"{root / path} cannot be written: {there} is {what}", f"move {there} out of the way")


def _write(path: Path, text: str) -> None:
    from builder.files import write_whole

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text.encode())
    except OSError as error:
        raise SettingsError(f"{path} cannot be written: {error.strerror}") from error


def _say_what_it_does(repository: Repository, settings: Settings, pipeline: Pipeline) -> None:
    """What nobody would see before the first night: what jobs install, and from where they deploy."""
    if repository.guessed and not settings.ci.branch:
        why = "there is neither main nor master, and no remote says which branch is the default"
        output.warn(f"nightlies deploy from {repository.branch}: {why}; [ci] branch sets another")
    output.note(f"jobs run `pip install {pipeline.install}`: {_about(settings)}")


def _about(settings: Settings) -> str:
    if settings.ci.install:
        return "[ci] install says so"
    return "where that is not published, or not by us, set [ci] install to a wheel, or to a file of requirements with hashes"


def _say_next(provider: str, settings: Settings, *, proposed: bool) -> None:
    if proposed:
        output.note("read builder.toml, and fill in what is commented out")
    if settings.store.target.startswith(("oci:", "docker:")):
        output.note(f"images go to {settings.store.target}, which is gone with the job: [store] to = a registry")
    output.note("who a job is comes from outside of the file: its first lines say which variables, and where")
    what = "commit and push" if provider == "github" else "commit, push, and set the project up in CircleCI"
    output.note(f"next: {_pin(settings.image.base)}{what}")


def _pin(base: str) -> str:
    if not base:
        return "builder base pin nvcr.io/nvidia/pytorch:YY.MM-py3; then "
    return "" if base == "scratch" or "@sha256:" in base else "builder base pin; then "
