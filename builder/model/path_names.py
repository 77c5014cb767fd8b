"""Paths of repositories as people, shells and JSON take them. Here they are text whose lone surrogates are bytes that are no UTF-8."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

_ESCAPES = {7: r"\a", 8: r"\b", 9: r"\t", 10: r"\n", 11: r"\v", 12: r"\f", 13: r"\r", 34: r"\"", 92: r"\\"}


def shown(path: str) -> str:
    r"""One line that can be printed: bytes that are no UTF-8 as `\xff`, newlines and what else cannot be seen as `\n`, `\u202e`."""
    text = _bytes(path).decode("utf-8", "backslashreplace")
    return text if text.isprintable() else "".join(each if each.isprintable() else _escaped(each) for each in text)


def shell_word(path: str) -> str:
    r"""What bash and zsh take for it, on one line: `'it is'`, and `$'a\nb\377'` (ANSI-C quoting) where there is something to escape."""
    if path.isprintable():
        return shlex.quote(path)
    return "$'" + "".join(r"\'" if byte == 39 else '"' if byte == 34 else _of_byte(byte) for byte in _bytes(path)) + "'"


def shell_line(words: Iterable[str]) -> str:
    """A command line."""
    return " ".join(map(shell_word, words))


def in_json(path: str) -> str:
    r"""Itself where it is UTF-8; otherwise, and where it begins with a quotation mark, as git quotes it: `"caf\351.bin"`.

    Git reads that back; most readers of JSON lose lone surrogates. https://git-scm.com/docs/git-config#Documentation/git-config.txt-corequotePath
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        return _as_git_quotes(path)
    return _as_git_quotes(path) if path.startswith('"') else path


def _as_git_quotes(path: str) -> str:
    return '"' + "".join(map(_of_byte, _bytes(path))) + '"'


def _of_byte(byte: int) -> str:
    return _ESCAPES.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}")


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
