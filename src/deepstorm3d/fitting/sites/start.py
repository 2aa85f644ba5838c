"""From a list of single frames to sites: rows that are one molecule for their σ, and their light together."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...analysis.linking import LinkRule, link_rows
from ...emitters import Localizations
from ..photometry import fit_photometry
from .frames import Movie
from .state import Sites

__all__ = ["in_order", "sites_of_list"]

# Photons of a row below which its start is not taken from the least-squares fit, as a fraction of the list's.
_LEAST_SHARE = 0.1
# σ above which a row says too little of its place to be linked by it, µm.
_VAGUE_UM = 0.25


def in_order(found: Localizations) -> Localizations:
    """Rows in the order of frame, x, y, z, so that nothing depends on the order in which they came."""
    xyz = found.xyz.detach().cpu().numpy()
    order = np.lexsort((xyz[:, 2], xyz[:, 1], xyz[:, 0], found.frame.cpu().numpy()))
    return found.select(torch.from_numpy(order).to(found.frame.device))


def sites_of_list(found: Localizations, movie: Movie, spacing_px: float, *, blurs: bool, dark: int) -> Sites:
    """Sites of linked rows, and their photons and backgrounds by least squares.

    found: rows of frames 0 … B−1 with σ, in order of frame;  spacing_px: of the background's knots;
    blurs: whether each site has a blur;  dark: frames in which a molecule may be missing.
    """
    vague = (found.sigma_xyz > _VAGUE_UM).any(1)
    site = torch.empty_like(found.frame)
    site[~vague] = link_rows(found.select(~vague), LinkRule(dark=dark))
    linked = int((~vague).sum())
    most = int(site[~vague].max()) + 1 if linked else 0
    site[vague] = torch.arange(most, most + len(found) - linked, device=site.device)
    place = _weighted_mean(found, site)
    place[:, 2] = place[:, 2].clamp(*movie.bounds.z_um)
    if blurs:
        place = torch.cat([place, torch.full_like(place[:, :1], sum(movie.bounds.blur_px) / 2)], 1)
    xyz = place[site, :3].to(movie.dtype)

    def light(number: int) -> tuple[Tensor, Tensor]:
        rows, one = found.frame == number, movie.lights[number]
        here = torch.zeros_like(found.frame[rows])
        fit = fit_photometry(
            movie.psf, xyz[rows], here, one.frames, weight=one.weight, noise=one.noise, spacing_px=spacing_px
        )
        least = (_LEAST_SHARE * found.photons[rows]).clamp(min=movie.bounds.photons)
        return fit.photons.maximum(least), fit.coefficients[0]

    parts = movie.each(light)
    return Sites(
        place=place,
        site=site,
        frame=found.frame,
        photons=torch.cat([part[0] for part in parts]).double(),
        origin=torch.arange(len(found), device=site.device),
        coefficients=torch.stack([part[1] for part in parts]).double(),
        loose=torch.zeros_like(vague),
    )


def _weighted_mean(found: Localizations, site: Tensor) -> Tensor:
    """Mean position of the rows of each site, weighted by 1/σ²: (S, 3) float64."""
    count = int(site.max()) + 1 if len(site) else 0
    weight = found.sigma_xyz.double().square().clamp(min=1e-12).reciprocal()
    total = weight.new_zeros(count, 3).index_add(0, site, weight)
    return weight.new_zeros(count, 3).index_add(0, site, weight * found.xyz.double()) / total
