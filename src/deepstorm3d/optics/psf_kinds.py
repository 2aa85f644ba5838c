"""The kinds of PSF that an experiment may name by its key `psf.kind`."""

from __future__ import annotations

from typing import Annotated

from ..kinds import Kinds
from .measured import MeasuredPSFSpec
from .psf_spec import PSFSpec
from .scalar import ScalarPSFSpec
from .vectorial import VectorialPSFSpec

__all__ = ["PSF_KINDS", "AnyPSFSpec"]

PSF_KINDS = Kinds(ScalarPSFSpec, VectorialPSFSpec, MeasuredPSFSpec, same_keys=True)
"""All kinds of PSF; ``PSF_KINDS.register`` adds one that is defined elsewhere."""

AnyPSFSpec = Annotated[PSFSpec, PSF_KINDS]
"""A PSF of any kind, as a field of a record."""
