"""Sites of a long movie: windows at absolute frames, molecules handed over their edges."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from fitting_scenes import DEPTH, MICROSCOPE, SIZE, table
from torch import Tensor

from deepstorm3d.emitters import Localizations
from deepstorm3d.field import Field
from deepstorm3d.fitting.background import SplineBackground
from deepstorm3d.fitting.joint import JointFit
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.linear import expected_image
from deepstorm3d.fitting.refine import Bounds
from deepstorm3d.fitting.sites import windows
from deepstorm3d.fitting.sites.fit import SiteFit
from deepstorm3d.fitting.sites.windows import FoundBlock, SitesOverMovie
from deepstorm3d.fitting.state import JointState

FRAMES = 13
WINDOW = 4
# Site, first frame, number of frames; each edge (4, 8, 12) is crossed by one.
LIT = [(0, 0, 2), (1, 2, 4), (2, 3, 1), (3, 6, 3), (4, 10, 3), (5, 1, 10)]


@pytest.fixture(scope="module")
def movie() -> tuple[Tensor, Localizations, Likelihood, JointFit]:
    """True places (S, 3), the list of single frames, the frames, and the fit that made the list."""
    share = torch.rand(len(LIT), 3, generator=torch.Generator().manual_seed(3))
    side = torch.tensor([SIZE[1], SIZE[0], 1.0]) * MICROSCOPE.pixel_um
    place = (0.15 + 0.7 * share) * side
    place[:, 2] = 0.2 + 0.8 * share[:, 2]
    looks = sorted((f, site) for site, first, count in LIT for f in range(first, first + count))
    frame, site = (torch.tensor(column) for column in zip(*looks, strict=True))
    truth = JointState(place[site], torch.full((len(site),), 3000.0), frame, torch.full((FRAMES, 1, 1), 20.0))
    psf = table(dtype=torch.float32)
    image = expected_image(psf, truth, SplineBackground(SIZE, math.inf, place), (FRAMES, *SIZE))
    likelihood = Likelihood(torch.poisson(image, generator=torch.Generator().manual_seed(1)))
    fit = JointFit(psf, psf, Bounds(DEPTH), DEPTH, spacing_px=math.inf, search_spacing_px=math.inf, rounds=0)
    single = fit(Localizations.proposals(truth.xyz, frame, torch.ones(len(site))), likelihood)
    return place, single, likelihood, fit


def blocks(single: Localizations, likelihood: Likelihood, cuts: list[int]) -> Iterator[FoundBlock]:
    for begin, end in zip([0, *cuts], [*cuts, len(likelihood)], strict=True):
        rows = (single.frame >= begin) & (single.frame < end)
        yield FoundBlock(begin, single[rows], likelihood.select(torch.arange(begin, end)))


def joined(parts: list[Localizations]) -> Localizations:
    return Localizations.concat(parts)


def test_the_windows_give_what_all_frames_at_once_give(
    movie: tuple[Tensor, Localizations, Likelihood, JointFit],
) -> None:
    place, single, likelihood, fit = movie
    whole = SiteFit(fit)(single, likelihood).localizations
    found = joined(list(SitesOverMovie(SiteFit(fit), WINDOW)(blocks(single, likelihood, []))))
    assert torch.equal(found.frame, whole.frame)
    assert found.molecule is not None and whole.molecule is not None
    assert len(found.molecule.unique()) == len(whole.molecule.unique()) == len(LIT)
    far = torch.cdist(whole.xyz, found.xyz) + 1e3 * (whole.frame[:, None] != found.frame)
    row = far.argmin(1)
    # Earlier photons and backgrounds are not fitted again, and the information is that at an earlier position.
    assert float(((found.xyz[row] - whole.xyz) / whole.sigma_xyz).abs().max()) < 0.2
    torch.testing.assert_close(found.sigma_xyz[row], whole.sigma_xyz, rtol=0.05, atol=0)
    for number in found.molecule.unique():
        own = found[found.molecule == number]
        assert torch.equal(own.xyz, own.xyz[:1].expand_as(own.xyz))
        assert torch.equal(own.sigma_xyz, own.sigma_xyz[:1].expand_as(own.xyz))
        true = place[torch.cdist(own.xyz[:1], place).argmin()]
        assert bool(((own.xyz[0] - true).abs() < 4.5 * own.sigma_xyz[0]).all())


@pytest.mark.parametrize("cuts", [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], [5, 6], [4, 8, 12]])
def test_how_the_movie_is_cut_into_blocks_changes_nothing(
    movie: tuple[Tensor, Localizations, Likelihood, JointFit], cuts: list[int]
) -> None:
    _, single, likelihood, fit = movie
    over = SitesOverMovie(SiteFit(fit), WINDOW)
    whole = joined(list(over(blocks(single, likelihood, []))))
    parts = joined(list(over(blocks(single, likelihood, cuts))))
    for name, column in whole.columns().items():
        assert torch.equal(column, parts.columns()[name]), name


def test_rows_come_in_order_and_as_soon_as_no_molecule_waits_for_them(
    movie: tuple[Tensor, Localizations, Likelihood, JointFit],
) -> None:
    _, single, likelihood, fit = movie
    bright = single[single.frame != 5]  # so that the long molecule is not lit all the time
    over = SitesOverMovie(SiteFit(fit), WINDOW)
    parts = list(over(blocks(bright, likelihood, [])))
    assert len(parts) == 5  # four windows and the rest
    # Molecule 5 shines from frame 1 to 10: until it is dark, rows from its first frame on wait.
    assert parts[0].frame.tolist() == [0] and len(parts[1]) == 0
    frames = joined(parts).frame
    assert bool((frames.diff() >= 0).all())
    # The frame that the list had nothing of was filled.
    assert int((frames == 5).sum()) >= 2


def test_a_molecule_that_never_goes_dark_is_given_in_parts(
    movie: tuple[Tensor, Localizations, Likelihood, JointFit], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, single, likelihood, fit = movie
    monkeypatch.setattr("deepstorm3d.fitting.sites.windows._LONGEST", 0)
    parts = list(SitesOverMovie(SiteFit(fit), WINDOW)(blocks(single, likelihood, [])))
    found = joined(parts)
    assert found.molecule is not None
    assert len(found) == len(single) and len(found.molecule.unique()) == len(LIT) + 1


def one_molecule(frames: list[int]) -> tuple[Localizations, Likelihood, JointFit]:
    """The list of one molecule that shines in some of 9 frames, the frames, and the fit."""
    place = torch.tensor([[SIZE[1] / 2, SIZE[0] / 2, 0.0]]) * MICROSCOPE.pixel_um + torch.tensor([0, 0, 0.6])
    frame, xyz = torch.tensor(frames), place.expand(len(frames), 3)
    truth = JointState(xyz, torch.full((len(frames),), 3000.0), frame, torch.full((9, 1, 1), 20.0))
    psf = table(dtype=torch.float32)
    image = expected_image(psf, truth, SplineBackground(SIZE, math.inf, place), (9, *SIZE))
    likelihood = Likelihood(torch.poisson(image, generator=torch.Generator().manual_seed(0)))
    fit = JointFit(psf, psf, Bounds(DEPTH), DEPTH, spacing_px=math.inf, search_spacing_px=math.inf, rounds=0)
    return fit(Localizations.proposals(xyz, frame, torch.ones(len(frames))), likelihood), likelihood, fit


@pytest.mark.parametrize("frames", [[WINDOW - 2, WINDOW], [WINDOW - 2, WINDOW + 1], [WINDOW - 1, WINDOW + 1]])
def test_over_an_edge_a_molecule_may_be_dark_as_long_as_within_a_window(frames: list[int]) -> None:
    single, likelihood, fit = one_molecule(frames)
    numbers: list[int] = []
    for window in (WINDOW, 9):
        found = joined(list(SitesOverMovie(SiteFit(fit), window)(blocks(single, likelihood, []))))
        assert found.molecule is not None
        numbers.append(len(found.molecule.unique()))
    # Two dark frames are more than one.
    assert numbers == ([2, 2] if frames[1] - frames[0] > 2 else [1, 1])


@pytest.mark.parametrize(("missing", "molecules"), [(1, 1), (2, 2)])
def test_a_molecule_on_both_sides_of_few_missing_frames_is_one(missing: int, molecules: int) -> None:
    single, likelihood, fit = one_molecule([2, 3, 4 + missing, 5 + missing])
    parts = [
        FoundBlock(begin, single[(single.frame >= begin) & (single.frame < end)], likelihood.select(frames))
        for begin, end in ((0, 4), (4 + missing, 9))
        for frames in [torch.arange(begin, end)]
    ]
    found = joined(list(SitesOverMovie(SiteFit(fit), WINDOW)(parts)))
    assert found.molecule is not None and len(found) == 4
    assert len(found.molecule.unique()) == molecules


def test_light_that_is_known_already_stays_known_in_windows_and_tiles() -> None:
    _, light, fit = one_molecule([2])
    known = Likelihood(light.frames[:2], light.noise, None, torch.full_like(light.frames[:2], 3.0))
    block = windows._joined(
        [FoundBlock(0, Localizations.empty(), known), FoundBlock(2, Localizations.empty(), light)]
    )
    assert isinstance(block.likelihood, Likelihood) and block.likelihood.known is not None
    assert block.likelihood.known.mean((1, 2)).tolist() == [3.0] * 2 + [0.0] * 9
    field = Field(SIZE[1], SIZE[0], MICROSCOPE.pixel_um)
    _, part = SiteFit(fit).tile(field, (4, 2, 20, 18), known, Localizations.empty())
    assert part.known is not None and torch.equal(part.known, torch.full((2, 16, 16), 3.0))
