"""Positions of a stack's slices from a text file."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError
from ...io.texts import decimal_commas, read_text

__all__ = ["read_positions"]


def read_positions(path: Path) -> Tensor:
    """Positions (S,) µm from a text file: one slice a line, the last number of the line; # begins a comment.

    The decimal sign may be a comma.  Raises InputError for a missing file, a line without a number, commas
    that may or may not be decimal signs, or an empty file.
    """
    rows = [(n, line.partition("#")[0].strip()) for n, line in enumerate(read_text(path).splitlines(), 1)]
    rows = [(number, line) for number, line in rows if line]
    decimal = decimal_commas([line for _, line in rows])
    if decimal is None:
        raise InputError(
            f"{path}: '{rows[0][1]}' may be one number with a decimal comma or two with a comma between them",
            "write a decimal point, or only one number a line",
        )
    values = []
    for number, line in rows:
        words = re.split(r"[\s;]+" if decimal else r"[\s;,]+", line.strip(",; \t"))
        try:
            values.append(float(words[-1].replace(",", ".")))
        except ValueError:
            raise InputError(
                f"{path}, line {number}: '{line[:40]}' ends in no number", "write one position a line, in µm"
            ) from None
        if not np.isfinite(values[-1]):
            raise InputError(f"{path}, line {number}: the position is {values[-1]}", "write a number, in µm")
    if not values:
        raise InputError(f"{path} holds no position", "write one line for each slice, in µm")
    return torch.tensor(values, dtype=torch.float64)
