"""Results show themselves in one line, whatever they hold."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import deepstorm3d as ds
from deepstorm3d.brief import Brief


@dataclass(frozen=True, repr=False)
class Inner(Brief):
    values: NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class Outer(Brief):
    image: Tensor
    sigma_nm: float
    many: tuple[float, ...]
    few: tuple[float, float]
    inner: Inner
    table: ds.Localizations
    notes: list[str]
    scalar: Any
    name: str = "storm"
    unknown: float | None = None


def test_arrays_are_shown_by_their_shapes_and_lists_by_their_lengths():
    table = ds.Localizations.proposals(torch.rand(2, 3), torch.tensor([0, 4]), torch.ones(2))
    shown = Outer(
        torch.zeros(300, 400),
        12.34567,
        tuple(range(1000)),
        (1.0, 2.0),
        Inner(np.zeros(7)),
        table,
        ["a", "b"],
        torch.tensor(2.5),
    )
    told = repr(shown)
    assert told.startswith("Outer(image=<300 x 400>, sigma_nm=12.35, many=<1000>, few=(1, 2), inner=<Inner>, ")
    assert f"table={table!r}" in told
    assert told.endswith("notes=<2>, scalar=2.5, name='storm', unknown=None)")
    assert repr(shown.inner) == "Inner(values=<7>)"
    others = {"a": 1.0}, frozenset({1, 2}), np.longdouble(2)
    shows = [repr(dataclasses.replace(shown, scalar=each)).split("scalar=")[1][:3] for each in others]
    assert shows == ["<1>", "<2>", "2.0"]


def classes_in(hint: Any) -> list[type]:
    """The classes that an annotation names."""
    inside = typing.get_args(hint)
    return [each for part in inside for each in classes_in(part)] if inside else [hint]


def holds_arrays(hint: Any) -> bool:
    return any(each in (Tensor, np.ndarray) for each in (typing.get_origin(hint), *classes_in(hint)))


def reached() -> list[type]:
    """The dataclasses that public functions return, and those within them."""
    functions = [each for name in ds.__all__ if inspect.isfunction(each := getattr(ds, name))]
    left = [each for one in functions for each in classes_in(typing.get_type_hints(one).get("return"))]
    found: list[type] = []
    while left:
        kind = left.pop()
        if kind not in found and inspect.isclass(kind) and dataclasses.is_dataclass(kind):
            found.append(kind)
            left += [each for hint in typing.get_type_hints(kind).values() for each in classes_in(hint)]
    return sorted(found, key=lambda each: each.__name__)


@pytest.mark.parametrize("kind", reached(), ids=lambda kind: kind.__name__)
def test_no_result_shows_pages_of_numbers(kind: type):
    written_here = not hasattr(kind.__repr__, "__wrapped__")
    assert written_here or not any(holds_arrays(hint) for hint in typing.get_type_hints(kind).values())
