"""How well the model explains each image of a bead, and which images stand out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..beads.images import BeadImages, BeadState
from .bead_model import FocusedPSF, bead_patches, expected

__all__ = ["Misfit", "misfit", "of_all_power", "outliers"]

# An image is left out where its unexplained share exceeds the others' so many times, and this much; and so
# many σ of what noise alone would give.
_TIMES, _LEAST, _SIGMAS = 4.0, 0.03, 5.0
# Unknowns that each image has of its own: light, background, x and y.
_OWN = 6
# Images computed at once.
_AT_ONCE = 64
# A bead is left out where most of its images are.
_MOST_OF_BEAD = 0.5


@dataclass(frozen=True)
class Misfit:
    """How well each of N images is explained.

    deviance_each: (N,) deviance over its expectation, less what the fit of each image takes off, 1 where only
    noise is left;  correlation: (N,) of image and model;  left_each: (N,) rms of the image less the model over
    that of the image less its background, noise included;  share_each: (N,) power that the model does not
    explain, beyond the noise, over the power of its signal;  share_sigma: (N,) its σ from noise alone;
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
        """Mean of what is unexplained, over the model's own power: above 1 where it explains little."""
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
    """Pearson's, over the pixels that count: (N,)."""
    total = weight.flatten(1).sum(1).clamp(min=1)[:, None, None]

    def centred(images: Tensor) -> Tensor:
        return (images - (images * weight).sum((1, 2), keepdim=True) / total) * weight

    a, b = centred(one), centred(other)
    power = (a.square().sum((1, 2)) * b.square().sum((1, 2))).clamp(min=1e-20)
    return (a * b).sum((1, 2)) / power.sqrt()


def of_all_power(share: float) -> float:
    """What share of an image's power is unexplained, 0 to 1, where it is so much over the power of the model.

    Noise alone makes shares of either sign: what is below 0 is none.
    """
    return max(share, 0.0) / (1.0 + max(share, 0.0))


def outliers(result: Misfit, images: BeadImages) -> Tensor:
    """Images that the model explains much worse than the others, and beads most of whose images are: (N,) bool.

    The share of the signal's power is compared, not the deviance, which grows with the light at the same error.
    """
    share = result.share_each
    medians = torch.stack([share[images.bead == bead].median() for bead in range(images.beads)])
    # Of the better half of the beads: two beads one of which is double have no majority.
    typical = float(medians.sort().values[: (len(medians) + 1) // 2].median().clamp(min=0.0))
    bad = share > _TIMES * typical + _LEAST + _SIGMAS * result.share_sigma
    for bead in range(images.beads):
        mine = images.bead == bead
        if bool(mine.any()) and float(bad[mine].float().mean()) > _MOST_OF_BEAD:
            bad = bad | mine
    # Somebody has to be right.
    return torch.zeros_like(bad) if bool(bad.all()) else bad
