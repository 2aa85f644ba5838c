"""Which rows of a list meet a condition on its columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..columns import OPTIONAL, Column, find_column
from ..emitters import Localizations
from .expressions import parse_condition

__all__ = ["columns_asked", "rows_where", "unknown_rows"]

# Rows evaluated at once: intermediate columns stay in the processor's cache, and memory does not grow.
_BLOCK = 2**17


def columns_asked(expression: str) -> dict[str, Column]:
    """The columns of an expression by the names used there; raises InputError as `rows_where` does."""
    return {name: find_column(name) for name in parse_condition(expression).columns}


def rows_where(table: Localizations, expression: str) -> Tensor:
    """The rows for which an expression such as ``sigma_z_nm < 40 & photons > 2000`` holds: (N,) bool.

    Grammar: `expressions`; columns: `columns`. Numbers are compared in the precision of the table, so that
    ``probability >= 0.9`` keeps a row that the file gives as 0.9. A comparison with a column that is not known
    is never true.
    Raises InputError for an expression that cannot be read, or an unknown column.
    """
    condition, columns = parse_condition(expression), columns_asked(expression)
    keep = np.zeros(len(table), dtype=bool)
    for begin in range(0, len(table), _BLOCK):
        part = table.select(slice(begin, begin + _BLOCK))
        values: dict[str, Any] = {name: column.values(part) for name, column in columns.items()}
        keep[begin : begin + _BLOCK] = condition(values.__getitem__)
    return torch.from_numpy(keep).to(table.xyz.device)


def unknown_rows(table: Localizations, expression: str, name: str) -> list[str]:
    """A sentence for each column of an expression that is unknown in rows of the list `name`, or not there."""
    asked = {column.name: column for column in columns_asked(expression).values()}
    told = []
    for name_of_column, column in asked.items():
        values = column.values(table)
        unknown = int(np.isnan(values).sum())
        if unknown:
            where = "in any row" if unknown == len(table) else f"in {unknown} of {len(table)} rows"
            told.append(f"{name_of_column} is not known {where} of {name}: no condition on it holds there")
        elif len(table) and name_of_column in OPTIONAL and getattr(table, name_of_column) is None:
            told.append(f"{name} has no column {name_of_column}: it counts as {values[0]:g} in every row")
    return told
