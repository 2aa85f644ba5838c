"""Residuals of each image of a bead, and which images are outliers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...brief import Brief
from ..beads.images import BeadImages, BeadState
from .bead_model import FocusedPSF, bead_patches, expected

__all__ = ["Misfit", "misfit", "of_all_power", "outliers"]

# An image is an outlier if its unexplained share is more than this many times the median, …
_TIMES = 4.0
# … is more than this, …
_LEAST = 0.03
# … and exceeds the share that noise gives by this many σ.
_SIGMAS = 5.0
# Unknowns of each image: x, y, light and three of the background.
_OWN = 6
# Images computed at once.
_AT_ONCE = 64
# A bead is left out if more than this fraction of its images are outliers.
_MOST_OF_BEAD = 0.5


@dataclass(frozen=True, repr=False)
class Misfit(Brief):
    """Agreement of the model with each of N images.

    deviance_each: (N,) deviance over its expectation, corrected for the unknowns of each image, 1 where only
    noise is left;  correlation: (N,) of image and model;  left_each: (N,) rms of the residual over rms of the
    image without its background, noise included;  share_each: (N,) unexplained power beyond the noise, as a
    fraction of the power of the signal;  share_sigma: (N,) its σ from noise alone;
    models: (N, h, w) photons.
    """

    deviance_each: Tensor
    correlation: Tensor
    left_each: Tensor
    share_each: Tensor
    share_sigma: Tensor
    models: Tensor

    @property
    def share(self) -> float:
        """Mean unexplained power over the power of the model: above 1 where the model explains little."""
        return float(self.share_each.mean())

    @property
    def deviance(self) -> float:
        """Mean deviance over its expectation."""
        return float(self.deviance_each.mean())


@torch.no_grad()
def misfit(psf: FocusedPSF, images: BeadImages, state: BeadState) -> Misfit:
    """Compare images and model."""
    blocks = torch.arange(len(images)).split(_AT_ONCE)
    parts = [_misfit(psf, images.select(rows), state.select(rows)) for rows in blocks]
    columns = [torch.cat(column) for column in zip(*parts, strict=True)]
    return Misfit(*columns)


def _misfit(psf: FocusedPSF, images: BeadImages, state: BeadState) -> tuple[Tensor, ...]:
    patches = bead_patches(psf, images, state)
    model = expected(patches, state)
    light = images.likelihood
    information = light.information(model)
    weight = torch.ones_like(model) if light.weight is None else light.weight
    pixels = weight.flatten(1).sum(1)
    free = (pixels - _OWN).clamp(min=1)
    rest = ((light.frames - model).square() * information).flatten(1).sum(1) - free
    signal = ((patches * state.photons[:, None, None]).square() * information).flatten(1).sum(1).clamp(min=1e-9)
    deviance = light.deviance(model) / (light.expected_deviance(model) * free / pixels).clamp(min=1e-9)
    correlation = _correlation(light.frames, model, weight)
    residual = ((light.frames - model).square() * weight).flatten(1).sum(1)
    explained = ((patches * state.photons[:, None, None]).square() * weight).flatten(1).sum(1)
    left = (residual / (residual + explained).clamp(min=1e-20)).sqrt()
    return deviance.float(), correlation, left, rest / signal, (2 * pixels).sqrt() / signal, model


def _correlation(one: Tensor, other: Tensor, weight: Tensor) -> Tensor:
    """Pearson correlation over the pixels that are used: (N,)."""
    total = weight.flatten(1).sum(1).clamp(min=1)[:, None, None]

    def centred(images: Tensor) -> Tensor:
        return (images - (images * weight).sum((1, 2), keepdim=True) / total) * weight

    a, b = centred(one), centred(other)
    power = (a.square().sum((1, 2)) * b.square().sum((1, 2))).clamp(min=1e-20)
    return (a * b).sum((1, 2)) / power.sqrt()


def of_all_power(share: float) -> float:
    """Unexplained fraction of the power of an image, 0 to 1, from that relative to the power of the model.

    Noise gives fractions of either sign: those below 0 are returned as 0.
    """
    return max(share, 0.0) / (1.0 + max(share, 0.0))


def outliers(result: Misfit, images: BeadImages) -> Tensor:
    """Outliers (N,) bool: images with much larger residuals than the others, and beads with mostly such images.

    Fractions of the signal's power are compared, not deviances, which grow with the light at equal error.
    """
    share = result.share_each
    medians = torch.stack([share[images.bead == bead].median() for bead in range(images.beads)])
    # Median over the better half of the beads: of two beads, one of which is a doublet, neither has a majority.
    typical = float(medians.sort().values[: (len(medians) + 1) // 2].median().clamp(min=0.0))
    bad = share > _TIMES * typical + _LEAST + _SIGMAS * result.share_sigma
    for bead in range(images.beads):
        mine = images.bead == bead
        if bool(mine.any()) and float(bad[mine].float().mean()) > _MOST_OF_BEAD:
            bad = bad | mine
    # If all images would be rejected, none is.
    return torch.zeros_like(bad) if bool(bad.all()) else bad
