"""Experiment: one record that describes a whole set-up, from the microscope to the training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Self

import torch
import yaml
from pydantic import ValidationError, field_validator, model_validator
from torch import Tensor

from ..camera import Camera, IdealCamera
from ..complaints import told
from ..errors import InputError
from ..io.masks import mask_sha256, read_mask
from ..io.parts import write_text
from ..io.psfs import read_psf
from ..localizer.coarse import CoarseSpec
from ..localizer.kinds import AnyNetwork
from ..optics.computed import computed_psf
from ..optics.masks import AnyMask, FileMask, PhaseMask, PixelMask, TetrapodMask
from ..optics.microscope import Microscope
from ..optics.psf_kinds import AnyPSFSpec
from ..optics.scalar import ScalarPSFSpec
from ..psf_volume import PSFVolume
from ..simulation.priors import Scene
from ..spec import Spec, quantity, set_by_paths, spec_from_mapping, to_yaml
from .channel import FIRST, Channel, check_names_and_light
from .design_settings import DesignSpec
from .dye import Dye
from .earlier import FORMAT_VERSION, in_form_of_today, with_key_of_today
from .named_files import with_files_beside, with_files_named_from
from .training_settings import TrainingSpec

__all__ = [
    "Experiment",
    "changed",
    "experiment_mask",
    "psf_source",
    "read_experiment",
    "whole_mask",
    "write_experiment",
]

_HEADER = """An experiment of deepstorm3d: the whole set-up in one file.
Lengths in µm, light in photons (detected photo-electrons), phases in radians; _px: camera pixels.
Depth z counts from the coverslip into the sample."""


class Experiment(Spec):
    """One set-up: the scenes, the optics, the camera, and the network that is trained for them."""

    format_version: int = quantity(FORMAT_VERSION, "", "version of this file's format", ge=1, le=FORMAT_VERSION)
    name: str = quantity("experiment", "", "name of the experiment, for titles and reports", min_length=1)
    seed: int = quantity(0, "", "seed of all random numbers", ge=0)
    microscope: Microscope = quantity(Microscope(), "", "wavelength, objective, 4f system, pixels")
    mask: AnyMask = quantity(
        TetrapodMask(),
        "",
        "phase mask: zero, astigmatic, tetrapod, double_helix, vortex, zernike, random or file",
        label="Phase mask",
    )
    psf: AnyPSFSpec = quantity(
        ScalarPSFSpec(),
        "",
        "how the image of a molecule is computed: scalar; vectorial: polarization, refraction at the "
        "coverslip, supercritical light; or measured: planes from beads, the mask is not used",
        label="PSF",
    )
    camera: Camera = quantity(
        IdealCamera(), "", "kind of camera and its values: ideal, scmos, emccd or minimum_subtracted"
    )
    frame_px: tuple[int, int] = quantity(
        (121, 121), "px", "height and width of a simulated frame", label="Frame: height, width"
    )
    channels: dict[str, Channel] = quantity(
        {}, "", "further channels, by name; mask, psf, camera and microscope here are those of the first"
    )
    dyes: dict[str, Dye] = quantity(
        {},
        "",
        "dyes told apart by their wavelengths, by name; empty: all molecules emit at microscope.wavelength",
    )
    scenes: dict[str, Scene] = quantity(
        {"main": Scene()}, "", "kinds of frames, by name; training mixes them by weight"
    )
    network: AnyNetwork = quantity(CoarseSpec(), "", "kind of network and its size: coarse, mixture or voxel")
    training: TrainingSpec = quantity(TrainingSpec(), "", "how long and how fast the network learns")
    design: DesignSpec = quantity(DesignSpec(), "", "how a mask is designed", label="Mask design")

    @model_validator(mode="before")
    @classmethod
    def _of_any_version(cls, given: Any) -> Any:
        return in_form_of_today(given) if isinstance(given, Mapping) else given

    @field_validator("dyes")
    @classmethod
    def _in_order(cls, dyes: dict[str, Dye]) -> dict[str, Dye]:
        """Dyes from the shortest wavelength on, whatever the order of the file: so they are numbered."""
        return dict(sorted(dyes.items(), key=lambda one: one[1].wavelength))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.scenes:
            raise ValueError("scenes is empty: give at least one")
        if min(self.frame_px) < 16:
            raise ValueError(f"frame_px {self.frame_px} is smaller than 16 px")
        if self.psf.patch_px % 2 == 0:
            raise ValueError(f"psf.patch_px must be odd, got {self.psf.patch_px}")
        self.psf.check_scenes(self.z_um, self.blur_px)
        self._check_dyes()
        check_names_and_light(self.channels)
        for name, channel in self.channels.items():
            self._check_channel(name, channel)
        return self

    def _check_dyes(self) -> None:
        """Raise ValueError for dyes that have no PSFs of their own."""
        if self.dyes and self.channels:
            raise ValueError(
                "dyes are told apart by their PSFs in one channel; with several channels their shares of the "
                "light tell them apart: leave the dyes out here"
            )
        if self.dyes and not self.psf.needs_mask:
            raise ValueError(
                f"dyes need a PSF that is computed for their wavelengths, psf.kind is {self.psf.kind}"
            )

    def _check_channel(self, name: str, channel: Channel) -> None:
        """Raise ValueError where mask, PSF and depths of a further channel contradict each other."""
        psf = self.psf if channel.psf is None else channel.psf
        where = f"channels.{name}"
        if psf.patch_px % 2 == 0:
            raise ValueError(f"{where}: psf.patch_px must be odd, got {psf.patch_px}")
        if channel.mask is not None and not psf.needs_mask:
            raise ValueError(
                f"{where}: its PSF is {psf.kind} and is not computed through a mask, but it has the mask "
                f"'{channel.mask.kind}'; leave the mask out (null), or give it a psf that is computed"
            )
        try:
            channel.microscope_of(self.microscope)
            low, high = (z + (channel.depth_offset_um or 0.0) for z in self.z_um)
            psf.check_scenes((low, high), self.blur_px)
        except ValueError as error:
            raise ValueError(f"{where}: {_words_of(error)}") from error

    @property
    def z_um(self) -> tuple[float, float]:
        """Depth range over all scenes, µm."""
        ranges = [scene.emitters.z_um for scene in self.scenes.values()]
        return min(low for low, _ in ranges), max(high for _, high in ranges)

    @property
    def blur_px(self) -> tuple[float, float]:
        """Blur range over all scenes, camera pixels."""
        own = (self.psf.blur_px, self.psf.blur_px)
        ranges = [scene.emitters.blur_px or own for scene in self.scenes.values()]
        return min(low for low, _ in ranges), max(high for _, high in ranges)

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names of all channels; that of the experiment's own mask, PSF and camera is "first"."""
        return FIRST, *self.channels

    def describe_optics(self) -> str:
        """What makes the image, for the user: "tetrapod mask", "measured PSF", "no mask, 2 channels"."""
        seen = self.psf.describe(self.mask.describe())
        return f"{seen}, {len(self.channel_names)} channels" if self.channels else seen

    @property
    def shares(self) -> tuple[float, ...]:
        """Share of the light that each channel gets; (1.0,) without further channels."""
        further = [channel.light for channel in self.channels.values()]
        return 1.0 - sum(further), *further

    @property
    def known_shares(self) -> tuple[float, ...] | None:
        """`shares` where all of them hold for every molecule, None where each molecule has its own."""
        known = all(channel.light_known for channel in self.channels.values())
        return self.shares if known and self.channels else None

    def of_channel(self, which: int | str) -> Experiment:
        """The one-channel experiment of a channel, 0 for the first: its mask, PSF, camera, optics and frame.

        which: its number, or its name.

        Its scenes have the photons of all channels together; their depths are those at which this channel sees
        the molecules (depth offset).
        Raises InputError for a name that there is not, and where the transform's file is needed for that and
        cannot be read.
        """
        if isinstance(which, str) and which not in self.channel_names:
            raise InputError(
                f"there is no channel '{which}' in the experiment '{self.name}'; it has: "
                f"{', '.join(self.channel_names)}"
            )
        number = self.channel_names.index(which) if isinstance(which, str) else which
        alone = self if not self.channels else self.with_(channels={})
        if number == 0:
            return alone
        name = self.channel_names[number]
        channel = self.channels[name]
        own = {each: getattr(channel, each) for each in ("mask", "psf", "camera", "frame_px")}
        offset = channel.read_transform(name).depth_offset_um
        return alone.with_(
            name=f"{self.name}, {name}",
            microscope=channel.microscope_of(self.microscope),
            scenes={key: _deeper(scene, offset) for key, scene in self.scenes.items()},
            **{each: value for each, value in own.items() if value is not None},
        )

    def refuse_channels(self, why: str) -> None:
        """Raise InputError for an experiment with several channels; why: one is needed, in words."""
        if self.channels:
            raise InputError(
                f"{why}, the experiment '{self.name}' has {', '.join(self.channel_names)}",
                "take one of them alone, experiment.of_channel(NAME)",
            )

    def scene(self, name: str | None = None) -> Scene:
        """A scene by name, or the first; raises InputError if the name does not exist."""
        if name is None:
            return next(iter(self.scenes.values()))
        if name not in self.scenes:
            raise InputError(f"there is no scene '{name}' in this experiment; it has: {', '.join(self.scenes)}")
        return self.scenes[name]


def _deeper(scene: Scene, offset_um: float) -> Scene:
    """The scene with molecules at other depths."""
    if not offset_um:
        return scene
    low, high = scene.emitters.z_um
    return scene.with_(emitters=scene.emitters.with_(z_um=(low + offset_um, high + offset_um)))


def _words_of(error: ValueError) -> str:
    """What a check says; of a record that could not be made, what it says of itself."""
    if isinstance(error, ValidationError):
        return "; ".join(told(each) for each in error.errors())
    return str(error)


def read_experiment(path: str | PathLike[str], assignments: Sequence[str] = ()) -> Experiment:
    """Read an experiment file and change some of its values.

    Relative paths of a mask, a PSF or camera maps refer to the folder of the experiment file.

    Parameters
    ----------
    path : path
        A file (.yaml) that `write_experiment` or the command ``config`` wrote.
    assignments : sequence of str
        Changes such as ``"camera.gain=2.2"``, applied before the file is checked.

    Returns
    -------
    Experiment

    Raises
    ------
    InputError
        If the file is not valid; the message has the file, the key and the allowed range.
    """
    path = Path(path)
    try:
        mapping = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the experiment file {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _no_experiment(path, f"not YAML: {error}") from error
    if not isinstance(mapping, dict):
        raise _no_experiment(path, "it has no keys")
    return with_files_beside(changed(mapping, assignments, source=str(path)), path.parent)


def _no_experiment(path: Path, why: str) -> InputError:
    """The error for a file that is none: a movie or a list where the experiment was wanted, or bad YAML."""
    if path.suffix.lower() in (".yaml", ".yml"):
        return InputError(f"{path} is no experiment file: {why}")
    return InputError(
        f"{path} is no experiment file", "experiments are YAML files (.yaml); is the order of the files right?"
    )


def changed(mapping: Mapping[str, Any], assignments: Sequence[str], *, source: str) -> Experiment:
    """The experiment from a mapping of any format version, changed by ``a.b=value`` assignments.

    source: origin of the mapping, for errors.  Raises InputError if a key or value is wrong.
    """
    try:
        today = in_form_of_today(mapping)
    except ValueError as error:
        raise InputError(f"{source}: {error}") from error
    set_by_paths(today, [with_key_of_today(each) for each in assignments], Experiment)
    return spec_from_mapping(Experiment, today, source=source)


def write_experiment(experiment: Experiment, path: str | PathLike[str], *, remarks: str = "") -> None:
    """Write an experiment as a complete YAML file with the unit and meaning of each line.

    Files that it names are named so that `read_experiment` finds them, from wherever it is called: relative to
    the folder of `path` where they lie in or below it, else from the root. Names of files that there are not
    stay as they are.

    Parameters
    ----------
    experiment : Experiment
    path : path
    remarks : str
        Lines for the head of the file.
    """
    header = f"{_HEADER}\n{remarks}" if remarks else _HEADER
    path = Path(path)
    write_text(path, to_yaml(with_files_named_from(experiment, path.parent), header))


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
        if phase is None and spec.path:
            phase = torch.from_numpy(read_mask(Path(spec.path))).float()
        if phase is not None and spec.sha256 and mask_sha256(phase.numpy()) != spec.sha256:
            raise InputError(
                f"this is not the mask of the experiment '{experiment.name}': its SHA-256 is "
                f"{mask_sha256(phase.numpy())[:12]}…, expected {spec.sha256[:12]}…"
            )
        if phase is not None:
            return PixelMask(phase)
    return spec.build(experiment.microscope)


def whole_mask(experiment: Experiment) -> PhaseMask:
    """The experiment's mask with the aberrations of its PSF added, as one phase."""
    mask = experiment_mask(experiment)
    return computed_psf(experiment.psf).with_aberrations(experiment.microscope, mask)
