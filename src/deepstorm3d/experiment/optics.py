"""An experiment's mask and the data of its PSF, from its files or as given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..io.masks import mask_sha256, read_mask
from ..io.psfs import read_psf
from ..optics.computed import computed_psf
from ..optics.masks import FileMask, PhaseMask, PixelMask
from ..psf_volume import PSFVolume
from .experiment import Experiment

__all__ = ["experiment_mask", "psf_source", "whole_mask"]


def psf_source(
    experiment: Experiment,
    *,
    phase: Tensor | None = None,
    planes: PSFVolume | None = None,
    z_um: tuple[float, float] | None = None,
) -> Any:
    """Data that the experiment's PSF needs in addition to its settings: its phase mask, or measured planes.

    phase: of the mask, as in `experiment_mask`;  planes: as stored in a model (None: read from the experiment's
    file);  z_um: depth range of the molecules (None: that of all scenes).
    Raises InputError if a hash does not agree, and if planes do not fit the microscope, the depths or
    the patch.
    """
    files = _Files(experiment, phase, planes)
    return experiment.psf.source(files, experiment.microscope, experiment.z_um if z_um is None else z_um)


@dataclass(frozen=True)
class _Files:
    """Contents of the experiment's files, or the data given instead of them: `PSFFiles`."""

    experiment: Experiment
    phase: Tensor | None
    stored: PSFVolume | None

    def mask(self) -> PhaseMask:
        return experiment_mask(self.experiment, phase=self.phase)

    def planes(self, path: str) -> PSFVolume:
        if self.stored is not None:
            return self.stored
        if not path:
            raise InputError(
                f"psf.kind is {self.experiment.psf.kind}, but psf.path names no file",
                "measure a PSF with `measure_psf`, and name its file: `psf.path=FILE`",
            )
        return read_psf(path, pixel_um=self.experiment.microscope.pixel_um)


def experiment_mask(experiment: Experiment, *, phase: Tensor | None = None) -> PhaseMask:
    """The experiment's phase mask.

    phase: (h, w) rad, as stored in a model or given by the user (None: read from the experiment's file).
    Raises InputError if the hash does not agree, and for an experiment whose PSF is not computed through a
    mask.
    """
    if not experiment.psf.needs_mask:
        raise InputError(
            f"the experiment '{experiment.name}' has a {experiment.psf.kind} PSF, and its mask is unknown: "
            "masks are designed, compared, retrieved and exported, and beads looked for, with a PSF that is "
            "computed from one (`psf.kind=scalar`)"
        )
    spec = experiment.mask
    if isinstance(spec, FileMask):
        remedy = "give the file of that mask (`mask`)"
        if phase is None and spec.path:
            remedy = (
                f"where {spec.path} is meant, clear mask.sha256 in the experiment or write it anew "
                "(`with_mask`); else name the other file (mask.path)"
            )
            phase = torch.from_numpy(read_mask(Path(spec.path))).float()
        if phase is not None and spec.sha256 and mask_sha256(phase.numpy()) != spec.sha256:
            raise InputError(
                f"this is not the mask of the experiment '{experiment.name}': its SHA-256 is "
                f"{mask_sha256(phase.numpy())[:12]}…, expected {spec.sha256[:12]}… (mask.sha256)",
                remedy,
            )
        if phase is not None:
            return PixelMask(phase)
    return spec.build(experiment.microscope)


def whole_mask(experiment: Experiment) -> PhaseMask:
    """The experiment's mask with the aberrations of its PSF added, as one phase."""
    mask = experiment_mask(experiment)
    return computed_psf(experiment.psf).with_aberrations(experiment.microscope, mask)
