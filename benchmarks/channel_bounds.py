"""The joint Cramér-Rao bound of all channels of a frame, at the truth."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from deepstorm3d.emitters import Emitters
from deepstorm3d.fitting.background import SplineBackground
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.sites.channel import ChannelModel
from deepstorm3d.fitting.sites.channels import ChannelsFit
from deepstorm3d.fitting.sites.covariance import lights_of, site_bounds
from deepstorm3d.fitting.sites.known_shares import in_common
from deepstorm3d.fitting.sites.movie import Movie
from deepstorm3d.fitting.sites.state import Sites
from deepstorm3d.watch import SILENT

__all__ = ["joint_bounds"]


def joint_bounds(
    fit: ChannelsFit, truth: Emitters, lights: list[Likelihood], share: float, *, known: bool = False
) -> Tensor:
    """Joint bound of x, y, z of each true row, (N, 3) µm, at the truth of the frames.

    known: the second channel's share of the light is.
    """
    shares = torch.tensor([1 - share, share])
    whole = [fit.first.whole, *(channel.single.whole for channel in fit.others)]
    total = torch.zeros(len(truth), 3)
    for frame in range(len(lights[0])):
        rows = (truth.frame == frame).nonzero()[:, 0]
        one = [light.select(torch.tensor([frame])) for light in lights]
        channels = []
        for number, (psf, light) in enumerate(zip(whole, one, strict=True)):
            size = light.frames.shape[1], light.frames.shape[2]
            model = ChannelModel(psf, SplineBackground(size, float("inf"), light.frames), float("inf"))
            if number:
                further = fit.others[number - 1]
                model = replace(model, transform=further.transform, depth_um=further.depth_um)
            channels.append(replace(model, share=float(shares[number])) if known else model)
        number = len(rows)
        photons = truth.photons[rows].double()
        sites = Sites(
            truth.xyz[rows].double(),
            torch.arange(number).repeat(2),
            torch.arange(2).repeat_interleave(number),
            torch.cat([(1 - share) * photons, share * photons]),
            torch.arange(2 * number),
            tuple(light.frames.median().double().view(1, 1) for light in one),
            torch.zeros(2 * number, dtype=torch.bool),
            channels=2,
        )
        movie = Movie(tuple(channels), fit.bounds, lights_of(one), SILENT)
        if known:
            sites = in_common(sites, movie)
        total[rows] = site_bounds(movie, sites).place[:, :3].float()
    return total
