"""Search for light that the list does not explain: a matched filter over position and depth."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ..maxima import highest_around
from ..optics.psf import PSF
from .background import share_left
from .correlation import Correlation, fast_size

__all__ = ["Candidates", "MatchedFilter", "gain_threshold"]

_STEP_UM = 0.125  # distance between depths
_VOXELS_PER_POSITION = 20  # voxels of the filter's grid for each independent position of a spot, approximately
_VOXELS = 2**26  # voxels of the frames that a GPU searches at a time: some arrays of 256 MB each
# Shares of the sum of squares of the PSF's images, and of their squares, that the components leave out: in the
# search itself, and where it is only asked whether there is anything to find.
_LEFT_OUT = 1e-6
_LEFT_OUT_ROUGHLY = 2e-3
# A frame is not searched where all gains at every second row and column are below the smallest gain times what
# a molecule between them keeps of its gain, times this: noise can make that less.
_ROUGH_SHARE = 0.9
# Pixels, as a share of the frame's, whose gains are computed one by one; of more it takes longer than of all.
_FEW = 0.04
# Memory for a pixel and depth of a frame that is searched, bytes, a third more than measured
# (benchmarks/frame_memory.py).
_BYTES_OF_VOXEL = 28
# Where a molecule keeps less than this share, the spots are too sharp for every second row and column.
_LEAST_KEPT = 0.6


@dataclass(frozen=True)
class Candidates:
    """Positions at which one more molecule would lower the deviance most.

    xyz: (K, 3) µm;  photons: (K,);  frame: (K,) int64;
    gain: (K,) decrease of the deviance by this molecule alone.
    """

    xyz: Tensor
    photons: Tensor
    frame: Tensor
    gain: Tensor


class MatchedFilter:
    """Correlates the residual of frames with the PSF at all pixels and depths.

    At each voxel the photons of a molecule there are estimated by weighted least squares, N = a/b with
    a = Σ t·(n − μ)/V and b = s·Σ t²/V (t the PSF, V the variance), which lowers the deviance by a²/b. The
    background was fitted without the molecule and has a part of its light, so that only the share s of t² is
    left which no background can show (`share_left`); it is smallest where spots are broad, and without it they
    would be taken for sharp ones at another depth. A frame is looked at first at every second row and column,
    where spots are broad enough: most have nothing to find, or in few places.

    psf: image model, evaluated at the centre of the frames and used everywhere;  z_um: range of depths;
    shape: height and width of the frames, px;  step_um: distance between depths;  field_px: height and width of
    the field that is searched, of which the frames are a part (None: they are all of it);  spacing_px: distance
    of the background's knots, inf: one level in a frame, None: the background was not fitted (s = 1).
    """

    def __init__(
        self,
        psf: PSF,
        z_um: tuple[float, float],
        shape: tuple[int, int],
        like: Tensor,
        step_um: float = _STEP_UM,
        field_px: tuple[int, int] | None = None,
        spacing_px: float | None = None,
    ) -> None:
        self.shape, self.pixel_um, self._field_px = shape, psf.pixel_um, field_px or shape
        count = _depths(z_um, step_um)
        self.z = torch.linspace(*z_um, count, dtype=like.dtype, device=like.device)
        middle = self.z.new_tensor([shape[1] // 2, shape[0] // 2])
        patches = psf(torch.cat([(middle * psf.pixel_um).expand(count, 2), self.z[:, None]], 1))
        column, row = (middle.long() - patches.corner[0]).tolist()
        images = patches.values
        square = images.square()
        if spacing_px is not None:
            square = square * share_left(images, spacing_px, shape)[:, None, None]
        # Padding prevents the circular correlation from wrapping around at the frame's edges.
        self._size = (fast_size(shape[0] + psf.patch_px), fast_size(shape[1] + psf.patch_px))
        template, square = (
            Correlation(each, (column, row), self._size, _LEFT_OUT) for each in (images, square)
        )
        self._fine, self._rough = (template, square), None
        kept = _kept_between(images)
        if kept > _LEAST_KEPT:
            self._rough = (template.rougher(_LEFT_OUT_ROUGHLY), square.rougher(_LEFT_OUT_ROUGHLY))
        self._rough_share = _ROUGH_SHARE * kept

    @classmethod
    def shared(
        cls,
        psf: PSF,
        z_um: tuple[float, float],
        shape: tuple[int, int],
        like: Tensor,
        field_px: tuple[int, int] | None = None,
        spacing_px: float | None = None,
    ) -> MatchedFilter:
        """The same, one object for all frames of a size: it takes as long as several searches.

        The last one of each PSF is kept, as long as the PSF is: in large frames it takes 200 bytes a pixel.
        """
        wanted = (z_um, shape, like.dtype, like.device, field_px, spacing_px)
        with _MAKING:
            made = _LAST.get(psf)
            if made is None or made[0] != wanted:
                made = wanted, cls(psf, z_um, shape, like, field_px=field_px, spacing_px=spacing_px)
                _LAST[psf] = made
            return made[1]

    @staticmethod
    def bytes_per_pixel(z_um: tuple[float, float]) -> float:
        """Memory for a camera pixel of a frame on the processor, for a range of depths, bytes."""
        return _depths(z_um, _STEP_UM) * _BYTES_OF_VOXEL

    @property
    def positions(self) -> float:
        """Approximate number of independent molecule positions in the whole field, however it is cut."""
        return len(self.z) * self._field_px[0] * self._field_px[1] / _VOXELS_PER_POSITION

    def correlations(self, score: Tensor, information: Tensor) -> tuple[Tensor, Tensor]:
        """Sums a and b of one more molecule at every voxel of frames: two arrays (…, Z, H, W).

        score, information: (…, H, W) of the pixels (`Likelihood`).  Those of several frames add up.
        """
        return self._correlated(self._fine, self._spectrum(score), self._spectrum(information))

    @property
    def coarse_px(self) -> int:
        """Distance of the pixels of `coarse_correlations`: 2 where spots are broad enough, else 1."""
        return 1 if self._rough is None else 2

    def coarse_correlations(self, score: Tensor, information: Tensor) -> tuple[Tensor, Tensor]:
        """`correlations` at every second row and column where that shows every molecule, in a fifth of the
        time."""
        filters = self._rough or self._fine
        return self._correlated(filters, self._spectrum(score), self._spectrum(information))

    def gains(self, score: Tensor, information: Tensor) -> tuple[Tensor, Tensor]:
        """Decrease of the deviance and photons of one more molecule at every voxel of frames.

        score, information: (…, H, W) of the pixels (`Likelihood`);  returns two arrays (…, Z, H, W).
        """
        return _gains(*self.correlations(score, information))

    def search(
        self, score: Tensor, information: Tensor, least: Tensor, *, apart_px: int, most: int
    ) -> Candidates:
        """The best candidates of frames, at least `apart_px` apart laterally.

        score, information: (B, H, W);  least: (B,) smallest gain of a candidate;  most: candidates per frame.
        """
        voxels = len(self.z) * self.shape[0] * self.shape[1]
        at_once = max(1, _VOXELS // voxels) if score.is_cuda else 1
        rows = [
            self._best(score[frames], information[frames], least[frames], frames, apart_px, most)
            for frames in torch.arange(len(score), device=score.device).split(at_once)
            if len(score)
        ]
        if not rows:
            nothing = score.new_zeros(0)
            return Candidates(score.new_zeros(0, 3), nothing, nothing.long(), nothing)
        xyz, photons, frame, gain = (torch.cat(column) for column in zip(*rows, strict=True))
        return Candidates(xyz.to(score), photons, frame, gain)

    def _best(
        self, score: Tensor, information: Tensor, least: Tensor, frames: Tensor, apart_px: int, most: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Position, photons, frame and gain of the best candidates of some frames, numbered by `frames`."""
        best, depth, photons = self._highest(score, information, least, apart_px)
        found = ((best == highest_around(best, apart_px)) & (best > least[:, None, None])).nonzero()
        found = found[best[found.unbind(1)].argsort(descending=True)]
        found = found[found[:, 0].argsort(stable=True)]
        # The rank of each candidate in its frame: the place behind the first of the frame.
        frame = found[:, 0].contiguous()
        rank = torch.arange(len(frame), device=frame.device) - torch.searchsorted(frame, frame)
        index, y, x = found[(rank < most).nonzero()[:, 0]].unbind(1)
        xyz = torch.stack([x * self.pixel_um, y * self.pixel_um, self.z[depth[index, y, x]]], 1)
        return xyz, photons[index, y, x], frames[index], best[index, y, x]

    def _highest(
        self, score: Tensor, information: Tensor, least: Tensor, apart_px: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Gain, index of the depth and photons at the best depth of every pixel: three arrays (B, H, W).

        On a CPU (one frame at a time) 0 where the gain cannot be above `least`, nor the highest within
        `apart_px`.
        """
        spectra = self._spectrum(score), self._spectrum(information)
        if self._rough is not None and not score.is_cuda:
            row, column = self._promising(spectra, least, apart_px)
            if len(row) <= _FEW * self.shape[0] * self.shape[1]:
                best, depth, photons = score.new_zeros(3, *score.shape).unbind(0)
                depth = depth.long()
                if len(row):
                    template, square = self._fine
                    pull = template.at(score[0], row, column)
                    stiffness = square.at(information[0], row, column).clamp_(min=1e-12)
                    best[0, row, column], depth[0, row, column], photons[0, row, column] = _at_best(
                        *_gains(pull, stiffness)
                    )
                return best, depth, photons
        return _at_best(*_gains(*self._correlated(self._fine, *spectra)))

    def _promising(self, spectra: tuple[Tensor, Tensor], least: Tensor, apart_px: int) -> tuple[Tensor, Tensor]:
        """Rows and columns of all pixels of one frame whose gain can be above `least`, (1,), and the highest
        within `apart_px`."""
        assert self._rough is not None
        roughly, _ = _gains(*self._correlated(self._rough, *spectra))
        best = roughly[0].amax(0)
        rivals = highest_around(best[None], apart_px // 2)[0].maximum(least)
        row, column = (best > self._rough_share * rivals).nonzero().unbind(1)
        near = torch.zeros(self.shape, dtype=torch.bool)
        for down in (-1, 0, 1):
            for across in (-1, 0, 1):
                y, x = 2 * row + down, 2 * column + across
                inside = (y >= 0) & (y < self.shape[0]) & (x >= 0) & (x < self.shape[1])
                near[y[inside], x[inside]] = True
        row, column = near.nonzero().unbind(1)
        return row, column

    def _spectrum(self, frames: Tensor) -> Tensor:
        """Fourier transform of frames (…, H, W), padded with 0."""
        return torch.fft.rfft2(frames, self._size)

    def _correlated(
        self, filters: tuple[Correlation, Correlation], score: Tensor, information: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Sums a and b (…, Z, h, w) from the transforms of scores and informations."""
        template, square = filters
        return template(score, self.shape), square(information, self.shape).clamp_(min=1e-12)


# The last filter of each PSF, and what it was made for; one thread makes one at a time.
_LAST: WeakKeyDictionary[PSF, tuple[tuple[Any, ...], MatchedFilter]] = WeakKeyDictionary()
_MAKING = Lock()


def _depths(z_um: tuple[float, float], step_um: float) -> int:
    """Number of depths of a range that are about so far apart."""
    return max(2, round((z_um[1] - z_um[0]) / step_um) + 1)


def _gains(pull: Tensor, stiffness: Tensor) -> tuple[Tensor, Tensor]:
    """Gains a²/b and photons a/b from the sums a and b, in their place: `MatchedFilter.gains`."""
    photons = torch.div(pull.clamp_(min=0), stiffness, out=stiffness)
    return pull.mul_(photons), photons


def _at_best(gain: Tensor, photons: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The largest gain along the depths (dimension 1), its index, and the photons there."""
    best, depth = gain.max(1)
    return best, depth, photons.gather(1, depth[:, None])[:, 0]


def _kept_between(images: Tensor) -> float:
    """The share of a spot's gain that is left one row and one column beside it, at the worst depth.

    images: (Z, h, w) of the PSF. Only spatial frequencies below half of the largest one count.
    """
    height, width = (fast_size(2 * side) for side in images.shape[1:])
    spectrum = torch.fft.rfft2(images.double(), (height, width))
    row = torch.fft.fftfreq(height, device=images.device).abs()[:, None]
    column = torch.fft.rfftfreq(width, device=images.device)
    low = spectrum * ((row <= 0.25) & (column <= 0.25))
    product = torch.fft.irfft2(low * spectrum.conj(), (height, width))
    near = [-1, 0, 1]
    least = product[:, near][:, :, near].flatten(1).amin(1).clamp(min=0)
    return float((least / images.double().square().sum((1, 2))).square().min())


def gain_threshold(positions: float, false_alarms: float, rows: float = 1.0) -> float:
    """Decrease of the deviance that noise alone exceeds in a fraction `false_alarms` of frames.

    In noise the photons estimated at one position are normal around 0, and only positive values are used. The
    gain is then the square of a standard normal, tested at `positions` positions (Bonferroni): t = q² with
    positions·P(normal > q) = false_alarms. Where a frame is known to have more than one row, `rows` of them,
    false_alarms is a share of these, false_alarms·rows in a frame (Benjamini and Hochberg, J. R. Stat. Soc. B
    57, 289 (1995)): then t depends on their density, not on the size of the field.
    """
    wrong = false_alarms * max(rows, 1.0) / max(positions, 1.0)
    return NormalDist().inv_cdf(1 - min(wrong, 0.5)) ** 2
