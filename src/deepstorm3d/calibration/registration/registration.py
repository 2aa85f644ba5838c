"""From a list of each channel to the transform between them, with what it rests on and what to doubt."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from ...channels.polynomials import HIGHEST_DEGREE, terms_of_degree
from ...channels.registered import ChannelPair
from ...channels.transform import Transform
from ...emitters import Localizations
from ...errors import InputError
from ...field import Field
from ...watch import SILENT, Part, Watcher, advance
from .degree_choice import PLACE_UM, FoundTransform, fit_transform
from .depth_offset import DepthOffset, depth_offset
from .pairing import Paired, chance_pairs, independent_pairs
from .points import Points, beads_merged, looks_like_beads, points_of
from .search import find_start
from .support import Support, support_of

__all__ = ["ChannelList", "Registration", "RegistrationRule", "register_lists", "smallest_field"]

Floats = NDArray[np.float64]

# Steps of which a watcher is told: the search, the fit in two passes or more, and what is told of it.
_STEPS = 4
# Camera pixel of a list that knows none, µm.
_PIXEL_UM = 0.1
# What is told where it exceeds these: share of the field beyond the pairs, residual over what σ say, and nm.
_BEYOND = 0.25
_OVER_SIGMA = 1.5
_OVER_NM = 5.0
# The same for depths: scatter over what σ say, and µm.
_DEPTH_OVER_SIGMA = 3.0
_DEPTH_OVER_UM = 0.1


@dataclass(frozen=True)
class ChannelList:
    """What was localized in one channel.

    table: positions in the channel's own µm;  field: its camera's (None: as large as the list
    reaches, with pixels of 100 nm);  name: of the file.
    """

    table: Localizations
    field: Field | None = None
    name: str = ""


@dataclass(frozen=True)
class RegistrationRule:
    """How a transform is looked for.

    degree: 1, 2 or 3; None: by cross-validation;  mirrored: whether the second channel shows the first as in a
    mirror; None: found out;  beads: whether the lists are of beads that stay where they are, so that frames
    need not belong together; None: found out.
    """

    degree: int | None = None
    mirrored: bool | None = None
    beads: bool | None = None

    def __post_init__(self) -> None:
        if self.degree is not None and not 1 <= self.degree <= HIGHEST_DEGREE:
            raise InputError(f"a transform has the degree 1, 2 or 3, not {self.degree} (`degree`)")


@dataclass(frozen=True)
class Registration:
    """A transform between two channels, and what it rests on.

    Parameters
    ----------
    channels : ChannelPair
        The transform with the depth offset and both fields: what is written to a file. Its `apply` takes a list
        of the first channel to the second, its `undo` one of the second to the first.
    residual_nm : tuple of float
        Of a pair along x and y, rms, predicted from pairs of other places (cross-validation).
    expected_nm : tuple of float
        The same as the σ of the rows tell it; 0 where lists have no σ.
    error_nm : float
        Standard error of the transform, rms over the field among the pairs, of x and y together.
    by_degree_nm : dict
        Cross-validated residual (rms of x and y together) of each degree that was tried.
    pairs, rows, by_chance
        Number of partners, of rows (or beads) in each list, and of partners by chance.
    beads : bool
        Whether rows were merged to beads.
    depth : DepthOffset or None
        None for lists without depth.
    support : Support
        Where the field is among the pairs.
    xy_um, residual_um, difference_z_um, z_um
        Of each partner: place in the first channel (P, 2), residual (P, 2), depth difference (P,), depth (P,).
    warnings : list of str
    """

    channels: ChannelPair
    residual_nm: tuple[float, float]
    expected_nm: tuple[float, float]
    error_nm: float
    by_degree_nm: dict[int, float]
    pairs: int
    rows: tuple[int, int]
    by_chance: float
    beads: bool
    depth: DepthOffset | None
    support: Support
    xy_um: Floats
    residual_um: Floats
    difference_z_um: Floats
    z_um: Floats
    warnings: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        """One line: the transform, its pairs and residual."""
        x, y = self.residual_nm
        return f"Registration({self.channels.transform!r}, {self.pairs} pairs, residual {x:.1f} · {y:.1f} nm)"

    @property
    def transform(self) -> Transform:
        """From the first channel's µm to the second's."""
        return self.channels.transform

    def apply(self, found: Localizations) -> Localizations:
        """A list of the first channel where the second channel has it.

        Parameters
        ----------
        found : Localizations
        """
        return self.channels.apply(found)

    def undo(self, found: Localizations) -> Localizations:
        """A list of the second channel where the first channel has it.

        Parameters
        ----------
        found : Localizations
        """
        return self.channels.undo(found)


def register_lists(
    first: ChannelList,
    second: ChannelList,
    rule: RegistrationRule | None = None,
    *,
    watch: Watcher = SILENT,
) -> Registration:
    """Find the transform from the first channel to the second.

    watch: is told which of its steps is at work.
    Raises InputError where the lists have too few rows or share no frame, where no transform pairs their rows
    better than chance does, and where there are too few pairs for the degree that was asked for.
    """
    advance(watch, 0, _STEPS, "looking for the rotation, scale and shift")
    rule = RegistrationRule() if rule is None else rule
    one, other = points_of(first.table), points_of(second.table)
    beads = looks_like_beads(one) and looks_like_beads(other) if rule.beads is None else rule.beads
    if beads:
        one, other = beads_merged(one), beads_merged(other)
    fields = _field(first), _field(second)
    found = _found(one, other, fields[0], rule, beads, Part(watch, 1, _STEPS - 2, _STEPS))
    advance(watch, _STEPS - 1, _STEPS, "residuals and support")
    told = _told(found, one, other, fields, (first, second), beads)
    advance(watch, _STEPS, _STEPS)
    return told


def _found(
    one: Points, other: Points, view: Field, rule: RegistrationRule, beads: bool, watch: Watcher
) -> FoundTransform:
    """Search and fit; a fit that turns the mirror around is begun anew with the other sense."""
    mirrored = rule.mirrored
    start = find_start(one, other, mirrored=mirrored, same_frames=not beads)
    found = fit_transform(one, other, start, rule.degree, view, watch)
    if found.fitted.transform.mirrored == start.mirrored:
        return found
    if mirrored is None:
        start = find_start(one, other, mirrored=not start.mirrored, same_frames=not beads)
        return fit_transform(one, other, start, rule.degree, view, watch)
    raise InputError(
        f"the pairs say that the second channel is {'not ' if mirrored else ''}mirrored, unlike what was given",
        "leave it out (`mirror`) and both are tried",
    )


def _field(given: ChannelList) -> Field:
    return given.field or smallest_field(given.table, _PIXEL_UM)


def smallest_field(table: Localizations, pixel_um: float) -> Field:
    """The smallest field with pixels of this size that a list fits into."""
    if not len(table):
        return Field(1, 1, pixel_um)
    # Positions are measured from the centre of the first pixel.
    x, y = (table.xyz[:, :2].amax(0) / pixel_um).clamp(min=0).round().long().tolist()
    return Field(y + 1, x + 1, pixel_um)


def _told(
    found: FoundTransform,
    one: Points,
    other: Points,
    fields: tuple[Field, Field],
    lists: tuple[ChannelList, ChannelList],
    beads: bool,
) -> Registration:
    """All that there is to say of a fit."""
    fitted, pairs = found.fitted, found.pairs
    right = fitted.weight > 0.5
    rows = Paired(found.rows.first[right], found.rows.second[right])
    xy, z = pairs.first[right], one.z[rows.first]
    off, deeper = fitted.residual(pairs)[right], other.z[rows.second] - z
    residual, expected = _residuals_nm(found, one, other)
    support = support_of(xy, fields[0])
    grid = support.places()
    error = 1000 * float(np.sqrt(np.square(fitted.sigma_um(grid)).sum(1).mean())) if len(grid) else 0.0
    depth = depth_offset(xy, z, z + deeper)
    moved = fitted.transform.apply(torch.from_numpy(one.xy)).numpy()
    facts = {
        "pairs": int(right.sum()),
        "residual_x_nm": round(residual[0], 3),
        "residual_y_nm": round(residual[1], 3),
        "error_nm": round(error, 3),
        "covered": round(support.share, 3),
        "from": "beads" if beads else "molecules",
    }
    apart = np.column_stack([off, deeper - (0.0 if depth is None else depth.median_um)])
    facts |= _excess(apart, one.variance[rows.first] + other.variance[rows.second])
    offset = (0.0, 0.0) if depth is None else (depth.median_um, depth.sigma_um)
    names = lists[0].name, lists[1].name
    result = Registration(
        channels=ChannelPair(fitted.transform, offset, fields, names, facts),
        residual_nm=residual,
        expected_nm=expected,
        error_nm=error,
        by_degree_nm=found.by_degree_nm,
        pairs=int(right.sum()),
        rows=(len(one), len(other)),
        by_chance=chance_pairs(moved, one, other, pairs.gate_um, np.random.default_rng(2)),
        beads=beads,
        depth=depth,
        support=support,
        xy_um=xy,
        residual_um=off,
        difference_z_um=deeper,
        z_um=z,
    )
    places = round(independent_pairs(xy, one.frame[rows.first], PLACE_UM))
    result.warnings.extend(_doubts(result, places))
    result.warnings.extend(_doubts_of_depth(depth, one.variance[rows.first, 2], other.variance[rows.second, 2]))
    return result


def _residuals_nm(
    found: FoundTransform, one: Points, other: Points
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Cross-validated residual of a pair along x and y, and what the σ of the rows say of it, rms, nm."""
    weight = found.fitted.weight[:, None]
    known = (one.variance[:, :2] > 0).all() and (other.variance[:, :2] > 0).all()
    squares = np.square(found.held_out), found.pairs.variance if known else np.zeros((len(weight), 2))
    residual, expected = ((1000 * np.sqrt((weight * each).sum(0) / weight.sum())).tolist() for each in squares)
    return (residual[0], residual[1]), (expected[0], expected[1])


def _excess(apart: Floats, variance: Floats) -> dict[str, float]:
    """By how much partners differ beyond their σ, for each axis on which that is certain (nm).

    apart, variance: (P, 3) difference of each pair on x, y, z, µm, and its variance by the σ of both, µm².
    """
    told = {}
    for name, off, stated in zip("xyz", apart.T, variance.T, strict=True):
        scatter, expected = 1.4826 * float(np.median(np.abs(off))), float(np.median(stated))
        if expected > 0 and scatter > _OVER_SIGMA * expected**0.5:
            told[f"excess_{name}_nm"] = round(1000 * (scatter**2 - expected) ** 0.5, 3)
    return told


def _doubts(result: Registration, places: int) -> list[str]:
    """What a user of the transform should know."""
    told = []
    if result.transform.mirrored:
        told.append("the second channel shows the first as in a mirror; the transform contains the mirror")
    if 1 - result.support.share > _BEYOND:
        where = f", above all at the {' and '.join(result.support.weak)}" if result.support.weak else ""
        told.append(
            f"{100 * (1 - result.support.share):.0f} % of the first channel's field lies beyond the pairs"
            f"{where}: there the transform only goes on as a polynomial does; take beads or molecules there"
        )
    worst = max(
        (
            there / stated
            for there, stated in zip(result.residual_nm, result.expected_nm, strict=True)
            if stated > 0
        ),
        default=0.0,
    )
    if worst > _OVER_SIGMA and max(result.residual_nm) - max(result.expected_nm) > _OVER_NM:
        x, y = result.residual_nm
        told.append(
            f"pairs scatter by {x:.1f} · {y:.1f} nm in x · y where their σ say {result.expected_nm[0]:.1f} · "
            f"{result.expected_nm[1]:.1f}: σ too small, frames too dense, or distortion that degree "
            f"{result.transform.degree} does not follow"
        )
    enough = 4 * terms_of_degree(result.transform.degree)
    if places < enough:
        told.append(
            f"the transform rests on pairs at only {places} places for "
            f"{terms_of_degree(result.transform.degree)} coefficients of each axis; {enough} or more are wanted"
        )
    return told


def _doubts_of_depth(depth: DepthOffset | None, *variances: Floats) -> list[str]:
    """Why the depth offset may be none; the variances of the depths of the pairs, µm², in either channel."""
    if depth is None:
        return []
    only = "one number for all is only right in the middle"
    told = [f"{change}; {only}" for change in depth.changes]
    known = all(bool((each > 0).all()) for each in variances)
    stated = float(np.sqrt(np.median(np.sum(variances, axis=0)))) if known else 0.0
    if stated > 0 and depth.scatter_um > max(_DEPTH_OVER_SIGMA * stated, _DEPTH_OVER_UM):
        told.append(
            f"depths of partners scatter by {1000 * depth.scatter_um:.0f} nm where their σ say "
            f"{1000 * stated:.0f} nm: depths of one channel are wrong (mask, focus), or these are no partners"
        )
    return told
