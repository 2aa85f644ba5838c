"""The record of a PSF: its settings, its source (mask or planes), its images and its limits."""

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

_SHARP_PX = 0.65  # smallest blur for which a table with one sample per pixel is precise enough, px
_WIDEST_PX = 501  # largest side of a patch, px
_NARROWEST_PX = 11  # smallest side of a patch, px


class PSFFiles(Protocol):
    """Access to the files of an experiment, which are read only when a PSF needs them."""

    def mask(self) -> PhaseMask:
        """The experiment's phase mask."""
        ...

    def planes(self, path: str) -> PSFVolume:
        """Planes of a PSF from a file named in the experiment, or from the model if it contains them."""
        ...


class PSFSpec(Spec):
    """Settings and methods for the image of one molecule that all kinds of PSF share.

    A new kind is a record with a name, ``kind: Literal["gaussian"] = "gaussian"``, and a method `images` that
    computes the image of a molecule; `PSF_KINDS.register` makes it available to experiments. The other methods
    have defaults that are valid for any PSF, and a kind may override them.

    The argument `source` of many methods is the value returned by the method `source`: the data that the PSF
    needs in addition to its settings.
    """

    needs_mask: ClassVar[bool] = False
    """Whether the image is computed through the experiment's phase mask (`ComputedPSFSpec`)."""

    patch_limit: ClassVar[str] = f"the largest patch there is ({_WIDEST_PX} px)"
    """The reason for the largest patch, in words for the user."""

    kind: Any
    patch_px: int = quantity(
        95,
        "px",
        "side of the patch that is computed, odd",
        ge=_NARROWEST_PX,
        le=_WIDEST_PX,
        multiple_of=1,
        label="Side of the patch",
    )
    blur_px: float = quantity(
        1.0,
        "px",
        "Gaussian blur σ of emitters that have none of their own; for a measured PSF, the blur in its planes",
        ge=0,
        le=10,
        label="Gaussian blur σ",
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
        """The function that computes images of molecules, as exactly as this kind can.

        patch_px: side, odd; None: the record's, or the largest possible;  blur_px: smallest and largest blur
        that will be used; None: only the record's.  Raises InputError if source or patch do not fit.
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
        """The PSF as a table over a depth range and a blur range, with the record's patch.

        finer: always two samples per pixel. By default there are two only for blurs below 0.9 px, for which a
        single one gives errors of more than 1 % of the peak (figures in `TabulatedPSF`).
        Raises InputError if source or patch do not fit.
        """
        side = self.patch_px + 2 * TabulatedPSF.margin_px
        images = self.images(microscope, source, patch_px=side, blur_px=blur_px)
        return TabulatedPSF(
            images, z_um, blur_range=blur_px, oversampling=self._samples_per_pixel(blur_px, finer)
        )

    def to_kind(self, kind: type[PSFKind], **changes: Any) -> PSFKind:
        """Convert to another kind of PSF: keys of the same name keep their values, others get the defaults."""
        shared = (set(type(self).model_fields) & set(kind.model_fields)) - {"kind"}
        return kind(**{**{name: getattr(self, name) for name in shared}, **changes})

    def source(self, files: PSFFiles, microscope: Microscope, z_um: tuple[float, float]) -> Any:
        """Data that the PSF needs in addition to its settings: a phase mask, planes, or None.

        z_um: depth range of the molecules.  Raises InputError if a file does not fit.
        """
        return None

    def check_scenes(self, z_um: tuple[float, float], blur_px: tuple[float, float]) -> None:
        """Raise ValueError, with words for the user, for depths (µm) or blurs (px) that the PSF cannot have."""

    def check_fit(
        self, microscope: Microscope, source: Any, z_um: tuple[float, float], blur_px: tuple[float, float]
    ) -> None:
        """Compute one image; raises InputError if microscope, source and patch do not fit together."""
        images = self.images(
            microscope, source, patch_px=self.patch_px + 2 * TabulatedPSF.margin_px, blur_px=blur_px
        )
        with torch.no_grad():
            images(torch.tensor([[0.0, 0.0, (z_um[0] + z_um[1]) / 2]]))

    def depths_um(self, source: Any) -> tuple[float, float]:
        """Lowest and highest depth at which the PSF is defined, µm."""
        return -math.inf, math.inf

    @property
    def least_blur_px(self) -> float:
        """Smallest possible blur, px."""
        return 0.0

    def widest_patch_px(self, microscope: Microscope, source: Any) -> int:
        """Largest side of the patch of a table of this PSF, px, odd."""
        return _WIDEST_PX

    def compact_patch_px(
        self, microscope: Microscope, source: Any, z_um: tuple[float, float], *, light: float, most_px: int
    ) -> int:
        """Side, px, of the smallest patch with encircled energy `light` at every depth; at most `most_px`."""
        narrow = self.images(microscope, source, patch_px=min(most_px, self.patch_px))
        return max(_NARROWEST_PX, extent_px(narrow, z_um, light))

    def at(self, across: float, down: float) -> Self:
        """The record for one field position, measured from the middle: −½ and ½ at the edges."""
        return self

    @property
    def across(self) -> FieldSpec:
        """Aberrations that change across the field of view."""
        return FieldSpec()

    def describe(self, mask: str) -> str:
        """Name for the user: "measured PSF", or for a PSF through a mask the mask's, "tetrapod mask"."""
        return mask if self.needs_mask else f"{self.kind} PSF"

    @property
    def file_name(self) -> str:
        """Name of the file of the PSF; empty if there is none or it is not known."""
        return ""

    def renamed(self, rename: Callable[[str], str], source: Any = None) -> Self:
        """The record with another path of its file, for an experiment in another folder.

        rename: converts the old path to the new one;  source: contents of the file; if given, the hash is set.
        """
        return self

    def planes(self, source: Any) -> PSFVolume | None:
        """Planes of the source that a model file must contain, so that the model works without the PSF's file.

        None: no planes are needed. The phase of a mask is always stored.
        """
        return None

    def _samples_per_pixel(self, blur_px: tuple[float, float], finer: bool) -> int:
        return 2 if finer or blur_px[0] < _SHARP_PX else 1
