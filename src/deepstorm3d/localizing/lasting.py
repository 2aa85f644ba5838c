"""Whether the molecules of a movie last: decided on the finished list of single frames.

A row whose molecule shines on has a partner at the same place in the next frame. How many rows would have one
by chance is counted with every other frame displaced. Molecules that move have partners too; successive
displacements of one at rest are anticorrelated, because both contain the error of the middle position
(Berglund, Phys. Rev. E 82:011917, 2010), those of a moving one are less so or follow each other. One that is
far beyond its σ in the next frame has no partner there: rows without one are counted that have a row without
one around them in the next frame, less those that have one in frames long after it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np
from torch import Tensor

from ..analysis.linking import LinkRule, link_rows
from ..analysis.pairs import pairs_within
from ..emitters import Localizations

__all__ = ["Lasting", "measure_lasting"]

_LEAST_SHARE = 0.4
"""Share of the rows with a partner beyond chance from which on a fit over frames is worth its time: a frame of
real STORM data, of 0.25, takes half a minute of a core where that of single frames takes a second."""
_SOME_SHARE = 0.1  # share from which on it is said that such a fit can be asked for
_FEWEST_PARTNERS = 10  # with fewer, one molecule would decide
# Measured over expected anticorrelation below which molecules move by about their σ, or more.
_LEAST_REST = 0.6
_FEWEST_TRIPLES = 30  # successive displacements from which on that ratio is used
_MOST_ROWS = 100_000  # rows that are looked at, in stretches of frames that are spread over the movie
_STRETCHES = 10
_DISPLACED_UM = (0.4, 0.3, 0.0)
# Distance to which a molecule is looked for in the next frame if it is not within its σ, µm.
_STRIDE_UM = 0.4
_LATER = (8, 11, 14)  # frames after which a row has rows around it by chance alone
_VAGUE_UM = 0.25  # σ above which a row says too little of its place, as in `fitting.sites.start`


@dataclass(frozen=True)
class Lasting:
    """Figures of a list of single frames.

    rows: looked at;  partners: share of them with a partner within 3 joint σ in the next frame;  chance: the
    same by chance;  rest: anticorrelation of successive displacements over that of molecules at rest, about 1
    where they rest, 0 or less where they move; None: too few were seen in three frames;  strides: share of the
    rows whose molecule is, beyond chance, within 0.4 µm in the next frame and beyond its σ.
    """

    rows: int
    partners: float
    chance: float
    rest: float | None
    strides: float = 0.0

    @property
    def moving(self) -> bool:
        """Whether the molecules move."""
        return self.rest is not None and self.rest < _LEAST_REST

    @property
    def lasts(self) -> bool:
        """Whether molecules shine through several frames at one place."""
        many, beyond = self.partners * self.rows >= _FEWEST_PARTNERS, self.partners - self.chance
        return many and beyond >= max(_LEAST_SHARE, self.strides) and not self.moving

    @property
    def lasts_briefly(self) -> bool:
        """Whether some molecules shine through several frames at one place, not enough for `lasts`."""
        many, beyond = self.partners * self.rows >= _FEWEST_PARTNERS, self.partners - self.chance
        return many and not self.lasts and beyond >= max(_SOME_SHARE, self.strides) and not self.moving

    def in_words(self) -> str:
        """The figures in half a sentence."""
        text = f"{self.partners:.1%} of the rows have a partner in the next frame ({self.chance:.1%} by chance)"
        if self.strides > self.partners - self.chance:
            text = f"{text}, {self.strides:.1%} one that is farther away than σ says"
        moving = self.moving and max(self.partners - self.chance, self.strides) > 0
        return f"{text}, but the molecules move" if moving else text

    def to_mapping(self) -> dict[str, float | int | None]:
        """The figures by name."""
        return asdict(self)


def measure_lasting(found: Localizations) -> Lasting:
    """Figures of a list of single frames, in order of frame; they depend on nothing else."""
    table = _some(found)
    table = table.select(((table.sigma_xyz > 0) & (table.sigma_xyz <= _VAGUE_UM)).all(1))
    if not len(table):
        return Lasting(0, 0.0, 0.0, None)
    displaced = (table.frame % 2)[:, None] * table.xyz.new_tensor(_DISPLACED_UM)
    track = link_rows(table, LinkRule(dark=0))
    apart = link_rows(replace(table, xyz=table.xyz + displaced), LinkRule(dark=0))
    share, chance = (1 - len(each.unique()) / len(table) for each in (track, apart))
    rest, strides = _rest(table, track), _strides(table, track)
    if rest is None or strides > share - chance:
        # Many molecules are where σ does not look for them: by σ only those that hardly moved would be judged.
        rest = _rest(table, link_rows(table, LinkRule(_STRIDE_UM, _STRIDE_UM, dark=0)))
    return Lasting(len(table), share, chance, rest, strides)


def _strides(table: Localizations, track: Tensor) -> float:
    """Share of the rows without a partner that have, beyond chance, a row without one near in the next frame.

    track: (N,) the molecule of each row, by σ.
    """
    order = np.lexsort((table.frame.numpy(), track.numpy()))
    number, frame = track.numpy()[order], table.frame.numpy()[order]
    place = table.xyz.double().numpy()[order]
    new = np.diff(number) != 0
    last, first = np.append(new, True), np.append(True, new)

    def share(later: int) -> float:
        """Of the rows of frames that have such a frame so many later."""
        shown = np.isin(frame + later, frame)
        ends, begins = (place[last], frame[last]), (place[first], frame[first])
        rows, _ = pairs_within(ends, begins, _STRIDE_UM, frames_later=later)
        return len(np.unique(rows)) / max(1, int(shown.sum()))

    return max(0.0, share(1) - float(np.mean([share(later) for later in _LATER])))


def _some(found: Localizations) -> Localizations:
    """The rows of all frames, or of stretches of frames where there are too many."""
    if len(found) <= _MOST_ROWS:
        return found
    first, last = int(found.frame[0]), int(found.frame[-1]) + 1
    period = (last - first) / _STRETCHES
    within = (found.frame - first).double().remainder(period)
    return found.select(within < max(2.0, period * _MOST_ROWS / len(found)))


def _rest(table: Localizations, track: Tensor) -> float | None:
    """Anticorrelation of successive displacements of a molecule over that of one at rest with these σ."""
    order = np.lexsort((table.frame.numpy(), track.numpy()))
    of_row, frame = track.numpy()[order], table.frame.numpy()[order]
    place = table.xyz.double().numpy()[order]
    variance = table.sigma_xyz.double().numpy()[order] ** 2
    triple = (of_row[2:] == of_row[:-2]) & (frame[2:] == frame[:-2] + 2)
    if int(triple.sum()) < _FEWEST_TRIPLES:
        return None
    step = np.diff(place, axis=0)
    before, after = step[:-1][triple], step[1:][triple]
    middle = variance[1:-1][triple]
    both = (variance[:-2] + 2 * variance[1:-1] + variance[2:])[triple] / 2
    # Wrong σ change both means alike, so only how the σ of rows compare matters.
    back, expected_back = -(before * after / both).mean(), (middle / both).mean()
    spread = ((before**2 + after**2) / (2 * both)).mean()
    return float(back / (expected_back * spread)) if spread > 0 else None
