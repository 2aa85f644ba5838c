"""Molecules on simulated cell structures: filaments, mitochondria, a membrane, a nucleus.

Every function takes the number of molecules and the centre and extent (full widths) of a box, both
x, y, z in µm. It returns positions (N, 3) in µm inside the box, on the generator's device.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..draws import uniform

__all__ = ["ellipsoid_surface", "filaments", "mitochondria", "nucleus"]

Vector = tuple[float, float, float]

MODES = 3  # number of sine waves that bend each curve
STEPS = 400  # number of points on each curve


def filaments(
    number: int,
    centre: Vector,
    extent: Vector,
    generator: torch.Generator,
    *,
    curves: int = 12,
    thickness_um: float = 0.012,
) -> Tensor:
    """Molecules distributed uniformly along smooth random curves, like microtubules.

    thickness_um: standard deviation of their distance from the curve in each axis, limited to the box.
    """
    box = _box(centre, extent, generator)
    place, _ = _along(_random_curves(curves, generator) * box[1], number, generator)
    place = place + thickness_um * torch.randn(number, 3, generator=generator, device=generator.device)
    return box[0] + place.clamp(-box[1], box[1])


def mitochondria(
    number: int,
    centre: Vector,
    extent: Vector,
    generator: torch.Generator,
    *,
    tubes: int = 4,
    radius_um: float = 0.25,
) -> Tensor:
    """Molecules distributed uniformly on the surface of winding tubes, like the membrane of mitochondria.

    Raises ValueError if the box is thinner than a tube.
    """
    if 2 * radius_um >= min(extent):
        raise ValueError(f"a tube of radius {radius_um} µm does not fit into a box of {extent} µm")
    box = _box(centre, extent, generator)
    place, tangent = _along(_random_curves(tubes, generator) * (box[1] - radius_um), number, generator)
    # A random direction without its component along the tube is uniformly distributed around the tube.
    around = torch.randn(number, 3, generator=generator, device=generator.device)
    around = around - (around * tangent).sum(1, keepdim=True) * tangent
    return box[0] + place + radius_um * around / around.norm(dim=1, keepdim=True)


def ellipsoid_surface(number: int, centre: Vector, extent: Vector, generator: torch.Generator) -> Tensor:
    """Molecules distributed uniformly on the surface of the box's inscribed ellipsoid (Fig. 1 of the paper)."""
    box = _box(centre, extent, generator)
    kept: list[Tensor] = [torch.zeros(0, 3, device=generator.device)]
    while sum(map(len, kept)) < number:
        sphere = _directions(2 * number, generator)
        # A surface element of the sphere at u grows by abc·|u/(a, b, c)|: keep candidates in that proportion.
        growth = (sphere / box[1]).norm(dim=1) * box[1].min()
        kept.append(sphere[uniform(0.0, 1.0, (len(sphere),), generator) < growth])
    return box[0] + torch.cat(kept)[:number] * box[1]


def nucleus(number: int, centre: Vector, extent: Vector, generator: torch.Generator) -> Tensor:
    """Molecules distributed uniformly in the volume of the box's inscribed ellipsoid, like telomeres."""
    box = _box(centre, extent, generator)
    radius = uniform(0.0, 1.0, (number, 1), generator) ** (1 / 3)
    return box[0] + radius * _directions(number, generator) * box[1]


def _box(centre: Vector, extent: Vector, generator: torch.Generator) -> Tensor:
    """Centre and half widths (2, 3)."""
    if min(extent) <= 0:
        raise ValueError(f"the extent of a structure must be above 0 µm in x, y and z, got {extent}")
    return torch.tensor([centre, [width / 2 for width in extent]], device=generator.device)


def _directions(number: int, generator: torch.Generator) -> Tensor:
    """Unit vectors (number, 3), distributed uniformly over the sphere."""
    vectors = torch.randn(number, 3, generator=generator, device=generator.device)
    return vectors / vectors.norm(dim=1, keepdim=True)


def _random_curves(curves: int, generator: torch.Generator) -> Tensor:
    """Smooth curves between opposite sides of the box −1 … 1, (curves, STEPS, 3).

    They are straight lines between random points, bent by a few sine waves that are 0 at the ends.
    """
    ends = uniform(-0.7, 0.7, (curves, 2, 1, 3), generator)
    # Each curve runs along x or along y, from side to side.
    along = torch.randint(2, (curves,), generator=generator, device=generator.device)
    row = torch.arange(curves, device=generator.device)
    ends[row, 0, 0, along], ends[row, 1, 0, along] = -0.95, 0.95
    t = torch.linspace(0, 1, STEPS, device=generator.device)
    order = torch.arange(1, MODES + 1, device=generator.device)
    waves = torch.sin(math.pi * order[:, None] * t) / order[:, None]
    bends = torch.einsum("cmk,ms->csk", uniform(-0.15, 0.15, (curves, MODES, 3), generator), waves)
    return (ends[:, 0] + (ends[:, 1] - ends[:, 0]) * t[:, None] + bends).clamp(-1, 1)


def _along(curves: Tensor, number: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points uniform by length on polygons (C, S, 3), and the unit tangents there; both (number, 3)."""
    steps = (curves[:, 1:] - curves[:, :-1]).flatten(0, 1)
    starts = curves[:, :-1].flatten(0, 1)
    length = steps.norm(dim=1)
    segment = (
        torch.multinomial(length, number, replacement=True, generator=generator)
        if number
        else length[:0].long()
    )
    place = starts[segment] + steps[segment] * uniform(0.0, 1.0, (number, 1), generator)
    return place, steps[segment] / length[segment, None]
