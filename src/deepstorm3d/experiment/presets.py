"""Ready-made experiments: the published set-ups, and those of the tutorial and the built-in models."""

from __future__ import annotations

from collections.abc import Callable

from ..camera import MinimumSubtractedCamera
from ..complaints import meant
from ..errors import InputError
from ..front_door import public
from ..localizer.coarse import CoarseSpec
from ..optics.masks import AstigmaticMask, ZernikeMask, ZeroMask
from ..optics.microscope import Microscope
from ..optics.scalar import ScalarPSFSpec
from ..optics.vectorial import VectorialPSFSpec
from ..simulation.backgrounds import NoBackground, SuperGaussianBackground, UniformBackground
from ..simulation.priors import (
    DensityCount,
    EmitterPrior,
    FixedPhotons,
    GammaPhotons,
    Scene,
    UniformCount,
    UniformPhotons,
)
from .channel import Channel
from .design_settings import DesignSpec
from .experiment import Experiment
from .training_settings import TrainingSpec

__all__ = ["PRESETS", "preset"]

Count = UniformCount | DensityCount

_STORM = Microscope(wavelength=0.67, focal_length=1.0e5, mask_pitch=30.0, focus=1.5)
_TELOMERES = Microscope()
# Travel of the objective at which molecules 0.75 and 1.25 µm above the coverslip are brightest, µm.
_NEAR_FOCUS = 1.05
_FAR_FOCUS = 1.73
# The published scenes define the number of emitters in a whole frame of 121 px with a free border, so training
# crops must be whole frames.
_WHOLE_FRAMES = TrainingSpec(crop_px=121, batch=4)


def _storm() -> Experiment:
    """STORM of mitochondria, frames minimum-subtracted (Fig. 3)."""
    emitters = EmitterPrior(
        count=DensityCount(low=0.01, high=0.45),
        photons=GammaPhotons(),
        z_um=(0.0, 4.0),
        margin_px=(-14.0, 14.0),
        blur_px=(0.99, 1.01),
        min_photons=6000.0,
    )
    return Experiment(
        name="storm",
        microscope=_STORM,
        camera=MinimumSubtractedCamera(),
        scenes={"main": Scene(emitters=emitters, background=NoBackground())},
    )


def _nucleus(count: Count, z_um: tuple[float, float], margin: tuple[float, float]) -> Scene:
    """Telomeres in a nucleus (Fig. 4)."""
    emitters = EmitterPrior(
        count=count, photons=UniformPhotons(), z_um=z_um, margin_px=margin, blur_px=(0.75, 1.25)
    )
    return Scene(emitters=emitters, background=SuperGaussianBackground())


def _density_study(count: Count, margin: tuple[float, float]) -> Scene:
    """Bright emitters on a uniform background (Fig. 2)."""
    emitters = EmitterPrior(
        count=count,
        photons=FixedPhotons(photons=30_000.0),
        z_um=(2.0, 6.0),
        margin_px=margin,
        blur_px=(1.0, 1.0),
    )
    return Scene(emitters=emitters, background=UniformBackground(low=150.0, high=150.0))


def _telomeres() -> Experiment:
    """Telomeres in one snapshot of a nucleus (Fig. 4 and 5)."""
    scene = _nucleus(UniformCount(), (2.0, 6.0), (20.0, 20.0))
    return Experiment(name="telomeres", scenes={"nucleus": scene}, training=_WHOLE_FRAMES)


def _density() -> Experiment:
    """The density study at high signal (Fig. 2)."""
    count = UniformCount(low=1, high=75)
    scene = _density_study(count, (20.0, 20.0))
    return Experiment(name="density-study", scenes={"bright": scene}, training=_WHOLE_FRAMES)


def _psf_learning() -> Experiment:
    """Learning of the mask (Fig. 4)."""
    return Experiment(
        name="psf-learning",
        microscope=_TELOMERES.with_(focus=2.5),
        scenes={"nucleus": _nucleus(UniformCount(), (0.0, 5.0), (20.0, 20.0))},
        training=_WHOLE_FRAMES,
    )


def _tetrapod() -> Experiment:
    """The built-in model `tetrapod`: 1 to 100 emitters in 81×81 pixels, bright or in a nucleus."""
    # Most crops contain emitters up to and beyond their border; some have a free border, like whole frames.
    count, margin = DensityCount(low=0.01, high=1.35), (-14.0, 24.0)
    scenes = {"bright": _density_study(count, margin), "nucleus": _nucleus(count, (2.0, 6.0), margin)}
    training = TrainingSpec(steps=15_000)
    return Experiment(name="tetrapod", scenes=scenes, network=CoarseSpec(channels=96), training=training)


def _quickstart() -> Experiment:
    """The tutorial: an astigmatic lens, 1.2 µm of depth, trained on two processor cores in minutes."""
    microscope = Microscope(wavelength=0.67, focal_length=1.0e5, mask_pitch=30.0, focus=0.85)
    emitters = EmitterPrior(
        count=DensityCount(low=0.05, high=1.0),
        photons=FixedPhotons(photons=5000.0),
        z_um=(0.0, 1.2),
        margin_px=(-6.0, 6.0),
        blur_px=(1.0, 1.0),
    )
    return Experiment(
        name="quickstart",
        microscope=microscope,
        mask=AstigmaticMask(),
        psf=ScalarPSFSpec(patch_px=31),
        frame_px=(64, 64),
        scenes={"main": Scene(emitters=emitters, background=UniformBackground(low=20.0, high=20.0))},
        training=TrainingSpec(steps=4000, batch=16, crop_px=48),
    )


def _astigmatic() -> Experiment:
    """The built-in model `astigmatic`: dSTORM behind a cylindrical lens, up to 1 µm from the coverslip."""
    microscope = Microscope(wavelength=0.67, focal_length=1.0e5, mask_pitch=30.0, focus=0.82)
    prior = EmitterPrior(
        photons=GammaPhotons(shape=3.0, scale=2000.0),
        z_um=(0.0, 1.0),
        margin_px=(-6.0, 6.0),
        min_photons=1000.0,
    )
    # With dense frames alone a network lists too much where there is little.
    densities = {"sparse": DensityCount(low=0.01, high=0.2), "dense": DensityCount(low=0.2, high=2.0)}
    return Experiment(
        name="astigmatic",
        microscope=microscope,
        mask=AstigmaticMask(strength=0.6),
        psf=VectorialPSFSpec(patch_px=41, blur_px=0.65, pupil_oversampling=2),
        frame_px=(64, 64),
        scenes={
            name: Scene(emitters=prior.with_(count=count), background=UniformBackground(low=10.0, high=100.0))
            for name, count in densities.items()
        },
        network=CoarseSpec(channels=64),
        training=TrainingSpec(steps=6000, batch=8, crop_px=48),
    )


def _mask_design() -> Experiment:
    """A mask for 2 µm of depth, designed on two processor cores in three quarters of an hour.

    It is a smaller version of `psf-learning`: less than half the depth, frames of 48 px, mask pixels 4 × 4
    times as large.
    """
    microscope = _TELOMERES.with_(focus=1.4, mask_pitch=4 * _TELOMERES.mask_pitch)
    count = DensityCount(low=0.1, high=1.5)
    return Experiment(
        name="mask-design",
        microscope=microscope,
        mask=ZeroMask(),
        psf=ScalarPSFSpec(patch_px=35),
        frame_px=(48, 48),
        scenes={"nucleus": _nucleus(count, (0.0, 2.0), (-10.0, -10.0))},
        network=CoarseSpec(channels=48),
        training=TrainingSpec(steps=9000, batch=8, crop_px=48, validation_crops=64),
        design=DesignSpec(spread=1.0),
    )


def _biplane() -> Experiment:
    """Two planes of focus, 500 nm apart, each with half of the light, in the conditions of DECODE-Plex.

    Molecules within 600 nm of the middle plane, 1 µm above the coverslip: far enough from it that no
    supercritical light is left.
    """
    microscope = Microscope(
        wavelength=0.67, na=1.4, focal_length=1.0e5, camera_pitch=10.0, mask_pitch=30.0, focus=_NEAR_FOCUS
    )
    emitters = EmitterPrior(
        count=DensityCount(low=0.03, high=3.0),
        photons=GammaPhotons(shape=16.0, scale=312.5),
        z_um=(0.4, 1.6),
        margin_px=(-6.0, 6.0),
    )
    return Experiment(
        name="biplane",
        microscope=microscope,
        mask=ZeroMask(),
        psf=VectorialPSFSpec(patch_px=31, blur_px=0.65, pupil_oversampling=2, supercritical=False),
        frame_px=(64, 64),
        channels={"far": Channel(light=0.5, light_known=True, focus=_FAR_FOCUS)},
        scenes={"main": Scene(emitters=emitters, background=UniformBackground(low=100.0, high=100.0))},
        training=TrainingSpec(steps=15_000, batch=16, crop_px=48),
    )


def _pair() -> Experiment:
    """Two masks, half of the light each: the Tetrapod, and spherical aberration (compact at all depths).

    The light of the density study (Fig. 2), divided.
    """
    scene = _density_study(DensityCount(low=0.01, high=1.35), (-14.0, 24.0))
    return Experiment(
        name="pair",
        channels={"compact": Channel(light=0.5, light_known=True, mask=ZernikeMask(coefficients={11: 1.0}))},
        scenes={"bright": scene},
        network=CoarseSpec(channels=96),
        training=TrainingSpec(steps=15_000),
    )


PRESETS: dict[str, Callable[[], Experiment]] = {
    "quickstart": _quickstart,
    "astigmatic": _astigmatic,
    "storm": _storm,
    "telomeres": _telomeres,
    "density-study": _density,
    "psf-learning": _psf_learning,
    "tetrapod": _tetrapod,
    "mask-design": _mask_design,
    "biplane": _biplane,
    "pair": _pair,
}


@public
def preset(name: str) -> Experiment:
    """A ready-made experiment by its name.

    Parameters
    ----------
    name : str
        "quickstart", "astigmatic", "storm", "telomeres", "density-study", "psf-learning", "mask-design",
        "tetrapod", "biplane" or "pair".

    Returns
    -------
    Experiment
        Frozen; ``experiment.with_(seed=1)`` is a changed copy.

    Raises
    ------
    InputError
        For another name; the message lists the known ones.

    Examples
    --------
    >>> import deepstorm3d as ds
    >>> ds.preset("storm").microscope.wavelength
    0.67
    """
    if name not in PRESETS:
        raise InputError(f"there is no preset '{name}'", meant(name, PRESETS))
    return PRESETS[name]()
