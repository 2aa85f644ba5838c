"""One table for all tests of a process that tabulate the same PSF: it takes longer than most of them."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import torch

from deepstorm3d.optics.computed import ComputedPSFSpec
from deepstorm3d.optics.masks import PhaseMask
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.optics.tabulated import TabulatedPSF

# Kept in each process; the tables of the built-in model have 38 to 124 MB.
MOST_BYTES = 400_000_000

Tabulate = Callable[..., TabulatedPSF]


def size(table: TabulatedPSF) -> int:
    return sum(each.nbytes for each in table.buffers())


def sharing(tabulate: Tabulate) -> Tabulate:
    """`ComputedPSFSpec.tabulate` that gives a copy of a table it made of the same before."""
    tables: OrderedDict[Hashable, TabulatedPSF] = OrderedDict()

    def shared(
        spec: ComputedPSFSpec, microscope: Microscope, source: PhaseMask, *ranges: Any, **options: Any
    ) -> TabulatedPSF:
        phase = source().detach()
        # A mask off the pupil plane is more than its phase: its polynomials stay where they are.
        if phase.device.type != "cpu" or spec.field.mask_offset:
            return tabulate(spec, microscope, source, *ranges, **options)
        made_of = (repr(microscope), tuple(phase.shape), phase.dtype, phase.numpy().tobytes())
        given = (repr(ranges), repr(sorted(options.items())), torch.get_default_dtype())
        key = (type(spec), repr(spec), *made_of, *given)
        if key not in tables:
            tables[key] = tabulate(spec, microscope, source, *ranges, **options)
            while len(tables) > 1 and sum(map(size, tables.values())) > MOST_BYTES:
                tables.popitem(last=False)
        # A copy, because `Module.to` moves a table itself to another device.
        return copy.deepcopy(tables[key])

    return shared
