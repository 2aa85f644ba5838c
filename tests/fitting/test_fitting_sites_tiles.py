"""Sites of a field that is cut into tiles: each site once, where the whole field has it."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from fitting_scenes import DEPTH, MICROSCOPE, table
from torch import Tensor

from deepstorm3d.emitters import Localizations
from deepstorm3d.field import Field
from deepstorm3d.fitting.background import SplineBackground
from deepstorm3d.fitting.joint import JointFit
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.linear import expected_image
from deepstorm3d.fitting.refine import Bounds
from deepstorm3d.fitting.sites import tiles
from deepstorm3d.fitting.sites.fit import SiteFit
from deepstorm3d.fitting.sites.windows import FoundBlock, SitesOverMovie
from deepstorm3d.fitting.state import JointState

FRAMES, WINDOW, SIZE = 6, 3, (72, 150)
FIELD = Field(*SIZE, MICROSCOPE.pixel_um)
SITES = 24


@pytest.fixture(scope="module")
def movie() -> tuple[Tensor, Localizations, Likelihood, JointFit]:
    """True places, the list of single frames, the frames and the fit: molecules of two to four frames."""
    draw = torch.Generator().manual_seed(2)
    side = torch.tensor([SIZE[1], SIZE[0], 1.0]) * MICROSCOPE.pixel_um
    place = torch.rand(SITES, 3, generator=draw) * side
    place[:, 2] = 0.2 + 0.8 * torch.rand(SITES, generator=draw)
    # Two of them at the edges of tiles: one of halves, one of quarters.
    place[0, 0] = 74.5 * MICROSCOPE.pixel_um
    place[1, :2] = torch.tensor([37.5, 35.5]) * MICROSCOPE.pixel_um
    first, life = torch.arange(SITES) % 4, 2 + torch.arange(SITES) % 3
    looks = [(f, s) for s in range(SITES) for f in range(int(first[s]), min(FRAMES, int(first[s] + life[s])))]
    frame, site = (torch.tensor(column) for column in zip(*sorted(looks), strict=True))
    truth = JointState(place[site], torch.full((len(site),), 3000.0), frame, torch.full((FRAMES, 1, 1), 20.0))
    psf = table(dtype=torch.float32)
    image = expected_image(psf, truth, SplineBackground(SIZE, math.inf, place), (FRAMES, *SIZE))
    likelihood = Likelihood(torch.poisson(image, generator=torch.Generator().manual_seed(1)))
    fit = JointFit(psf, psf, Bounds(DEPTH), DEPTH, spacing_px=math.inf, search_spacing_px=math.inf, rounds=0)
    single = fit(Localizations.proposals(truth.xyz, frame, torch.ones(len(site))), likelihood)
    return place, single, likelihood, fit


@pytest.fixture
def in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "_MOST_SITES", 4)
    monkeypatch.setattr(tiles, "_SHORTEST_PX", 30)


def fitted(
    movie: tuple[Tensor, Localizations, Likelihood, JointFit], cuts: tuple[int, ...] = ()
) -> Localizations:
    _, single, likelihood, fit = movie

    def blocks() -> Iterator[FoundBlock]:
        for begin, end in zip([0, *cuts], [*cuts, FRAMES], strict=True):
            rows = (single.frame >= begin) & (single.frame < end)
            yield FoundBlock(begin, single[rows], likelihood.select(torch.arange(begin, end)))

    return Localizations.concat(SitesOverMovie(SiteFit(fit), WINDOW, FIELD)(blocks()))


@pytest.mark.usefixtures("in_tiles")
def test_the_cores_cover_the_field_once() -> None:
    places = torch.rand(500, 2, generator=torch.Generator().manual_seed(0)).double() * 8 - 0.5
    cores = list(tiles._cores(FIELD, 16, places))
    assert len(cores) > 4
    hits = torch.zeros(SIZE, dtype=torch.int64)
    for x0, y0, x1, y1 in cores:
        hits[y0:y1, x0:x1] += 1
    assert bool((hits == 1).all())
    # And what lies outside the frame belongs to one of them too.
    outside = torch.tensor([[-3.0, -2.0], [160.0, 20.0], [74.0, 80.0]])
    assert torch.stack([tiles._inside(outside, core, FIELD) for core in cores]).sum(0).tolist() == [1, 1, 1]


def test_a_field_with_few_molecules_is_one_tile(
    movie: tuple[Tensor, Localizations, Likelihood, JointFit], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut: list[int] = []
    monkeypatch.setattr(tiles._Window, "fitted", lambda *_: cut.append(1))
    fitted(movie)
    assert not cut


def test_tiles_give_each_molecule_once_where_the_whole_field_has_it(
    movie: tuple[Tensor, Localizations, Likelihood, JointFit],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    whole = fitted(movie)
    request.getfixturevalue("in_tiles")
    cores: list[int] = []
    of_window = tiles._Window.fitted

    def counted(self: tiles._Window, *arguments: object) -> object:
        cores.append(1)
        return of_window(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(tiles._Window, "fitted", counted)
    found = fitted(movie)
    assert len(cores) >= 8
    assert found.molecule is not None and whole.molecule is not None
    assert torch.equal(found.frame, whole.frame)
    assert torch.equal(found.molecule.unique(), whole.molecule.unique())
    far = torch.cdist(whole.xyz, found.xyz) + 1e3 * (whole.frame[:, None] != found.frame)
    row = far.argmin(1)
    assert len(row.unique()) == len(whole)
    # Molecules outside a tile's margin are fixed as single frames have them.
    assert float(((found.xyz[row] - whole.xyz) / whole.sigma_xyz).abs().max()) < 0.3
    torch.testing.assert_close(found.sigma_xyz[row], whole.sigma_xyz, rtol=0.05, atol=0)
    # The same rows are one molecule in both.
    pairs = {(int(a), int(b)) for a, b in zip(whole.molecule, found.molecule[row], strict=True)}
    assert len(pairs) == len(whole.molecule.unique())


@pytest.mark.usefixtures("in_tiles")
def test_in_tiles_too_how_the_movie_is_cut_changes_nothing(
    movie: tuple[Tensor, Localizations, Likelihood, JointFit],
) -> None:
    whole, parts = fitted(movie), fitted(movie, (1, 2, 4, 5))
    for name, column in whole.columns().items():
        assert torch.equal(column, parts.columns()[name]), name
