"""What CI is told to do, as far as its file shows it: settings that changed since may need a job that is not in it."""

from __future__ import annotations

from builder.ci import pipeline_of
from builder.ci.circleci import FILE as CIRCLECI
from builder.ci.github import FILE as GITHUB
from builder.doctor.scene import Found, Scene, failed, not_needed, ok

_FILES = {"circleci": CIRCLECI, "github": GITHUB}


def jobs(scene: Scene) -> Found:
    """Whatever else is in the file is the team's."""
    there = {name: scene.settings.root / file for name, file in _FILES.items() if (scene.settings.root / file).is_file()}
    if not there:
        return not_needed("no file of CI here; `builder init --ci circleci` or `github` writes one")
    for provider, file in there.items():
        text = file.read_text(encoding="utf-8", errors="replace")
        if "builder image" not in text:
            continue
        for job in pipeline_of(scene.settings, "main").jobs:
            command = job.steps[0].command.partition(" -")[0]
            if job.name in ("base", "deps") and command not in text:
                remedy = f"add a job with `{job.steps[0].command}`, or write it anew: builder init --ci {provider} --force"
                return failed(f"{_FILES[provider]} never runs `{command}`, which the settings need", remedy)
        return ok(f"{_FILES[provider]} makes images")
    return not_needed(f"{', '.join(_FILES[provider] for provider in there)}: it makes no images")
