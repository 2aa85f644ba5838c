"""Specimen of a simulated movie: random molecules, or a structure that blinks and drifts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from ..draws import uniform
from ..emitters import Emitters
from ..errors import InputError
from ..field import Field
from .blinking import blink
from .priors import EmitterPrior, FixedCount, Scene
from .stage_drift import smooth_drift
from .structures import ellipsoid_surface, filaments, mitochondria, nucleus

__all__ = ["Draw", "Specimen", "StructureName"]

StructureName = Literal["filaments", "mitochondria", "ellipsoid", "nucleus"]
Vector = tuple[float, float, float]
Draw = Callable[[int, int], tuple[Emitters, Tensor]]
"""Emitters of frames start … start + count − 1, and their background (count, H, W), photons per pixel."""

_ON_FRAMES = 2.0  # mean on-time of a molecule on a structure, frames
_DARK_MOVIES = 2.0  # mean dark time of a molecule on a structure, in movie lengths
_MARGIN = 0.05  # smallest margin around a structure, as a fraction of the field's smaller side

_MAKERS: dict[StructureName, Callable[[int, Vector, Vector, torch.Generator], Tensor]] = {
    "filaments": filaments,
    "mitochondria": mitochondria,
    "ellipsoid": ellipsoid_surface,
    "nucleus": nucleus,
}


@dataclass(frozen=True)
class Specimen:
    """The sample under the microscope.

    Parameters
    ----------
    emitters : int
        Number inside every frame, or its mean for a structure; there are then no emitters outside the frame.
        None: the scene's number. Of molecules that last (`blinking` of the scene), it is the mean number.
    structure : "filaments", "mitochondria", "ellipsoid" or "nucleus"
        The molecules lie on it and blink through the movie (in a movie of one frame all are on). None: random
        positions in every frame. Of a structure, and of molecules that last, the list of the whole movie is
        kept in memory.
    drift_um : tuple
        Range in x, y and z over which the structure drifts smoothly during the movie, µm.
    """

    emitters: int | None = None
    structure: StructureName | None = None
    drift_um: Vector | None = None

    def __post_init__(self) -> None:
        if self.emitters is not None and (self.emitters < 0 or self.emitters != int(self.emitters)):
            raise InputError(f"the number of emitters is a whole number from 0, not {self.emitters}")
        if self.structure is not None and self.structure not in _MAKERS:
            raise InputError(f"there is no structure '{self.structure}'", f"use {', '.join(_MAKERS)}")

    def drift(self, frames: int, generator: torch.Generator) -> Tensor | None:
        """Displacement of the structure in each frame, (frames, 3) µm from the first one; None without drift.

        Raises InputError for a negative drift, or for a drift of molecules that are drawn independently in
        every frame.
        """
        if self.drift_um is None:
            return None
        if self.structure is None:
            raise InputError("only a structure can drift: molecules drawn anew in every frame show none of it")
        if min(self.drift_um) < 0:
            raise InputError(f"the drift in x, y and z must not be negative, got {self.drift_um} µm")
        return smooth_drift(frames, self.drift_um, generator)

    def draw_of(
        self, scene: Scene, field: Field, drift: Tensor | None, frames: int, generator: torch.Generator
    ) -> Draw:
        """Return a function that draws a movie, a few frames at a time; drift: from `drift`.

        It works like `Scene.draw`, but with the specimen's number of emitters, or on its structure.
        Raises InputError if the structure does not fit into field and depth range.
        """
        prior = scene.emitters
        if self.emitters is not None:
            low, high = prior.margin_px
            prior = prior.with_(
                count=FixedCount(count=self.emitters), margin_px=(max(0.0, low), max(0.0, high))
            )
        scene = scene.with_(emitters=prior)
        if self.structure is None and not prior.blinking.lasts:
            return _anywhere(scene, field, generator)
        if self.structure is None:
            return _part_by_part(prior.draw_movie(frames, field, generator), scene, field, generator)
        whole = _on_structure(self.structure, prior, field, self.drift_um or (0.0, 0.0, 0.0), frames, generator)
        if drift is not None:
            whole = replace(whole, xyz=whole.xyz + drift[whole.frame])
        return _part_by_part(whole, scene, field, generator)


def _part_by_part(whole: Emitters, scene: Scene, field: Field, generator: torch.Generator) -> Draw:
    """Draw the background of a movie whose emitters are there, in order of frame.

    Where molecules last it is one for the whole movie, as a network with context learns it, unless the scene
    says otherwise.
    """
    steady = scene.emitters.blinking.lasts and scene.steady_background
    one: Tensor | None = None

    def draw(start: int, count: int) -> tuple[Emitters, Tensor]:
        nonlocal one
        first, last = torch.searchsorted(whole.frame, torch.tensor([start, start + count])).tolist()
        # Drawn for every frame also where it stays, so that the noise of a seed is the same either way.
        background = scene.background.draw(count, field, generator)
        if steady:
            one = background[:1] if one is None else one
            background = one.repeat(count, 1, 1)
        return whole.select(slice(first, last)), background

    return draw


def _anywhere(scene: Scene, field: Field, generator: torch.Generator) -> Draw:
    """Draw independent frames in which every emitter has a unique id."""
    drawn = 0

    def draw(start: int, count: int) -> tuple[Emitters, Tensor]:
        nonlocal drawn
        part, background = scene.draw(count, field, generator)
        part = replace(part.shift(frames=start), id=part.id + drawn)
        drawn += len(part)
        return part, background

    return draw


def _on_structure(
    name: StructureName,
    prior: EmitterPrior,
    field: Field,
    drift_um: Vector,
    frames: int,
    generator: torch.Generator,
) -> Emitters:
    """Blinking molecules on a structure that fills field and depth range, for a whole movie.

    They blink as the prior says. Without molecules that last there, each row is a molecule that is on for at
    least half of a frame, and its photons are drawn from the prior, which describes emitters as they appear in
    a frame. drift_um: (x, y, z); its z is kept free at both ends of the depth range, so that no molecule
    drifts out of it.
    """
    centre, extent = _box(prior, field, drift_um[2])
    area = torch.full((256,), extent[0] * extent[1])
    in_frame = float(prior.count.draw(area, generator).float().mean())
    if prior.blinking.lasts:
        lives = prior.blinking.lives(torch.tensor([in_frame]), frames, generator)
        xyz = _place(name, len(lives), centre, extent, generator)
        return prior.images_of(xyz, lives, frames, generator)
    if frames == 1:
        xyz = _place(name, round(in_frame), centre, extent, generator)
        rows = torch.arange(len(xyz))
        table = Emitters(xyz=xyz, frame=torch.zeros_like(rows), photons=torch.ones(len(xyz)), id=rows)
    else:
        # Mean number of rows per molecule: blinks are exponentially distributed, and some molecules stay dark.
        rows_each = (0.5 + _ON_FRAMES) * math.exp(-0.5 / _ON_FRAMES) * (1 - math.exp(-1 / _DARK_MOVIES))
        xyz = _place(name, round(in_frame * frames / rows_each), centre, extent, generator)
        table = blink(
            xyz, torch.ones(len(xyz)), frames, generator, on_time=_ON_FRAMES, off_time=_DARK_MOVIES * frames
        )
        table = table.select(table.photons >= 0.5)
    table = replace(table, photons=prior.photons.draw(len(table), generator))
    if prior.blur_px is None:
        return table
    return replace(table, blur_px=uniform(*prior.blur_px, (len(table),), generator))


def _box(prior: EmitterPrior, field: Field, room_um: float) -> tuple[Vector, Vector]:
    """Centre and extent (x, y, z) µm of a structure's box: the field without the scene's widest margin.

    room_um: depth that is kept free at both ends, µm.
    """
    p, (shallow, deep) = field.pixel_um, (prior.z_um[0] + room_um, prior.z_um[1] - room_um)
    if deep <= shallow:
        raise InputError(f"a drift of {room_um} µm in z leaves no depth between {prior.z_um} µm")
    border = min(max(prior.margin_px[1], _MARGIN * min(field.size)), 0.3 * min(field.size))
    centre = ((field.width - 1) / 2 * p, (field.height - 1) / 2 * p, (shallow + deep) / 2)
    return centre, ((field.width - 2 * border) * p, (field.height - 2 * border) * p, deep - shallow)


def _place(
    name: StructureName, number: int, centre: Vector, extent: Vector, generator: torch.Generator
) -> Tensor:
    """Positions (number, 3) µm on the structure."""
    try:
        return _MAKERS[name](number, centre, extent, generator)
    except ValueError as error:
        raise InputError(f"{name} do not fit into this field and depth range: {error}") from error
