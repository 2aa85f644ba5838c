"""Two channels that were registered: the transform, the depth offset, both fields, and where it was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ..brief import Brief
from ..emitters import Localizations
from ..field import Field
from .transform import Transform

__all__ = ["ChannelPair", "moved_rows"]

# Relative difference of pixel sizes that is taken for rounding.
_ROUNDING = 1e-3


@dataclass(frozen=True, repr=False)
class ChannelPair(Brief):
    """Where a molecule of the first channel is in the second: (T(x, y), z + δz).

    Parameters
    ----------
    transform : Transform
    depth : tuple of float
        δz and its standard error, µm.
    fields : tuple of Field
        Of the two cameras, or of the two halves of one.
    names : tuple of str
        Files that it was found from.
    facts : mapping
        Pairs, residuals and so on, by name with unit.
    """

    transform: Transform
    depth: tuple[float, float]
    fields: tuple[Field, Field]
    names: tuple[str, str] = ("", "")
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def excess_um(self) -> tuple[float, float, float]:
        """By how much partners differ on x, y and z beyond what their σ say, µm; 0 where it is not known."""
        x, y, z = (float(self.facts.get(f"excess_{axis}_nm", 0.0)) / 1000 for axis in "xyz")
        return x, y, z

    def apply(self, found: Localizations) -> Localizations:
        """A list of the first channel where the second channel has it; σ go along, correlations are left out.

        Parameters
        ----------
        found : Localizations
        """
        xy = found.xyz[:, :2].double()
        return moved_rows(found, self.transform.apply(xy), self.depth[0], self.transform.jacobian(xy))

    def undo(self, found: Localizations) -> Localizations:
        """A list of the second channel where the first channel has it.

        Parameters
        ----------
        found : Localizations

        Raises
        ------
        InputError
            Where rows have no place in the first channel.
        """
        xy = self.transform.inverse(found.xyz[:, :2])
        return moved_rows(found, xy, -self.depth[0], torch.linalg.inv(self.transform.jacobian(xy)))

    def doubts(self, shape: tuple[int, int], pixel_um: float, *, second: bool = False) -> list[str]:
        """Why a list of frames of (height, width) px may not be of the camera's region that was registered.

        Parameters
        ----------
        shape : tuple of int
            Height and width of the list's frames, px.
        pixel_um : float
            Camera pixel of the list, µm.
        second : bool
            The list is of the second channel.
        """
        known, channel = self.fields[second], "second" if second else "first"
        told = []
        if abs(pixel_um - known.pixel_um) > _ROUNDING * known.pixel_um:
            told.append(
                f"the list has pixels of {1000 * pixel_um:g} nm, the {channel} channel was registered with "
                f"pixels of {1000 * known.pixel_um:g} nm: one of the two is wrong, and positions with it"
            )
        if shape != known.size:
            told.append(
                f"the list is of frames of {shape[1]} x {shape[0]} px, the {channel} channel was registered in "
                f"frames of {known.width} x {known.height} px: another region of the camera begins at another "
                "pixel, and the transform holds only from the same first pixel"
            )
        return told


def moved_rows(found: Localizations, xy: Tensor, depth_um: float, slope: Tensor) -> Localizations:
    """Rows at other places xy (N, 2) µm, deeper by depth_um; slope (N, 2, 2) carries their σ."""
    xyz = torch.cat([xy.to(found.xyz), found.xyz[:, 2:] + depth_um], dim=1)
    # Rows without σ in one of the axes stay without.
    known = (found.sigma_xyz[:, :2] > 0).all(1, keepdim=True)
    variance = torch.einsum("nij,nj->ni", slope**2, found.sigma_xyz[:, :2].to(slope) ** 2)
    lateral = torch.where(known, variance.sqrt().to(found.sigma_xyz), found.sigma_xyz[:, :2])
    return replace(found, xyz=xyz, sigma_xyz=torch.cat([lateral, found.sigma_xyz[:, 2:]], dim=1))
