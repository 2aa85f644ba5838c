"""Write the PSF of an experiment for the fitters of other programs."""

from __future__ import annotations

from pathlib import Path

import torch

from ..errors import InputError
from ..experiment.experiment import Experiment
from ..experiment.optics import psf_source
from ..io.masks import read_mask
from ..io.psfs import claim_psf, write_psf
from ..optics.computed import computed_psf
from ..optics.masks import PixelMask
from ..optics.measured import sample_volume
from ..psf_volume import PSFVolume

__all__ = ["export_psf"]

# A spline file holds 64 numbers for each pixel and plane: wider ones fill memory and slow the fitters down.
_WIDEST_PX = 51
_LIGHT = 0.9
_MOST_PLANES = 2000  # more come of a depth range in nm that is taken for µm


def export_psf(
    experiment: Experiment,
    out: Path,
    *,
    mask: Path | None = None,
    z_um: tuple[float, float] | None = None,
    step_nm: float = 50.0,
    patch_px: int | None = None,
    overwrite: bool = False,
) -> PSFVolume:
    """Sample the PSF in planes, and write them in the format of the ending (`io.psfs`).

    mask: file of another mask than the experiment's;  z_um: depth range, None: of all scenes;
    step_nm: from plane to plane;  patch_px: side, odd; None: the smallest that holds 90 % of the light at every
    depth, at most 51; of a measured one all that there is.  Returns the planes.
    Raises InputError for an experiment with several channels, where mask or patch do not fit, or the file
    cannot be written.
    """
    experiment.refuse_channels("a PSF file is of one channel")
    claim_psf(out, overwrite=overwrite)
    given = None if mask is None else PixelMask(torch.from_numpy(read_mask(mask)).float())
    depth = experiment.z_um if z_um is None else z_um
    planes = 1000 * (depth[1] - depth[0]) / step_nm
    if planes > _MOST_PLANES:
        raise InputError(
            f"{planes:,.0f} planes from {depth[0]:g} to {depth[1]:g} µm are more than {_MOST_PLANES:,}",
            "depths are in µm, not nm; or take larger steps",
        )
    psf, microscope = experiment.psf, experiment.microscope
    if given is None:
        source = psf_source(experiment, z_um=depth)
    else:
        psf, source = computed_psf(psf), given
    if patch_px is None:
        patch_px = psf.compact_patch_px(microscope, source, depth, light=_LIGHT, most_px=_WIDEST_PX)
    volume = sample_volume(psf.images(microscope, source, patch_px=patch_px), depth, step_nm / 1000)
    write_psf(out, volume, overwrite=overwrite)
    return volume
