"""Trajectories of a list: which rows are one moving molecule, and how the molecules diffuse."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from ..brief import Brief
from ..emitters import Localizations
from ..errors import InputError
from ..watch import SILENT, Watcher
from .diffusion import (
    Diffusion,
    Displacements,
    common_motion,
    diffusion,
    mean_square_displacement,
    rows_between_steps,
    rows_in_order,
)
from .free_motion import axes_doubts, motion_doubts, weight_doubts
from .stated_sigma import failed_fits, failed_fits_note
from .steps import expected_wrong
from .tracking import SearchRange, drop_short, find_range, link_tracks

__all__ = ["FrameTiming", "TrackRule", "Trajectories", "track_list"]

_MOST_LAGS = 100
# σ that differ by more than this factor from what the steps show are told.
_TRUE_SIGMA = 1.3
# Share of links that may be wrong, from which it is told.
_WRONG_TOLD = 0.01
# Share of rows that share their position with another frame, up to which D is hardly too small.
_TIED_ALLOWED = 0.01
# Share of the squared steps that all molecules make together, from which it is told.
_COMMON_TOLD = 0.1


@dataclass(frozen=True)
class FrameTiming:
    """Times of a movie's frames.

    Parameters
    ----------
    interval : float
        Time from frame to frame, s; None: it is not known, and diffusion coefficients are per frame.
    exposure : float
        Time that the shutter is open in each frame, s: molecules move during it (motion blur).

    Raises
    ------
    InputError
        For an interval that is not above 0, and an exposure without or longer than the interval.
    """

    interval: float | None = None
    exposure: float = 0.0

    def __post_init__(self) -> None:
        interval, exposure = self.interval, self.exposure
        if interval is not None and not 0 < interval < math.inf:
            raise InputError(f"the time between frames (`interval`) must be above 0 s, not {interval:g} s")
        if not 0 <= exposure <= (math.inf if interval is None else interval):
            raise InputError(f"the shutter is open (`exposure`) for 0 s up to the interval, not {exposure:g} s")
        if exposure and interval is None:
            raise InputError("`exposure` goes with `interval`, the time from frame to frame")


@dataclass(frozen=True)
class TrackRule:
    """How rows become trajectories, and what turns frames into seconds.

    reach: how far a molecule may move from frame to frame (None: as the list suggests, `find_range`);
    gap: frames in a row that a molecule may be missing;  least: rows below which a trajectory is dropped;
    timing: interval and exposure of the frames.
    Raises InputError for values that cannot be.
    """

    reach: SearchRange | None = None
    gap: int = 1
    least: int = 3
    timing: FrameTiming = FrameTiming()

    def __post_init__(self) -> None:
        gap, least = self.gap, self.least
        if gap < 0:
            raise InputError(f"a molecule cannot be missing for {gap} frames", "give a `gap` of 0 or more")
        if least < 1:
            raise InputError(f"a trajectory cannot have {least} rows", "give 1 or more (`least`)")


@dataclass(frozen=True, repr=False)
class Trajectories(Brief):
    """What was tracked, and how it moves.

    localizations: the rows in trajectories long enough, each with the number of its trajectory (``track``);
    rows: of the list before;  tracks, median_length, longest: trajectories, and their length in rows;
    reach: within which they were linked (None: nothing to link);  step_um: median step between adjacent frames
    in 3D;  diffusion: None where no molecule has three frames in a row;  displacements: mean square on x, y and
    z over time;  stated_sigma_um: root mean square of the σ that the rows state of which the localization error
    is found;  warnings: what a reader of the numbers should know.
    """

    localizations: Localizations = field(repr=False)
    rows: int
    tracks: int
    median_length: float
    longest: int
    reach: SearchRange | None
    step_um: float
    diffusion: Diffusion | None
    displacements: Displacements = field(repr=False)
    stated_sigma_um: tuple[float, float, float]
    warnings: list[str] = field(default_factory=list)

    @property
    def kept(self) -> int:
        """Rows in trajectories long enough."""
        return len(self.localizations)


def track_list(table: Localizations, rule: TrackRule | None = None, *, watch: Watcher = SILENT) -> Trajectories:
    """Link the rows of a list to trajectories, keep those long enough, and measure how they diffuse.

    rule: None: the one without arguments.
    Raises InputError for a list that is linked or tracked already or ties its rows to molecules at rest, one
    frame only, a list too dense for its steps, and where trackpy is missing.
    """
    rule = TrackRule() if rule is None else rule
    _refuse_table(table)
    reach = rule.reach
    if reach is None and len(table):
        reach = find_range(table)
    track = torch.zeros(0, dtype=torch.int64)
    if reach is not None and len(table):
        track = link_tracks(table, reach, gap=rule.gap, watch=watch)
    kept = drop_short(replace(table, track=track), rule.least)
    return _measured(len(table), kept, reach, rule.timing.interval or 1.0, rule.timing.exposure)


def _refuse_table(table: Localizations) -> None:
    if table.detections is not None:
        raise InputError(
            "the list is linked: each row stands for several frames of a molecule that does not move; track "
            "the list that it was made from"
        )
    if table.track is not None:
        raise InputError("the list has a column track already; track the list that it was made from")
    tied = 0 if table.molecule is None else len(table) - len(table.molecule.unique())
    if tied > _TIED_ALLOWED * len(table):
        raise InputError(
            f"{tied} of {len(table)} rows share the position of the same molecule in another frame (column "
            "molecule): the fit took these molecules to be at rest, so they show no step; localize the movie "
            "with every frame fitted alone (`over_frames=False`), and track that list"
        )
    if len(table) and int(table.frame.min()) == int(table.frame.max()):
        raise InputError(
            f"all {len(table)} rows are in frame {int(table.frame[0])}: a trajectory needs two frames or more"
        )


def _measured(
    rows: int, kept: Localizations, reach: SearchRange | None, interval: float, exposure: float
) -> Trajectories:
    assert kept.track is not None
    lengths = torch.bincount(kept.track).numpy() if len(kept) else np.zeros(0, np.int64)
    longest = int(lengths.max(initial=0))
    moved = mean_square_displacement(kept, min(_MOST_LAGS, max(4, longest // 4)))
    found = diffusion(kept, interval=interval, exposure=exposure)
    x, y, z = _stated_sigma(kept)
    summary = Trajectories(
        localizations=kept,
        rows=rows,
        tracks=len(lengths),
        median_length=float(np.median(lengths)) if len(lengths) else 0.0,
        longest=longest,
        reach=reach,
        step_um=_median_step(kept),
        diffusion=found,
        displacements=moved,
        stated_sigma_um=(x, y, z),
    )
    return replace(summary, warnings=_warnings(summary, interval, exposure))


def _stated_sigma(table: Localizations) -> tuple[float, float, float]:
    """Root mean square of the σ of x, y and z that rows state, µm, without failed fits; 0 where none has one.

    Of the rows whose error `diffusion` finds, where there are any: long trajectories are of bright molecules.
    """
    told = ~failed_fits(table)
    between = torch.from_numpy(rows_between_steps(table)).to(told.device)
    sigma = table.sigma_xyz.double()[told & between if bool((told & between).any()) else told]
    known = [column[column > 0] for column in sigma.T]
    x, y, z = (float(column.square().mean().sqrt()) if len(column) else 0.0 for column in known)
    return x, y, z


def _median_step(table: Localizations) -> float:
    """Median 3D distance between rows of a trajectory in adjacent frames, µm; 0 where there are none."""
    xyz, frame, track = rows_in_order(table)
    follows = (np.diff(track) == 0) & (np.diff(frame) == 1)
    steps = np.linalg.norm(np.diff(xyz, axis=0)[follows], axis=1)
    return float(np.median(steps)) if len(steps) else 0.0


def _warnings(summary: Trajectories, interval: float, exposure: float) -> list[str]:
    kept = summary.localizations
    if not summary.rows:
        return ["the list has no rows"]
    if not summary.tracks:
        return ["no trajectory is long enough; see `least`, `gap` and `range_nm`"]
    notes = [note for note in (failed_fits_note(kept),) if note is not None]
    wrong = _wrong_links(summary)
    if wrong > _WRONG_TOLD:
        notes.append(
            f"about {100 * wrong:.0f} % of the links may be wrong: molecules lie near one another for their "
            "steps; frames in quicker succession help"
        )
    share, error = common_motion(kept)
    if share > max(_COMMON_TOLD, 4 * error):
        notes.append(
            f"{100 * share:.0f} % of the squared steps is motion of all molecules together (stage or cell), "
            "and counts as diffusion; subtract it first (`Drift.apply`)"
        )
    if summary.diffusion is None:
        return [*notes, "no molecule is seen in three frames in a row: D is not estimated"]
    return notes + _doubts(summary, summary.diffusion, interval, exposure)


def _wrong_links(summary: Trajectories) -> float:
    """Expected part of wrong links, from the steps that were linked."""
    if not len(summary.displacements.lags) or summary.displacements.lags[0] != 1:
        return 0.0
    kept = summary.localizations
    x, y, z = np.maximum(np.sqrt(summary.displacements.square_um2[0]), 1e-4)
    found = expected_wrong(
        kept.xyz.double().numpy(), kept.frame.numpy(), float(np.hypot(x, y)) / math.sqrt(2), float(z)
    )
    return max(found, (summary.reach.wrong or 0.0) if summary.reach is not None else 0.0)


def _doubts(summary: Trajectories, found: Diffusion, interval: float, exposure: float) -> list[str]:
    """Where free diffusion, or the rows' own σ, do not describe what was found."""
    notes = weight_doubts(summary.localizations, found, interval, exposure)
    notes += axes_doubts(found) + motion_doubts(found, summary.displacements, interval, exposure)
    for name, axis, stated in zip("xyz", found.axes, summary.stated_sigma_um, strict=True):
        ratio = axis.sigma_um / stated if stated > 0 else 1.0
        off = abs(axis.sigma_um - stated) > 4 * axis.sigma_error_um
        if off and not 1 / _TRUE_SIGMA < ratio < _TRUE_SIGMA:
            notes.append(
                f"on {name} the steps show a localization error of {1000 * axis.sigma_um:.0f} nm, the rows say "
                f"{1000 * stated:.0f} nm"
            )
    return notes
