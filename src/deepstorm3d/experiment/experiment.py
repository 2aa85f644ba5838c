"""Experiment: one record that describes a whole set-up, from the microscope to the training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import ValidationError, field_validator, model_validator

from ..camera import Camera, IdealCamera
from ..complaints import told
from ..errors import InputError
from ..localizer.coarse import CoarseSpec
from ..localizer.kinds import AnyNetwork
from ..optics.masks import AnyMask, TetrapodMask
from ..optics.microscope import Microscope
from ..optics.psf_kinds import AnyPSFSpec
from ..optics.scalar import ScalarPSFSpec
from ..simulation.priors import Scene
from ..spec import Spec, quantity
from .channel import FIRST, Channel, check_frame, check_names_and_light
from .design_settings import DesignSpec
from .dye import Dye
from .earlier import FORMAT_VERSION, in_form_of_today
from .training_settings import TrainingSpec

__all__ = ["Experiment"]


class Experiment(Spec):
    """One set-up: the scenes, the optics, the camera, and the network that is trained for them."""

    format_version: int = quantity(FORMAT_VERSION, "", "version of this file's format", ge=1, le=FORMAT_VERSION)
    name: str = quantity("experiment", "", "name of the experiment, for titles and reports", min_length=1)
    seed: int = quantity(0, "", "seed of all random numbers", ge=0)
    microscope: Microscope = quantity(Microscope(), "", "wavelength, objective, 4f system, pixels")
    mask: AnyMask = quantity(
        TetrapodMask(),
        "",
        "phase mask: zero, astigmatic, tetrapod, learned, double_helix, vortex, zernike, random or file",
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
        check_frame(self.frame_px)
        if self.psf.patch_px % 2 == 0:
            raise ValueError(f"psf.patch_px must be odd, got {self.psf.patch_px}")
        self.psf.check_scenes(self.z_um, self.blur_px)
        if self.psf.needs_mask:
            self.microscope.check_depths(self.z_um)
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
        for name, dye in self.dyes.items():
            if dye.focus is not None:
                self.microscope.with_(focus=dye.focus).check_depths(self.z_um, f"dyes.{name}.focus")

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
            microscope = channel.microscope_of(self.microscope)
            low, high = (z + (channel.depth_offset_um or 0.0) for z in self.z_um)
            psf.check_scenes((low, high), self.blur_px)
            if psf.needs_mask:
                microscope.check_depths((low, high), "focus")
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
