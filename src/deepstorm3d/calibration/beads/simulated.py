"""Simulated stacks of beads with a known mask, to test a calibration: with finer sampling than the fit uses."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...experiment.experiment import Experiment
from ...experiment.optics import experiment_mask
from ...optics.assembly import Assembly
from ...optics.computed import build_psf
from ...optics.masks import PhaseMask, PixelMask, ZernikePhase
from ...optics.zernike import noll_to_nm

__all__ = ["BeadScene", "aberrated_mask", "ball_points", "draw_stack"]


@dataclass(frozen=True)
class BeadScene:
    """Beads on the coverslip while the objective moves, or beads that move in depth.

    focus_um: (S,) nominal focal planes, or depths of the beads where the focus is fixed (in_depth);
    places_um: (B, 2) x, y;  photons: (S, B) of each bead in each slice;
    size: (H, W) px;  diameter_um: of the beads;  blur_px: in addition to their size;  drift_um: rms step from
    slice to slice;  background: photons per pixel in the middle;  gradient: its relative change to the right
    edge;
    """

    focus_um: Tensor
    places_um: Tensor
    photons: Tensor
    size: tuple[int, int]
    diameter_um: float = 0.2
    blur_px: float = 0.8
    drift_um: float = 0.006
    background: float = 20.0
    gradient: float = 0.0
    in_depth: bool = False


def aberrated_mask(experiment: Experiment, rms_um: float, seed: int, order: int = 6) -> PhaseMask:
    """The experiment's mask plus a random smooth aberration, with rms_um of optical path over the aperture.

    Zernike polynomials from Noll 4 to the last of `order`, normal, with amplitudes ∝ 1/(radial order).
    """
    indices = list(range(4, (order + 1) * (order + 2) // 2 + 1))
    generator = torch.Generator().manual_seed(seed)
    falling = torch.tensor([1.0 / noll_to_nm(noll)[0] for noll in indices], dtype=torch.float64)
    values = falling * torch.randn(len(indices), generator=generator).double()
    values *= 2 * math.pi * rms_um / experiment.microscope.wavelength / values.norm().clamp(min=1e-9)
    mask = ZernikePhase(experiment.microscope, indices, values, base=experiment_mask(experiment))
    return PixelMask(mask().detach())


def ball_points(diameter_um: float) -> tuple[Tensor, Tensor]:
    """Points (13, 3) µm and weights (13,) that integrate polynomials of degree 5 over a ball exactly.

    The middle and the corners of an icosahedron at √(5/7) of the radius (moments of the ball: 3/5 R², 3/7 R⁴).
    """
    golden = (1 + math.sqrt(5)) / 2
    corners = []
    for a in (-1.0, 1.0):
        for b in (-golden, golden):
            corners += [[0.0, a, b], [a, b, 0.0], [b, 0.0, a]]
    unit = torch.tensor(corners) / math.sqrt(1 + golden**2)
    points = torch.cat([torch.zeros(1, 3), unit * (math.sqrt(5 / 7) * diameter_um / 2)])
    return points, torch.tensor([0.16] + [0.07] * 12)


@torch.no_grad()
def draw_stack(experiment: Experiment, mask: PhaseMask, scene: BeadScene, seed: int) -> Tensor:
    """Photons counted in each slice, with Poisson noise: (S, H, W).

    Each bead is a ball of 13 points, and the pupil is sampled twice in each mask pixel.
    """
    generator = torch.Generator().manual_seed(seed)
    slices = len(scene.focus_um)
    spec = experiment.psf.with_(blur_px=scene.blur_px, pupil_oversampling=2)
    widest = int(experiment.microscope.image_period_px) - 1
    psf = build_psf(spec, experiment.microscope, mask, patch_px=min(121, widest - 1 + widest % 2))
    drift = torch.cumsum(scene.drift_um * torch.randn(slices, 2, generator=generator), 0)
    frames = torch.zeros(slices, *scene.size)
    points, weights = ball_points(scene.diameter_um)
    height = scene.focus_um[:, None] if scene.in_depth else torch.full((slices, 1), scene.diameter_um / 2)
    focus = None if scene.in_depth else scene.focus_um
    for place, light in zip(scene.places_um, scene.photons.T, strict=True):
        for point, weight in zip(points, weights, strict=True):
            xyz = torch.cat([place + drift, height], 1) + point
            patches = psf(xyz, focus_um=focus)
            side = patches.values.shape[1]
            places = Assembly(patches.corner, torch.arange(slices), (side, side), tuple(frames.shape))
            frames += places.add(places.inside(patches.values * (weight * light)[:, None, None]))
    ramp = torch.linspace(-1, 1, scene.size[1])
    return torch.poisson(frames + scene.background * (1 + scene.gradient * ramp), generator=generator)
