"""Molecules over frames of two channels in a field of tiles: each once, and the same however it is cut."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from fitting_scenes import DEPTH, MICROSCOPE, table
from torch import Tensor

from deepstorm3d.channels import Transform
from deepstorm3d.emitters import Localizations
from deepstorm3d.field import Field
from deepstorm3d.fitting.joint import JointFit
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.linear import expected_image
from deepstorm3d.fitting.refine import Bounds
from deepstorm3d.fitting.sites import tiles
from deepstorm3d.fitting.sites.candidates import CandidatesFit
from deepstorm3d.fitting.sites.channel import LightsOfChannels
from deepstorm3d.fitting.sites.channels import ChannelsFit, FurtherChannel
from deepstorm3d.fitting.sites.channels_over_frames import ChannelsOverFrames
from deepstorm3d.fitting.sites.parts import between_parts, shown_region
from deepstorm3d.fitting.sites.windows import FoundBlock, SitesOverMovie
from deepstorm3d.fitting.state import JointState

FRAMES, WINDOW, SIZE, SITES = 6, 3, (64, 120), 14
FIELD, SECOND = Field(*SIZE, MICROSCOPE.pixel_um), Field(70, 126, MICROSCOPE.pixel_um)
SHARES, PHOTONS = (0.6, 0.4), 4000.0
Recording = tuple[Localizations, LightsOfChannels, ChannelsFit]


def mirrored() -> Transform:
    """Mirrored along x, turned by 2°, into the larger frame of the second channel."""
    turn = math.radians(2.0)
    matrix = torch.tensor([[-math.cos(turn), -math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    middle, there = (torch.tensor([f.width - 1, f.height - 1]) / 2 * f.pixel_um for f in (FIELD, SECOND))
    return Transform.affine(matrix, there - matrix @ middle)


@pytest.fixture(scope="module")
def recording() -> Recording:
    """The list of single frames, the frames, and the fit of both channels."""
    draw = torch.Generator().manual_seed(4)
    side = torch.tensor([SIZE[1], SIZE[0], 1.0]) * MICROSCOPE.pixel_um
    place = torch.rand(SITES, 3, generator=draw) * side
    place[:, 2] = 0.2 + 0.6 * torch.rand(SITES, generator=draw)
    place[0, 0] = 59.5 * MICROSCOPE.pixel_um
    first, life = torch.arange(SITES) % 4, 2 + torch.arange(SITES) % 3
    looks = [(f, s) for s in range(SITES) for f in range(int(first[s]), min(FRAMES, int(first[s] + life[s])))]
    frame, site = (torch.tensor(column) for column in zip(*sorted(looks), strict=True))
    psf, bounds = table(dtype=torch.float32), Bounds((DEPTH[0], DEPTH[1] - 0.1))
    fit = JointFit(psf, psf, bounds, bounds.z_um, spacing_px=math.inf, search_spacing_px=math.inf)
    both = ChannelsFit(fit, (FurtherChannel(fit, mirrored(), 0.05),))
    truth = JointState(place[site], torch.full((len(site),), PHOTONS), frame, torch.full((FRAMES, 1, 1), 15.0))
    lights = list[Likelihood]()
    models = both.models([Likelihood(torch.zeros(1, *field.size)) for field in (FIELD, SECOND)])
    for number, (model, field) in enumerate(zip(models, (FIELD, SECOND), strict=True)):
        seen = model.seen(truth)
        seen = JointState(seen.xyz, SHARES[number] * seen.photons, frame, seen.coefficients)
        image = expected_image(psf, seen, model.surface, (FRAMES, *field.size))
        lights.append(Likelihood(torch.poisson(image, generator=torch.Generator().manual_seed(number))))
    rows = Localizations.proposals(truth.xyz, frame, torch.ones(len(frame)))
    single = CandidatesFit(both, SHARES)(rows, lights).localizations
    return single, LightsOfChannels(tuple(lights)), both


def fitted(recording: Recording, shares: tuple[float, ...] | None, cuts: tuple[int, ...] = ()) -> Localizations:
    single, lights, both = recording
    over = ChannelsOverFrames(both, shares, (FIELD, SECOND))

    def blocks() -> Iterator[FoundBlock]:
        for begin, end in zip([0, *cuts], [*cuts, FRAMES], strict=True):
            rows = (single.frame >= begin) & (single.frame < end)
            yield FoundBlock(begin, single[rows], lights.select(torch.arange(begin, end)))

    return Localizations.concat(SitesOverMovie(over, WINDOW, FIELD)(blocks()))


@pytest.mark.parametrize("shares", [None, SHARES])
def test_tiles_give_each_molecule_once_and_the_same_however_the_movie_arrives(
    recording: Recording, shares: tuple[float, ...] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fitted(recording, shares)
    monkeypatch.setattr(tiles, "_MOST_SITES", 6)
    monkeypatch.setattr(tiles, "_SHORTEST_PX", 30)
    cores: list[int] = []
    of_window = tiles._Window.fitted

    def counted(self: tiles._Window, *arguments: object) -> object:
        cores.append(1)
        return of_window(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(tiles._Window, "fitted", counted)
    found = fitted(recording, shares)
    assert len(cores) >= 4
    assert found.molecule is not None and whole.molecule is not None and found.share is not None
    assert torch.equal(found.frame, whole.frame) and len(found.molecule.unique()) == SITES
    far = torch.cdist(whole.xyz, found.xyz) + 1e3 * (whole.frame[:, None] != found.frame)
    row = far.argmin(1)
    assert len(row.unique()) == len(whole)
    assert float(((found.xyz[row] - whole.xyz) / whole.sigma_xyz).abs().max()) < 0.3
    torch.testing.assert_close(found.sigma_xyz[row], whole.sigma_xyz, rtol=0.05, atol=0)
    torch.testing.assert_close(found.photons[row], whole.photons, rtol=0.05, atol=0)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        parts = fitted(recording, shares, (1, 2, 4, 5))
    finally:
        torch.set_num_threads(threads)
    for name, column in found.columns().items():
        assert torch.equal(column, parts.columns()[name]), name


def test_a_part_is_where_the_transform_shows_it() -> None:
    transform, region = mirrored(), (30, 10, 62, 50)
    shown = shown_region(transform, FIELD, region, SECOND)
    x0, y0, x1, y1 = shown
    assert 0 <= x0 < x1 <= SECOND.width and 0 <= y0 < y1 <= SECOND.height and (x1 - x0) < 60
    pixel = MICROSCOPE.pixel_um
    places = torch.tensor([[31.0, 12.0], [60.0, 48.0]]).double() * pixel
    there = transform.apply(places) / pixel
    assert bool(((there >= torch.tensor([x0, y0])) & (there <= torch.tensor([x1 - 1, y1 - 1]))).all())
    corners = [torch.tensor([x, y, 0.0]).double() * pixel for x, y in ((30.0, 10.0), (float(x0), float(y0)))]
    between: Tensor = between_parts(transform, corners).apply(places - corners[0][:2])
    torch.testing.assert_close(between, transform.apply(places) - corners[1][:2])
    away = Transform.affine(torch.eye(2), torch.tensor([500.0, -500.0]))
    assert shown_region(away, FIELD, region, SECOND) == (SECOND.width - 16, 0, SECOND.width, 16)
