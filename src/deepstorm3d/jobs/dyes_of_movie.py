"""Dyes in one channel: a movie in, a list of its molecules with the dye that explains each image best out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from .. import __version__
from ..analysis.dye_ratios import DyesByImage, ImageEvidence, dyes_by_image
from ..errors import InputError, Interrupted
from ..experiment.dyes import with_dyes
from ..io.masks import read_mask
from ..io.tables import TableHeader, claim_list, write_list
from ..localizer.modelfile import ModelFile
from ..localizing.depth_ends import DepthEnds
from ..localizing.excerpt import Excerpt, OpenExcerpt
from ..localizing.over_dyes import OverDyes, dye_fit
from ..localizing.pipeline import Pipeline, experiment_of, load_pipeline
from ..watch import SILENT, Watcher
from .localize import ListFile

__all__ = ["MovieDyes", "dyes_of_movie"]


@dataclass(frozen=True)
class MovieDyes:
    """The dyes of a movie, and how they are told apart.

    wavelengths: µm by name, None for the dyes of the model's experiment;  sure: molecules whose dye is less
    probable than this get none.
    Raises InputError for a probability outside 0 to 1.
    """

    wavelengths: Mapping[str, float] | None = None
    sure: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.sure < 1:
            raise InputError(f"a probability lies between 0 and 1, got {self.sure:g}", "0.95, for example")


def dyes_of_movie(
    excerpt: Excerpt,
    model: ModelFile,
    dyes: MovieDyes,
    out: ListFile | None = None,
    *,
    mask: Path | None = None,
    camera: Mapping[str, object] | None = None,
    watch: Watcher = SILENT,
) -> DyesByImage:
    """Localize a movie whose molecules are of several dyes, and tell which is which by the PSF of each.

    The model's network gives candidates, whatever wavelength it was trained for; the joint fit knows the PSFs
    of all dyes through the model's mask (`dye_optics`). It computes on the processor, frame by frame, and the
    list is in memory until it is complete.
    out: list to write, None: nothing;  mask: file of the phase, if the model holds only its hash;  camera:
    values of the movie's camera that differ from the model's;  watch: told the frames done.
    Raises InputError where movie, model, dyes or output do not fit, and Interrupted where the watcher stops it.
    """
    if out is not None:
        claim_list(out.path, overwrite=out.overwrite)
    # Its own fit is not used, and knows nothing of dyes.
    plain = replace(model, experiment={**model.experiment, "dyes": {}})
    pipeline = load_pipeline(plain, mask=mask, camera=camera)
    if pipeline.localizer.channels > 1:
        raise InputError(
            f"the network of the model '{pipeline.experiment.name}' sees several channels",
            "there the share of the light tells dyes apart: localize the channels together, then `dyes`",
        )
    experiment = with_dyes(experiment_of(model), dyes.wavelengths)
    fit = dye_fit(experiment, phase=_phase(model, mask))
    with excerpt.open() as opened:
        opened.check_against(pipeline)
        source = opened.judged(pipeline.camera, experiment.microscope, watch=watch)
        seen = OverDyes(source, pipeline, fit)(watch)
        if watch.stopped:
            raise Interrupted
        told = ImageEvidence(*(values.numpy() for values in (seen.deviance, seen.others, seen.excess)))
        found = dyes_by_image(seen.localizations, told, tuple(experiment.dyes), sure=dyes.sure)
        ends = DepthEnds.of_fit(fit.bounds, experiment)
        ends.add(found.localizations)
        told = [*pipeline.notes, *source.pixel_notes(), *found.warnings, *ends.warnings()]
        found = replace(found, warnings=told)
        if out is not None:
            header = _header(source, pipeline, found, out)
            write_list(out.path, found.localizations, header, overwrite=out.overwrite)
    return found


def _header(source: OpenExcerpt, pipeline: Pipeline, found: DyesByImage, out: ListFile) -> TableHeader:
    """What the list's file says of the recording, and how its rows were made."""
    frames, height, width = source.movie.shape
    provenance = {
        "program": f"deepstorm3d {__version__}",
        "command": list(out.command),
        "movie": source.movie.path.name,
        "frames": list(source.span),
        "roi": list(source.roi),
        "camera": pipeline.camera.to_mapping(),
        "model_sha256": pipeline.model_sha256,
        "experiment": pipeline.experiment.to_mapping(),
        "dyes": list(found.names),
        "weights": found.weights.tolist(),
        "molecules": list(found.molecules),
        "misassigned": found.misassigned,
    }
    return TableHeader(pipeline.experiment.microscope.pixel_um, frames, (height, width), provenance)


def _phase(model: ModelFile, mask: Path | None) -> Tensor | None:
    """The mask's phase (h, w) rad of a model, or of the file given for it; None where its experiment has it."""
    return model.mask if mask is None else torch.from_numpy(read_mask(mask)).float()
