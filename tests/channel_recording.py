"""A recording in two channels of the same molecules: movies, models, transform and the true list."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import deepstorm3d as ds
from deepstorm3d.channels import ChannelPair, Transform
from deepstorm3d.emitters import Localizations
from deepstorm3d.experiment.channel import Channel
from deepstorm3d.field import Field
from deepstorm3d.io.transforms import write_transform
from deepstorm3d.localizer.modelfile import save_model_file
from deepstorm3d.localizing.model import Model
from deepstorm3d.simulation.priors import DensityCount
from factories import model_of_noise, tiny_experiment

SIZE = (40, 44)
"""Height and width of the frames of both, px."""
PIXEL = 0.11
SHARE = 0.3
"""Of the light in the second channel."""


def turned(size: tuple[int, int] = SIZE) -> ChannelPair:
    """The second channel shows the first turned by 3° and 1.01 times as large, 50 nm deeper."""
    matrix = torch.tensor([[1.0086, -0.0523], [0.0523, 1.0086]])
    transform = Transform.affine(matrix, torch.tensor([0.1, -0.08]))
    return ChannelPair(transform, (0.05, 0.001), (Field(*size, PIXEL), Field(*size, PIXEL)))


class ChannelRecording:
    """A few frames of 5 molecules, or of a density (per µm²), in a folder.

    It holds ``transform.yaml``, ``A.npy``, ``B.npy``, and the models ``0.pt`` and ``1.pt``.
    setup: the experiment with both channels;  counts: of both movies;  models: of each, untrained, with a few
    proposals in a frame;  found: the true molecules as a list.
    """

    def __init__(
        self, folder: Path, frames: int = 2, size: tuple[int, int] = SIZE, density: float = 0.0
    ) -> None:
        self.folder, self.transform = folder, folder / "transform.yaml"
        write_transform(self.transform, turned(size))
        base = tiny_experiment(frame_px=size)
        if density:
            scene, count = base.scene(), DensityCount(low=density, high=density)
            base = base.with_(scenes={"main": scene.with_(emitters=scene.emitters.with_(count=count))})
        self.setup = base.with_(channels={"red": Channel(light=SHARE, transform=str(self.transform))})
        movies, self.truth = ds.simulate_channels(self.setup, frames, emitters=None if density else 5, seed=5)
        self.counts: tuple[NDArray[Any], NDArray[Any]] = (movies["first"], movies["red"])
        self.movies = [folder / name for name in ("A.npy", "B.npy")]
        for path, counts in zip(self.movies, self.counts, strict=True):
            np.save(path, counts)
        self.models = tuple(
            Model(model_of_noise(self.setup.of_channel(number), torch.from_numpy(counts[:1]).float()))
            for number, counts in enumerate(self.counts)
        )
        self.model_files = [folder / f"{number}.pt" for number in range(2)]
        for path, model in zip(self.model_files, self.models, strict=True):
            save_model_file(model.file, path)
        rows = Localizations.proposals(self.truth.xyz, self.truth.frame, torch.ones(len(self.truth)))
        share = torch.full((len(rows),), SHARE)
        self.found = replace(rows, photons=self.truth.photons, share=share, sigma_share=share / 100).sort()

    def options(self) -> list[str]:
        """Both models, as options of a command."""
        return [word for path in self.model_files for word in ("--model", str(path))]
