"""A picture of what a network in training sees: one simulated frame, the truth, what it finds."""

from __future__ import annotations

from pathlib import Path

import torch

from .. import plot
from ..fitting.photometry import fit_photometry
from ..localizer.localizer import NetworkLocalizer
from ..plot.panels import save_figure
from ..training.sampler import FrameSampler

__all__ = ["draw_training_preview"]


@torch.no_grad()
def draw_training_preview(
    localizer: NetworkLocalizer, sampler: FrameSampler, out: Path, *, seed: int, title: str
) -> None:
    """Draw always the same frame, so that pictures of different steps can be compared.

    localizer: put in evaluation mode for the while;  sampler: of the training crops;  out: picture.
    """
    batch = sampler.draw(1, torch.Generator(sampler.device).manual_seed(seed))
    was_training = localizer.training
    localizer.eval()
    found = localizer.localize(batch.seen.to(localizer.offset.device)).to(sampler.device)
    localizer.train(was_training)
    simulator = sampler.simulator
    noise = simulator.camera.pixel_noise(simulator.camera_maps).averaged()
    light = fit_photometry(simulator.psf, found.xyz, found.frame, batch.photons, noise=noise)
    figure = plot.overlay(
        batch.photons[0],
        found,
        pixel_um=simulator.field.pixel_um,
        regenerated=light.model[0],
        truth=batch.truth,
        noise=noise.variance(light.model[0]).clamp(min=1.0).sqrt(),
        title=title,
    )
    save_figure(figure, out)
