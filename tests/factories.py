"""What many tests begin with: a small experiment, an untrained network, tables of molecules, movies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.presets import preset
from deepstorm3d.io.movies import MovieWriter
from deepstorm3d.jobs.train import build_localizer
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.localizer.modelfile import ModelFile

Places = Tensor | Sequence[Sequence[float]]


def tiny_experiment(**changes: Any) -> Experiment:
    """The preset `quickstart` on a coarse mask, with patches of 21 px and a network of seconds.

    changes: as of `Experiment.with_`, made last.
    """
    base = preset("quickstart")
    small = base.with_(
        psf=base.psf.with_(patch_px=21, pupil_oversampling=2),
        microscope=base.microscope.with_(mask_pitch=90.0),
        network=CoarseSpec(channels=8, skip=4, dilations=(1,)),
    )
    return small.with_(**changes)


def untrained_model(experiment: Experiment, threshold: float) -> ModelFile:
    """A model of the experiment whose network has its first, random weights."""
    return ModelFile(experiment.to_mapping(), build_localizer(experiment).state_dict(), threshold, None, {})


def model_of_noise(experiment: Experiment, frame: Tensor, values: int = 20) -> ModelFile:
    """An untrained model that takes what is highest in a frame (1, h, w) of noise for molecules.

    values: of the network's output that pass its threshold; about half as many become molecules.
    """
    localizer = build_localizer(experiment)
    localizer.measure_normalisation(torch.full((1, 8, 8), 20.0) + torch.rand(1, 8, 8))
    with torch.no_grad():
        heat = torch.sigmoid(localizer.eval()(frame))
    threshold = float(heat.flatten().topk(values).values[-1])
    return ModelFile(experiment.to_mapping(), localizer.state_dict(), threshold, None, {})


def emitters(
    xyz: Places, frame: Sequence[int] | None = None, photons: float | Sequence[float] = 1000.0
) -> Emitters:
    """Emitters at these places (µm), all in frame 0 unless told otherwise; photons: of all, or of each."""
    places = torch.as_tensor(xyz, dtype=torch.float32).reshape(-1, 3)
    number = len(places)
    light = torch.as_tensor(photons, dtype=torch.float32).expand(number).clone()
    return Emitters(places, _frames(frame, number), light, torch.arange(number))


def localizations(xyz: Places, frame: Sequence[int] | None = None) -> Localizations:
    """Localizations at these places (µm), all certain, all in frame 0 unless told otherwise."""
    places = torch.as_tensor(xyz, dtype=torch.float32).reshape(-1, 3)
    return Localizations.proposals(places, _frames(frame, len(places)), torch.ones(len(places)))


def _frames(frame: Sequence[int] | None, number: int) -> Tensor:
    return torch.zeros(number, dtype=torch.int64) if frame is None else torch.tensor(frame, dtype=torch.int64)


def write_movie(path: Path, counts: NDArray[Any] | Tensor, pixel_um: float | None = 0.11) -> Path:
    """A movie file of these counts (N, h, w), rounded to integers of 16 bits."""
    frames = np.asarray(counts)
    with MovieWriter(path, frames=len(frames), shape=frames.shape[1:], pixel_um=pixel_um) as writer:
        writer.append(frames)
    return path
