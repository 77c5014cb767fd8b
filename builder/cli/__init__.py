"""The command line: the only package that prints, exits or knows click. One command per file."""

import sys


def main() -> None:
    """Runs the `builder` command."""
    from builder.cli.frame import run

    sys.exit(run(sys.argv[1:]))
