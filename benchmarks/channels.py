"""Two channels of one microscope: each alone, and every frame fitted in both at once.

Frames of --size pixels of an experiment with one further channel (preset `biplane`), turned by 2° and magnified
1.01 times; emitters at random places, the photons and background of the experiment divided by the share; or
--photons. Candidates by pursuit, without a network. Ways:

  first, second   what `localize` gives for one channel; the second one brought back by the transform;
  both            the same two lists, fitted over both channels.

Rows where both channels see are matched frame by frame (Hungarian, 150 nm in 3D); errors of the matched rows
over the root mean square of the joint Cramér-Rao bounds of both channels of the same molecules, with all other
molecules, all photons and a level of background in each channel unknown.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

import deepstorm3d as ds
from channel_bounds import joint_bounds
from deepstorm3d.analysis.matching import match
from deepstorm3d.api.movies import as_experiment
from deepstorm3d.channels import ChannelPair, ChannelView, Transform
from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.experiment.channel import Channel
from deepstorm3d.experiment.channel_views import channel_views
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.optics import psf_source
from deepstorm3d.field import Field
from deepstorm3d.fitting.joint import JointFit
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.sites.channels import ChannelsFit, FurtherChannel
from deepstorm3d.io.transforms import write_transform
from deepstorm3d.localizing.fits import build_fit
from deepstorm3d.simulation.photons import FixedPhotons
from harness import arguments_of, report

TOLERANCE_UM = 0.15
COUNTS = (1, 10, 35)


def experiment_of(arguments: argparse.Namespace, folder: Path) -> Experiment:
    """The experiment, its second channel turned by 2° and 1.01 times as large about the middle of the frame."""
    base = as_experiment(arguments.experiment)
    size = (arguments.size, arguments.size)
    base = base.with_(frame_px=size)
    pixel, middle = base.microscope.pixel_um, (arguments.size - 1) / 2
    turn = np.deg2rad(2.0)
    matrix = 1.01 * torch.tensor([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    centre = torch.full((2,), middle * pixel, dtype=torch.float64)
    transform = Transform.affine(matrix, centre - matrix.double() @ centre)
    field = Field(*size, pixel)
    write_transform(folder / "t.yaml", ChannelPair(transform, (0.0, 0.001), (field, field)), overwrite=True)
    if arguments.photons:
        bright = {
            name: scene.with_(emitters=scene.emitters.with_(photons=FixedPhotons(photons=arguments.photons)))
            for name, scene in base.scenes.items()
        }
        base = base.with_(scenes=bright)
    name, channel = next(iter(base.channels.items()), ("second", Channel()))
    return base.with_(channels={name: channel.with_(transform=str(folder / "t.yaml"), frame_px=size)})


def fit_of(experiment: Experiment) -> JointFit:
    """The fit of one channel's frames, candidates by pursuit."""
    fit = build_fit(experiment, psf_source(experiment), "pursuit", torch.device("cpu"))
    assert isinstance(fit, JointFit)
    return fit


def score(truth: Emitters, found: Localizations, bound: Tensor) -> dict[str, object]:
    """Jaccard index, and errors of the matched rows: nm, over the joint bound, and over their own σ."""
    pairs = match(truth, found, tolerance_um=TOLERANCE_UM)
    error = found.xyz[pairs.found_index].double() - truth.xyz[pairs.truth_index].double()
    rms = error.square().mean(0).sqrt()
    least = bound[pairs.truth_index].double().square().mean(0).sqrt()
    pull = (error / found.sigma_xyz[pairs.found_index].double()).square().mean(0).sqrt()
    return {
        "jaccard": round(len(pairs) / (len(truth) + len(found) - len(pairs)), 3),
        "rmse_nm": [round(1000 * value, 2) for value in rms.tolist()],
        "over_bound": [round(value, 2) for value in (rms / least).tolist()],
        "error_over_sigma": [round(value, 2) for value in pull.tolist()],
    }


@dataclass(frozen=True)
class Setup:
    """The experiment, the second channel's view, the fit of each channel alone, and of both."""

    experiment: Experiment
    view: ChannelView
    singles: tuple[JointFit, JointFit]
    joint: ChannelsFit

    @property
    def field(self) -> Field:
        """The first channel's frame."""
        return Field(*self.experiment.frame_px, self.experiment.microscope.pixel_um)

    def in_both(self, xyz: Tensor) -> Tensor:
        """Which places (N, 3) µm both channels show."""
        return self.field.inside(xyz) & self.view.field.inside(self.view.to_channel(xyz))


def setup_of(experiment: Experiment) -> Setup:
    """All that is fitted with."""
    view = channel_views(experiment)[1]
    singles = fit_of(experiment.of_channel(0)), fit_of(experiment.of_channel(1))
    further = FurtherChannel(singles[1], view.transform, view.depth_offset_um)
    return Setup(experiment, view, singles, ChannelsFit(singles[0], (further,)))


def measured(setup: Setup, count: int, frames: int, seed: int) -> list[dict[str, object]]:
    """A row for each way of frames with so many emitters."""
    movies, truth = ds.simulate_channels(setup.experiment, frames, emitters=count, seed=seed)
    lights, lists, seconds = [], [], []
    for number, counts in enumerate(movies.values()):
        camera = setup.experiment.of_channel(number).camera
        lights.append(Likelihood(camera.to_photons(torch.from_numpy(counts.astype(np.float32)), {})))
        begun = time.process_time()
        lists.append(setup.singles[number](Localizations.empty(), lights[-1]))
        seconds.append(time.process_time() - begun)
    begun = time.process_time()
    both = setup.joint(lists, lights)
    seconds.append(time.process_time() - begun)
    bound = joint_bounds(setup.joint, truth, lights, setup.view.share)
    seen = setup.in_both(truth.xyz)
    ways = {"first": lists[0], "second": setup.joint.others[0].in_first(lists[1]), "both": both.localizations}
    rows = []
    for (way, found), spent in zip(ways.items(), seconds, strict=True):
        shown = found.select(setup.in_both(found.xyz))
        row = {"emitters": count, "frames": frames, "true rows": int(seen.sum()), "way": way}
        row |= score(truth.select(seen), shown, bound[seen])
        rows.append(row | {"cpu s": round(spent, 2), "ms a row": round(1000 * spent / max(1, len(found)), 1)})
    share, sigma = both.localizations.share, both.localizations.sigma_share
    assert share is not None and sigma is not None
    pull = ((share - setup.view.share) / sigma)[sigma > 0].abs().median() / 0.6745
    rows[-1] |= {"share over its σ": round(float(pull), 2), "divided": both.split, "removed": both.removed}
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", default="biplane", help="preset or file with one further channel")
    parser.add_argument("--size", type=int, default=64, help="of the frames, px (default: 64)")
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS, help="emitters in a frame")
    parser.add_argument("--emitters", type=int, default=200, help="true rows for each number (default: 200)")
    parser.add_argument("--photons", type=float, help="of every emitter (default: the experiment's)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = arguments_of(parser)
    if arguments.quick:
        arguments.emitters, arguments.counts = 10, COUNTS[:2]
    with TemporaryDirectory() as folder:
        setup = setup_of(experiment_of(arguments, Path(folder)))
        rows = []
        for count in arguments.counts:
            rows += measured(setup, count, -(-arguments.emitters // count), arguments.seed)
            print(rows[-1], flush=True)
    report("Two channels", rows, arguments)


if __name__ == "__main__":
    main()
