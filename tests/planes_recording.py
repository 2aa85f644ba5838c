"""A recording of two planes of focus: movies, the model of both, and proposals in place of its network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import deepstorm3d as ds
from deepstorm3d.channels import Transform, TransformSpec
from deepstorm3d.emitters import Localizations
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.presets import preset
from deepstorm3d.jobs.channel_inputs import ChannelInput, GivenTransform, both_pipelines
from deepstorm3d.jobs.localize import ListFile
from deepstorm3d.jobs.localize_together import localize_together
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.localizer.modelfile import save_model_file
from deepstorm3d.localizing.excerpt import Excerpt
from deepstorm3d.localizing.model import Model
from deepstorm3d.optics.scalar import ScalarPSFSpec
from factories import untrained_model

SIZE = (44, 48)
PIXEL = 0.1
FRAMES = 12
MIDDLE_UM = 1.0
# The far plane is shown turned by 2°, 1.01 times as large, and shifted by two pixels and more.
TURNED = Transform.affine(torch.tensor([[1.00938, -0.03525], [0.03525, 1.00938]]), torch.tensor([-0.21, 0.26]))


def biplane(transform: Transform = TURNED) -> Experiment:
    """The preset on a coarse pupil, with a scalar PSF and a network of seconds."""
    base = preset("biplane")
    far = base.channels["far"].with_(coefficients=TransformSpec.of(transform))
    return base.with_(
        psf=ScalarPSFSpec(patch_px=25, pupil_oversampling=2, blur_px=0.65),
        microscope=base.microscope.with_(mask_pitch=90.0),
        network=CoarseSpec(channels=8, skip=4, dilations=(1,)),
        frame_px=SIZE,
        channels={"far": far},
    )


class PlanesRecording:
    """Movies of both planes, the model, and what is there;  changes: of the scene's emitters."""

    def __init__(self, folder: Path, emitters: int | None = 6, **changes: object) -> None:
        self.experiment = biplane()
        scene = self.experiment.scene()
        inside = scene.with_(emitters=scene.emitters.with_(margin_px=(4.0, 4.0), **changes))
        setup = self.experiment.with_(scenes={"main": inside})
        movies, self.truth = ds.simulate_channels(setup, FRAMES, emitters=emitters, seed=3)
        self.counts: tuple[NDArray[Any], NDArray[Any]] = (movies["first"], movies["far"])
        self.model = Model(untrained_model(self.experiment, 0.5), device="cpu")
        self.paths = (folder / "near.npy", folder / "far.npy")
        for path, counts in zip(self.paths, self.counts, strict=True):
            np.save(path, counts)
        self.file = folder / "biplane.pt"
        save_model_file(self.model.file, self.file)

    def both(self, *movies: Any) -> tuple[ChannelInput, ChannelInput]:
        pipelines = both_pipelines([(self.model.pipeline(), self.model.file)]).pipelines
        first, second = (
            ChannelInput(Excerpt(movie), pipeline)
            for movie, pipeline in zip(movies or self.paths, pipelines, strict=True)
        )
        return first, second

    def localize(self, out: Path, given: GivenTransform | None = None, **options: Any) -> Any:
        together = both_pipelines([(self.model.pipeline(), self.model.file)]).together
        assert together is not None
        return localize_together(self.both(), together, given or GivenTransform(), ListFile(out), **options)


class Proposals:
    """In place of the trained network: the true places, each so many µm off in a random direction, some of them
    left out, and some false ones; and what the network was shown."""

    def __init__(
        self, recording: PlanesRecording, missing: int = 3, false: int = 6, off_um: float = 0.05
    ) -> None:
        generator = torch.Generator().manual_seed(1)
        truth = recording.truth
        off = torch.randn(len(truth), 3, generator=generator)
        xyz = truth.xyz + off_um * off / off.norm(dim=1, keepdim=True)
        kept = torch.ones(len(truth), dtype=torch.bool)
        kept[torch.randperm(len(truth), generator=generator)[:missing]] = False
        wrong = torch.rand(false, 3, generator=generator) * torch.tensor([4.7, 4.3, 1.2])
        wrong[:, 2] += 0.4
        frame = torch.cat([truth.frame[kept], torch.arange(false) % FRAMES])
        sure = torch.full((len(frame),), 0.8)
        sure[len(frame) - false :] = 0.2
        self.rows = Localizations.proposals(torch.cat([xyz[kept], wrong]).float(), frame, sure)
        self.shown: list[Tensor] = []
        self._known = torch.from_numpy(recording.counts[0].astype(np.float32))

    def __call__(self, frames: Tensor) -> Localizations:
        """Of frames that are known by those of the first channel."""
        self.shown.append(frames)
        parts = [Localizations.empty()]
        for place, frame in enumerate(frames[:, 0]):
            number = int((self._known - frame).abs().sum((1, 2)).argmin())
            rows = self.rows.select(self.rows.frame == number)
            parts.append(rows.shift(frames=place - number))
        return Localizations.concat(parts)
