"""The depth at which a molecule looks like a bead on the coverslip does at another focus."""

from __future__ import annotations

import torch
from torch import Tensor

from ...optics.psf import on_axis
from ..phase_retrieval.bead_model import FocusedPSF

__all__ = ["depths_that_look_alike"]

# Depths are searched for at least this far around the first guess, µm.
_AROUND_UM = 0.3
# The range of the search grows by this share of the distance between first guess and bead.
_SHARE = 0.25
# Largest distance of the depths that are tried, µm.
_GRID_UM = 0.02
# Background of a molecule, photons a pixel over its own: what is dim beside it counts less.
_FLOOR = 0.005
# The way from focus to depth is smooth; single slices match by chance a little beside it.
_DEGREE = 4


@torch.no_grad()
def depths_that_look_alike(
    psf: FocusedPSF, focus_um: Tensor, bead_um: float, guess_um: Tensor, blur_px: float
) -> Tensor:
    """Depths (S,) µm, at the PSF's own focus, of molecules that look as a bead does at each focus; smooth.

    focus_um: (S,) nominal focal planes of the slices;  bead_um: depth of the bead;  guess_um: (S,) first guess,
    which also stands where what is found would turn back on its way.
    The spherical aberration of depth is in the molecule and not in the bead: what is alike in defocus is not
    what is alike as an image, by which molecules are localized.
    """
    focus, guess = focus_um.float(), guess_um.float()
    reach = _AROUND_UM + _SHARE * (guess - bead_um).abs()
    low, high = float((guess - reach).min()), float((guess + reach).max())
    depth = torch.linspace(low, high, round((high - low) / _GRID_UM) + 2)
    molecules = psf(on_axis(depth), torch.full_like(depth, blur_px)).values.flatten(1)
    height = torch.full_like(focus, bead_um)
    beads = psf(on_axis(height), torch.full_like(focus, blur_px), focus_um=focus).values.flatten(1)
    weight = 1 / (beads + _FLOOR)
    # What is left of the bead beside the molecule's image at its best brightness.
    along, own = (weight * beads) @ molecules.T, weight @ molecules.square().T
    left = (weight * beads.square()).sum(1, keepdim=True) - along.square() / own.clamp(min=1e-12)
    left = left.masked_fill((depth - guess[:, None]).abs() > reach[:, None], torch.inf)
    found = depth[left.argmin(1)].double() - guess_um.double()
    # Around the middle, and in units of the range: else the powers would be of very different sizes.
    place = (guess_um.double() - guess_um.mean()) / guess_um.std().clamp(min=1e-9)
    powers = place[:, None] ** torch.arange(min(_DEGREE, len(place) - 1) + 1)
    smooth = guess_um.double() + powers @ torch.linalg.lstsq(powers, found[:, None]).solution[:, 0]
    steps = smooth[guess_um.argsort()].diff()
    return smooth if bool((steps > 0).all()) else guess_um.double()
