"""Writes the results of a mask retrieval: the mask, its picture, its figures, an experiment with the mask."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import InputError
from ...experiment.experiment import write_experiment
from ...io.masks import mask_sha256, write_mask
from ...io.parts import claim_name, write_text
from ...optics.masks import FileMask
from ...optics.zernike import NAMES
from ...plot.panels import save_figure
from .degeneracies import aperture_of
from .field_aberrations import FieldAberrations
from .field_figure import FieldPicture, field_figure
from .figure import RetrievalPicture, retrieval_figure
from .figures_of_merit import agreement
from .retrieval import Retrieval

__all__ = ["claim_outputs", "picture_of", "write_retrieval"]


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
    save_figure(retrieval_figure(picture_of(result), title=_title(result)), picture)
    if field_picture is not None and result.field is not None:
        figure = field_figure(_picture_of_field(result.field), title=result.experiment.name)
        save_figure(figure, field_picture)
    if experiment_out is not None:
        whole, folder = out.resolve(), experiment_out.parent.resolve()
        path = str(whole.relative_to(folder)) if whole.is_relative_to(folder) else str(whole)
        mask = FileMask(path=path, sha256=mask_sha256(result.phase.numpy()))
        write_experiment(result.experiment.with_(mask=mask), experiment_out)
    if json_out is not None:
        text = json.dumps({**result.figures, "warnings": list(result.warnings)}, indent=1)
        write_text(json_out, text + "\n")


def claim_outputs(paths: Sequence[Path | None], *, overwrite: bool) -> None:
    """Check all outputs before any work.  Raises InputError as `claim_name`, or where two names are equal."""
    there = [path for path in paths if path is not None]
    if len({path.resolve() for path in there}) < len(there):
        raise InputError("two outputs have the same name; give each its own")
    for path in there:
        claim_name(path, overwrite=overwrite)


def _title(result: Retrieval) -> str:
    f = result.figures
    return (
        f"{result.experiment.name}: {f['beads']} beads, {f['images_used']} of {f['images']} images; "
        f"{agreement(f)}; "
        f"phase {f['phase_over_design_nm_rms']:.0f} nm rms over the design"
    )


def _picture_of_field(field: FieldAberrations) -> FieldPicture:
    width, height = field.size_px.tolist()
    return FieldPicture(
        names=[NAMES[index] for index in field.indices],
        place_px=field.place_px.numpy(),
        values=field.values.numpy(),
        sigma=field.sigma.numpy(),
        plane=field.plane.numpy(),
        size_px=(width, height),
    )


def picture_of(result: Retrieval) -> RetrievalPicture:
    """The data of the picture, as arrays."""
    fit = result.fit
    images, found = fit.images, fit.found
    totals = [
        float(found.state.photons[found.used & (images.bead == bead)].sum()) for bead in range(images.beads)
    ]
    rows = (images.bead == max(range(images.beads), key=totals.__getitem__)).nonzero()[:, 0]
    rows = rows[torch.argsort(images.position_um[rows], stable=True)]
    light, models = images.likelihood.select(rows), fit.quality.models[rows]
    weight = 1.0 if light.weight is None else light.weight
    noise = light.information(models).clamp(min=1e-9).rsqrt()
    measured = light.frames * weight + models * (1 - weight)
    microscope = result.experiment.microscope
    pixels = found.phase.shape[1]
    inside = aperture_of(microscope, pixels)
    cut = max(0, (pixels - microscope.mask_px) // 2)
    middle = slice(cut, pixels - cut)
    nothing = torch.full_like(result.phase, torch.nan)

    def shown(phase: Tensor) -> Any:
        level = phase[inside].mean()
        return torch.where(inside, phase - level, nothing)[middle, middle].numpy()

    return RetrievalPicture(
        measured=measured.numpy(),
        modelled=models.numpy(),
        noise=noise.numpy(),
        position_um=images.position_um[rows].numpy(),
        bead=images.bead.numpy(),
        position_each=images.position_um.numpy(),
        correlation=fit.quality.correlation.numpy(),
        deviance=fit.quality.deviance_each.numpy(),
        z_error_nm=1000 * fit.z_error_um.numpy(),
        z_sigma_nm=1000 * fit.z_sigma_um.numpy(),
        used=found.used.numpy(),
        phase=shown(result.phase),
        added=shown(result.added),
        axis_mm=(pixels - 2 * cut) * microscope.mask_pitch / 2000,
        pixel_um=microscope.pixel_um,
        along="focus" if images.moves == "objective" else "depth",
    )
