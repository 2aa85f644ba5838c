"""Two channels and several frames: known shares of the light, and molecules that the list lacks everywhere."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from test_fitting_channels_over_frames import FRAMES, PHOTONS, Scene, molecules
from torch import Tensor

from deepstorm3d.fitting.sites.channels_over_frames import ChannelsOverFrames
from deepstorm3d.fitting.sites.fit import SitesFound
from deepstorm3d.fitting.sites.windows import FoundBlock, SitesOverMovie

SHARES = (PHOTONS[0] / sum(PHOTONS), PHOTONS[1] / sum(PHOTONS))


@pytest.fixture(scope="module")
def scenes() -> list[tuple[Scene, SitesFound, SitesFound]]:
    """Molecules of four, two and one frames: with free shares and with known ones."""
    made = []
    for seed in range(6):
        scene = Scene([range(FRAMES), range(FRAMES), range(1, 3), range(2, 3)], seed)
        single = scene.single()
        free, known = (ChannelsOverFrames(scene.fit, shares) for shares in (None, SHARES))
        made.append((scene, free(single, scene.lights), known(single, scene.lights)))
    return made


def test_known_shares_bring_the_errors_to_their_joint_bound_which_is_lower(
    scenes: list[tuple[Scene, SitesFound, SitesFound]],
) -> None:
    scaled, stated, light, share = list[Tensor](), list[Tensor](), list[Tensor](), list[Tensor]()
    for scene, free, known in scenes:
        found, bound = known.localizations, scene.bound(SHARES)
        assert found.molecule is not None and found.share is not None and found.sigma_share is not None
        assert known.settled and len(found) == len(scene.frame)
        assert len(found.molecule.unique()) == len(scene.place) and known.filled == known.removed == 0
        assert bool((bound <= scene.bound() * (1 + 1e-6)).all())
        assert bool((found.sigma_photons < free.localizations.sigma_photons * 1.05).all())
        for number, rows in enumerate(molecules(found, scene)):
            assert len(rows) == int((scene.molecule == number).sum())
            stated.append(rows.sigma_xyz[0].double() / bound[number])
            scaled.append((rows.xyz[0].double() - scene.place[number]) / bound[number])
        light.append((found.photons - sum(PHOTONS)) / found.sigma_photons)
        share.append((found.share - SHARES[1]) / found.sigma_share)
    assert float(torch.stack(stated).mean()) == pytest.approx(1.0, abs=0.04)
    # 72 unit normals; 66 and 66.
    for errors in (torch.stack(scaled), torch.cat(light), torch.cat(share)):
        assert float(errors.square().mean()) == pytest.approx(1.0, abs=0.5)


def test_the_table_of_a_movie_with_known_shares_is_nearly_the_same_in_windows(
    scenes: list[tuple[Scene, SitesFound, SitesFound]],
) -> None:
    scene, _, made = scenes[1]
    single = scene.single().sort()
    blocks = [
        FoundBlock(begin, single.select((single.frame >= begin) & (single.frame < begin + 2)), lights)
        for begin in range(0, FRAMES, 2)
        for lights in [scene.lights.select(torch.arange(begin, begin + 2))]
    ]
    over = SitesOverMovie(ChannelsOverFrames(scene.fit, SHARES), 2)
    parts = [replace(rows, sigma_source="fit") for rows in over(blocks) if len(rows)]
    xyz, whole = torch.cat([rows.xyz for rows in parts]), made.localizations
    assert len(xyz) == len(whole)
    near = torch.cdist(xyz, whole.xyz) + 1e3 * (
        torch.cat([rows.frame for rows in parts])[:, None] != whole.frame
    )
    assert float(((xyz - whole.xyz[near.argmin(1)]) / whole.sigma_xyz[near.argmin(1)]).abs().max()) < 0.5


@pytest.mark.parametrize("shares", [None, SHARES])
@pytest.mark.parametrize("photons", [PHOTONS, (330.0, 220.0)])
def test_a_molecule_that_the_list_lacks_in_all_frames_is_found(
    shares: tuple[float, ...] | None, photons: tuple[float, float]
) -> None:
    scene = Scene([range(FRAMES), range(FRAMES)], 7, photons=photons)
    single = scene.single()
    lacks = single.select(torch.cdist(single.xyz.double(), scene.place)[:, 1] > 0.5)
    assert 0 < len(lacks) < 2 * FRAMES
    found = ChannelsOverFrames(scene.fit, shares)(lacks, scene.lights).localizations
    rows = molecules(found, scene)
    assert found.molecule is not None and len(found.molecule.unique()) == 2, found
    for number, each in enumerate(rows):
        assert len(each) == FRAMES
        off = (each.xyz[0].double() - scene.place[number]) / scene.bound(shares)[number]
        assert float(off.abs().max()) < 4


@pytest.mark.parametrize("shares", [None, SHARES])
def test_nothing_is_found_where_nothing_is(shares: tuple[float, ...] | None) -> None:
    for seed in range(3):
        scene = Scene([range(FRAMES)], 20 + seed)
        made = ChannelsOverFrames(scene.fit, shares)(scene.single(), scene.lights)
        assert len(made.localizations) == FRAMES and made.filled == 0
