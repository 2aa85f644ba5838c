"""Cameras: expected photons to counts with noise that lets gradients through, and counts back to photons.

Every camera draws the exact noise. Where a gradient is asked for (a mask is being designed), the
derivative of a draw is that of the Gaussian with the same mean and variance: see `poisson`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from .chip import Maps, Region, check_size, read_map, region_of
from .draws import gamma, normal, uniform
from .errors import InputError
from .spec import Spec, quantity
from .supergaussian import random_super_gaussian, rescale

__all__ = [
    "Camera",
    "EmccdCamera",
    "IdealCamera",
    "MinimumSubtractedCamera",
    "ScmosCamera",
    "load_maps",
    "names_maps",
    "poisson",
    "variance_terms",
]

SLOPE_FLOOR = 5.0
"""Photons below which the slope of a draw is held at its value there: it diverges at 0."""


class _CountingDraw(torch.autograd.Function):
    """Forward: a draw around the mean.  Backward: the slope that `poisson` derives."""

    @staticmethod
    def forward(ctx: Any, mean: Tensor, drawn: Tensor) -> Tensor:
        ctx.save_for_backward(mean, drawn)
        return drawn

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:
        mean, drawn = ctx.saved_tensors
        slope = 1 + (drawn - mean) / (2 * mean.clamp(min=SLOPE_FLOOR))
        return upstream[0] * slope, None


def poisson(expected: Tensor, generator: torch.Generator) -> Tensor:
    """Poisson counts, exact, with the derivative of the Gaussian that has the same mean and variance.

    expected: any shape, mean counts (negative values, a spline's ringing, count as 0);  returns the
    same shape.  Written as a Gaussian, a draw is n = μ + √μ·ε, so that dn/dμ = 1 + ε/(2√μ)
    = 1 + (n − μ)/(2μ). With it the mean gradient of a loss quadratic in n is exact; for other losses
    it is the Gaussian approximation. The slope diverges at μ = 0, so μ in its denominator is at least 5.
    """
    with torch.no_grad():
        drawn = torch.poisson(expected.clamp(min=0), generator=generator)
    return _CountingDraw.apply(expected, drawn)


def _multiplied(expected: Tensor, generator: torch.Generator) -> Tensor:
    """Electrons after a multiplication register, divided by its gain: Poisson, then a gamma of that shape.

    The sum has mean μ and variance 2μ. Its Gaussian form μ + √(2μ)·ε has the derivative
    1 + (n − μ)/(2μ) again, so the same slope serves.
    """
    with torch.no_grad():
        drawn = gamma(torch.poisson(expected.clamp(min=0), generator=generator), generator)
    return _CountingDraw.apply(expected, drawn)


def _digitize(counts: Tensor, saturation: float) -> Tensor:
    """Whole counts from 0 to saturation; a derivative passes as if nothing were rounded."""
    return (counts + (counts.round() - counts).detach()).clamp(0, saturation)


def _real(counts: Tensor) -> Tensor:
    """Counts as they come from a file (uint16) or a simulation, as floating-point numbers."""
    return counts if counts.is_floating_point() else counts.float()


class IdealCamera(Spec):
    """A camera that counts every photon: Poisson noise and nothing else; one count is one photon."""

    kind: Literal["ideal"] = "ideal"
    saturation: float = quantity(65535.0, "counts", "greatest count a pixel can give", gt=0)

    def expose(self, expected: Tensor, generator: torch.Generator, maps: Maps | None = None) -> Tensor:
        """Counts for expected photons; both (B, H, W)."""
        return poisson(expected, generator).clamp(max=self.saturation)

    def to_photons(self, counts: Tensor, maps: Maps | None = None) -> Tensor:
        """Photons that the counts stand for; both (B, H, W)."""
        return _real(counts)


class ScmosCamera(Spec):
    """sCMOS or CCD: Poisson photo-electrons, read noise, gain and baseline, alike or pixel by pixel.

    Each of baseline, gain and read noise is a number or the path of a .npy file with one value a
    pixel (H, W) (`load_maps` reads them; Huang et al. 2013 for how they are measured). Maps are of the pixels
    that the frames show, or of more, and `region` says which of them the frames show.
    """

    kind: Literal["scmos"] = "scmos"
    baseline: float | str = quantity(100.0, "ADU", "count without light; a number or a .npy map")
    gain: float | str = quantity(1.0, "ADU/e-", "counts per photo-electron; a number or a .npy map")
    read_noise: float | str = quantity(1.6, "e- rms", "read noise; a number or a .npy map")
    saturation: float = quantity(65535.0, "ADU", "greatest count a pixel can give", gt=0)
    region: Region | None = quantity(
        None, "px", "of the maps that the frames show: [x0, y0, x1, y1], x1 and y1 excluded; null: all of them"
    )

    @model_validator(mode="after")
    def _numbers_make_sense(self) -> Self:
        if self.region is not None:
            x0, y0, x1, y1 = self.region
            if not (0 <= x0 < x1 and 0 <= y0 < y1):
                raise ValueError(f"region {list(self.region)} must be x0, y0, x1, y1 with x0 < x1 and y0 < y1")
        if not isinstance(self.gain, str) and self.gain <= 0:
            raise ValueError(f"gain must be above 0 ADU per electron, got {self.gain}")
        if not isinstance(self.read_noise, str) and self.read_noise < 0:
            raise ValueError(f"read_noise must not be negative, got {self.read_noise}")
        return self

    def expose(self, expected: Tensor, generator: torch.Generator, maps: Maps | None = None) -> Tensor:
        """Counts for expected photons; both (B, H, W).

        maps: what `load_maps` returned for these pixels; read from the files where left out.
        """
        baseline, gain, read_noise = self._values(expected, maps)
        electrons = poisson(expected, generator) + read_noise * normal(expected, generator)
        return _digitize(baseline + gain * electrons, self.saturation)

    def to_photons(self, counts: Tensor, maps: Maps | None = None) -> Tensor:
        """(counts − baseline)/gain, not clipped at 0; both (B, H, W)."""
        counts = _real(counts)
        baseline, gain, _ = self._values(counts, maps)
        return (counts - baseline) / gain

    def _values(self, like: Tensor, maps: Maps | None) -> list[float | Tensor]:
        maps = load_maps(self) if maps is None else maps
        values: list[float | Tensor] = []
        for name in ("baseline", "gain", "read_noise"):
            values.append(maps[name].to(like) if name in maps else getattr(self, name))
        check_size(maps, (like.shape[-2], like.shape[-1]))
        return values


class EmccdCamera(Spec):
    """EMCCD: photo-electrons and spurious charge multiplied with gamma noise, then read out.

    The multiplication doubles the shot noise's variance (excess noise factor 2; Hirsch et al. 2013).
    """

    kind: Literal["emccd"] = "emccd"
    em_gain: float = quantity(300.0, "", "electron-multiplying gain; 1 switches it off", ge=1)
    gain: float = quantity(0.1, "ADU/e-", "counts per electron after multiplication", gt=0)
    baseline: float = quantity(200.0, "ADU", "count without light", ge=0)
    read_noise: float = quantity(50.0, "e- rms", "read noise, after multiplication", ge=0)
    spurious_charge: float = quantity(0.002, "e-", "mean spurious charge per pixel and frame", ge=0)
    saturation: float = quantity(65535.0, "ADU", "greatest count a pixel can give", gt=0)

    def expose(self, expected: Tensor, generator: torch.Generator, maps: Maps | None = None) -> Tensor:
        """Counts for expected photons; both (B, H, W)."""
        draw = _multiplied if self.em_gain > 1 else poisson
        electrons = self.em_gain * draw(expected + self.spurious_charge, generator)
        electrons = electrons + self.read_noise * normal(expected, generator)
        return _digitize(self.baseline + self.gain * electrons, self.saturation)

    def to_photons(self, counts: Tensor, maps: Maps | None = None) -> Tensor:
        """(counts − baseline)/(gain · em_gain) less the spurious charge, not clipped at 0; both (B, H, W)."""
        return (_real(counts) - self.baseline) / (self.gain * self.em_gain) - self.spurious_charge


class MinimumSubtractedCamera(Spec):
    """Frames whose temporal minimum was subtracted: no background to speak of, a baseline, uneven noise.

    Poisson noise on the signal alone, one baseline a frame, Gaussian noise whose σ has the shape of
    a rotated super-Gaussian over the field, clipped at 0 (the published STORM frames).
    """

    kind: Literal["minimum_subtracted"] = "minimum_subtracted"
    baseline: tuple[float, float] = quantity((20.0, 40.0), "photons", "least and greatest baseline of a frame")
    noise: tuple[float, float] = quantity((8.0, 12.0), "photons rms", "noise at the edge and at the middle")
    saturation: float = quantity(65535.0, "photons", "greatest value a pixel can give", gt=0)

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
        return _real(counts)


Camera = Annotated[
    IdealCamera | ScmosCamera | EmccdCamera | MinimumSubtractedCamera, Field(discriminator="kind")
]


def names_maps(camera: Camera) -> list[str]:
    """Those of baseline, gain and read noise for which the camera names a file."""
    return [name for name in ("baseline", "gain", "read_noise") if isinstance(getattr(camera, name, 0), str)]


def load_maps(camera: Camera) -> dict[str, Tensor]:
    """The maps that a camera names by path, cut to its region, by field name, (H, W) float32; {} without any.

    Raises InputError where a file is missing, is no .npy of two dimensions, holds a value that makes
    no sense, two maps differ in size, or the region is not inside them.
    """
    maps = {name: read_map(name, Path(getattr(camera, name))) for name in names_maps(camera)}
    shapes = {name: tuple(values.shape) for name, values in maps.items()}
    if len(set(shapes.values())) > 1:
        raise InputError(f"the camera's maps differ in size: {shapes}; give maps of one region of the chip")
    return region_of(maps, getattr(camera, "region", None))


def variance_terms(camera: Camera, maps: Maps | None = None) -> tuple[float, float]:
    """(excess, read variance) with which a pixel's variance is about excess·mean + read variance, photons².

    maps: what `load_maps` returned; read from the files where left out. Of a map its mean is taken. For
    minimum-subtracted frames the noise does not depend on the baseline that `to_photons` leaves in, so the mean
    baseline is taken off.
    """
    match camera:
        case ScmosCamera(read_noise=noise):
            maps = load_maps(camera) if maps is None else maps
            rms = maps["read_noise"] if "read_noise" in maps else torch.tensor(float(noise))
            return 1.0, float(rms.square().mean())
        case EmccdCamera(em_gain=em_gain, read_noise=noise):
            return (2.0 if em_gain > 1 else 1.0), (noise / em_gain) ** 2
        case MinimumSubtractedCamera(baseline=baseline, noise=noise):
            return 1.0, (sum(noise) / 2) ** 2 - sum(baseline) / 2
        case _:
            return 1.0, 0.0
