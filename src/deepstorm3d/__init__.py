"""deepstorm3d: dense 3D localization microscopy with engineered point spread functions.

    import deepstorm3d as ds

    model = ds.load_model("tetrapod")
    movie, truth = ds.simulate(model.experiment, frames=20, seed=1)
    found = model.localize(movie)
    print(ds.evaluate(found, truth))
    ds.plot.rendering(found)

Lengths are in µm, light in photons, phases in radians; names that end in ``_nm`` or ``_px`` are in nm or camera
pixels. x is the column, y the row, z the depth from the coverslip; the origin is the centre of the first pixel;
frames count from 0. Each name below is imported when it is first used, so that this import stays instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from . import plot as plot
    from .analysis.trajectories import FrameTiming as FrameTiming
    from .api.beads import find_beads as find_beads
    from .api.beads import measure_psf as measure_psf
    from .api.beads import retrieve_mask as retrieve_mask
    from .api.channels import dyes as dyes
    from .api.channels import register as register
    from .api.channels import split_channels as split_channels
    from .api.channels_over_frames import channels_over_frames as channels_over_frames
    from .api.dyes import dyes_of_movie as dyes_of_movie
    from .api.estimating_channels import estimate_channels as estimate_channels
    from .api.lists import drift as drift
    from .api.lists import evaluate as evaluate
    from .api.lists import filter as filter
    from .api.lists import link as link
    from .api.lists import resolution as resolution
    from .api.lists import track as track
    from .api.localizing_channels import localize_channels as localize_channels
    from .api.masks import crlb as crlb
    from .api.masks import design_mask as design_mask
    from .api.masks import limit as limit
    from .api.masks import mask as mask
    from .api.masks import psf as psf
    from .api.movies import estimate as estimate
    from .api.movies import read_movie as read_movie
    from .api.movies import simulate as simulate
    from .api.movies import simulate_channels as simulate_channels
    from .api.reading import read_table as read_table
    from .api.reading import read_truth as read_truth
    from .api.recommending import recommend as recommend
    from .api.regenerating import regenerate as regenerate
    from .api.regenerating import regenerate_channels as regenerate_channels
    from .api.training import train as train
    from .calibration.beads.settings import BeadSettings as BeadSettings
    from .calibration.registration.registration import Registration as Registration
    from .channels.registered import ChannelPair as ChannelPair
    from .channels.transform import Transform as Transform
    from .emitters import Emitters as Emitters
    from .emitters import Localizations as Localizations
    from .errors import DoubtfulResult as DoubtfulResult
    from .errors import InputError as InputError
    from .errors import Interrupted as Interrupted
    from .experiment.experiment import Experiment as Experiment
    from .experiment.files import read_experiment as read_experiment
    from .experiment.files import write_experiment as write_experiment
    from .experiment.presets import preset as preset
    from .io.masks import read_mask as read_mask
    from .io.masks import write_mask as write_mask
    from .io.movies import open_movie as open_movie
    from .io.tables import write_table as write_table
    from .io.tables import write_truth as write_truth
    from .io.transforms import read_transform as read_transform
    from .io.transforms import write_transform as write_transform
    from .jobs.limit import Sweep as Sweep
    from .localizing.catalogue import list_models as list_models
    from .localizing.excerpt import Excerpt as Excerpt
    from .localizing.model import Model as Model
    from .localizing.model import load_model as load_model
    from .optics.microscope import Microscope as Microscope
    from .simulation.specimen import Specimen as Specimen
    from .watch import Watcher as Watcher

# Where each public name is defined: the one list of them.
_HOMES = {
    "BeadSettings": "calibration.beads.settings",
    "ChannelPair": "channels.registered",
    "DoubtfulResult": "errors",
    "Emitters": "emitters",
    "Excerpt": "localizing.excerpt",
    "Experiment": "experiment.experiment",
    "FrameTiming": "analysis.trajectories",
    "InputError": "errors",
    "Interrupted": "errors",
    "Localizations": "emitters",
    "Microscope": "optics.microscope",
    "Model": "localizing.model",
    "Registration": "calibration.registration.registration",
    "Specimen": "simulation.specimen",
    "Sweep": "jobs.limit",
    "Transform": "channels.transform",
    "Watcher": "watch",
    "crlb": "api.masks",
    "design_mask": "api.masks",
    "drift": "api.lists",
    "dyes": "api.channels",
    "dyes_of_movie": "api.dyes",
    "estimate": "api.movies",
    "estimate_channels": "api.estimating_channels",
    "evaluate": "api.lists",
    "filter": "api.lists",
    "find_beads": "api.beads",
    "limit": "api.masks",
    "link": "api.lists",
    "list_models": "localizing.catalogue",
    "load_model": "localizing.model",
    "mask": "api.masks",
    "measure_psf": "api.beads",
    "open_movie": "io.movies",
    "plot": "plot",
    "preset": "experiment.presets",
    "psf": "api.masks",
    "read_experiment": "experiment.files",
    "read_mask": "io.masks",
    "read_movie": "api.movies",
    "read_table": "api.reading",
    "read_transform": "io.transforms",
    "read_truth": "api.reading",
    "recommend": "api.recommending",
    "regenerate": "api.regenerating",
    "regenerate_channels": "api.regenerating",
    "register": "api.channels",
    "localize_channels": "api.localizing_channels",
    "channels_over_frames": "api.channels_over_frames",
    "resolution": "api.lists",
    "retrieve_mask": "api.beads",
    "simulate": "api.movies",
    "simulate_channels": "api.movies",
    "split_channels": "api.channels",
    "track": "api.lists",
    "train": "api.training",
    "write_experiment": "experiment.files",
    "write_mask": "io.masks",
    "write_table": "io.tables",
    "write_transform": "io.transforms",
    "write_truth": "io.tables",
}

__all__ = ["__version__", *_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """A public name, imported from where it is defined (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'deepstorm3d' has no attribute '{name}'")
    module = import_module(f".{_HOMES[name]}", __name__)
    value = module if name == "plot" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
