"""The tokens of a condition (words, numbers and signs) and their positions in the text."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import InputError

__all__ = ["Token", "marked", "tokens_of"]

# A number, a name or a sign, with the spaces before it.
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<sign>\*\*|<=|>=|==|!=|&&|\|\||[-+*/^<>=&|~!(),]))",
    re.ASCII,
)
# Other spellings of a sign.
_SAME_SIGN = {"and": "&", "&&": "&", "or": "|", "||": "|", "not": "~", "!": "~", "=": "==", "^": "**"}


@dataclass(frozen=True)
class Token:
    """A piece of an expression: kind ("number", "name", "sign" or "end"), its text, and where it begins."""

    kind: str
    text: str
    at: int


def tokens_of(text: str) -> list[Token]:
    """An expression cut into its tokens, an "end" after the last; ``and``, ``&&`` and ``&`` are the same sign.

    Raises InputError for a character that no expression contains.
    """
    found, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            raise InputError(
                f"{marked(text, at)}: unexpected {text[at]!r}; an expression is made of columns, numbers, "
                "< <= > >= == !=, & | ~, + - * / **, parentheses and abs sqrt log10 min max"
            )
        kind = match.lastgroup or ""
        word = match[kind]
        if kind == "name" and word.lower() in ("and", "or", "not"):
            kind, word = "sign", word.lower()
        found.append(Token(kind, _SAME_SIGN.get(word, word) if kind == "sign" else word, match.start(kind)))
        at = match.end()
    return [*found, Token("end", "", len(text))]


def marked(text: str, at: int) -> str:
    """The position of an error in an expression, for a message: character number and the text from there."""
    rest = text[at : at + 12]
    return f"at character {at + 1} of the expression ('{rest}')" if rest else "at the end of the expression"
