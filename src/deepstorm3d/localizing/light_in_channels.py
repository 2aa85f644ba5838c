"""The list of a network that sees several channels, with the light of each molecule in all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..channels import ChannelView
from ..emitters import Localizations
from ..fitting.crowd import most_molecules, most_probable
from ..fitting.likelihood import Likelihood
from ..fitting.photometry import Photometry, fit_photometry
from ..fitting.sites.channels import FoundInChannels
from ..fitting.sites.shares import share_of_light
from ..optics.fisher import covariance_of_images, fisher_information
from ..optics.tabulated import TabulatedPSF
from ..watch import SILENT, Watcher

__all__ = ["ChannelLight", "LightInChannels"]

# Light of a molecule in a channel over its σ, from which on the channel shows it: one in a thousand by chance.
_SEEN = 3.1


@dataclass(frozen=True)
class ChannelLight:
    """What is needed to measure the light of known places in one channel.

    view: from the first channel's region to this one's;  psf: of the region;  spacing_px: distance of the knots
    of its background (`fit_photometry`).
    """

    view: ChannelView
    psf: TabulatedPSF
    spacing_px: float

    def photometry(self, found: Localizations, light: Likelihood) -> Photometry:
        """Photons and background of B frames at the places where this channel has the rows of the first."""
        return fit_photometry(
            self.psf,
            self.view.to_channel(found.xyz),
            found.frame,
            light.frames,
            weight=light.weight,
            noise=light.noise.averaged(),
            spacing_px=self.spacing_px,
        )

    def information(self, xyz: Tensor, photons: Tensor, background: Tensor, light: Likelihood) -> Tensor:
        """Fisher information (N, 5, 5) of this channel's image about x, y, z in the first one, photons and
        background; all zeros where it does not show the place.

        xyz: (N, 3) µm of the first channel;  photons, background: (N,) of this one.
        """
        noise, place = light.noise.averaged(), self.view.to_channel(xyz)
        # In the bound, read noise acts like additional background photons of the same variance.
        floor = (background + noise.mean_read_variance / noise.excess).clamp(min=0.1)
        here = fisher_information(self.psf, place, photons.clamp(min=1.0), floor).double() / noise.excess
        turn = torch.eye(5, dtype=torch.float64).repeat(len(xyz), 1, 1)
        turn[:, :3, :3] = self.view.jacobian(xyz)
        return turn.mT @ here @ turn * self.view.field.inside(place)[:, None, None]


@dataclass(frozen=True)
class LightInChannels:
    """Completes the candidates of a network that sees all channels, without moving or judging them.

    Photons and background are those of a linear fit to each channel at the network's places (no photons in a
    channel whose frame does not show the place), σ the Cramér-Rao bound of one molecule in all channels at
    these values (``sigma_source = crlb``); positions, photons and σ that the network measures itself are kept.

    channels: the first one first;  densest: highest plausible density, molecules/µm²: of more rows in a frame
    the most probable ones are kept.
    """

    channels: tuple[ChannelLight, ...]
    densest: float

    @torch.no_grad()
    def __call__(
        self, found: Localizations, lights: Sequence[Likelihood], watch: Watcher = SILENT
    ) -> FoundInChannels:
        """The molecules of B frames; arguments as of `CandidatesFit`."""
        first, frames = self.channels[0], len(lights[0])
        most = most_molecules(self.densest, first.view.field.size, first.psf.pixel_um, first.psf.patch_px)
        found = most_probable(found, frames, most)
        fits = [each.photometry(found, light) for each, light in zip(self.channels, lights, strict=True)]
        shown = [each.view.field.inside(each.view.to_channel(found.xyz)) for each in self.channels]
        photons = torch.stack([fit.photons for fit in fits], 1).double() * torch.stack(shown, 1)
        told = [
            each.information(found.xyz, fit.photons, fit.background, light)
            for each, fit, light in zip(self.channels, fits, lights, strict=True)
        ]
        covariance = covariance_of_images(torch.stack(told, 1))
        rows = _completed(found, fits, photons, covariance)
        watch.progress(frames, frames)
        sigma = covariance.diagonal(dim1=1, dim2=2)[:, 3::2].sqrt()
        return FoundInChannels(
            rows,
            torch.full((frames, len(lights)), float("nan")),
            together=int(((photons > _SEEN * sigma) & (sigma > 0)).all(1).sum()),
            filled=0,
            split=0,
            removed=0,
        )


def _completed(
    found: Localizations, fits: Sequence[Photometry], photons: Tensor, covariance: Tensor
) -> Localizations:
    """The rows with the light of all C channels.

    photons: (N, C);  covariance: (N, 3 + 2·C, 3 + 2·C) of x, y, z and each channel's photons and background.
    """
    like, weight = found.xyz, photons.clamp(min=1e-9)
    quality = torch.stack([fit.chi_square for fit in fits], 1).double()
    light, level = covariance[:, 3::2, 3::2], covariance[:, 4::2, 4::2]
    rows = replace(
        found,
        background=torch.stack([fit.background for fit in fits], 1).sum(1).to(like),
        fit_quality=((weight * quality).sum(1) / weight.sum(1)).to(like),
    )
    if photons.shape[1] == 2:
        share, sigma = share_of_light(photons, light)
        rows = replace(rows, share=share.to(like), sigma_share=sigma.to(like))
    if found.sigma_source not in ("none", "crlb"):
        return rows
    return replace(
        rows,
        photons=photons.sum(1).to(like),
        sigma_xyz=covariance.diagonal(dim1=1, dim2=2)[:, :3].sqrt().to(like),
        sigma_photons=light.sum((1, 2)).clamp(min=0).sqrt().to(like),
        sigma_background=level.sum((1, 2)).clamp(min=0).sqrt().to(like),
        sigma_source="crlb",
    )
