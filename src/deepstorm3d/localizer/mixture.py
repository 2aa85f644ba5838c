"""The mixture network: per camera pixel the probability of a molecule, its position, photons and their σ.

The likelihood is the one of Speiser et al. 2021 (DECODE, Nature Methods 18, 1082), with the
cross-entropy of the probability map that LiteLoc and FD-DeepLoc add. The background is not
predicted: photometry measures it afterwards at the positions found.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..emitters import Emitters, Localizations
from ..maxima import highest_around
from ..spec import quantity
from .network import SeveralFramesSpec
from .precision import conv2d_in_float32
from .trunk import FEATURES, Trunk, bytes_per_pixel, conv_block, padded

__all__ = ["MixtureNetwork", "MixtureSpec"]

# Largest lateral offset of a molecule from its pixel's centre, px. It reaches into the neighbours, because
# either of two pixels can report a molecule on their common edge.
_OFFSET = 1.5
# Largest depth from the middle of the range, in half ranges; above 1 because tanh is flat near its limits.
_DEPTH = 1.2
# Smallest σ of x, y (px), z (half ranges) and photons (photons_scale). Without a lower limit the likelihood
# would be unbounded at a single pixel with a very small σ.
_FLOOR = (0.01, 0.01, 0.002, 0.01)
# Largest distance, px, between a molecule's pixel and the pixels in its mixture. The offset of pixels farther
# away ends at least 1.5 px before the molecule, which is many σ. Excluding them bounds the likelihood from
# below and makes the memory proportional to molecules × 49 instead of molecules × pixels.
_REACH = 3
# Smallest probability of a candidate's own pixel: at the corner of four pixels each has a quarter of the total.
_CANDIDATE = 0.2
_ADJACENT = 0.6  # a pixel beside a larger maximum is a separate molecule if its probability is above this


class MixtureSpec(SeveralFramesSpec):
    """Per pixel a probability, a position and photons with their σ: together a Gaussian mixture."""

    kind: Literal["mixture"] = "mixture"
    channels: int = quantity(80, "", "features at half resolution", ge=8, le=512)
    skip: int = quantity(32, "", "features at full resolution", ge=4, le=256, label="Skip channels")
    dilations: tuple[int, ...] = quantity(
        (1, 2, 4, 8, 2, 1), "", "dilation of each residual pair of convolutions"
    )
    head: int = quantity(48, "", "features before the outputs", ge=4, le=256, label="Head channels")
    photons_scale: float = quantity(
        10_000.0, "photons", "typical photons of a molecule in a frame", gt=0, label="Typical brightness"
    )
    map_weight: float = quantity(
        1.0, "", "weight of the probability map's cross-entropy", ge=0, le=100, label="Weight of the map's loss"
    )

    def build(self, pixel_um: float, z_um: tuple[float, float], images: int = 1) -> MixtureNetwork:
        return MixtureNetwork(self, pixel_um, z_um, images)

    def bytes_on_processor(self, z_um: tuple[float, float]) -> float:
        return bytes_per_pixel(self.channels, self.skip, self.head + 9) + self.bytes_of_context


class MixtureNetwork(nn.Module):
    """Maps a frame to nine raw values per pixel: logit, four means (x, y, z, photons), four widths.

    pixel_um: camera pixel in the sample;  z_um: depth range of the molecules;
    images: number of images that it sees for a frame (`NetworkLocalizer`).
    """

    def __init__(self, spec: MixtureSpec, pixel_um: float, z_um: tuple[float, float], images: int = 1) -> None:
        super().__init__()
        half = (z_um[1] - z_um[0]) / 2
        self.map_weight = spec.map_weight
        self.scale = (pixel_um, pixel_um, half, spec.photons_scale)
        self.middle_um = (z_um[0] + z_um[1]) / 2
        # With the channels innermost the convolutions run about twice as fast on the CPU.
        self.memory_format = torch.channels_last
        self.trunk = Trunk(spec.channels, spec.skip, spec.dilations, images)
        self.hidden = conv_block(FEATURES, spec.head)
        self.head = nn.Conv2d(spec.head, 9, 1)
        # Stable first training steps: few molecules, mid-range depth, typical brightness, large σ.
        start = torch.tensor([math.log(0.01 / 0.99), 0, 0, 0, math.log(math.e - 1), 0, 0, 0, 0])
        with torch.no_grad():
            self.head.weight.mul_(0.1)
            self.head.bias.copy_(start)  # pyright: ignore[reportOptionalMemberAccess]

    def forward(self, images: Tensor) -> Tensor:
        """images: (B, images, H, W), normalised;  returns raw values (B, 9, H, W), float32."""
        height, width = images.shape[-2:]
        features = self.hidden(self.trunk(padded(images)))[..., :height, :width]
        # Half precision would round depth and position to several nm.
        return conv2d_in_float32(features, self.head.weight, self.head.bias, (0, 0))

    def loss(self, raw: Tensor, truth: Emitters) -> Tensor:
        """Sum of the negative log-likelihoods of count, positions and probability map, per emitter.

        raw: (B, 9, H, W);  truth: emitters of these B frames; those outside the frame are ignored.
        Returns a scalar.
        """
        raw = raw.float()
        frames, _, height, width = raw.shape
        pixel = (truth.xyz[:, :2] / self.scale[0]).round().long()
        inside = (pixel >= 0).all(1) & (pixel[:, 0] < width) & (pixel[:, 1] < height)
        truth, pixel = truth.select(inside), pixel[inside]
        logit, place = raw[:, 0], (truth.frame, pixel[:, 1], pixel[:, 0])
        target = torch.zeros_like(logit)
        target[place] = 1.0
        entropy = functional.binary_cross_entropy_with_logits(logit, target, reduction="sum")
        expected = torch.sigmoid(logit).sum((1, 2))
        total = count_nll(logit, torch.bincount(truth.frame, minlength=frames)).sum()
        total = total + self._mixture_nll(raw, expected, truth, pixel).sum() + self.map_weight * entropy
        return total / (len(truth) + frames)

    def _mixture_nll(self, raw: Tensor, expected: Tensor, truth: Emitters, pixel: Tensor) -> Tensor:
        """−log Σ_k (p_k/Σp) Π_d Normal(u_d; μ_kd, σ_kd) of each emitter: (N,).

        expected: (B,) Σp over the frame;  pixel: (N, 2) column and row of each emitter;
        u: x and y in pixels, z in half ranges about the middle, photons in photons_scale.
        """
        height, width = raw.shape[-2:]
        steps = torch.arange(-_REACH, _REACH + 1, device=raw.device)
        around = torch.cartesian_prod(steps, steps)
        column, row = (pixel[:, None] + around).unbind(-1)
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        column, row = column.clamp(0, width - 1), row.clamp(0, height - 1)
        near = raw.permute(0, 2, 3, 1)[truth.frame[:, None], row, column]
        mean, sigma = _gaussians(near, column, row)
        origin, scale = raw.new_tensor([0, 0, self.middle_um, 0]), raw.new_tensor(self.scale)
        aim = (torch.cat([truth.xyz, truth.photons[:, None]], 1).float() - origin) / scale
        distance = (aim[:, None] - mean) / sigma
        log_normal = -0.5 * distance.square() - sigma.log() - 0.5 * math.log(2 * math.pi)
        log_share = functional.logsigmoid(near[..., 0]) - expected.clamp(min=1e-12).log()[truth.frame][:, None]
        log_terms = (log_share + log_normal.sum(-1)).masked_fill(~inside, -1e9)
        return -torch.logsumexp(log_terms, 1)

    def decode(self, raw: Tensor, threshold: float) -> Localizations:
        """Local maxima of the probability, if it sums to `threshold` or more with its four edge neighbours.

        The neighbours are included because a molecule between two pixels divides its probability between
        them. A pixel beside a larger maximum counts as a second molecule if its own probability is high.
        """
        raw = raw.float()
        probability = torch.sigmoid(raw[:, 0])
        candidate = probability > min(_CANDIDATE, threshold)
        peak = candidate & (probability == highest_around(probability, 1))
        found = (peak | (probability > _ADJACENT)) & (_plus_sum(probability) >= threshold)
        frame, row, column = torch.nonzero(found, as_tuple=True)
        mean, sigma = _gaussians(raw.permute(0, 2, 3, 1)[frame, row, column], column, row)
        scale = raw.new_tensor(self.scale)
        mean, sigma = mean * scale, sigma * scale
        zero = torch.zeros_like(mean[:, 0])
        return Localizations(
            xyz=mean[:, :3] + raw.new_tensor([0, 0, self.middle_um]),
            frame=frame,
            photons=mean[:, 3],
            background=zero,
            probability=_plus_sum(probability)[frame, row, column].clamp(max=1.0),
            sigma_xyz=sigma[:, :3],
            sigma_photons=sigma[:, 3],
            sigma_background=zero,
            fit_quality=zero,
            sigma_source="network",
        )


def count_nll(logit: Tensor, count: Tensor) -> Tensor:
    """−log Normal(count; Σp, Σp(1−p)) of each frame: the Gaussian limit of the Poisson binomial law.

    logit: (B, H, W);  count: (B,) emitters;  returns (B,). The variance 1/12 of rounding to whole numbers
    (Sheppard 1898) is added; it keeps the density finite if all p are 0 or 1.
    """
    probability = torch.sigmoid(logit)
    variance = (probability * torch.sigmoid(-logit)).sum((1, 2)) + 1 / 12
    error = count - probability.sum((1, 2))
    return 0.5 * (error.square() / variance + variance.log() + math.log(2 * math.pi))


def _gaussians(raw: Tensor, column: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and σ (..., 4) from raw values (..., 9) of the pixels (column, row), both (...).

    Ordered x, y (pixels), z (half ranges about the middle), photons (photons_scale).
    """
    shift = _OFFSET * torch.tanh(raw[..., 1:3])
    depth = _DEPTH * torch.tanh(raw[..., 3:4])
    photons = functional.softplus(raw[..., 4:5])
    mean = torch.cat([torch.stack([column, row], -1) + shift, depth, photons], -1)
    return mean, functional.softplus(raw[..., 5:9]) + raw.new_tensor(_FLOOR)


def _plus_sum(probability: Tensor) -> Tensor:
    """Sum of each pixel and its four edge neighbours; (B, H, W), zero outside the frame."""
    padded = functional.pad(probability, (1, 1, 1, 1))
    across = padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:]
    along = padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1]
    return probability + across + along
