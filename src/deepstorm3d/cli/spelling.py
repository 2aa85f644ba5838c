"""σ where the screen or a file behind ``>`` cannot hold it: "sigma", instead of an end with an error.

On Windows standard output is written in a Western or another old encoding when it goes to a file or a pipe.
Signs that an encoding lacks are spelled with those that all have; what it has stays as it is.
"""

from __future__ import annotations

import codecs
import io
import sys
import unicodedata
from typing import Any

__all__ = ["spell_out", "spelled"]

_NAME = "deepstorm3d.spelled"
_WORDS = {
    "µ": "u",
    "μ": "u",
    "−": "-",
    "–": "-",
    "—": "-",
    "·": "|",
    "×": "x",
    "±": "+-",
    "→": "->",
    "≤": "<=",
    "≥": ">=",
    "≈": "~",
    "√": "sqrt ",
    "∞": "inf",
    "⟨": "<",
    "⟩": ">",
    "●": "*",
    "○": "o",
    "°": " deg",
    "’": "'",
    "æ": "ae",
}


def spell_out() -> None:
    """Let standard output and standard error spell the signs that their encoding lacks."""
    codecs.register_error(_NAME, _replaced)
    for stream in (sys.stdout, sys.stderr):
        # Others (of tests, notebooks, without a console) hold any text.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_NAME)


def spelled(text: str, stream: Any) -> str:
    """A text as such a stream will show it; what is laid out in columns needs to know beforehand."""
    if getattr(stream, "errors", None) != _NAME:
        return text
    encoding = stream.encoding
    return text.encode(encoding, _NAME).decode(encoding)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    """What stands for the signs that an encoding lacks: ASCII alone."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_word, error.object[error.start : error.end])), error.end


def _word(sign: str) -> str:
    if sign in _WORDS:
        return _WORDS[sign]
    name = unicodedata.name(sign, "")
    if name.startswith("GREEK") and name.split()[-2:-1] == ["LETTER"]:
        letter = name.split()[-1].lower().replace("lamda", "lambda")
        return letter.capitalize() if "CAPITAL" in name else letter
    plain = unicodedata.normalize("NFKD", sign).replace("⁄", "/").replace("−", "-")
    plain = plain.encode("ascii", "ignore").decode()
    # A sign of another script, in the name of a file: its number, from which it can be found again.
    return plain or sign.encode("ascii", "backslashreplace").decode()
