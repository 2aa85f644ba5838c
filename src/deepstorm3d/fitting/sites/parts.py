"""What a part of the field shows: the fit of its pixels, with the light of the molecules around it known."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...channels import Transform
from ...chip import Region
from ...emitters import Localizations
from ...field import Field
from ..background import SplineBackground
from ..joint import JointFit
from ..likelihood import Likelihood
from ..linear import expected_image
from ..state import JointState

__all__ = ["between_parts", "corner_of", "part_of_light", "reach_of", "shown_region"]

_BEYOND_PX = 4  # pixels around what a channel shows of a part
_LEAST_PX = 16  # shortest side of what is taken of a channel
_ALONG = 5  # points along a side of a part whose places in another channel are computed


def reach_of(*fits: JointFit) -> int:
    """Pixels from a molecule's pixel to the edge of its spot, and one more, of the widest."""
    return max(fit.core.patch_px for fit in fits) // 2 + 1


def corner_of(region: Region, pixel_um: float) -> Tensor:
    """The first pixel of a region, (3,) µm."""
    return torch.tensor([region[0], region[1], 0.0], dtype=torch.float64) * pixel_um


def part_of_light(fit: JointFit, light: Likelihood, region: Region, around: Localizations) -> Likelihood:
    """The likelihood of the pixels of a region, which knows the light of rows around it.

    fit: of the region;  around: as the channel has them, measured from the first pixel of the region.
    """
    x0, y0, x1, y1 = region
    rows, columns = slice(y0, y1), slice(x0, x1)
    frames = light.frames[:, rows, columns].contiguous()
    weight = None if light.weight is None else light.weight[:, rows, columns].contiguous()
    around = around.select(_reaching(around.xyz, fit, region))
    bounds, shape = fit.bounds, (len(frames), y1 - y0, x1 - x0)
    blur = around.photons.new_full((len(around),), sum(bounds.blur_px) / 2)
    z = around.xyz[:, 2:].clamp(*bounds.z_um)
    state = JointState(
        xyz=torch.cat([around.xyz[:, :2], z], 1).to(frames),
        photons=around.photons.to(frames),
        frame=around.frame,
        coefficients=frames.new_zeros(len(frames), 1, 1),
        blur_px=blur.to(frames) if fit.fit_blur else None,
    )
    surface = SplineBackground(shape[1:], float("inf"), frames)
    known = expected_image(fit.core, state, surface, shape)
    if light.known is not None:
        known = known + light.known[:, rows, columns]
    return Likelihood(frames, light.noise.part(rows, columns), weight, known)


def shown_region(transform: Transform, first: Field, region: Region, field: Field) -> Region:
    """Where a channel shows a region of the first one;  first, field: of both channels.

    Some pixels of its edge where it shows nothing of it.
    """
    x0, y0, x1, y1 = region
    across, down = torch.linspace(x0, x1 - 1, _ALONG), torch.linspace(y0, y1 - 1, _ALONG)
    grid = torch.cartesian_prod(across, down).double() * first.pixel_um
    there = transform.apply(grid) / field.pixel_um
    low = (there.amin(0) - _BEYOND_PX).floor().long().tolist()
    high = (there.amax(0) + _BEYOND_PX).ceil().long().tolist()
    (left, right), (top, bottom) = (
        _within(one, other, size)
        for one, other, size in zip(low, high, (field.width, field.height), strict=True)
    )
    return left, top, right, bottom


def between_parts(transform: Transform, corners: Sequence[Tensor]) -> Transform:
    """The transform between regions of two channels, from that between the channels.

    corners: (3,) µm of the regions' first pixels.
    """
    before, after = (
        Transform.affine(torch.eye(2), sign * corner[:2]) for sign, corner in zip((1, -1), corners, strict=True)
    )
    return before.then(transform).then(after)


def _within(low: int, high: int, size: int) -> tuple[int, int]:
    """A range of pixels within a side of so many, long enough."""
    least = min(_LEAST_PX, size)
    low = min(max(low, 0), size - least)
    return low, min(max(high + 1, low + least), size)


def _reaching(xyz: Tensor, fit: JointFit, region: Region) -> Tensor:
    """Which places (N, 3) µm, from the first pixel of a region, have light in it: (N,) bool."""
    reach, last = reach_of(fit) + 1, xyz.new_tensor([region[2] - region[0], region[3] - region[1]])
    at = xyz[:, :2] / fit.core.pixel_um
    return ((at > -reach) & (at < last + reach)).all(1)
