"""Photometry: photons of every molecule and the background, at given positions, by linear least squares."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..noise import SHOT_NOISE, Noise
from ..optics.assembly import Assembly
from ..optics.psf import PSF
from . import compiled
from .background import SplineBackground

__all__ = ["SPACING_PX", "Photometry", "at_positions", "fit_light", "fit_photometry"]

SPACING_PX = 30.0
"""Distance of the knots of the background, where nothing else is said."""

_ITERATIONS = 15  # conjugate-gradient steps for each of the three weightings


@dataclass(frozen=True)
class Photometry:
    """Result of a linear fit to a set of frames.

    photons: (N,) of each molecule, at least 0;  background: (N,) photons per pixel at its position;
    background_image: (B, H, W) photons per pixel;  coefficients: (B, k, l) of its splines;
    model: (B, H, W) expected photons, molecules and background;
    chi_square: (N,) mean over a molecule's patch of the squared residual divided by its variance, about 1
    if the model explains the frame.
    """

    photons: Tensor
    background: Tensor
    background_image: Tensor
    coefficients: Tensor
    model: Tensor
    chi_square: Tensor


class _LinearImage:
    """The expected frame as a linear function of photons (N,) and background coefficients (B, k, l)."""

    def __init__(
        self,
        psf: PSF,
        xyz: Tensor,
        frame: Tensor,
        shape: tuple[int, ...],
        background: SplineBackground,
    ) -> None:
        self.is_compiled = compiled.can_compile(psf, xyz) and not xyz.requires_grad
        patches = psf(xyz)
        size = (patches.values.shape[1], patches.values.shape[2])
        self.assembly = Assembly(patches.corner, frame, size, shape)
        self.values = self.assembly.inside(patches.values)
        self.background = background

    def image(self, photons: Tensor, coefficients: Tensor) -> Tensor:
        molecules = self.assembly.add(self.values * photons[:, None, None])
        return molecules + self.background.surface(coefficients)

    def adjoint(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        photons = (self.values * self.assembly.cut(frames)).sum((1, 2))
        return photons, self.background.adjoint(frames)

    def diagonal(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        photons = (self.values.square() * self.assembly.cut(weights)).sum((1, 2))
        return photons, self.background.squared_adjoint(weights)

    def mean_over_patches(self, frames: Tensor, weight: Tensor) -> Tensor:
        """Mean of weighted frames (B, H, W) over the used pixels of each patch inside the frame: (N,)."""
        inside = self.assembly.inside(torch.ones_like(self.values))
        counted = (inside * self.assembly.cut(weight)).sum((1, 2)).clamp(min=1)
        return (inside * self.assembly.cut(frames)).sum((1, 2)) / counted


def fit_photometry(
    psf: PSF,
    xyz: Tensor,
    frame: Tensor,
    frames: Tensor,
    *,
    weight: Tensor | None = None,
    noise: Noise = SHOT_NOISE,
    spacing_px: float = SPACING_PX,
) -> Photometry:
    """Photons of all molecules of all frames, and a smooth background, jointly.

    Minimises Σ w (frame − Σ photons·PSF − background)²/variance, first with the variance of the
    smoothed frame, then with that of the model. Molecules with negative photons are set to 0 and the
    others are solved again. The normal equations are solved by conjugate gradients with a diagonal
    preconditioner (Hestenes & Stiefel 1952), so no matrix is formed.

    xyz: (N, 3) µm;  frame: (N,) index into frames;  frames: (B, H, W) photons;
    weight: (B, H, W), 0 excludes a pixel;  noise: of the camera (`pixel_noise`);
    spacing_px: distance of the background's spline knots, inf for a constant background.
    """
    weight = torch.ones_like(frames) if weight is None else weight
    image = _image(psf, xyz, frame, frames, spacing_px)
    photons, coefficients = _fitted(image, frames, weight, noise)
    model = image.image(photons, coefficients)
    background_image = image.background.surface(coefficients)
    residual = weight * (frames - model).square() / noise.variance(model).clamp(min=1.0)
    return Photometry(
        photons=photons,
        background=at_positions(background_image, xyz, frame, psf.pixel_um),
        background_image=background_image,
        coefficients=coefficients,
        model=model,
        chi_square=image.mean_over_patches(residual, weight),
    )


def fit_light(
    psf: PSF,
    xyz: Tensor,
    frame: Tensor,
    frames: Tensor,
    *,
    weight: Tensor | None = None,
    noise: Noise = SHOT_NOISE,
    spacing_px: float = SPACING_PX,
) -> tuple[Tensor, Tensor]:
    """Only the photons (N,) and the coefficients (B, k, l) of `fit_photometry`, whose arguments it takes."""
    weight = torch.ones_like(frames) if weight is None else weight
    return _fitted(_image(psf, xyz, frame, frames, spacing_px), frames, weight, noise)


def _image(psf: PSF, xyz: Tensor, frame: Tensor, frames: Tensor, spacing_px: float) -> _LinearImage:
    surface = SplineBackground.shared((frames.shape[1], frames.shape[2]), spacing_px, xyz)
    return _LinearImage(psf, xyz, frame, tuple(frames.shape), surface)


def _fitted(image: _LinearImage, frames: Tensor, weight: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
    """Photons of all molecules and the coefficients of the backgrounds."""
    # In the first round a mean over 5×5 pixels approximates the expected value for the weights.
    model = torch.nn.functional.avg_pool2d(frames[:, None], 5, 1, 2, count_include_pad=False)[:, 0]
    photons = image.values.new_zeros(len(image.values))
    coefficients = image.values.new_zeros(len(frames), *image.background.shape)
    free = torch.ones_like(photons)
    now = torch.zeros_like(frames)
    for number in range(3):
        if number:
            model = now = image.image(photons, coefficients)
        weights = weight / noise.variance(model).clamp(min=1.0)
        photons, coefficients = _solve(image, frames - now, weights, photons, coefficients, free)
        # Two candidates at one molecule can get photons of opposite signs: the negative one is removed.
        free = free * (photons > 0)
        photons = photons * free
    return photons, coefficients


def at_positions(images: Tensor, xyz: Tensor, frame: Tensor, pixel_um: float) -> Tensor:
    """Values of (B, H, W) images at the pixels nearest to positions: (N,), at least 0."""
    height, width = images.shape[1:]
    column, row = (xyz[:, :2] / pixel_um).round().long().unbind(1)
    return images[frame, row.clamp(0, height - 1), column.clamp(0, width - 1)].clamp(min=0)


def _solve(
    image: _LinearImage,
    rest: Tensor,
    weights: Tensor,
    photons: Tensor,
    coefficients: Tensor,
    free: Tensor,
) -> tuple[Tensor, Tensor]:
    """Solve the normal equations: in compiled code, or by conjugate gradients from the last solution.

    rest: of the frames, without the light of that solution.
    """
    if image.is_compiled:
        values = image.values * (free > 0)[:, None, None]
        change = compiled.solve_light(values, image.assembly, image.background, weights, rest)
        if change is not None:
            return photons + change[0], coefficients + change[1]
    scale_p, scale_b = image.diagonal(weights)
    # Unknowns are scaled to a unit diagonal; molecules outside their frame or fixed at 0 have no equation.
    scale_p = torch.where((scale_p > 1e-12) & (free > 0), scale_p.clamp(min=1e-12).rsqrt(), 0.0)
    scale_b = scale_b.clamp(min=1e-12).rsqrt()

    def normal(p: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        back_p, back_b = image.adjoint(weights * image.image(p * scale_p, b * scale_b))
        return back_p * scale_p, back_b * scale_b

    residual_p, residual_b = image.adjoint(weights * rest)
    residual_p, residual_b = residual_p * scale_p, residual_b * scale_b
    step_p, step_b = torch.zeros_like(residual_p), torch.zeros_like(residual_b)
    direction_p, direction_b = residual_p, residual_b
    power = _dot(residual_p, residual_b, residual_p, residual_b)
    for _ in range(_ITERATIONS):
        applied_p, applied_b = normal(direction_p, direction_b)
        length = power / _dot(direction_p, direction_b, applied_p, applied_b).clamp(min=1e-30)
        step_p, step_b = step_p + length * direction_p, step_b + length * direction_b
        residual_p, residual_b = residual_p - length * applied_p, residual_b - length * applied_b
        before, power = power, _dot(residual_p, residual_b, residual_p, residual_b)
        turn = power / before.clamp(min=1e-30)
        direction_p, direction_b = residual_p + turn * direction_p, residual_b + turn * direction_b
    return photons + step_p * scale_p, coefficients + step_b * scale_b


def _dot(p: Tensor, b: Tensor, q: Tensor, c: Tensor) -> Tensor:
    return (p * q).sum() + (b * c).sum()
