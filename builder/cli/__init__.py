"""The command line: the only package that prints, exits or knows click. One command per file."""


def main() -> None:
    """Runs the `builder` command."""
    raise SystemExit(0)
