"""Other ways to read a spot that may be two molecules, one of them known from other frames.

In the list of single frames two molecules within 100 to 300 nm may be one spot where both shine. Another frame
in which one of them shines alone tells them apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..refine import Bounds
from .state import Sites

__all__ = [
    "AXIAL",
    "SAME_UM",
    "Arrangement",
    "begins_of_new",
    "looks_beside",
    "near_place",
    "pairs_for_spots",
    "without_site",
]

# Distance of two looks that may be one spot, µm.
_BESIDE_UM = 0.4
AXIAL = 0.5
"""Share of a distance in depth that counts where it is asked whether two sites may be one: spots differ less
along z."""
# Distance from the line between two sites within which a spot may be both of them, µm.
_BETWEEN_UM = 0.15
_FURTHEST_UM = 0.25  # largest first guess of the distance by which a spot moves if a part of it is another's

SAME_UM = 0.02
"""A site that moved less than this is where it was, µm."""


@dataclass(frozen=True)
class Arrangement:
    """A change of looks near a place.

    centre: (2,) µm;  gone: (G,) int64, looks that go;  moved: (M,) int64, sites that begin elsewhere, at places
    (M, q);  new: (K, q), places of new sites, whose numbers follow those of the sites;  site, image, photons:
    (L,) of the looks that come;  halved: (H,) int64, looks that begin with half of their photons;  least:
    decrease of the cost below which it is not made.
    """

    centre: Tensor
    gone: Tensor
    moved: Tensor
    moved_to: Tensor
    new: Tensor
    site: Tensor
    image: Tensor
    photons: Tensor
    halved: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    least: float = 0.0

    @classmethod
    def removal(cls, sites: Sites, site: int) -> Arrangement:
        """Without one of the sites."""
        looks, nobody = (sites.site == site).nonzero()[:, 0], torch.zeros(0, dtype=torch.int64)
        nowhere, dark = sites.place[:0], sites.photons[:0]
        return cls(sites.place[site, :2], looks, nobody, nowhere, nowhere, nobody, nobody, dark)

    @classmethod
    def division(cls, sites: Sites, site: int, half: Tensor) -> Arrangement:
        """Two sites in place of one, each by half (3,) µm away from it, with half of the light of each look."""
        looks, nobody = (sites.site == site).nonzero()[:, 0], torch.zeros(0, dtype=torch.int64)
        offset, place = torch.nn.functional.pad(half, (0, sites.each - 3)), sites.place[site]
        return cls(
            centre=sites.place[site, :2],
            gone=nobody,
            moved=torch.tensor([site]),
            moved_to=(place - offset)[None],
            new=(place + offset)[None],
            site=torch.full_like(looks, len(sites)),
            image=sites.image[looks],
            photons=sites.photons[looks] / 2,
            halved=looks,
        )

    def removed(self, sites: Sites) -> Tensor:
        """Looks that go and whose light no look takes that comes in their image: (N,) bool."""
        gone = torch.zeros_like(sites.loose).index_fill(0, self.gone, True)
        return gone & ~torch.isin(sites.image, self.image)

    def touched(self, sites: Sites) -> tuple[Tensor, Tensor]:
        """Sites that change, and images in which they do."""
        old = self.site[self.site < len(sites)]
        touched = torch.cat([sites.site[self.gone], self.moved, old]).unique()
        moving = torch.isin(sites.site, self.moved)
        return touched, torch.cat([self.image, sites.image[self.gone], sites.image[moving]]).unique()

    def key(self, sites: Sites) -> tuple[int, ...]:
        """The same for the same change of sites that have hardly moved."""
        touched, images = self.touched(sites)
        place = (torch.cat([sites.place[touched, :3], self.new[:, :3]]) / SAME_UM).round().long()
        return (*place.flatten().tolist(), -1, *images.tolist(), -1, *sites.image[self.gone].tolist())


def begins_of_new(xyz: Tensor, sites: Sites, bounds: Bounds) -> Tensor:
    """Where new sites at (K, 3) µm begin, (K, q): within the bounds of depth, with the mean blur of others."""
    place = xyz.to(sites.place)
    place = torch.cat([place[:, :2], place[:, 2:].clamp(*bounds.z_um)], 1)
    if not sites.blurs:
        return place
    blur = sites.place[:, 3].mean() if len(sites) else place.new_tensor(sum(bounds.blur_px) / 2)
    return torch.cat([place, blur.expand(len(place), 1)], 1)


def looks_beside(sites: Sites, dark: list[tuple[int, int]]) -> list[Arrangement]:
    """Looks of sites where another site has a look so near that both may be one spot.

    dark: site and frame of the looks that may be missing. Those beside one other site are tried together.
    """
    look_at, near = _looks_at(sites), _near(sites)
    frames_of: dict[tuple[int, int], list[int]] = {}
    for site, frame in dark:
        for other in near[site].nonzero()[:, 0].tolist():
            if (other, frame) in look_at and other != site:
                frames_of.setdefault((site, other), []).append(frame)
    found = []
    for (site, other), frames in sorted(frames_of.items()):
        frames = _spread(frames, sites, site, look_at, other)
        rows = torch.tensor([look_at[other, frame] for frame in frames])
        light = 0.5 * sites.photons[rows]
        known = bool((sites.frame[sites.site == other][:, None] != torch.tensor(frames)).all(1).any())
        to = sites.place[other].clone()
        if not known:
            to = to + (to - sites.place[site]).clamp(-_FURTHEST_UM, _FURTHEST_UM)
        found.append(
            _arrangement(
                sites,
                sites.place[[site, other], :2].mean(0),
                moved={} if known else {other: to},
                looks=[(site, frame, float(value)) for frame, value in zip(frames, light, strict=True)],
            )
        )
    return found


def _spread(
    frames: list[int], sites: Sites, site: int, look_at: dict[tuple[int, int], int], other: int
) -> list[int]:
    """The frames, and those that follow without a gap in which the other one shines and the site does not."""
    wider = set(frames)
    for frame in frames:
        for step in (-1, 1):
            now = frame + step
            while (other, now) in look_at and (site, now) not in look_at:
                wider.add(now)
                now += step
    return sorted(wider)


def pairs_for_spots(sites: Sites, dark: list[tuple[int, int]]) -> list[Arrangement]:
    """Two known sites in place of a spot that lies between them, and of no other look of its site."""
    look_at, near = _looks_at(sites), _near(sites)
    may: dict[int, list[int]] = {}
    for site, frame in dark:
        may.setdefault(frame, []).append(site)
    found = []
    for (spot, frame), row in sorted(look_at.items(), key=lambda item: item[1]):
        close = [site for site in may.get(frame, []) if bool(near[site, spot]) and site != spot]
        for i, one in enumerate(close):
            for other in close[i + 1 :]:
                share = _share_between(sites.place[one, :3], sites.place[other, :3], sites.place[spot, :3])
                if share is None:
                    continue
                light = float(sites.photons[row])
                found.append(
                    _arrangement(
                        sites,
                        sites.place[spot, :2],
                        gone=[row],
                        looks=[(one, frame, light * (1 - share)), (other, frame, light * share)],
                    )
                )
    return found


def without_site(sites: Sites, site: int, dark: list[tuple[int, int]]) -> Arrangement:
    """The sites without one of them: others beside it may have its light.

    dark: site and image of the looks that may be missing.
    """
    rows = (sites.site == site).nonzero()[:, 0]
    light = dict(zip(sites.image[rows].tolist(), sites.photons[rows].tolist(), strict=True))
    near = near_place(sites, sites.place[site, :3])
    near[site] = False
    looks = [(one, image) for one, image in dark if image in light and bool(near[one])]
    return replace(
        Arrangement.removal(sites, site),
        site=torch.tensor([one for one, _ in looks], dtype=torch.int64),
        image=torch.tensor([image for _, image in looks], dtype=torch.int64),
        photons=torch.tensor([0.5 * light[image] for _, image in looks], dtype=torch.float64),
    )


def _share_between(one: Tensor, other: Tensor, middle: Tensor) -> float | None:
    """Where between two places a third one lies, 0.1 … 0.9; None: not between them."""
    scale = one.new_tensor([1.0, 1.0, AXIAL])
    way, to = (other - one) * scale, (middle - one) * scale
    share = float((way @ to) / (way @ way).clamp(min=1e-9))
    if not 0.0 < share < 1.0 or float((to - share * way).norm()) > _BETWEEN_UM:
        return None
    return min(max(share, 0.1), 0.9)


def _arrangement(
    sites: Sites,
    centre: Tensor,
    *,
    gone: list[int] | None = None,
    moved: dict[int, Tensor] | None = None,
    looks: list[tuple[int, int, float]],
) -> Arrangement:
    moved = moved or {}
    nowhere = sites.place[:0]
    site, frame, photons = zip(*looks, strict=True)
    return Arrangement(
        centre=centre,
        gone=torch.tensor(gone or [], dtype=torch.int64),
        moved=torch.tensor(list(moved), dtype=torch.int64),
        moved_to=torch.stack(list(moved.values())) if moved else nowhere,
        new=nowhere,
        site=torch.tensor(site),
        image=torch.tensor(frame),
        photons=torch.tensor(photons, dtype=torch.float64),
    )


def _looks_at(sites: Sites) -> dict[tuple[int, int], int]:
    """The look of each site in each frame."""
    return {key: row for row, key in enumerate(zip(sites.site.tolist(), sites.frame.tolist(), strict=True))}


def near_place(sites: Sites, xyz: Tensor) -> Tensor:
    """Sites so near a place (3,) µm that both may be one spot: (S,) bool."""
    scale = sites.place.new_tensor([1.0, 1.0, AXIAL])
    return ((sites.place[:, :3] - xyz) * scale).norm(dim=1) < _BESIDE_UM


def _near(sites: Sites) -> Tensor:
    """Sites so near that they may be one spot: (S, S) bool."""
    place = sites.place[:, :3] * sites.place.new_tensor([1.0, 1.0, AXIAL])
    return torch.cdist(place, place) < _BESIDE_UM
