"""Writes docs/images/demo.svg: what `builder demo` really prints on a terminal of 100 columns.

Run: .venv/bin/python docs/capture.py
"""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS = 100
# Rich's own template, less the fonts that it fetches from a server.
TEMPLATE = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: {char_height}px; line-height: {line_height}px;
}}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: ui-sans-serif, system-ui, sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" /></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">{matrix}</g>
</g>
</svg>
"""


def terminal_output(argv: list[str]) -> str:
    """Everything a command writes to a terminal."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    with subprocess.Popen(argv, stdout=theirs, stderr=theirs, stdin=subprocess.DEVNULL, env=environment) as process:
        os.close(theirs)
        chunks = []
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # Linux says so at the end
                break
            if not chunk:
                break
            chunks.append(chunk)
    os.close(ours)
    if process.returncode:
        raise SystemExit(process.returncode)
    return b"".join(chunks).decode()


def main() -> None:
    text = terminal_output([str(Path(sys.executable).parent / "builder"), "demo"])
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text("$ builder demo\n"), Text.from_ansi(text.replace("\r\n", "\n").rstrip("\n")), sep="")
    svg = console.export_svg(title="builder demo", code_format=TEMPLATE, unique_id="demo")
    Path(__file__).with_name("images").joinpath("demo.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
