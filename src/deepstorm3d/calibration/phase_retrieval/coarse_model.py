"""Images of beads through a coarsely sampled pupil: one millisecond a slice, for a global search."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...optics.microscope import Microscope
from ...optics.pupil import mask_coordinates, sample_pupil
from ..beads.images import BeadImages
from .phase_correction import binned_microscope, binned_phase

__all__ = ["CoarseModel", "explained_share", "pixel_weights"]

# Distance that light may reach before it wraps around into the image, in sides of the image.
_ROOM = 1.4
# Radius of the rays that are traced to find this distance, as a fraction of the aperture radius.
_RIM = 0.95
# Largest distance from the bead to which rays are traced, px.
_FARTHEST_PX = 120.0
# Lengths for which the Fourier transform is fast.
_FAST = (32, 36, 40, 48, 54, 60, 64, 72, 80, 90, 96, 100, 108, 120, 128, 144, 160, 180, 192, 216, 240, 256)
# Largest distance between samples of the mask plane, µm.
_WIDEST_UM = 990.0
# Fraction of the brightest pixel of a slice below which all pixels have equal weight: the errors of the model
# are proportional to the light, not to its noise.
_FLOOR = 0.05


class CoarseModel:
    """Scalar images of beads from a phase on K × K samples of the pupil, by the fast Fourier transform.

    The samples are λf/(N p_c) apart, so that the image repeats after N pixels; a pupil of 200 mask pixels has
    about 50 samples. The field is that of `ScalarPSF` with uniform light over the pupil.

    microscope: the set-up;  images: of beads; their side and what moves are used;  z_um: depth of the beads (in
    addition to the nominal one where that varies);  blur_px: Gaussian σ.
    """

    def __init__(self, microscope: Microscope, images: BeadImages, z_um: float, blur_px: float) -> None:
        side = images.side
        light = microscope.wavelength * microscope.focal_length
        least = max(_ROOM * side, side / 2 + min(_reach_px(microscope, images), _FARTHEST_PX))
        least = max(least, light / (_WIDEST_UM * microscope.camera_pitch))
        self.period = next((length for length in _FAST if length >= least), 2 * math.ceil(least / 2))
        self.pixel_um = microscope.pixel_um
        self._fine, self._factor = microscope, microscope.image_period_px / self.period
        self.microscope = binned_microscope(microscope, self._factor)
        """The set-up with a mask whose pixels are the samples."""
        pupil = sample_pupil(self.microscope, self.microscope.mask_px)
        self.support = pupil.support
        rate = -pupil.kz_immersion if images.moves == "objective" else pupil.kz_sample
        # A piston does not change any image.
        self.per_position = torch.where(pupil.support, rate - rate[pupil.support].mean(), 0.0).float()
        """Phase of 1 µm more of a position: (K, K) rad."""
        cycles = 2 * math.pi / self.period * (torch.arange(len(pupil.axis)) - (len(pupil.axis) - 1) / 2)
        self._per_um = (cycles / microscope.pixel_um).float()
        # The centre of the bead is moved to the middle of the patch.
        ramp = cycles * (side // 2)
        self._wave = (pupil.kz_sample * z_um + ramp + ramp[:, None]).float()
        self._aperture = (pupil.amplitude / pupil.amplitude.norm() / self.period).float()
        self._blur = _blurring(side, self.period, blur_px)

    def __call__(self, phase: Tensor, shift_um: Tensor, position_um: Tensor) -> Tensor:
        """Images (S, h, w) of unit light.

        phase: (K, K) rad;  shift_um: (S, 2) position of the bead from the middle, x and y;  position_um: (S,).
        """
        x, y = shift_um[:, 0, None, None], shift_um[:, 1, None, None]
        angle = phase + self._wave + self.per_position * position_um[:, None, None]
        angle = angle + self._per_um * x + self._per_um[:, None] * y
        field = torch.polar(self._aperture.expand_as(angle), angle)
        image = torch.fft.fft2(field, s=(self.period, self.period))
        intensity = image.real.square() + image.imag.square()
        return self._blur @ intensity @ self._blur.mT

    def roughness(self, phase: Tensor) -> Tensor:
        """Mean of 1 − cos of the second differences of a phase (K, K) along both axes; 2π jumps count as 0.

        A grating of a few samples sends light out of the images. Without a penalty it would be used to imitate
        light that the pupil does not transmit evenly.
        """
        total = phase.new_zeros(())
        for turned, inside in ((phase, self.support), (phase.mT, self.support.mT)):
            bend = turned[2:] - 2 * turned[1:-1] + turned[:-2]
            total = total + ((1 - bend.cos()) * (inside[2:] & inside[:-2])).sum()
        return total / (2 * self.support.sum())

    def coarse(self, phase: Tensor) -> Tensor:
        """A mask's phase (h, w) rad on the samples: (K, K)."""
        return binned_phase(phase, self._fine, self._factor).float()

    def fine(self, phase: Tensor, pixels: int) -> Tensor:
        """A phase (K, K) rad on the mask's own pixels, (pixels, pixels): bilinear in the field."""
        axis = mask_coordinates(pixels, 1 / self._factor) / ((len(phase) - 1) / 2)
        grid = torch.stack([axis.expand(pixels, -1), axis[:, None].expand(-1, pixels)], -1)
        # Samples outside the aperture must not mix with those at its edge.
        field = (torch.stack([phase.cos(), phase.sin()]) * self.support)[None].double()
        sampled = torch.nn.functional.grid_sample(field, grid[None], mode="bicubic", align_corners=True)
        return torch.atan2(sampled[0, 1], sampled[0, 0])


def _reach_px(microscope: Microscope, images: BeadImages) -> float:
    """Distance from a bead to the outer rays of the first and last slice in the image, px (ray optics)."""
    index = microscope.n_immersion if images.moves == "objective" else microscope.n_sample
    sine = _RIM * microscope.aperture * microscope.na / index
    travel = float(images.position_um.max() - images.position_um.min()) / 2
    return travel * sine / math.sqrt(1 - sine**2) / microscope.pixel_um


def _blurring(side: int, period: int, blur_px: float) -> Tensor:
    """Matrix (side, period) that blurs a periodic image along one axis and keeps its first pixels."""
    away = (torch.arange(side)[:, None] - torch.arange(period)).abs()
    kernel = torch.exp(-0.5 * (torch.minimum(away, period - away) / max(blur_px, 0.2)).square())
    return kernel / kernel.sum(1, keepdim=True)


def pixel_weights(images: BeadImages) -> Tensor:
    """Weight of each pixel, (N, h, w): one over the variance of its noise plus a fraction of the light."""
    light = images.likelihood
    background = _edge_level(light.frames)
    smooth = torch.nn.functional.avg_pool2d((light.frames - background)[:, None], 5, 1, 2)[:, 0].clamp(min=0)
    noise = light.noise.variance(smooth + background.clamp(min=0))
    floor = _FLOOR * smooth.flatten(1).amax(1)[:, None, None]
    weight = 1 / (noise + light.noise.excess * floor).clamp(min=1e-9)
    return weight if light.weight is None else weight * light.weight


def _edge_level(frames: Tensor) -> Tensor:
    edge = torch.cat([frames[:, 0], frames[:, -1], frames[:, :, 0], frames[:, :, -1]], 1)
    return edge.median(1).values[:, None, None]


def explained_share(model: Tensor, frames: Tensor, weight: Tensor) -> Tensor:
    """Fraction (N,) of each image's weighted variance explained with the best light and background.

    The squared weighted correlation: light and background are eliminated in closed form.
    model, frames, weight: (N, h, w).
    """
    total = weight.sum((1, 2)).clamp(min=1e-12)

    def centred(values: Tensor) -> Tensor:
        return values - ((weight * values).sum((1, 2)) / total)[:, None, None]

    a, b = centred(model), centred(frames)
    both = (weight * a * b).sum((1, 2)).clamp(min=0)
    power = (weight * a.square()).sum((1, 2)) * (weight * b.square()).sum((1, 2))
    return both.square() / power.clamp(min=1e-30)
