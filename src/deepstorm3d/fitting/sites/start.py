"""From a list of single frames to sites: rows that are one molecule for their σ, and their light together."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...analysis.linking import LinkRule, link_rows
from ...emitters import Localizations
from ...errors import InputError
from ..photometry import fit_photometry
from .movie import Movie
from .state import Sites

__all__ = [
    "Carried",
    "in_order",
    "linked",
    "lit_sites",
    "order_of",
    "places_of_list",
    "rows_a_frame",
    "sites_of_list",
    "with_knowledge",
]

# Photons of a row below which its start is not taken from the least-squares fit, as a fraction of the list's.
_LEAST_SHARE = 0.1
# σ above which a row says too little of its place to be linked by it, µm.
_VAGUE_UM = 0.25


def in_order(found: Localizations) -> Localizations:
    """Rows in the order of frame, x, y, z, so that nothing depends on the order in which they came."""
    return found.select(order_of(found))


def order_of(found: Localizations) -> Tensor:
    """The rows in this order: (N,) int64."""
    xyz = found.xyz.detach().cpu().numpy()
    order = np.lexsort((xyz[:, 2], xyz[:, 1], xyz[:, 0], found.frame.cpu().numpy()))
    return torch.from_numpy(order).to(found.frame.device)


def rows_a_frame(found: Localizations, frames: int) -> float:
    """Rows of each of the frames, on average."""
    return len(found) / max(frames, 1)


@dataclass(frozen=True)
class Carried:
    """C sites of earlier frames that may shine on.

    rows: the sites as rows with σ, of the frames of their last looks, counted from the first of the frames to
    come: below 0;  place: (C, q) and information: (C·q, C·q) about their places.
    """

    rows: Localizations
    place: Tensor
    information: Tensor


def sites_of_list(
    found: Localizations, movie: Movie, carried: Carried | None, *, blurs: bool, dark: int
) -> Sites:
    """Sites of linked rows, and their photons and backgrounds by least squares.

    found: rows of images 0 … B−1 with σ, in order of image: of consecutive frames, or of the channels of one
    frame with their places in the first one;  carried: sites of earlier frames, which become the first ones;
    blurs: whether each site has a blur;  dark: frames in which a molecule may be missing.
    """
    place, site = places_of_list(found, movie, carried, blurs=blurs, dark=dark)
    return with_knowledge(lit_sites(place, site, found.frame, found.photons, movie), carried)


def places_of_list(
    found: Localizations, movie: Movie, carried: Carried | None, *, blurs: bool, dark: int
) -> tuple[Tensor, Tensor]:
    """Places (S, q) of the sites of a list, and the site of each row, (N,);  arguments of `sites_of_list`.

    Raises InputError for rows without σ.
    """
    _require_sigma(found)
    before = 0 if carried is None else len(carried.place)
    site = linked(found, None if carried is None else carried.rows, dark)
    place = _weighted_mean(found, site, before)
    if blurs:
        place = torch.cat([place, torch.full_like(place[:, :1], sum(movie.bounds.blur_px) / 2)], 1)
    if carried is not None:
        place[:before] = carried.place
    place[:, 2] = place[:, 2].clamp(*movie.bounds.z_um)
    return place, site


def with_knowledge(sites: Sites, carried: Carried | None) -> Sites:
    """The sites with what is known of the first ones of them, which are carried."""
    if carried is None:
        return sites
    new = (len(sites) - len(carried.place)) * sites.each
    knowledge = torch.nn.functional.pad(carried.information, (0, new, 0, new))
    last = torch.nn.functional.pad(carried.rows.frame, (0, len(sites) - len(carried.place)), value=-1)
    return replace(sites, before=sites.place, knowledge=knowledge, last=last)


def lit_sites(place: Tensor, site: Tensor, image: Tensor, photons: Tensor, movie: Movie) -> Sites:
    """Sites at places (S, q) with looks (N,) in order of image, their photons and backgrounds by least squares.

    photons: (N,) of the rows that the looks are from;  place: µm of the first channel (and px of the blur);
    image: of frame f in channel c f·C + c, even if the light is shared (`known_shares.in_common`).
    """

    def light(number: int) -> tuple[Tensor, Tensor]:
        rows, one = image == number, movie.lights[number]
        channel = movie.channels[number % len(movie.channels)]
        xyz = place[site[rows], :3].to(movie.dtype)
        fit = fit_photometry(
            channel.psf,
            xyz if channel.is_first else channel.places(xyz),
            torch.zeros_like(image[rows]),
            one.frames if one.known is None else one.frames - one.known,
            weight=one.weight,
            noise=one.noise,
            spacing_px=channel.spacing_px,
        )
        least = (_LEAST_SHARE * photons[rows]).clamp(min=movie.bounds.photons)
        return fit.photons.maximum(least), fit.coefficients[0]

    parts = movie.each_light(light)
    return Sites(
        place=place,
        site=site,
        image=image,
        photons=torch.cat([part[0] for part in parts]).double(),
        origin=torch.arange(len(site), device=site.device),
        coefficients=tuple(part[1].double() for part in parts),
        loose=torch.zeros_like(site, dtype=torch.bool),
        channels=len(movie.channels),
    )


def linked(found: Localizations, earlier: Localizations | None, dark: int) -> Tensor:
    """The site of each row, (N,) int64: the carried ones first, then those that begin here.

    earlier: the carried ones as rows (`Carried`).
    """
    before, table = 0, found
    if earlier is not None:
        before = len(earlier)
        columns = {name: getattr(earlier, name).to(getattr(found, name)) for name in ("xyz", "sigma_xyz")}
        xyz, sigma = (torch.cat([columns[name], getattr(found, name)]) for name in ("xyz", "sigma_xyz"))
        frame = torch.cat([earlier.frame, found.frame])
        table = replace(Localizations.proposals(xyz, frame, xyz[:, 0]), sigma_xyz=sigma)
    sharp = (table.sigma_xyz <= _VAGUE_UM).all(1)
    group = torch.arange(len(table), 2 * len(table))
    group[sharp] = link_rows(table.select(sharp), LinkRule(dark=dark))
    # Sites that are carried keep their numbers; of two that were joined here, the first has the rows.
    names: dict[int, int] = {}
    for number, name in enumerate(group[:before].tolist()):
        names.setdefault(name, number)
    later = [name for name in dict.fromkeys(group[before:].tolist()) if name not in names]
    names |= {name: before + number for number, name in enumerate(later)}
    return torch.tensor([names[name] for name in group[before:].tolist()], dtype=torch.int64)


def _require_sigma(found: Localizations) -> None:
    """Raises InputError where a row has no σ, by which it would be tied to others."""
    without = int((~(found.sigma_xyz.isfinite() & (found.sigma_xyz > 0))).any(1).sum())
    if without:
        raise InputError(
            f"{without} of {len(found)} rows have no σ by which they could be tied to others",
            "leave them out of the list, or leave every row as its frame gives it (`over_frames=False`)",
        )


def _weighted_mean(found: Localizations, site: Tensor, least: int) -> Tensor:
    """Mean position of the rows of each site, weighted by 1/σ²: (S, 3) float64, of at least so many sites."""
    count = max(least, int(site.max()) + 1 if len(site) else 0)
    weight = found.sigma_xyz.double().square().clamp(min=1e-12).reciprocal()
    total = weight.new_zeros(count, 3).index_add(0, site, weight)
    return weight.new_zeros(count, 3).index_add(0, site, weight * found.xyz.double()) / total
