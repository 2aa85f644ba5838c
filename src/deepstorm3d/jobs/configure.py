"""Configure: a ready-made experiment, one's own mask and a few changes become an experiment file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from ..io.masks import mask_sha256, read_mask
from ..io.parts import claim_name
from ..optics.masks import MASK_KINDS, FileMask
from ..optics.model import build_psf
from ..optics.tabulated import TabulatedPSF
from ..spec import set_by_path, spec_from_mapping
from .experiment import Experiment, experiment_mask, read_experiment, write_experiment
from .presets import PRESETS, preset

__all__ = ["configure_experiment", "find_experiment", "with_mask"]


def configure_experiment(
    preset_name: str,
    out: Path,
    *,
    mask: Path | None = None,
    assignments: Sequence[str] = (),
    overwrite: bool = False,
) -> Experiment:
    """Write the experiment file of a preset, changed by ``a.b=value`` assignments and by one's own mask.

    mask: .npy, .mat or .tif, kept in the file by its path (relative where it lies beside the
    experiment file or below) and its SHA-256.
    Raises InputError for an unknown preset, key or value, for a mask that does not cover the pupil, and for
    a patch that the sampling of the mask cannot hold.
    """
    claim_name(out, overwrite=overwrite)
    mapping = preset(preset_name).to_mapping()
    phase = None
    if mask is not None:
        values = read_mask(mask)
        phase = torch.from_numpy(values).float()
        mapping["mask"] = FileMask(path=_path_beside(mask, out), sha256=mask_sha256(values)).to_mapping()
    experiment = _changed(mapping, assignments, source=f"preset {preset_name}")
    _check_optics(experiment, phase)
    write_experiment(experiment, out)
    return experiment


def find_experiment(name: str, assignments: Sequence[str] = ()) -> Experiment:
    """An experiment by its file, or a preset by its name where there is no such file, with changes applied.

    Raises InputError where there is neither, or a key or value is wrong.
    """
    path = Path(name)
    if path.exists():
        return read_experiment(path, assignments)
    if name in PRESETS:
        return _changed(preset(name).to_mapping(), assignments, source=f"preset {name}")
    raise InputError(
        f"there is no experiment file {name}, and no preset of that name; write one with "
        f"'deepstorm3d config --preset NAME --out {name}', presets: {', '.join(PRESETS)}"
    )


def with_mask(experiment: Experiment, mask: str) -> Experiment:
    """The experiment with another mask: a kind by its name ("tetrapod"), or a mask file.

    Raises InputError where it is neither, naming the kinds, or where the file is no mask.
    """
    path = Path(mask)
    if path.suffix:
        values = read_mask(path)
        return experiment.with_(mask=FileMask(path=str(path), sha256=mask_sha256(values)))
    mapping = {**experiment.to_mapping(), "mask": {"kind": mask}}
    kinds = [name for name in MASK_KINDS if name != "file"]
    if mask not in kinds:
        raise InputError(f"there is no mask '{mask}'; there are: {', '.join(kinds)}, or give a file")
    return spec_from_mapping(Experiment, mapping, source=f"mask {mask}")


def _changed(mapping: dict[str, Any], assignments: Sequence[str], *, source: str) -> Experiment:
    for assignment in assignments:
        set_by_path(mapping, assignment)
    return spec_from_mapping(Experiment, mapping, source=source)


def _path_beside(mask: Path, out: Path) -> str:
    """A folder with experiment and mask can be moved; a mask elsewhere is named in full."""
    whole, folder = mask.resolve(), out.parent.resolve()
    return str(whole.relative_to(folder)) if whole.is_relative_to(folder) else str(whole)


def _check_optics(experiment: Experiment, phase: torch.Tensor | None) -> None:
    """Set the PSF up once: what does not fit together should show now, not at the start of a training."""
    built = experiment_mask(experiment, phase=phase)
    psf = build_psf(
        experiment.psf,
        experiment.microscope,
        built,
        patch_px=experiment.psf.patch_px + 2 * TabulatedPSF.margin_px,
    )
    low, high = experiment.z_um
    with torch.no_grad():
        psf(torch.tensor([[0.0, 0.0, (low + high) / 2]]))
