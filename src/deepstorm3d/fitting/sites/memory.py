"""What a fit has changed and changed back, so that it comes to an end."""

from __future__ import annotations

import torch
from torch import Tensor

from .state import Sites

__all__ = ["Memory"]

# A look is added no more at a place where it was removed so often, and removed looks within this distance count
# (µm; a distance in depth counts half).
_OFTEN = 2
_NEAR_UM = 0.1


class Memory:
    """Looks that were divided from others, and places where looks were removed.

    The tests for a change and for its opposite see different states, so that both can be right in turn: looks
    that were divided and joined again stay joined, and what was found and removed twice is not found again.
    """

    def __init__(self) -> None:
        self._divided: set[tuple[tuple[int, ...], ...]] = set()
        self._image = torch.zeros(0, dtype=torch.int64)
        self._at = torch.zeros(0, 3, dtype=torch.float64)

    def divides(self, sites: Sites, looks: Tensor) -> bool:
        """Whether looks (index) may be divided from the others of their site; they are noted."""
        key = tuple(sorted(_name(sites, look) for look in looks.tolist()))
        known = key in self._divided
        self._divided.add(key)
        return not known

    def removes(self, sites: Sites, gone: Tensor) -> None:
        """Note looks that are removed, (N,) bool."""
        self._image = torch.cat([self._image, sites.image[gone]])
        self._at = torch.cat([self._at, _scaled(sites.place[sites.site[gone], :3])])

    def allows(self, place: Tensor, image: Tensor) -> Tensor:
        """Whether looks at places (K, 3 or more) in images (K,) may be added: (K,) bool."""
        far = torch.cdist(_scaled(place[:, :3]), self._at, compute_mode="donot_use_mm_for_euclid_dist")
        near = (far < _NEAR_UM) & (image[:, None] == self._image)
        return near.sum(1) < _OFTEN


def _name(sites: Sites, look: int) -> tuple[int, ...]:
    """A look by its row of the list; one that was found later by its image and its site: the first row that
    this has, or else its place."""
    if int(sites.origin[look]) >= 0:
        return (int(sites.origin[look]),)
    site, image = int(sites.site[look]), int(sites.image[look])
    rows = sites.origin[(sites.site == site) & (sites.origin >= 0)]
    place = (sites.place[site, :2] / _NEAR_UM).round().long().tolist()
    return (-1, image, int(rows.min())) if len(rows) else (-2, image, *place)


def _scaled(place: Tensor) -> Tensor:
    return place.double() * torch.tensor([1.0, 1.0, 0.5], dtype=torch.float64)
