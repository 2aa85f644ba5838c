"""Merges the rows of one molecule into one row, with the sum of the photons, and counted."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..emitters import UNKNOWN_SIGMA_UM, Localizations, knows

__all__ = ["merge_rows", "one_row_each"]


def one_row_each(table: Localizations) -> Localizations:
    """One row for each molecule of a list whose molecules were fitted over several frames (`molecule`).

    As `merge_rows`, but for position and its σ: they are of all frames of the molecule already, and stay.
    A list of single frames is returned as it is.
    """
    if table.molecule is None:
        return table
    number = torch.unique(table.molecule, return_inverse=True)[1]
    return merge_rows(table, number, tied=True)


def merge_rows(table: Localizations, track: Tensor, *, tied: bool = False) -> Localizations:
    """One row for each molecule, in order of its first frame.

    track: (N,) molecule of each row; each number from 0 to the largest occurs;  tied: the rows of a molecule
    share a position that was found from all of them. For the rows of a molecule:

    - position: mean weighted by 1/σ², with σ = (Σ 1/σ²)^-½ (rows without σ: plain mean, σ 0); if tied, position
      and σ of any row;
    - photons: sum, with σ added in quadrature: all detected photons (0, not known, where one of its rows
      has no photons);
    - background: plain mean of the rows with one, per pixel and frame. Weights 1/σ² would favour dim frames
      and bias it low;
    - probability: the largest. The frames are not independent: whatever deceives a network in one frame (a
      neighbour, structured background) is in the next one too, and 1 − Π(1 − p) would be near 1;
    - fit_quality: mean of the rows that were fitted;
    - frame: the first;  detections: how many rows;
    - share: mean weighted by 1/σ²;  dye: that of the rows where it is the same, else 0, with the largest
      probability.
    """
    count = int(track.max()) + 1 if len(track) else 0
    rows = torch.bincount(track, minlength=count)

    def total(values: Tensor) -> Tensor:
        sums = torch.zeros(count, *values.shape[1:], dtype=torch.float64, device=track.device)
        return sums.index_add_(0, track, values.double())

    def whole(values: Tensor) -> Tensor:
        # A sum with an unknown part is not known.
        return torch.where(total((values == 0).double()) > 0, 0.0, total(values))

    position, sigma = _shared_place(table, track, count) if tied else _place(table, track, total)
    fitted = (table.fit_quality > 0).double()
    lit = ((table.background != 0) | (table.sigma_background > 0)).double()
    backgrounds = total(lit).clamp(min=1.0)
    first = torch.full((count,), torch.iinfo(torch.int64).max, device=track.device)
    first = first.scatter_reduce_(0, track, table.frame, "amin")
    likely = torch.zeros(count, dtype=table.probability.dtype, device=track.device)
    single = table.photons.dtype
    merged = Localizations(
        xyz=position.to(single),
        frame=first,
        photons=whole(table.photons).to(single),
        background=(total(table.background) / backgrounds).to(single),
        probability=likely.scatter_reduce_(0, track, table.probability, "amax"),
        sigma_xyz=sigma.to(single),
        sigma_photons=whole(table.sigma_photons.double().square()).sqrt().to(single),
        sigma_background=(whole(table.sigma_background.double().square()).sqrt() / rows).to(single),
        fit_quality=(total(table.fit_quality) / total(fitted).clamp(min=1.0)).to(single),
        sigma_source=table.sigma_source,
        detections=rows,
        **_of_channels(table, track, count, total),
    )
    return merged.sort()


def _of_channels(
    table: Localizations, track: Tensor, count: int, total: Callable[[Tensor], Tensor]
) -> dict[str, Tensor]:
    """Share of the second channel with its σ, and dye with its probability, where the list has them."""
    merged: dict[str, Tensor] = {}
    if table.share is not None and table.sigma_share is not None:
        known = table.sigma_share > 0
        equal = (total((~known).double()) > 0)[track]
        weight = torch.where(equal, 1.0, torch.where(known, table.sigma_share.double(), 1.0) ** -2)
        sums = total(weight)
        merged["share"] = (total(weight * table.share.double()) / sums).to(table.share)
        unknown = total(equal.double()) > 0
        merged["sigma_share"] = torch.where(unknown, 0.0, sums.rsqrt()).to(table.share)
    if table.dye is not None:
        least, most = (
            torch.zeros(count, dtype=table.dye.dtype, device=track.device).scatter_reduce_(
                0, track, table.dye, how, include_self=False
            )
            for how in ("amin", "amax")
        )
        merged["dye"] = torch.where(least == most, most, 0)
    if table.dye_probability is not None:
        likely = torch.zeros(count, dtype=table.dye_probability.dtype, device=track.device)
        merged["dye_probability"] = likely.scatter_reduce_(0, track, table.dye_probability, "amax")
    return merged


def _shared_place(table: Localizations, track: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Position and σ of one row of each molecule: (M, 3) µm each."""
    row = torch.zeros(count, dtype=torch.int64, device=track.device)
    row[track] = torch.arange(len(track), device=track.device)
    return table.xyz[row], table.sigma_xyz[row]


def _place(table: Localizations, track: Tensor, total: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Positions and σ: (M, 3) µm each."""
    variance = table.sigma_xyz.double().square()
    unknown = total((variance <= 0).double()) > 0
    equal = unknown[track]
    weight = torch.where(equal, 1.0, 1.0 / torch.where(equal, 1.0, variance))
    sums = total(weight)
    position = total(weight * table.xyz.double()) / sums
    # Many rows that do not know a depth know it no better than one.
    lost = total(knows(table.sigma_xyz).double()) == 0
    return position, torch.where(unknown, 0.0, torch.where(lost, UNKNOWN_SIGMA_UM, sums.rsqrt()))
