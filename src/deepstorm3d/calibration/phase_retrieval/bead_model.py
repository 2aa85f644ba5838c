"""The image of a bead as a function of everything but the phase; its light and background are solved for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from ...optics.assembly import Assembly
from ...optics.exact import ExactPSF
from ...optics.psf import Patches
from ..beads.images import BeadImages, BeadState

__all__ = [
    "AdjustedPSF",
    "FocusedPSF",
    "background_terms",
    "bead_patches",
    "expected",
    "fit_light",
    "ridged",
    "scoring_step",
]


class FocusedPSF(Protocol):
    """A PSF that accepts a focus for each image."""

    @property
    def pixel_um(self) -> float:
        """Camera pixel in the sample, µm."""
        ...

    def __call__(
        self,
        xyz: Tensor,
        blur_px: Tensor | None = None,
        *,
        focus_um: Tensor | None = None,
        place: Tensor | None = None,
    ) -> Patches:
        """xyz: (N, 3) µm;  blur_px: (N,) px;  focus_um: (N,) nominal focal planes or None;  place: (N, 2)."""
        ...


class AdjustedPSF(ABC):
    """A PSF with values that a fit changes in place: `current` gives the PSF with the present values."""

    @abstractmethod
    def current(self) -> ExactPSF:
        """The PSF with the present values."""

    @property
    def pixel_um(self) -> float:
        """Camera pixel in the sample, µm."""
        return self.current().pixel_um

    def __call__(
        self,
        xyz: Tensor,
        blur_px: Tensor | None = None,
        *,
        focus_um: Tensor | None = None,
        place: Tensor | None = None,
    ) -> Patches:
        """As `ExactPSF`."""
        return self.current()(xyz, blur_px, focus_um=focus_um, place=place)


def bead_patches(psf: FocusedPSF, images: BeadImages, state: BeadState) -> Tensor:
    """Fraction of a bead's light in each pixel of its image: (N, h, w), differentiable."""
    xyz, focus = state.places(images)
    middle = (images.side // 2) * psf.pixel_um
    xyz = xyz + xyz.new_tensor([middle, middle, 0.0])
    patches = psf(xyz, state.blur_px.expand(len(xyz)), focus_um=focus, place=images.place)
    own = torch.arange(len(xyz), device=xyz.device)
    size = (patches.values.shape[1], patches.values.shape[2])
    places = Assembly(patches.corner, own, size, (len(xyz), images.side, images.side))
    return places.add(places.inside(patches.values))


def background_terms(side: int, like: Tensor) -> Tensor:
    """A constant level, and gradients along y and x that reach ±1 at the edges: (3, side, side)."""
    ramp = torch.linspace(-1, 1, side, dtype=like.dtype, device=like.device)
    return torch.stack([torch.ones(side, side).to(like), ramp.expand(side, -1), ramp[:, None].expand(-1, side)])


def expected(patches: Tensor, state: BeadState) -> Tensor:
    """Photons expected in each pixel of each image: (N, h, w)."""
    surface = torch.einsum("nk,khw->nhw", state.background, background_terms(patches.shape[-1], patches))
    return patches * state.photons[:, None, None] + surface


@torch.no_grad()
def fit_light(images: BeadImages, patches: Tensor, state: BeadState, iterations: int = 2) -> BeadState:
    """Photons and background of each image at fixed positions: Fisher scoring, 4 unknowns each."""
    terms = background_terms(images.side, patches)
    columns = torch.cat([patches[:, None], terms.expand(len(images), -1, -1, -1)], 1).flatten(2)
    for _ in range(iterations):
        model = expected(patches, state)
        step = scoring_step(columns, images.likelihood.information(model), images.likelihood.score(model))
        state = replace(
            state,
            photons=(state.photons + step[:, 0]).clamp(min=1.0),
            background=state.background + step[:, 1:],
        )
    return state


def scoring_step(columns: Tensor, information: Tensor, score: Tensor) -> Tensor:
    """Steps (N, p) of Fisher scoring for columns (N, p, pixels)."""
    information, score = information.flatten(1), score.flatten(1)
    matrix = (columns * information[:, None]) @ columns.mT
    return torch.linalg.solve(*ridged(matrix.double(), (columns @ score[:, :, None])[..., 0].double())).to(
        columns
    )


def ridged(matrix: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Adds a small ridge, which keeps the matrix regular where an image contains no light."""
    diagonal = matrix.diagonal(dim1=-2, dim2=-1).clamp(min=1e-12)
    return matrix + torch.diag_embed(1e-6 * diagonal), right
