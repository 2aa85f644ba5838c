"""Frames whose temporal minimum was subtracted, as a camera of their own."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor

from ..chip import Maps
from ..draws import normal, uniform
from ..noise import Noise
from ..spec import quantity
from ..supergaussian import random_super_gaussian, rescale
from .camera_spec import CameraSpec, ReadOut
from .counting import as_real, poisson

__all__ = ["MinimumSubtractedCamera"]


class MinimumSubtractedCamera(CameraSpec):
    """Frames whose temporal minimum was subtracted: no background to speak of, a baseline, uneven noise.

    Poisson noise on the signal alone, one baseline a frame, Gaussian noise whose σ has the shape of
    a rotated super-Gaussian over the field, clipped at 0 (the published STORM frames).
    """

    kind: Literal["minimum_subtracted"] = "minimum_subtracted"
    baseline: tuple[float, float] = quantity(
        (20.0, 40.0), "photons", "smallest and largest baseline of a frame", label="Baseline: least, most"
    )
    noise: tuple[float, float] = quantity(
        (8.0, 12.0), "photons rms", "noise at the edge and at the middle", label="Noise: edge, middle"
    )
    saturation: float = quantity(65535.0, "photons", "largest value a pixel can give", gt=0)

    unit: ClassVar[str] = "counts"
    is_calibrated: ClassVar[bool] = False
    required: ClassVar[tuple[str, ...]] = ("baseline", "noise")

    @model_validator(mode="after")
    def _ranges_run_upwards(self) -> Self:
        for name in ("baseline", "noise"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ValueError(f"{name} must be two numbers of at least 0, lower first, got {low} and {high}")
        return self

    def expose(self, expected: Tensor, generator: torch.Generator, maps: Maps | None = None) -> Tensor:
        """Values for expected photons; both (B, H, W)."""
        frames, height, width = expected.shape
        baseline = uniform(*self.baseline, (frames, 1, 1), generator).to(expected)
        edge, middle = (torch.full((frames,), level, device=generator.device) for level in self.noise)
        sigma = rescale(random_super_gaussian(frames, (height, width), generator), edge, middle).to(expected)
        values = poisson(expected, generator) + baseline + sigma * normal(expected, generator)
        return values.clamp(0, self.saturation)

    def to_photons(self, counts: Tensor, maps: Maps | None = None) -> Tensor:
        """The values as they are: the baseline of a frame is not known and stands as its background."""
        return as_real(counts)

    def pixel_noise(self, maps: Maps | None = None) -> Noise:
        """Shot noise of the signal, and Gaussian noise of the mean σ; see `CameraSpec.pixel_noise`.

        The noise does not depend on the baseline that `to_photons` leaves in: the mean baseline is taken off.
        """
        return Noise(read_variance=(sum(self.noise) / 2) ** 2 - sum(self.baseline) / 2)

    @property
    def read_out(self) -> ReadOut:
        """Values are photons; each frame has its own baseline, each pixel its own noise."""
        return ReadOut(1.0, None, None)

    @property
    def remaining_level(self) -> tuple[float, float]:
        """The baseline."""
        return self.baseline

    @property
    def dark_variance(self) -> float:
        """Mean of the squares of the least and the greatest noise, photons²."""
        return sum(level**2 for level in self.noise) / 2

    def with_remaining_level(self, low: float, high: float) -> Self:
        """The camera with another range of the baseline."""
        return self.with_(baseline=(low, high))

    def with_noise_over_field(self, low: float, high: float) -> Self:
        """The camera with other noise at the edge and in the middle of the field."""
        return self.with_(noise=(low, high))
