"""Between the tensors of the fit and its compiled code (`fitting.kernels`)."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..optics.tabulated import TabulatedPSF

if TYPE_CHECKING:
    from ..optics.assembly import Assembly
    from ..optics.compiled import Spline
    from ..optics.psf import PSF
    from .background import SplineBackground
    from .likelihood import Likelihood
    from .linear import LinearImage
    from .refine import Bounds, Effort
    from .state import JointState

__all__ = ["bounds", "can_compile", "climbed", "division_terms", "expected", "linearized", "solve_light"]

# Longest step of one iteration, as in `refine`: x, y, z (µm), photons, blur (px).
_LONGEST = (0.12, 0.12, 0.2, np.inf, 0.2)
MOST_UNKNOWNS = 4000
"""Unknowns of a frame above which the Fisher matrix is not formed: its memory grows with their square."""
_HAS_NUMBA = importlib.util.find_spec("numba") is not None


def can_compile(psf: PSF, like: Tensor) -> bool:
    """Whether the compiled code can do the fit: a tabulated PSF and single precision, on the CPU, with Numba."""
    on_cpu = like.device.type == "cpu" and like.dtype == torch.float32
    return _HAS_NUMBA and on_cpu and isinstance(psf, TabulatedPSF)


def is_small(state: JointState) -> bool:
    """Whether the Fisher matrix of every frame of a state is small enough to be formed."""
    unknowns = (4 if state.blur_px is None else 5) * state.counts + state.coefficients[0].numel()
    return not len(unknowns) or int(unknowns.max()) <= MOST_UNKNOWNS


def spline_and_shares(psf: PSF, xyz: Tensor) -> tuple[Spline, NDArray[np.float64]]:
    """The compiled form of the PSF, and the weights (N, P) of its field positions at xyz."""
    from ..optics.compiled import spline_of

    assert isinstance(psf, TabulatedPSF)
    weights = psf.position_weights(xyz)
    return spline_of(psf), np.ones((len(xyz), 1)) if weights is None else weights.double().numpy()


class Scenes:
    """The frames of a likelihood, one compiled scene after another."""

    def __init__(self, likelihood: Likelihood, background: SplineBackground, begin_px: Tensor | None) -> None:
        light = likelihood
        self.counts, self.base = light.shifted_counts.contiguous().numpy(), light.base().numpy()
        self.weight = torch.ones_like(light.frames) if light.weight is None else light.weight
        self.weight = self.weight.contiguous().numpy()
        self.rows, self.columns = (part.contiguous().numpy() for part in background.basis())
        self.knots = background.knots()
        self.excess = float(light.noise.excess)
        self.begin = np.zeros((len(light), 2), np.int64) if begin_px is None else begin_px.numpy()

    def __getitem__(self, frame: int) -> Any:
        from .kernels.scene import Scene

        return Scene(
            self.counts[frame], self.base[frame], self.weight[frame], self.excess, self.rows, self.columns,
            self.begin[frame],
        )  # fmt: skip


def places_of(state: JointState) -> NDArray[np.float64]:
    """Unknowns of the molecules: (N, 5) x, y, z, photons, blur."""
    blur = torch.full_like(state.photons, torch.nan) if state.blur_px is None else state.blur_px
    return torch.cat([state.xyz, state.photons[:, None], blur[:, None]], 1).double().numpy()


def climbed(
    psf: PSF,
    start: JointState,
    likelihood: Likelihood,
    background: SplineBackground,
    bounds: Bounds,
    effort: Effort,
) -> tuple[JointState, Tensor, Tensor]:
    """The state after the fit of every frame, its deviance (B,) and whether it converged (B,).

    No frame may have more than `MOST_UNKNOWNS` unknowns.
    """
    from dataclasses import replace

    from ..watch import advance
    from .kernels.climb import climb

    spline, shares = spline_and_shares(psf, start.xyz)
    scenes = Scenes(likelihood, background, start.begin_px)
    places, coefficients = places_of(start), start.coefficients.double().numpy().copy()
    unknowns = 4 if start.blur_px is None else 5
    if start.blur_px is None:
        places[:, 4] = spline_blur(psf)
    limits = np.array(
        [(-np.inf, np.inf), (-np.inf, np.inf), bounds.z_um, (bounds.photons, np.inf), bounds.blur_px]
    )
    limits = np.column_stack([limits, _LONGEST])
    ends = np.cumsum(start.counts.numpy())
    deviance, settled = np.empty(len(likelihood)), np.empty(len(likelihood), bool)
    for frame, end in enumerate(ends):
        advance(effort.watch)
        rows = slice(ends[frame - 1] if frame else 0, end)
        deviance[frame], settled[frame], _ = climb(
            spline, scenes[frame], places[rows], shares[rows], coefficients[frame], unknowns,
            scenes.knots, limits, effort.iterations, effort.settled,
        )  # fmt: skip
    found = torch.from_numpy(places).to(start.xyz)
    state = replace(
        start,
        xyz=found[:, :3].contiguous(),
        photons=found[:, 3].contiguous(),
        coefficients=torch.from_numpy(coefficients).to(start.coefficients),
        blur_px=None if start.blur_px is None else found[:, 4].contiguous(),
    )
    return state, torch.from_numpy(deviance), torch.from_numpy(settled)


def bounds(
    image: LinearImage, information: Tensor, *, photons_only: bool = False
) -> tuple[Tensor, Tensor] | None:
    """σ (N, p) of all unknowns and σ (N,) of the background, float64, from compiled code; None if it cannot.

    photons_only: compute only σ of the photons (column 3).
    """
    from .kernels.bounds import frame_bounds
    from .likelihood import Likelihood

    scenes = Scenes(Likelihood(information), image.background, None)
    assembly = image.assembly
    windows = assembly.windows().numpy()
    middles, jacobian = assembly.middle.numpy(), image.jacobian.numpy()
    ends = np.cumsum(torch.bincount(image.frame, minlength=len(information)).numpy())
    sigma, level = np.zeros(jacobian.shape[:2]), np.zeros(len(jacobian))
    for frame, end in enumerate(ends):
        rows = slice(ends[frame - 1] if frame else 0, end)
        size = sigma[rows].size + image.background.shape[0] * image.background.shape[1]
        if size > MOST_UNKNOWNS:
            return None
        matrix = np.empty((size, size), np.float32 if photons_only else np.float64)
        if not frame_bounds(
            scenes[frame], middles[rows], scenes.knots, jacobian[rows], windows[rows], assembly.patch[1],
            information[frame].contiguous().numpy(), photons_only, matrix, sigma[rows], level[rows],
        ):  # fmt: skip
            return None
    return torch.from_numpy(sigma), torch.from_numpy(level)


def linearized(psf: PSF, state: JointState, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Corners (N, 2) px of the patches in their frames, and the derivatives (N, p, h, w), 0 outside the frame."""
    from .kernels.normal import linearize_patches

    spline, shares = spline_and_shares(psf, state.xyz)
    places, side = places_of(state), psf.patch_px
    if state.blur_px is None:
        places[:, 4] = spline_blur(psf)
    begin = np.zeros((state.frames, 2), np.int64) if state.begin_px is None else state.begin_px.numpy()
    corner = np.empty((len(places), 2), np.int64)
    jacobian = np.zeros((len(places), 4 if state.blur_px is None else 5, side, side), np.float32)
    linearize_patches(spline, places, shares, begin[state.frame.numpy()], shape[1], shape[2], corner, jacobian)
    return torch.from_numpy(corner), torch.from_numpy(jacobian)


def expected(psf: PSF, state: JointState, background: SplineBackground, shape: tuple[int, ...]) -> Tensor:
    """Expected photons (B, H, W) of a state."""
    from .kernels.scene import expected_frames

    spline, shares = spline_and_shares(psf, state.xyz)
    places = places_of(state)
    if state.blur_px is None:
        places[:, 4] = spline_blur(psf)
    begin = np.zeros((state.frames, 2), np.int64) if state.begin_px is None else state.begin_px.numpy()
    image = background.surface(state.coefficients).contiguous()
    expected_frames(spline, places, shares, state.frame.numpy(), begin, image.numpy())
    return image


def division_terms(
    psf: PSF, state: JointState, image: LinearImage, score: Tensor, information: Tensor, halves: Tensor
) -> Tensor:
    """Products of each molecule's change of the image if it is divided, (N, D, p + 2): see `kernels.division`."""
    from .kernels.division import division_terms as of_frame

    spline, shares = spline_and_shares(psf, state.xyz)
    places = places_of(state)
    if state.blur_px is None:
        places[:, 4] = spline_blur(psf)
    jacobian = image.jacobian.unflatten(2, image.assembly.patch).numpy()
    begin = np.zeros((state.frames, 2), np.int64) if state.begin_px is None else state.begin_px.numpy()
    terms = np.empty((len(state), len(halves), jacobian.shape[1] + 2))
    ends = np.cumsum(state.counts.numpy())
    for frame, end in enumerate(ends):
        rows = slice(ends[frame - 1] if frame else 0, end)
        of_frame(
            spline, places[rows], shares[rows], begin[frame], jacobian[rows], score[frame].contiguous().numpy(),
            information[frame].contiguous().numpy(), halves.double().numpy(), terms[rows],
        )  # fmt: skip
    return torch.from_numpy(terms)


def solve_light(
    patches: Tensor, assembly: Assembly, background: SplineBackground, weights: Tensor, residual: Tensor,
    photons: Tensor, coefficients: Tensor,
) -> tuple[Tensor, Tensor] | None:  # fmt: skip
    """Photons (N,) and coefficients (B, k, l) after the weighted least-squares step; None if it is too large.

    patches: (N, h, w), 0 outside the frame and for molecules that are fixed;  weights, residual: (B, H, W).
    """
    from .kernels.photometry import solve_light as of_frame
    from .likelihood import Likelihood

    counts = torch.bincount(assembly.frame, minlength=len(weights))
    if int(counts.max()) + coefficients[0].numel() > MOST_UNKNOWNS or bool((assembly.frame.diff() < 0).any()):
        return None
    scenes = Scenes(Likelihood(weights), background, None)
    windows, middles = assembly.windows().numpy(), assembly.middle.numpy()
    light, knots = photons.double().numpy().copy(), coefficients.double().numpy().copy()
    values = patches[:, None].flatten(2).contiguous().numpy()
    ends = np.cumsum(counts.numpy())
    for frame, end in enumerate(ends):
        rows = slice(ends[frame - 1] if frame else 0, end)
        of_frame(
            scenes[frame], middles[rows], scenes.knots, values[rows], windows[rows], assembly.patch[1],
            weights[frame].contiguous().numpy(), residual[frame].contiguous().numpy(), light[rows], knots[frame],
        )  # fmt: skip
    return torch.from_numpy(light).to(photons), torch.from_numpy(knots).to(coefficients)


def spline_blur(psf: PSF) -> float:
    """Blur of molecules without one of their own, px."""
    assert isinstance(psf, TabulatedPSF)
    return psf.own_blur_px
