"""`builder init --ci`: what CI does, as its provider reads it, and the settings where there are none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from builder.cli import output
from builder.errors import SettingsError, UsageError

if TYPE_CHECKING:
    from builder.init import Repository
    from builder.settings import Settings


def write_ci(repository: Repository, provider: str, *, force: bool, dry_run: bool) -> None:
    """Everything that can be refused is refused before the first file is written. Settings that are there stay as they are."""
    from builder.ci import pipeline_of, render

    proposed = _settings(repository)
    settings = _load(repository.root, proposed)
    made = render(pipeline_of(settings, repository.branch), provider)
    if dry_run:
        for path, text in {**proposed, **made}.items():
            output.result(f"# --- {path}\n{text.rstrip()}\n")
        return
    there = [path for path in made if (repository.root / path).exists()]
    if there and not force:
        raise UsageError(f"{repository.root / there[0]} is there already", "see a proposal with --dry-run, or replace it with --force")
    for path, text in {**proposed, **made}.items():
        _write(repository.root / path, text)
        output.result(str(repository.root / path))
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


def _write(path: Path, text: str) -> None:
    from builder.files import write_whole

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text.encode())
    except OSError as error:
        raise SettingsError(f"{path} cannot be written: {error.strerror}") from error


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
