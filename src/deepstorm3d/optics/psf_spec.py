"""What every kind of PSF answers for itself: what it is made from, how it draws a molecule, its limits."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Protocol, Self, TypeVar

import torch

from ..psf_volume import PSFVolume
from ..spec import Spec, quantity
from .field_aberrations import FieldSpec
from .masks import PhaseMask
from .microscope import Microscope
from .psf import Images, extent_px
from .tabulated import TabulatedPSF

__all__ = ["PSFFiles", "PSFSpec"]

PSFKind = TypeVar("PSFKind", bound="PSFSpec")

# Samples of a table per camera pixel, where images may be sharper than this blur: two, else one. px
_SHARP_PX = 0.9
_WIDEST_PX = 501
_NARROWEST_PX = 11


class PSFFiles(Protocol):
    """What the files of an experiment hold, read where a PSF asks for it."""

    def mask(self) -> PhaseMask:
        """The experiment's phase mask."""
        ...

    def planes(self, path: str) -> PSFVolume:
        """Planes of a PSF in a file, as the experiment names it; as the model stores them, where it does."""
        ...


class PSFSpec(Spec):
    """How the image of one molecule is computed: the keys and answers that all kinds of PSF share.

    A kind of its own is a record with a name, ``kind: Literal["gaussian"] = "gaussian"``, that says by `images`
    how it draws a molecule; `PSF_KINDS.register` adds it to those that an experiment may name. The rest of what
    is here holds for any PSF, and a kind says otherwise where it knows better.

    The `source` in many of these methods is what `source` returned: whatever the PSF is made from besides its
    numbers.
    """

    needs_mask: ClassVar[bool] = False
    """Whether the image is computed through the experiment's phase mask (`ComputedPSFSpec`)."""

    patch_limit: ClassVar[str] = f"the largest patch there is ({_WIDEST_PX} px)"
    """What keeps patches from being wider, in words for the user."""

    kind: Any
    patch_px: int = quantity(
        95, "px", "side of the patch that is computed, odd", ge=_NARROWEST_PX, le=_WIDEST_PX, multiple_of=1
    )
    blur_px: float = quantity(
        1.0,
        "px",
        "Gaussian σ for emitters without one of their own; of a measured PSF, what it holds",
        ge=0,
        le=10,
    )

    @abstractmethod
    def images(
        self,
        microscope: Microscope,
        source: Any,
        *,
        patch_px: int | None = None,
        blur_px: tuple[float, float] | None = None,
    ) -> Images:
        """What draws one molecule, as exactly as the kind can.

        patch_px: side, odd; None: the record's, or all that there is;  blur_px: smallest and largest blur that
        will be asked for, None: the record's alone.  Raises InputError where source or patch do not fit.
        """

    def tabulate(
        self,
        microscope: Microscope,
        source: Any,
        z_um: tuple[float, float],
        blur_px: tuple[float, float],
        *,
        finer: bool = False,
    ) -> TabulatedPSF:
        """The same PSF as a table over a depth range and a blur range, with the record's patch.

        finer: two samples per pixel in any case; else where an image may be sharper than 0.9 px (one would err
        by more than 1 % of the peak there, figures in `TabulatedPSF`).
        Raises InputError where source or patch do not fit.
        """
        side = self.patch_px + 2 * TabulatedPSF.margin_px
        images = self.images(microscope, source, patch_px=side, blur_px=blur_px)
        return TabulatedPSF(
            images, z_um, blur_range=blur_px, oversampling=self._samples_per_pixel(blur_px, finer)
        )

    def to_kind(self, kind: type[PSFKind], **changes: Any) -> PSFKind:
        """A PSF of another kind: keys of the same name keep their values, others are the kind's own."""
        shared = (set(type(self).model_fields) & set(kind.model_fields)) - {"kind"}
        return kind(**{**{name: getattr(self, name) for name in shared}, **changes})

    def source(self, files: PSFFiles, microscope: Microscope, z_um: tuple[float, float]) -> Any:
        """What the PSF is made from besides its numbers: a phase mask, planes, nothing (None).

        z_um: depths that molecules may have.  Raises InputError where a file does not fit.
        """
        return None

    def check_scenes(self, z_um: tuple[float, float], blur_px: tuple[float, float]) -> None:
        """Raise ValueError, with words for the user, for depths (µm) or blurs that the PSF cannot have."""

    def check_fit(
        self, microscope: Microscope, source: Any, z_um: tuple[float, float], blur_px: tuple[float, float]
    ) -> None:
        """Raise InputError where microscope, source and patch do not fit together: by drawing one molecule."""
        images = self.images(
            microscope, source, patch_px=self.patch_px + 2 * TabulatedPSF.margin_px, blur_px=blur_px
        )
        with torch.no_grad():
            images(torch.tensor([[0.0, 0.0, (z_um[0] + z_um[1]) / 2]]))

    def depths_um(self, source: Any) -> tuple[float, float]:
        """Lowest and highest depth, µm, at which the PSF says how a molecule looks."""
        return -math.inf, math.inf

    @property
    def least_blur_px(self) -> float:
        """Blur below which it cannot draw, px."""
        return 0.0

    def widest_patch_px(self, microscope: Microscope, source: Any) -> int:
        """Side of the widest patch that a table of this PSF can have, px, odd."""
        return _WIDEST_PX

    def compact_patch_px(
        self, microscope: Microscope, source: Any, z_um: tuple[float, float], *, light: float, most_px: int
    ) -> int:
        """Side of the smallest patch that holds a share of the light at every depth, px; `most_px` at most."""
        narrow = self.images(microscope, source, patch_px=min(most_px, self.patch_px))
        return max(_NARROWEST_PX, extent_px(narrow, z_um, light))

    def at(self, across: float, down: float) -> Self:
        """The same for one place of the field, from its middle: −½ and ½ at its edges."""
        return self

    @property
    def across(self) -> FieldSpec:
        """What changes across the field of view."""
        return FieldSpec()

    def describe(self, mask: str) -> str:
        """For people: "measured PSF", or of what is made with a mask of some kind, "tetrapod mask"."""
        return f"{mask} mask" if self.needs_mask else f"{self.kind} PSF"

    @property
    def file_name(self) -> str:
        """Name of the file that the PSF is read from; empty where there is none or it is not known."""
        return ""

    def renamed(self, rename: Callable[[str], str], source: Any = None) -> Self:
        """The same with its file named anew: as an experiment in another folder has to.

        rename: the new path for the old one;  source: what the file held, then the file's hash is set too.
        """
        return self

    def planes(self, source: Any) -> PSFVolume | None:
        """What a model file must keep of the source so that the model works without the file: planes, or
        nothing. The phase of a mask is kept in any case."""
        return None

    def _samples_per_pixel(self, blur_px: tuple[float, float], finer: bool) -> int:
        return 2 if finer or blur_px[0] < _SHARP_PX else 1
