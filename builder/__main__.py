"""`python -m builder`: the same as the `builder` command."""

from builder.cli import main

if __name__ == "__main__":
    main()
