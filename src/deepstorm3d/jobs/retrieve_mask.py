"""Retrieve the phase mask of a microscope from files of beads, and write all that shows whether it worked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..calibration.beads.settings import BeadSettings
from ..calibration.phase_retrieval import retrieval
from ..calibration.phase_retrieval.report import claim_outputs, write_retrieval
from ..calibration.phase_retrieval.retrieval import Retrieval, Unknowns
from ..experiment.experiment import Experiment
from ..io.parts import beside
from ..plot.panels import picture_format
from ..watch import SILENT, Watcher

__all__ = ["RetrievalFiles", "retrieve_mask"]


@dataclass(frozen=True)
class RetrievalFiles:
    """What is written.

    mask: the phase, rad;  picture: of mask and beads (None: beside the mask);  json: all figures, slice by
    slice;  field: picture of the aberrations across the field, where beads are enough for it;  experiment: with
    all that was found;  overwrite: what is there already.
    """

    mask: Path
    picture: Path | None = None
    json: Path | None = None
    field: Path | None = None
    experiment: Path | None = None
    overwrite: bool = False

    @property
    def shown(self) -> Path:
        """The picture's file."""
        return beside(self.mask, ".png") if self.picture is None else self.picture


def retrieve_mask(
    experiment: Experiment,
    beads: Sequence[Path],
    settings: BeadSettings,
    out: RetrievalFiles,
    unknowns: Unknowns | None = None,
    *,
    watch: Watcher = SILENT,
) -> Retrieval:
    """Fit the mask to stacks of beads (`retrieval.retrieve_mask`), and write it with its pictures and figures.

    unknowns: what is found besides the phase.
    Raises InputError as that, and where an output cannot be written, before any work.
    """
    for picture in (out.shown, out.field):
        if picture is not None:
            picture_format(picture)
    claim_outputs([out.mask, out.shown, out.json, out.field, out.experiment], overwrite=out.overwrite)
    found = retrieval.retrieve_mask(experiment, beads, settings, unknowns, watch=watch)
    write_retrieval(
        found,
        out.mask,
        picture=out.shown,
        json_out=out.json,
        experiment_out=out.experiment,
        field_picture=out.field,
    )
    return found
