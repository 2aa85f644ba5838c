"""Writes the results of a mask retrieval: the mask, its picture, its figures, an experiment with the mask."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ...experiment.files import write_experiment
from ...io.masks import claim_mask, mask_sha256, write_mask
from ...io.parts import claim_name, refuse_same_names, write_text
from ...optics.masks import FileMask
from ...plot.panels import save_figure
from .field_figure import field_dependence
from .figure import retrieval
from .retrieval import Retrieval

__all__ = ["claim_outputs", "write_retrieval"]


def write_retrieval(
    result: Retrieval,
    out: Path,
    *,
    picture: Path,
    json_out: Path | None = None,
    experiment_out: Path | None = None,
    field_picture: Path | None = None,
) -> None:
    """Write the mask and its picture and, where requested, the figures and an experiment with the mask.

    field_picture: of the aberrations across the field, not written if there are too few beads for it.
    Raises InputError where a file cannot be written. Existing files are replaced: claim the names before.
    """
    write_mask(out, result.phase.numpy(), overwrite=True)
    save_figure(retrieval(result), picture)
    if field_picture is not None and result.field is not None:
        save_figure(field_dependence(result.field, title=result.experiment.name), field_picture)
    if experiment_out is not None:
        mask = FileMask(path=str(out), sha256=mask_sha256(result.phase.numpy()))
        write_experiment(result.experiment.with_(mask=mask), experiment_out)
    if json_out is not None:
        text = json.dumps({**result.figures, "warnings": list(result.warnings)}, indent=1)
        write_text(json_out, text + "\n")


def claim_outputs(paths: Sequence[Path | None], *, overwrite: bool) -> None:
    """Check all outputs, the mask first, before any work.

    Raises InputError as `claim_mask` and `claim_name`, or where two names are equal.
    """
    refuse_same_names(paths)
    there = [path for path in paths if path is not None]
    claim_mask(there[0], overwrite=overwrite)
    for path in there[1:]:
        claim_name(path, overwrite=overwrite)
