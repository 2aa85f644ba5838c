"""Lists of molecules in memory, from arrays or files: scored, filtered, linked, tracked, measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..analysis.estimated_drift import Drift, drift_of
from ..analysis.evaluation import TOLERANCE_NM, Evaluation, MatchRule, evaluate_list
from ..analysis.filters import rows_where, unknown_rows
from ..analysis.linked import link_list
from ..analysis.linking import LinkRule
from ..analysis.resolution import ResolutionReport, resolution_of
from ..analysis.tracking import SearchRange
from ..analysis.trajectories import FrameTiming, TrackRule, Trajectories, track_list
from ..emitters import Emitters, Localizations
from ..errors import InputError
from ..extent import Extent
from ..front_door import doubt, public
from ..jobs.evaluate import read_compared
from ..jobs.link import refuse_linked
from ..watch import SILENT, Watcher
from .reading import List, Truth, in_nm, opened

__all__ = ["drift", "evaluate", "filter", "link", "resolution", "track"]


@public
def evaluate(
    found: List,
    truth: Truth,
    *,
    tolerance_nm: float = TOLERANCE_NM,
    challenge: bool | Extent = False,
    min_photons: float = 0.0,
    register: bool = False,
    pixel_um: float | None = None,
) -> Evaluation:
    """Match a list with the truth, frame by frame, and score it with 95 % intervals over the frames.

    Parameters
    ----------
    found : Localizations or path
    truth : Emitters or path
    tolerance_nm : float
        Radius of the ball around a true molecule within which a detection is a hit, nm.
    challenge : bool or tuple
        Match as the SMLM challenge 2016 does instead (Sage et al. 2019): 250 nm lateral, 500 nm axial, the
        outer 450 nm of the frames left out. The frames are those of the file; where both tables are in memory,
        give their left, top, right and bottom edge, µm, in place of True, or no border is left out.
    min_photons : float
        True molecules dimmer than this are neither hits nor misses.
    register : bool
        First shift the list as one body in x, y and z onto the truth.
    pixel_um : float
        Camera pixel in the sample, where neither file names it.

    Returns
    -------
    Evaluation
        ``.score.jaccard``, ``.score.rmse_lateral_nm``, … and the intervals; prints its main figures.

    Warns
    -----
    DoubtfulResult
        Where rows of a file are left out.

    Examples
    --------
    >>> import deepstorm3d as ds
    >>> print(ds.evaluate(ds.Localizations.empty(), ds.Emitters.empty()).score.tp)
    0
    """
    rule = MatchRule(tolerance_nm, bool(challenge), min_photons)
    field_um = None if isinstance(challenge, bool) else _edges_um(challenge)
    if isinstance(found, Localizations) and isinstance(truth, Emitters):
        return evaluate_list(found, truth, rule, register=register, field_um=field_um)
    locs = found if isinstance(found, Localizations) else Path(found)
    true = truth if isinstance(truth, Emitters) else Path(truth)
    compared = read_compared(locs, true, in_nm(pixel_um))
    doubt(compared.notes)
    return compared.evaluated(rule, register=register, field_um=field_um)


@public
def filter(found: List, condition: str, *, pixel_um: float | None = None) -> Localizations:
    """The rows of a list that meet a condition on its columns.

    Parameters
    ----------
    found : Localizations or path
    condition : str
        Such as ``"sigma_z_nm < 40 & photons > 2000"``; the columns are those of ``found.to_pandas()`` and
        ``sigma_xy_nm``. A condition on a value that is not known does not hold.
    pixel_um : float
        Camera pixel in the sample, for a file that does not name it.

    Raises
    ------
    InputError
        Where the condition cannot be read, or names a column that there is not.

    Warns
    -----
    DoubtfulResult
        Where a column of the condition is not known, or rows of the file are left out.

    Examples
    --------
    >>> import deepstorm3d as ds
    >>> ds.filter(ds.Localizations.empty(), "photons > 2000")
    Localizations(no rows)
    """
    table, _ = opened(found, pixel_um)
    kept = table.select(rows_where(table, condition))
    name = "the list" if isinstance(found, Localizations) else Path(found).name
    doubt(unknown_rows(table, condition, name))
    return kept


@public
def link(
    found: List,
    *,
    radius_nm: float | tuple[float, float] | None = None,
    dark: int = 1,
    pixel_um: float | None = None,
) -> Localizations:
    """Join the rows of each molecule that shines through several frames to one row, photons summed.

    Molecules that were fitted over several frames (``found.molecule``) are joined as they are: position and σ
    stay, and `radius_nm` and `dark` have no part in it.

    Parameters
    ----------
    found : Localizations or path
    radius_nm : float or tuple
        Largest distance between rows of one molecule, nm; two numbers: laterally, and in depth. Without it 3 σ
        of the difference.
    dark : int
        Frames in a row that a molecule may be missing.
    pixel_um : float
        Camera pixel in the sample, for a file that does not name it.

    Returns
    -------
    Localizations
        One row for each molecule, ``detections`` says of how many frames.

    Raises
    ------
    InputError
        For a list that is linked already, or rows without the σ that are needed.

    Warns
    -----
    DoubtfulResult
        Where positions within molecules scatter by more than their σ.
    """
    lateral, axial = (None, None) if radius_nm is None else _lateral_and_axial_um(radius_nm)
    rule = LinkRule(radius_um=lateral, axial_um=axial, dark=dark)
    table, header = opened(found, pixel_um)
    if header is not None:
        refuse_linked(str(found), header)
    linked = link_list(table, rule)
    doubt(linked.warnings)
    return linked.molecules


@public
def drift(
    found: List,
    *,
    frames: int = 0,
    segments: int | None = None,
    frames_per_segment: int | None = None,
    pixel_um: float | None = None,
    watch: Watcher = SILENT,
) -> Drift:
    """Estimate how the specimen moved during the movie, from the list itself.

    The smooth curve is taken that lays the list best on itself: the sum of the Gaussian overlaps of its near
    pairs is greatest.

    Parameters
    ----------
    found : Localizations or path
    frames : int
        Length of the movie, where the list does not reach its end; 0: as the list's file says.
    segments, frames_per_segment : int
        Of the curve, at most one of them; neither: as many segments as the list bears.
    pixel_um : float
        Camera pixel in the sample, for a file that does not name it.
    watch : Watcher

    Returns
    -------
    Drift
        ``.apply(found)`` is the list without the drift, ``.curve`` the drift of each frame in µm with its σ.

    Raises
    ------
    InputError
        For a list that tells no drift: too few rows, too few near one another, or all in one frame.

    Warns
    -----
    DoubtfulResult
        Where the curve is not to be trusted.
    """
    table, header = opened(found, pixel_um)
    result = drift_of(
        table,
        frames=frames if frames or header is None else header.frames,
        segments=segments,
        frames_per_segment=frames_per_segment,
        watch=watch,
    )
    doubt(result.notes)
    return result


@public
def resolution(
    found: List,
    *,
    block_frames: int | None = None,
    splits: int = 5,
    pixel_um: float | None = None,
    watch: Watcher = SILENT,
) -> ResolutionReport:
    """What a list resolves: Fourier ring and shell correlation, and its precision from adjacent frames.

    Parameters
    ----------
    found : Localizations or path
    block_frames : int
        Frames that stay together in a half; None: a fiftieth of the movie, at least 20.
    splits : int
        Random halvings.
    pixel_um : float
        Camera pixel in the sample, for a file that does not name it.
    watch : Watcher

    Returns
    -------
    ResolutionReport
        ``.correlations["x–y"].resolution_um`` and so on; ``.precision``: σ of x, y, z; ``.notes``.

    Raises
    ------
    InputError
        For a list without rows, or one whose rows lie in fewer than 4 frames.

    References
    ----------
    Nieuwenhuizen et al., Nature Methods 10:557 (2013); Endesfelder et al., Histochemistry 141:629 (2014).
    """
    table, _ = opened(found, pixel_um)
    return resolution_of(table, block_frames=block_frames, splits=splits, watch=watch)


@public
def track(
    found: List,
    *,
    range_nm: float | tuple[float, float] | None = None,
    gap: int = 1,
    least: int = 3,
    timing: FrameTiming | None = None,
    pixel_um: float | None = None,
    watch: Watcher = SILENT,
) -> Trajectories:
    """Follow moving molecules from frame to frame, and measure how they diffuse.

    Parameters
    ----------
    found : Localizations or path
    range_nm : float or tuple
        How far a molecule may move from frame to frame, nm; two numbers: laterally, and in depth. Without it 4
        to 6 σ of the steps that the list shows.
    gap : int
        Frames in a row that a molecule may be missing.
    least : int
        Trajectories of fewer rows are dropped.
    timing : FrameTiming
        Time from frame to frame, and exposure; without it diffusion coefficients are in µm² per frame.
    pixel_um : float
        Camera pixel in the sample, for a file that does not name it.
    watch : Watcher

    Returns
    -------
    Trajectories
        ``.localizations`` with a column ``track``; ``.diffusion.coefficient`` in µm²/s; ``.displacements``.

    Raises
    ------
    InputError
        For a list that is linked or tracked already, all in one frame, or too dense for its steps.

    Warns
    -----
    DoubtfulResult
        Where links may be wrong, or the motion is not free diffusion.

    Notes
    -----
    Rows are linked with trackpy, in the extra ``tracks``.

    References
    ----------
    Vestergaard et al., Physical Review E 89:022726 (2014).
    """
    reach = None if range_nm is None else SearchRange(*_lateral_and_axial_um(range_nm))
    rule = TrackRule(reach, gap=gap, least=least, timing=timing or FrameTiming())
    table, _ = opened(found, pixel_um)
    tracked = track_list(table, rule, watch=watch)
    doubt(tracked.warnings)
    return tracked


def _edges_um(given: object) -> Extent | None:
    """The edges of the frames, µm; None for 0 and 1, which mean False and True.  Raises InputError."""
    if given in (0, 1):
        return None
    edges = [each for each in given if isinstance(each, int | float)] if isinstance(given, tuple | list) else []
    if len(edges) != 4 or not (edges[0] < edges[2] and edges[1] < edges[3]):
        raise InputError(
            "what the challenge leaves out is True, False, or the left, top, right and bottom edge of the "
            f"frames, µm, not {given!r}"
        )
    return edges[0], edges[1], edges[2], edges[3]


def _lateral_and_axial_um(distance_nm: float | tuple[float, float]) -> tuple[float, float]:
    """A distance in nm, or one laterally and one in depth, as two distances in µm."""
    both = np.ravel(distance_nm).tolist()
    if len(both) not in (1, 2) or not all(isinstance(each, int | float) for each in both):
        raise InputError(f"{distance_nm} is no distance in nm", "give one, or two: laterally, and in depth")
    return both[0] / 1000, both[-1] / 1000
