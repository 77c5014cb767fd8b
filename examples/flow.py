"""Says in one line what this flow is for."""

import os
from pathlib import Path

from metaflow import FlowSpec, Parameter, step

# The commit's files, wherever the flow runs. Python of the repository can be imported here; what only the image has, inside of steps.
ROOT = Path(os.environ.get("BUILDER_WORKDIR", "."))


class NewFlow(FlowSpec):
    """start -> count, for each suffix at once -> join -> end"""

    limit = Parameter("limit", default=1000, help="how many files are looked at: builder run NEW-FLOW limit=10")

    @step
    def start(self):
        self.suffixes = [".py", ".toml"]
        self.next(self.count, foreach="suffixes")

    @step
    def count(self):
        self.suffix = self.input
        files = sorted(path for path in ROOT.rglob(f"*{self.suffix}") if path.is_file())[: self.limit]
        self.lines = sum(path.read_bytes().count(b"\n") for path in files)
        print(f"{self.suffix}: {self.lines} lines in {len(files)} files")
        self.next(self.join)

    @step
    def join(self, inputs):
        self.lines = {found.suffix: found.lines for found in inputs}
        self.next(self.end)

    @step
    def end(self):
        # What is in `scores` are the run's scores: plain numbers by name, which `builder show` and `builder compare` tell.
        self.scores = {suffix.removeprefix("."): float(lines) for suffix, lines in self.lines.items()}


if __name__ == "__main__":
    NewFlow()
