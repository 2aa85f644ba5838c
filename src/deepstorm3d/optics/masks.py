"""Phase masks: one value per pixel, Zernike polynomials, and the classical designs."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..kinds import Kinds
from ..spec import Spec, quantity
from .designs import double_helix_phase, learned_phase, random_phase, tetrapod_coefficients, vortex_phase
from .mask_shift import moved_phase
from .microscope import Microscope
from .pupil import mask_coordinates
from .zernike import zernike_basis

__all__ = [
    "MASK_KINDS",
    "AnyMask",
    "AstigmaticMask",
    "DoubleHelixMask",
    "FileMask",
    "LearnedMask",
    "MaskSpec",
    "MovedMask",
    "PhaseMask",
    "PixelMask",
    "RandomMask",
    "TetrapodMask",
    "VortexMask",
    "ZernikeMask",
    "ZernikePhase",
    "ZeroMask",
]


class PhaseMask(nn.Module):
    """A mask in the Fourier plane. Calling it returns its phase: (h, w) rad, on the mask's own pixels.

    Pixel [i, j] is at η = (i − (h−1)/2)·p_m down and ξ = (j − (w−1)/2)·p_m right of the optical axis.
    """

    @property
    def pixels(self) -> int:
        """Width of the mask, mask pixels."""
        raise NotImplementedError

    def forward(self) -> Tensor:
        raise NotImplementedError

    def crossed_at(self, shift_um: tuple[float, float], microscope: Microscope) -> Tensor:
        """The phase for light that is shifted on the mask, µm right and down: (h, w) rad."""
        return moved_phase(self(), microscope, shift_um)


class PixelMask(PhaseMask):
    """One free phase value for each mask pixel.

    phase: (h, w) rad;  learn: whether it is a trainable parameter or a fixed buffer.
    """

    def __init__(self, phase: Tensor, *, learn: bool = False) -> None:
        super().__init__()
        if phase.ndim != 2:
            raise ValueError(f"a mask has two dimensions, got shape {tuple(phase.shape)}")
        self.phase: Tensor
        if learn:
            # A copy, because the optimiser must not change the caller's tensor.
            self.phase = nn.Parameter(phase.detach().clone())
        else:
            self.register_buffer("phase", phase)

    @property
    def pixels(self) -> int:
        return self.phase.shape[1]

    def forward(self) -> Tensor:
        return self.phase


class ZernikePhase(PhaseMask):
    """A sum of Zernike polynomials over the usable aperture, radius min(1, n_s/NA) of the pupil.

    indices: Noll's indices;  coefficients: (len(indices),) rad rms each;  microscope: defines the
    aperture and the mask's pixels;  base: another mask to which the polynomials (aberrations) are added, or
    None.
    """

    def __init__(
        self,
        microscope: Microscope,
        indices: list[int],
        coefficients: Tensor,
        *,
        learn: bool = False,
        base: PhaseMask | None = None,
    ) -> None:
        super().__init__()
        if len(indices) != len(coefficients):
            raise ValueError(f"{len(indices)} Noll indices but {len(coefficients)} coefficients")
        self.base = base
        self._pixels = microscope.mask_px if base is None else base.pixels
        axis = mask_coordinates(self._pixels, microscope.mask_pitch)
        radius = microscope.aperture_radius
        basis = zernike_basis(indices, axis, radius).to(coefficients.device)
        self.register_buffer("basis", basis, persistent=False)
        self.coefficients: Tensor
        if learn:
            self.coefficients = nn.Parameter(coefficients.detach().to(torch.float64, copy=True))
        else:
            self.register_buffer("coefficients", coefficients.double())

    @property
    def pixels(self) -> int:
        return self._pixels

    def forward(self) -> Tensor:
        return self._polynomials() if self.base is None else self._polynomials() + self.base()

    def crossed_at(self, shift_um: tuple[float, float], microscope: Microscope) -> Tensor:
        """The same as for any mask, but aberrations added to another mask are in the pupil and not shifted."""
        if self.base is None:
            return super().crossed_at(shift_um, microscope)
        return self._polynomials() + self.base.crossed_at(shift_um, microscope)

    def _polynomials(self) -> Tensor:
        return torch.einsum("k,khw->hw", self.coefficients, self.basis)


class MovedMask(PhaseMask):
    """A mask off the pupil plane, as seen from one field position: the light on it is shifted.

    base: the mask;  shift_um: of the light on it, right and down;  microscope: defines pixels and aperture.
    """

    def __init__(self, base: PhaseMask, shift_um: tuple[float, float], microscope: Microscope) -> None:
        super().__init__()
        self.base, self._shift_um, self._microscope = base, shift_um, microscope

    @property
    def pixels(self) -> int:
        return self.base.pixels

    def forward(self) -> Tensor:
        return self.base.crossed_at(self._shift_um, self._microscope)


class MaskSpec(Spec):
    """A mask that an experiment names.

    A new kind is a record with a name, ``kind: Literal["axicon"] = "axicon"``, and a method `build`;
    `MASK_KINDS.register` makes it available to experiments.
    """

    kind: Any

    @abstractmethod
    def build(self, microscope: Microscope) -> PhaseMask:
        """The mask for one microscope, on its mask pixels; raises InputError where it cannot be built."""
        raise NotImplementedError

    def describe(self) -> str:
        """Name for the user: "double helix mask"."""
        return f"{self.kind.replace('_', ' ')} mask"


class ZeroMask(MaskSpec):
    """No mask (phase 0): the standard PSF."""

    kind: Literal["zero"] = "zero"

    def describe(self) -> str:
        return "no mask"

    def build(self, microscope: Microscope) -> PhaseMask:
        return PixelMask(torch.zeros(microscope.mask_px, microscope.mask_px))


class AstigmaticMask(MaskSpec):
    """Vertical astigmatism, as of a cylindrical lens."""

    kind: Literal["astigmatic"] = "astigmatic"
    strength: float = quantity(
        0.8, "rad rms", "Zernike coefficient of cos 2θ astigmatism (Noll 6)", gt=-20, lt=20
    )

    def build(self, microscope: Microscope) -> PhaseMask:
        return _zernike_mask(microscope, {6: self.strength})


class TetrapodMask(MaskSpec):
    """Our Tetrapod: the Zernike mask with the smallest mean CRLB over 4 µm, scaled by `strength`."""

    kind: Literal["tetrapod"] = "tetrapod"
    strength: float = quantity(1.0, "", "factor on the built-in coefficients", gt=0, le=3)

    def build(self, microscope: Microscope) -> PhaseMask:
        return _zernike_mask(microscope, tetrapod_coefficients(), self.strength)


class LearnedMask(MaskSpec):
    """Our learned mask, for dense molecules over 4 µm: that of the model `learned-precise`."""

    kind: Literal["learned"] = "learned"

    def build(self, microscope: Microscope) -> PhaseMask:
        return PixelMask(learned_phase(microscope))


class DoubleHelixMask(MaskSpec):
    """Phase of a superposition of Gauss-Laguerre modes: two lobes that rotate with depth."""

    kind: Literal["double_helix"] = "double_helix"
    waist: float = quantity(
        0.35,
        "",
        "Gaussian waist of the modes as a fraction of the aperture",
        gt=0.1,
        lt=2,
        label="Waist of the modes",
    )

    def build(self, microscope: Microscope) -> PhaseMask:
        return PixelMask(double_helix_phase(microscope, self.waist))


class VortexMask(MaskSpec):
    """A spiral phase."""

    kind: Literal["vortex"] = "vortex"
    charge: int = quantity(
        1, "", "topological charge: turns of 2π around the axis", ge=-10, le=10, label="Topological charge"
    )

    def build(self, microscope: Microscope) -> PhaseMask:
        return PixelMask(vortex_phase(microscope, self.charge))


class RandomMask(MaskSpec):
    """A smooth random phase, as the start of a design."""

    kind: Literal["random"] = "random"
    rms: float = quantity(
        1.0, "rad rms", "rms phase of all coefficients together", ge=0, le=10, label="RMS phase"
    )
    order: int = quantity(
        6, "", "highest radial order of its Zernike polynomials", ge=2, le=20, label="Highest radial order"
    )
    seed: int = quantity(0, "", "seed of the random coefficients", ge=0)

    def build(self, microscope: Microscope) -> PhaseMask:
        return PixelMask(random_phase(microscope, self.rms, self.order, self.seed))


class ZernikeMask(MaskSpec):
    """Any sum of Zernike polynomials."""

    kind: Literal["zernike"] = "zernike"
    coefficients: dict[int, float] = quantity(
        {}, "rad rms", "Noll index: coefficient", label="Zernike coefficients"
    )

    def build(self, microscope: Microscope) -> PhaseMask:
        return _zernike_mask(microscope, self.coefficients)


class FileMask(MaskSpec):
    """A mask from a .npy, .mat or .tif file (phase in radians on the mask's own pixels)."""

    kind: Literal["file"] = "file"
    path: str = quantity(
        "", "", "file that holds the mask; empty when only its hash is known", label="Mask file"
    )
    sha256: str = quantity("", "", "hash of the phase (shape and float32 values)", label="SHA-256")

    def describe(self) -> str:
        return "mask of a file"

    def build(self, microscope: Microscope) -> PhaseMask:
        """Raises InputError: the caller reads the file, and makes a `PixelMask` of its phase."""
        raise InputError("this experiment's mask is not stored with it", "give its file (`mask`)")


MASK_KINDS = Kinds(
    ZeroMask,
    AstigmaticMask,
    TetrapodMask,
    LearnedMask,
    DoubleHelixMask,
    VortexMask,
    RandomMask,
    ZernikeMask,
    FileMask,
)
"""All kinds of mask; ``MASK_KINDS.register`` adds one that is defined elsewhere."""

AnyMask = Annotated[MaskSpec, MASK_KINDS]
"""A mask of any kind, as a field of a record."""


def _zernike_mask(microscope: Microscope, table: dict[int, float], factor: float = 1.0) -> ZernikePhase:
    """A sum of polynomials; table: Noll index and coefficient, rad rms."""
    values = factor * torch.tensor(list(table.values()), dtype=torch.float64)
    return ZernikePhase(microscope, list(table), values)
