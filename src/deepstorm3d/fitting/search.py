"""Search for light that the list does not explain: a matched filter over position and depth."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import torch
from scipy.fft import next_fast_len
from torch import Tensor
from torch.nn import functional

from ..maxima import highest_around
from ..optics.psf import PSF

__all__ = ["Candidates", "MatchedFilter", "gain_threshold"]

_VOXELS_PER_POSITION = 20  # voxels of the filter's grid for each independent position of a spot, approximately
_VOXELS = 2**26  # voxels of the frames that a GPU searches at a time: some arrays of 256 MB each
_LEFT_OUT = 1e-6  # share of the sum of squares of the PSF's images that their components leave out


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
    a = Σ t·(n − μ)/V and b = Σ t²/V (t the PSF, V the variance), which lowers the deviance by a²/b.

    psf: image model, evaluated at the centre of the frames and used everywhere;  z_um: range of depths;
    shape: height and width of the frames, px;  step_um: distance between depths.
    """

    def __init__(
        self, psf: PSF, z_um: tuple[float, float], shape: tuple[int, int], like: Tensor, step_um: float = 0.125
    ) -> None:
        self.shape, self.pixel_um = shape, psf.pixel_um
        count = max(2, round((z_um[1] - z_um[0]) / step_um) + 1)
        self.z = torch.linspace(*z_um, count, dtype=like.dtype, device=like.device)
        middle = self.z.new_tensor([shape[1] // 2, shape[0] // 2])
        patches = psf(torch.cat([(middle * psf.pixel_um).expand(count, 2), self.z[:, None]], 1))
        self._half = middle.long() - patches.corner[0]
        # Padding prevents the circular correlation from wrapping around at the frame's edges.
        self._size = [_fast_size(side + psf.patch_px) for side in shape]
        self._template = self._components(patches.values)
        self._square = self._components(patches.values.square())

    @property
    def positions(self) -> float:
        """Approximate number of independent molecule positions in a frame."""
        return len(self.z) * self.shape[0] * self.shape[1] / _VOXELS_PER_POSITION

    def correlations(self, score: Tensor, information: Tensor) -> tuple[Tensor, Tensor]:
        """Sums a and b of one more molecule at every voxel of frames: two arrays (…, Z, H, W).

        score, information: (…, H, W) of the pixels (`Likelihood`).  Those of several frames add up.
        """
        stiffness = self._correlate(information, *self._square).clamp(min=1e-12)
        return self._correlate(score, *self._template), stiffness

    def gains(self, score: Tensor, information: Tensor) -> tuple[Tensor, Tensor]:
        """Decrease of the deviance and photons of one more molecule at every voxel of frames.

        score, information: (…, H, W) of the pixels (`Likelihood`);  returns two arrays (…, Z, H, W).
        """
        pull, stiffness = self.correlations(score, information)
        photons = pull.clamp(min=0) / stiffness
        return photons * pull.clamp(min=0), photons

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
        gain, photons = self.gains(score, information)
        best, depth = gain.max(1)
        found = ((best == highest_around(best, apart_px)) & (best > least[:, None, None])).nonzero()
        found = found[best[found.unbind(1)].argsort(descending=True)]
        found = found[found[:, 0].argsort(stable=True)]
        # The rank of each candidate in its frame: the place behind the first of the frame.
        frame = found[:, 0].contiguous()
        rank = torch.arange(len(frame), device=frame.device) - torch.searchsorted(frame, frame)
        index, y, x = found[(rank < most).nonzero()[:, 0]].unbind(1)
        z = depth[index, y, x]
        xyz = torch.stack([x * self.pixel_um, y * self.pixel_um, self.z[z]], 1)
        return xyz, photons[index, z, y, x], frames[index], best[index, y, x]

    def _components(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (Z, h, w) as weights (Z, R) of a few orthogonal components, and the components' transforms.

        Neighbouring depths look alike: half as many components as depths leave out `_LEFT_OUT` of the sum of
        squares (singular value decomposition), and are correlated with the frame in half of the time.
        """
        left, strength, right = torch.linalg.svd(images.double().flatten(1), full_matrices=False)
        missing = strength.square().flip(0).cumsum(0).flip(0) / strength.square().sum()
        number = max(1, int((missing > _LEFT_OUT).sum()))
        weights = (left * strength)[:, :number].to(images)
        components = right[:number].to(images).view(number, *images.shape[1:])
        padded = functional.pad(
            components, [0, self._size[1] - images.shape[2], 0, self._size[0] - images.shape[1]]
        )
        # Entry (i, j) of a correlation is then the sum with the patch's centre pixel at (i, j).
        padded = torch.roll(padded, (-int(self._half[1]), -int(self._half[0])), (1, 2))
        return weights, torch.fft.rfft2(padded).conj()

    def _correlate(self, frames: Tensor, weights: Tensor, kernel: Tensor) -> Tensor:
        height, width = self.shape
        product = torch.fft.rfft2(frames, self._size).unsqueeze(-3) * kernel
        full = torch.fft.irfft2(product, self._size)[..., :height, :width]
        return (weights @ full.flatten(-2)).unflatten(-1, (height, width))


def _fast_size(pixels: int) -> int:
    """The next number of pixels with a fast Fourier transform."""
    size = next_fast_len(pixels, real=True)
    assert size is not None
    return size


def gain_threshold(positions: float, false_alarms: float) -> float:
    """Decrease of the deviance that noise alone exceeds in a fraction `false_alarms` of frames.

    In noise the photons estimated at one position are normal around 0, and only positive values are used. The
    gain is then the square of a standard normal, tested at `positions` positions (Bonferroni): t = q² with
    positions·P(normal > q) = false_alarms.
    """
    return NormalDist().inv_cdf(1 - false_alarms / max(positions, 1.0)) ** 2
