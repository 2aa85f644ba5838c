"""Small frames with known molecules, for the tests of the joint fit: 40×48 px, an astigmatic PSF of 21 px."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor

from deepstorm3d.fitting.background import SplineBackground
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.linear import LinearImage, expected_image
from deepstorm3d.fitting.state import JointState
from deepstorm3d.optics.masks import AstigmaticMask
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.optics.psf import PSF
from deepstorm3d.optics.scalar import ScalarPSF
from deepstorm3d.optics.tabulated import TabulatedPSF

MICROSCOPE = Microscope(wavelength=0.67, focal_length=1.0e5, mask_pitch=90.0, focus=0.85)
SIZE = (40, 48)
DEPTH = (0.0, 1.2)


@cache
def exact_psf(patch_px: int = 21, blur_px: float = 1.0) -> ScalarPSF:
    mask = AstigmaticMask().build(MICROSCOPE)
    return ScalarPSF(MICROSCOPE, mask, patch_px=patch_px, blur_px=blur_px, oversampling=2)


@cache
def table(
    low: float = 1.0, high: float = 1.0, dtype: torch.dtype = torch.float64, patch_px: int = 21
) -> TabulatedPSF:
    source = exact_psf(patch_px + 2 * TabulatedPSF.margin_px)
    return TabulatedPSF(source, DEPTH, blur_range=(low, high), dtype=dtype)


@dataclass(frozen=True)
class Scene:
    """What is there: the truth, and the image model that it is seen with."""

    psf: PSF
    state: JointState
    background: SplineBackground

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.state.frames, *self.background.size)

    def image(self) -> Tensor:
        return expected_image(self.psf, self.state, self.background, self.shape)

    def linear(self) -> LinearImage:
        return LinearImage(self.psf, self.state, self.background, self.shape)

    def noisy(self, seed: int = 0) -> Likelihood:
        return Likelihood(torch.poisson(self.image(), generator=torch.Generator().manual_seed(seed)))

    def disturbed(self, lateral_um: float, axial_um: float, seed: int = 0) -> JointState:
        """The truth moved by Gaussian errors, with its photons off by a tenth and a level background."""
        generator = torch.Generator().manual_seed(seed)
        scale = self.state.xyz.new_tensor([lateral_um, lateral_um, axial_um])
        error = torch.randn(len(self.state), 4, generator=generator, dtype=torch.float64).to(self.state.xyz)
        xyz = self.state.xyz + error[:, :3] * scale
        return replace(
            self.state,
            xyz=torch.cat([xyz[:, :2], xyz[:, 2:].clamp(*DEPTH)], 1),
            photons=self.state.photons * (1 + 0.1 * error[:, 3].clamp(-3, 3)),
            coefficients=self.state.coefficients.mean((1, 2), keepdim=True).expand_as(self.state.coefficients),
        )


def scene(
    number: int,
    frames: int,
    *,
    psf: PSF | None = None,
    blur: bool = False,
    spacing_px: float = 20.0,
    level: float = 20.0,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    size: tuple[int, int] = SIZE,
) -> Scene:
    """`number` molecules of 3,000 to 8,000 photons at random places, as many in each frame."""
    generator = torch.Generator().manual_seed(seed)
    share = torch.rand(number, 5, generator=generator, dtype=torch.float64)
    side = torch.tensor([size[1], size[0], 1.0], dtype=torch.float64) * MICROSCOPE.pixel_um
    xyz = (0.1 + 0.8 * share[:, :3]) * side
    xyz[:, 2] = DEPTH[0] + (0.1 + 0.8 * share[:, 2]) * (DEPTH[1] - DEPTH[0])
    background = SplineBackground(size, spacing_px, torch.zeros(1, dtype=dtype))
    uneven = torch.rand(frames, *background.shape, generator=generator, dtype=torch.float64)
    state = JointState(
        xyz=xyz.to(dtype),
        photons=(3000 + 5000 * share[:, 3]).to(dtype),
        frame=(torch.arange(number) * frames // max(number, 1)).long(),
        coefficients=(level * (0.7 + 0.6 * uneven)).to(dtype),
        blur_px=(0.85 + 0.3 * share[:, 4]).to(dtype) if blur else None,
    )
    blurs = (0.75, 1.25) if blur else (1.0, 1.0)
    return Scene(table(*blurs, dtype) if psf is None else psf, state, background)


def nanometres(found: JointState, truth: JointState) -> Tensor:
    """Errors of position, nm, of molecules in the same order: (N, 3)."""
    return 1000 * (found.xyz - truth.xyz)
