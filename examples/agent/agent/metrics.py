"""Metrics as JSON lines in the file that $BUILDER_METRICS names; on the terminal in any case."""

import json
import os


def report(step, name, value):
    print(f"{name} {value:.4f} (step {step})", flush=True)
    path = os.environ.get("BUILDER_METRICS")
    if path:
        with open(path, "a", encoding="utf-8") as lines:
            lines.write(json.dumps({"step": step, "name": name, "value": value}) + "\n")
