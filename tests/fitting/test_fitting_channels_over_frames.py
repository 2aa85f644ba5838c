"""Molecules in two channels and several frames: one place for all their light, at the joint bound."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from fitting_scenes import DEPTH, SIZE, table
from torch import Tensor

from deepstorm3d.channels import Transform
from deepstorm3d.emitters import Localizations
from deepstorm3d.fitting.joint import JointFit
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.linear import expected_image
from deepstorm3d.fitting.refine import Bounds
from deepstorm3d.fitting.sites.candidates import CandidatesFit
from deepstorm3d.fitting.sites.channel import LightsOfChannels, with_shares
from deepstorm3d.fitting.sites.channels import ChannelsFit, FurtherChannel
from deepstorm3d.fitting.sites.channels_over_frames import ChannelsOverFrames
from deepstorm3d.fitting.sites.covariance import lights_of, site_bounds
from deepstorm3d.fitting.sites.fit import SitesFound
from deepstorm3d.fitting.sites.known_shares import in_common
from deepstorm3d.fitting.sites.movie import Movie
from deepstorm3d.fitting.sites.state import Sites
from deepstorm3d.fitting.sites.windows import FoundBlock, SitesOverMovie
from deepstorm3d.fitting.state import JointState
from deepstorm3d.watch import SILENT

LEVEL, PHOTONS, FRAMES = 20.0, (1500.0, 1000.0), 4
BOUNDS = Bounds((DEPTH[0], DEPTH[1] - 0.1))
TURN = math.radians(5.0)
# Mirrored, turned by 5° and shifted into the second frame; 50 nm deeper there.
MATRIX = torch.tensor([[-math.cos(TURN), -math.sin(TURN)], [-math.sin(TURN), math.cos(TURN)]])
DEEPER = 0.05


def channels() -> ChannelsFit:
    psf = table(1.0, 1.0, torch.float32)
    width, height = (SIZE[1] - 1) * psf.pixel_um, (SIZE[0] - 1) * psf.pixel_um
    middle = torch.tensor([width / 2, height / 2])
    transform = Transform.affine(MATRIX, middle - MATRIX @ middle)
    fit = JointFit(
        psf, psf, BOUNDS, (DEPTH[0], DEPTH[1] - 0.1), spacing_px=math.inf, search_spacing_px=math.inf
    )
    return ChannelsFit(fit, (FurtherChannel(fit, transform, DEEPER),))


class Scene:
    """Molecules far from each other, each in some frames, and what both channels show of them."""

    def __init__(
        self,
        lives: list[range],
        seed: int = 0,
        step_um: float = 0.0,
        photons: tuple[float, float] = PHOTONS,
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.fit, self.photons = channels(), photons
        pixel = self.fit.first.core.pixel_um
        spots = [(0.3, 0.3), (0.7, 0.32), (0.3, 0.7), (0.68, 0.7), (0.5, 0.5)][: len(lives)]
        xy = torch.tensor([[x * SIZE[1], y * SIZE[0]] for x, y in spots]) * pixel
        xy += 0.05 * torch.randn(len(lives), 2, generator=generator)
        z = 0.2 + 0.6 * torch.rand(len(lives), 1, generator=generator)
        self.place = torch.cat([xy, z], 1).double()
        looks = [(frame, number) for number, life in enumerate(lives) for frame in life]
        self.frame, self.molecule = torch.tensor(sorted(looks)).unbind(1)
        drift = (self.frame * step_um)[:, None] * torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
        self.xyz = self.place[self.molecule] + drift
        sites = self.sites()
        self.lights = self._lights(sites, generator)

    def sites(self) -> Sites:
        """The truth, a look of each molecule in each of its frames and both channels."""
        image = torch.cat([2 * self.frame, 2 * self.frame + 1])
        photons = torch.tensor(self.photons).double().repeat_interleave(len(self.frame))
        order = torch.argsort(image, stable=True)
        level = torch.full((1, 1), LEVEL, dtype=torch.float64)
        return Sites(
            place=self.place,
            site=self.molecule.repeat(2)[order],
            image=image[order],
            photons=photons[order],
            origin=torch.full_like(image, -1),
            coefficients=(level,) * (2 * FRAMES),
            loose=torch.zeros_like(image, dtype=torch.bool),
            channels=2,
        )

    def _lights(self, sites: Sites, generator: torch.Generator) -> LightsOfChannels:
        blank = [Likelihood(torch.zeros(FRAMES, *SIZE))] * 2
        frames: list[list[Tensor]] = [[], []]
        for number in range(FRAMES):
            here = self.frame == number
            for channel, model in enumerate(self.fit.models(blank)):
                state = JointState(
                    xyz=self.xyz[here].float(),
                    photons=torch.full((int(here.sum()),), self.photons[channel]),
                    frame=torch.zeros(int(here.sum()), dtype=torch.int64),
                    coefficients=torch.full((1, 1, 1), LEVEL),
                    blur_px=None,
                )
                expected = expected_image(model.psf, model.seen(state), model.surface, (1, *SIZE))
                frames[channel].append(torch.poisson(expected[0], generator=generator))
        return LightsOfChannels(tuple(Likelihood(torch.stack(each)) for each in frames))

    def single(self) -> Localizations:
        """The list of single frames in both channels."""
        near = self.xyz + 0.02 * torch.randn(self.xyz.shape, generator=torch.Generator().manual_seed(5))
        rows = Localizations.proposals(near.float(), self.frame, torch.full((len(near),), 0.9))
        return CandidatesFit(self.fit)(rows, self.lights.channels).localizations

    def bound(self, shares: tuple[float, ...] | None = None) -> Tensor:
        """The joint bound of each molecule's place, all frames and channels together, (S, 3) µm."""
        lights = self.lights.channels
        models = with_shares(self.fit.models(lights), shares)
        movie = Movie(models, self.fit.bounds, lights_of(lights), SILENT)
        sites = self.sites()
        return site_bounds(movie, in_common(sites, movie) if movie.shared else sites).place


def molecules(found: Localizations, scene: Scene) -> list[Localizations]:
    """The rows near each true place, in order."""
    far = torch.cdist(found.xyz.double(), scene.place)
    return [found.select(far[:, number] < 0.3) for number in range(len(scene.place))]


@pytest.fixture(scope="module")
def scenes() -> list[tuple[Scene, Localizations, SitesFound]]:
    """The same molecules with other noise: all frames; two; one."""
    made = []
    for seed in range(6):
        scene = Scene([range(FRAMES), range(FRAMES), range(1, 3), range(2, 3)], seed)
        single = scene.single()
        made.append((scene, single, ChannelsOverFrames(scene.fit)(single, scene.lights)))
    return made


def test_a_molecule_has_one_place_and_its_sigma_is_the_joint_bound(
    scenes: list[tuple[Scene, Localizations, SitesFound]],
) -> None:
    scaled, stated, shrunk = list[Tensor](), list[Tensor](), list[Tensor]()
    for scene, single, made in scenes:
        found, bound = made.localizations, scene.bound()
        assert found.molecule is not None and found.share is not None and made.settled
        assert len(found) == len(scene.frame) and len(found.molecule.unique()) == len(scene.place)
        for number, (rows, alone) in enumerate(
            zip(molecules(found, scene), molecules(single, scene), strict=True)
        ):
            frames = int((scene.molecule == number).sum())
            assert rows.molecule is not None and len(rows.molecule.unique()) == 1 and len(rows) == frames
            assert bool((rows.xyz == rows.xyz[0]).all()) and bool((rows.sigma_xyz == rows.sigma_xyz[0]).all())
            stated.append(rows.sigma_xyz[0].double() / bound[number])
            shrunk.append(alone.sigma_xyz.mean(0) / rows.sigma_xyz[0] / frames**0.5)
            scaled.append((rows.xyz[0].double() - scene.place[number]) / bound[number])
    # σ is stated at the fitted places and photons, which differ from the true ones.
    for ratio in (torch.stack(stated), torch.stack(shrunk)):
        assert bool(((ratio > 0.8) & (ratio < 1.25)).all())
        assert float(ratio.mean()) == pytest.approx(1.0, abs=0.04)
    # 72 unit normals.
    assert float(torch.stack(scaled).square().mean()) == pytest.approx(1.0, abs=0.45)


def test_light_and_share_of_each_frame_are_kept_apart(
    scenes: list[tuple[Scene, Localizations, SitesFound]],
) -> None:
    rows = Localizations.concat([replace(made.localizations, molecule=None) for *_, made in scenes])
    assert rows.share is not None and rows.sigma_share is not None
    share = (rows.share - PHOTONS[1] / sum(PHOTONS)) / rows.sigma_share
    light = (rows.photons - sum(PHOTONS)) / rows.sigma_photons
    for error in (share, light):
        assert float(error.square().mean()) == pytest.approx(1.0, abs=0.45) and abs(float(error.mean())) < 0.4


def test_a_frame_that_the_list_lacks_is_filled(scenes: list[tuple[Scene, Localizations, SitesFound]]) -> None:
    scene, single, _ = scenes[0]
    first = int(torch.cdist(single.xyz.double(), scene.place)[:, 0].argmin())
    kept = torch.ones(len(single), dtype=torch.bool)
    kept[first] = False
    made = ChannelsOverFrames(scene.fit)(single.select(kept), scene.lights)
    assert made.filled == 1 and made.removed == 0
    assert len(molecules(made.localizations, scene)[0]) == FRAMES


def test_molecules_that_move_or_jump_are_not_tied() -> None:
    scene = Scene([range(FRAMES), range(FRAMES)], 3, step_um=0.08)
    made = ChannelsOverFrames(scene.fit)(scene.single(), scene.lights)
    rows = made.localizations
    assert rows.molecule is not None and len(rows) == len(scene.frame)
    # No two frames of a molecule share a place, and no frame is divided between its channels.
    assert len(rows.molecule.unique()) >= len(scene.frame) - 1
    far = torch.cdist(rows.xyz.double(), scene.xyz) + 1e3 * (rows.frame[:, None] != scene.frame)
    assert float(far.min(1).values.max()) < 0.1


@pytest.mark.parametrize("window", [1, 3])
def test_the_list_over_windows_is_nearly_that_of_all_frames_at_once(
    scenes: list[tuple[Scene, Localizations, SitesFound]], window: int
) -> None:
    scene, single, made = scenes[1]
    blocks = [
        FoundBlock(begin, single.select((single.frame >= begin) & (single.frame < begin + window)), lights)
        for begin in range(0, FRAMES, window)
        for lights in [scene.lights.select(torch.arange(begin, min(begin + window, FRAMES)))]
    ]
    blocks = [replace(block, found=block.found.sort()) for block in blocks]
    found = Localizations.concat(list(SitesOverMovie(ChannelsOverFrames(scene.fit), window)(blocks)))
    whole = made.localizations
    assert found.molecule is not None and whole.molecule is not None and len(found) == len(whole)
    assert len(found.molecule.unique()) == len(whole.molecule.unique())
    near = torch.cdist(found.xyz, whole.xyz) + 1e3 * (found.frame[:, None] != whole.frame)
    off = (found.xyz - whole.xyz[near.argmin(1)]) / found.sigma_xyz
    assert float(off.abs().max()) < 0.5
