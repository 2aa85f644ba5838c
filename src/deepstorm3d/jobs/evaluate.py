"""Evaluate: a list of localizations against the truth, in figures with intervals, and in a picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ..analysis.evaluation import Evaluation, MatchRule, evaluate_list
from ..emitters import Emitters, Localizations
from ..errors import InputError, MissingPixelSize
from ..extent import Extent, frame_extent
from ..io.tables import TableHeader, read_truth_list
from ..plot.truth_scatter import comparison
from .figure_files import FigureFiles
from .reading_lists import read_localizations

__all__ = ["Compared", "evaluate_table", "read_compared"]


@dataclass(frozen=True)
class Compared:
    """A list and the truth that it is to be compared with, as their files hold them.

    found, truth: the tables;  header: of the list, or of the truth where the list is in memory;
    notes: what a reader of both files should know.
    """

    found: Localizations
    truth: Emitters
    header: TableHeader
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of a frame, px; at least what the truth reaches, for a CSV does not tell it."""
        if len(self.truth) == 0:
            return self.header.shape
        x, y, _ = (self.truth.xyz.amax(dim=0) / self.header.pixel_um).tolist()
        return max(self.header.shape[0], round(y) + 1), max(self.header.shape[1], round(x) + 1)

    def evaluated(
        self, rule: MatchRule | None = None, *, register: bool = False, field_um: Extent | None = None
    ) -> Evaluation:
        """The figures of the list; arguments and errors as in `analysis.evaluation.evaluate_list`.

        field_um: None: the frames' as the header says.
        """
        if field_um is None:
            field_um = frame_extent(self.shape, self.header.pixel_um)
        evaluation = evaluate_list(self.found, self.truth, rule, register=register, field_um=field_um)
        return replace(evaluation, notes=[*self.notes, *evaluation.notes])


def read_compared(
    locs: Path | Localizations, truth: Path | Emitters, pixel_nm: float | None = None
) -> Compared:
    """Read a list and its truth, which may be a second list; one of both may be in memory.

    pixel_nm: camera pixel in the sample, for lists that do not name it; one of the two may name it for both.
    Raises InputError as `io.tables.read_list` does.
    """
    if isinstance(locs, Localizations):
        if isinstance(truth, Emitters):
            raise ValueError("neither of both is a file")
        true, header = read_truth_list(truth, pixel_um=None if pixel_nm is None else pixel_nm / 1000)
        return Compared(locs, true, header, header.notes)
    if isinstance(truth, Emitters):
        found, header = read_localizations(locs, pixel_nm)
        return Compared(found, truth, header, header.notes)
    found, header = _read_found(locs, truth, pixel_nm)
    true, true_header = read_truth_list(truth, pixel_um=header.pixel_um)
    return Compared(found, true, header, (*header.notes, *true_header.notes))


def evaluate_table(
    locs: Path,
    truth: Path,
    rule: MatchRule | None = None,
    *,
    register: bool = False,
    pixel_nm: float | None = None,
    files: FigureFiles | None = None,
) -> Evaluation:
    """Match a list with the truth frame by frame and score it, with 95 % intervals over frames.

    rule, register: as in `evaluate_list`;  pixel_nm: camera pixel in the sample, for lists that do not name it;
    files: of the figures, and of a picture of truth and list in 3D; None: nothing is written.
    """
    files = files or FigureFiles()
    files.claim()
    compared = read_compared(locs, truth, pixel_nm)
    evaluation = compared.evaluated(rule, register=register)
    named = {"locs": str(locs), "truth": str(truth), **evaluation.conditions}
    evaluation = replace(evaluation, conditions=named)
    x, y, z = (value / 1000 for value in evaluation.conditions.get("shift_nm", (0.0, 0.0, 0.0)))
    files.write(
        evaluation.to_mapping(),
        lambda: comparison(
            compared.truth, compared.found.shift(xyz=(x, y, z)), evaluation.matches, title=locs.name
        ),
    )
    return evaluation


def _read_found(locs: Path, truth: Path, pixel_nm: float | None) -> tuple[Localizations, TableHeader]:
    """The list; a pixel size that its file does not name is taken from the truth's file."""
    try:
        return read_localizations(locs, pixel_nm)
    except MissingPixelSize:
        if not truth.is_file():
            raise
        try:
            _, header = read_localizations(truth)
        except InputError:
            header = None
        if header is None:
            raise
    return read_localizations(locs, header.pixel_nm)
