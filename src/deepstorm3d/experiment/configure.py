"""Configure: write an experiment file from a preset, the user's mask and a few changes."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor

from ..errors import InputError
from ..front_door import doubt
from ..io.masks import mask_sha256, read_mask
from ..io.parts import claim_name
from ..optics.masks import MASK_KINDS, FileMask
from ..spec import spec_from_mapping
from .camera_sheets import CameraSheet
from .channel_views import channel_views
from .experiment import Experiment
from .files import changed, read_experiment, write_experiment
from .named_files import with_files_beside, with_files_renamed
from .optics import experiment_mask, psf_source
from .presets import PRESETS, preset

__all__ = ["configure_experiment", "find_experiment", "path_beside", "phase_of", "with_mask", "with_masks"]


def configure_experiment(
    preset_name: str,
    out: Path,
    *,
    mask: Path | None = None,
    camera: CameraSheet | None = None,
    with_pitch: bool = False,
    assignments: Sequence[str] = (),
    overwrite: bool = False,
) -> Experiment:
    """Write the experiment file of a preset, changed by ``a.b=value`` assignments and by the user's own mask.

    mask: .npy, .mat or .tif; the experiment file contains its path (relative if the mask is in the same folder
    or below) and its SHA-256; a measured PSF named by an assignment is stored in the same way.
    camera: data sheet, which is named in the head of the file;  with_pitch: use its pixel pitch too.
    Raises InputError for an unknown preset, key or value, for a mask that does not cover the pupil, for
    a patch too large for the sampling of the mask, for a measured PSF that does not fit, and for values of
    the camera that neither the data sheet nor an assignment defines.
    """
    claim_name(out, overwrite=overwrite)
    mapping = preset(preset_name).to_mapping()
    phase = None
    if mask is not None:
        values = read_mask(mask)
        phase = torch.from_numpy(values).float()
        mapping["mask"] = FileMask(path=path_beside(mask, out), sha256=mask_sha256(values)).to_mapping()
    if camera is not None:
        mapping["camera"] = camera.camera
        _check_said(camera, assignments)
        if with_pitch:
            mapping["microscope"]["camera_pitch"] = camera.pitch_um
    experiment = changed(mapping, assignments, source=f"preset {preset_name}")
    source = psf_source(with_files_beside(experiment, out.parent), phase=phase)
    experiment = experiment.with_(psf=experiment.psf.renamed(lambda path: _named_from(out, path), source))
    # Errors should occur here already, not at the start of a training.
    experiment.psf.check_fit(experiment.microscope, source, experiment.z_um, experiment.blur_px)
    if experiment.channels:
        experiment = _with_channels_checked(experiment, out)
    remarks = "" if camera is None else camera.remarks()
    write_experiment(with_files_beside(experiment, out.parent), out, remarks=remarks)
    return experiment


def _with_channels_checked(experiment: Experiment, out: Path) -> Experiment:
    """The experiment with the files of its further channels named from the file `out`, all of them checked."""
    named = with_files_renamed(experiment, lambda path: _named_from(out, path))
    experiment = experiment.with_(channels=named.channels)
    there = with_files_beside(experiment, out.parent)
    channel_views(there)
    for number, name in enumerate(experiment.channels, 1):
        alone = there.of_channel(number)
        try:
            alone.psf.check_fit(alone.microscope, psf_source(alone), alone.z_um, alone.blur_px)
        except InputError as error:
            raise InputError(f"channels.{name}: {error.what}", error.remedy) from error
    return experiment


def _check_said(camera: CameraSheet, assignments: Sequence[str]) -> None:
    """Raise InputError for values that neither the data sheet nor an assignment defines."""
    said = {assignment.partition("=")[0].strip() for assignment in assignments}
    open_keys = [key for key in camera.unsaid if f"camera.{key}" not in said]
    if "camera" not in said and open_keys:
        raise InputError(
            f"{camera.title}: the data sheet does not say {', '.join(open_keys)}, for each camera has its own",
            "see the certificate that came with yours, and give "
            + " ".join(f"`camera.{key}=...`" for key in open_keys)
            + " (gain: counts per electron; or measure it: `camera_maps`)",
        )


def find_experiment(name: str, assignments: Sequence[str] = ()) -> Experiment:
    """Take the preset of that name, or else read an experiment file, and apply changes.

    A preset comes before a file or folder of its name, everywhere; where there is such a file, a DoubtfulResult
    says so.  Raises InputError if neither exists, or if a key or value is wrong.
    """
    path = Path(name)
    if name in PRESETS:
        if path.is_file():
            doubt([f"'{name}' is the preset; the file of that name is not read (./{name} would be)"])
        return changed(preset(name).to_mapping(), assignments, source=f"preset {name}")
    if path.exists():
        return read_experiment(path, assignments)
    raise InputError(
        f"there is no experiment file {name}, and no preset of that name",
        f"write one with `config`; presets: {', '.join(PRESETS)}",
    )


def with_mask(experiment: Experiment, mask: str) -> Experiment:
    """The experiment with another mask: a kind by its name ("tetrapod"), or a mask file.

    Raises InputError with the known kinds if it is neither, and if the file is not a mask.
    """
    path = Path(mask)
    if path.suffix:
        values = read_mask(path)
        return experiment.with_(mask=FileMask(path=str(path), sha256=mask_sha256(values)))
    mapping = {**experiment.to_mapping(), "mask": {"kind": mask}}
    if mask == "file" or MASK_KINDS.find(mask) is None:
        kinds = [name for name in MASK_KINDS.names if name != "file"]
        raise InputError(f"there is no mask '{mask}'; there are: {', '.join(kinds)}, or give a file")
    return spec_from_mapping(Experiment, mapping, source=f"mask {mask}")


def phase_of(experiment: Experiment, mask: str | PathLike[str]) -> Tensor:
    """The phase (h, w) rad of a mask file, or of a kind of mask ("tetrapod") as the experiment's microscope
    takes it.

    Raises InputError as `with_mask`.
    """
    if Path(mask).suffix:
        return torch.from_numpy(read_mask(Path(mask))).float()
    return experiment_mask(with_mask(experiment, str(mask)))().detach().cpu().float()


def with_masks(experiment: Experiment, masks: Sequence[str]) -> Experiment:
    """The experiment with other masks: each a kind or a file (`with_mask`), of a further channel NAME=KIND.

    Raises InputError as `with_mask`, and for a name that is no channel's.
    """
    for text in masks:
        name, equals, mask = text.partition("=")
        if not equals or (name not in experiment.channel_names and Path(text).exists()):
            experiment = with_mask(experiment, text)
        elif name == experiment.channel_names[0]:
            experiment = with_mask(experiment, mask)
        elif name in experiment.channels:
            # What a mask is called does not depend on the channel.
            own = with_mask(experiment, mask).mask
            channel = experiment.channels[name].with_(mask=own)
            experiment = experiment.with_(channels={**experiment.channels, name: channel})
        else:
            raise InputError(
                f"'{text}': there is no channel '{name}'; there are: {', '.join(experiment.channel_names)}"
            )
    return experiment


def path_beside(file: Path, out: Path) -> str:
    """Path of a file for the experiment file `out`: relative in or below its folder, which can be moved."""
    whole, folder = file.resolve(), out.parent.resolve()
    return str(whole.relative_to(folder)) if whole.is_relative_to(folder) else str(whole)


def _named_from(out: Path, path: str) -> str:
    """The path with which the experiment file `out` should name a file of the experiment."""
    beside = out.parent / path
    return path_beside(beside if beside.exists() else Path(path), out)
