"""What a molecule must bring follows from the whole field: the same list however this is cut into tiles."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

import deepstorm3d
from deepstorm3d.channels import Transform
from deepstorm3d.emitters import Localizations
from deepstorm3d.field import Field
from deepstorm3d.fitting import selection
from deepstorm3d.fitting.background import SplineBackground
from deepstorm3d.fitting.joint import JointFit
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.linear import expected_image
from deepstorm3d.fitting.search import MatchedFilter, gain_threshold
from deepstorm3d.fitting.sites import channels, fit, tiles
from deepstorm3d.fitting.sites.candidates import CandidatesFit
from deepstorm3d.fitting.sites.channel import LightsOfChannels
from deepstorm3d.fitting.sites.channels import ChannelsFit, FurtherChannel
from deepstorm3d.fitting.sites.channels_over_frames import ChannelsOverFrames
from deepstorm3d.fitting.sites.fit import SiteFit
from deepstorm3d.fitting.sites.tiles import WindowFit
from deepstorm3d.fitting.sites.windows import FoundBlock, SitesOverMovie
from deepstorm3d.fitting.state import JointState
from deepstorm3d.localizing.fits import Method
from deepstorm3d.localizing.pipeline import Pipeline, load_pipeline
from factories import tiny_experiment, untrained_model

FRAMES, SIZE, BACKGROUND = 2, (460, 56), 20.0
SHARES = (0.5, 0.5)
# What the molecules bring before position and background are fitted: less than the price of a field of this
# size needs, but as much as that of a tile, or clearly more. Over frames and channels what each look brings
# counts as well: clearly less and more. The price there and behind a network follows from the rows of a frame;
# one half of the field has three times as many as the other.
BRING = torch.cat([torch.linspace(24, 29, 19), torch.linspace(31.2, 44, 19)])
BRING_OVER_FRAMES = torch.cat([torch.linspace(12, 18, 19), torch.linspace(31.2, 44, 19)])
OVER_FRAMES = ("over frames", "channels over frames", "of known shares, over frames")
WAYS = ("mle", "pursuit", "network", "channels", *OVER_FRAMES)


@dataclass(frozen=True)
class Seeing(Pipeline):
    """Its network sees all molecules, and is sure of the bright ones."""

    def propose(self, frames: Tensor) -> Localizations:
        light, image = Likelihood(frames), torch.full_like(frames, BACKGROUND)
        search, least = joint().search(frames, joint().search_spacing_px), torch.full((len(frames),), 6.0)
        found = search.search(light.score(image), light.information(image), least, apart_px=8, most=99)
        return Localizations.proposals(found.xyz, found.frame, torch.where(found.gain > 24, 1.0, 0.5))


@cache
def pipeline(method: Method) -> Pipeline:
    made = load_pipeline(untrained_model(tiny_experiment(), 0.5), method=method)
    if not isinstance(made.fit, JointFit):
        return made
    if method == "network":
        made = Seeing(**vars(made))
    # All molecules are dim here, and where the knots of a background lie depends on the tile.
    level = float("inf")
    return replace(made, fit=replace(made.fit, dim_photons=0.0, spacing_px=level, search_spacing_px=level))


def joint() -> JointFit:
    fit = pipeline("pursuit").fit
    assert isinstance(fit, JointFit)
    return fit


def field() -> Field:
    return Field(*SIZE, joint().core.pixel_um)


@cache
def places() -> Tensor:
    """Molecules far apart, in voxels of the search, (N, 3) µm."""
    number = torch.arange(len(BRING))
    xy = torch.stack([16 + 24 * (number % 2), 14 + 24 * (number // 2)], 1) * field().pixel_um
    z = MatchedFilter(joint().core, joint().z_um, SIZE, xy).z
    return torch.cat([xy, z[3 + number % 4][:, None]], 1)


@cache
def truth(images: int, *, over: bool = False) -> JointState:
    """The molecules in all frames; so many images together show what they bring.

    over: for the ways over frames.
    """
    spots = joint().core(places()).values.flatten(1).double()
    bring = (BRING_OVER_FRAMES if over else BRING).double() / images
    bring = bring[torch.randperm(len(bring), generator=torch.Generator().manual_seed(0))]
    least, most = torch.zeros_like(bring), torch.full_like(bring, 1e4)
    photons = most
    for _ in range(40):
        photons = (least + most) / 2
        seen = BACKGROUND + photons[:, None] * spots
        fall = 2 * (seen * (seen / BACKGROUND).log() - photons[:, None] * spots).sum(1)
        least, most = torch.where(fall < bring, photons, least), torch.where(fall < bring, most, photons)
    number = torch.arange(FRAMES).repeat_interleave(len(bring))
    level = torch.full((FRAMES, 1, 1), BACKGROUND)
    made = JointState(places().repeat(FRAMES, 1), photons.float().repeat(FRAMES), number, level)
    place = torch.arange(len(made)) % len(bring)
    return made.rows((place < len(bring) // 2) | (place % 3 == 0)) if over else made


@cache
def frames(images: int = 1, *, over: bool = False) -> Tensor:
    """Frames without noise."""
    surface = SplineBackground(SIZE, float("inf"), places())
    return expected_image(joint().core, truth(images, over=over), surface, (FRAMES, *SIZE))


@dataclass(frozen=True)
class Lists:
    """A way of localizing the frames, whole or in tiles."""

    way: str

    def __call__(self) -> Localizations:
        if self.way in ("mle", "pursuit"):
            return pipeline(self.way).localize(frames())  # type: ignore[arg-type]
        if self.way == "network":
            return pipeline("network").localize(frames(over=True))
        if self.way == "over frames":
            seen = frames(FRAMES, over=True)
            return self._over(SiteFit(joint()), single(FRAMES, over=True), Likelihood(seen))
        both = ChannelsFit(joint(), (FurtherChannel(joint(), Transform.identity()),))
        if self.way == "channels":
            alike = single(2, over=True), Likelihood(frames(2, over=True))
            return both([alike[0]] * 2, [alike[1]] * 2).localizations
        if self.way == "channels over frames":
            # The second channel is dark.
            lights = frames(FRAMES, over=True), torch.full_like(frames(), BACKGROUND)
            shares, found = None, single(FRAMES, over=True)
        else:
            lights, shares = (frames(2 * FRAMES, over=True),) * 2, SHARES
            alone = replace(both, first=replace(joint(), rounds=0))
            found = CandidatesFit(alone, shares)(
                truth_rows(over=True), [Likelihood(each) for each in lights]
            ).localizations
        over = ChannelsOverFrames(both, shares, (field(), field()))
        return self._over(over, found, LightsOfChannels(tuple(Likelihood(each) for each in lights)))

    def _over(
        self, fit: WindowFit, found: Localizations, light: Likelihood | LightsOfChannels
    ) -> Localizations:
        def blocks() -> Iterator[FoundBlock]:
            yield FoundBlock(0, found, light)

        return Localizations.concat(SitesOverMovie(fit, FRAMES, field())(blocks()))


@cache
def single(images: int, *, over: bool = False) -> Localizations:
    """All molecules, fitted in single frames."""
    return replace(joint(), rounds=0)(truth_rows(over=over), Likelihood(frames(images, over=over)))


def truth_rows(*, over: bool = False) -> Localizations:
    made = truth(1, over=over)
    return Localizations.proposals(made.xyz, made.frame, torch.ones(len(made)))


def cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut the field into tiles as short as they may be."""
    whole = pipeline

    def tiled(method: Method) -> Pipeline:
        return replace(whole(method), tile_px=48)

    monkeypatch.setattr(sys.modules[__name__], "pipeline", tiled)
    monkeypatch.setattr(tiles, "_LONGEST_PX", 80)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[float]]:
    """For each module that asked: numbers of positions searched, from which prices follow."""
    told: dict[str, set[float]] = {}
    own = MatchedFilter.positions
    assert own.fget is not None
    count = own.fget

    def positions(search: MatchedFilter) -> float:
        frame = inspect.currentframe()
        assert frame is not None and frame.f_back is not None
        number = count(search)
        told.setdefault(frame.f_back.f_globals["__name__"], set()).add(number)
        return number

    monkeypatch.setattr(MatchedFilter, "positions", property(positions))
    return told


def in_order(found: Localizations) -> tuple[Localizations, Tensor]:
    """The rows in order of frames and molecules, and which of all these each is."""
    number = found.frame * len(BRING) + torch.cdist(found.xyz, places()).argmin(1)
    return found.select(number.argsort()), number.sort().values


@pytest.mark.parametrize("way", WAYS)
def test_the_list_is_the_same_however_the_field_is_cut(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, of_whole = in_order(Lists(way)())
    cut(monkeypatch)
    found, of_found = in_order(Lists(way)())
    assert torch.equal(of_found, of_whole)
    assert FRAMES < len(whole) < FRAMES * len(BRING)
    assert float(((found.xyz - whole.xyz).abs() / whole.sigma_xyz).max()) < 0.3


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> set[float]:
    """Rows a frame that the prices follow from."""
    told: set[float] = set()

    def threshold(positions: float, false_alarms: float, rows: float = 1.0) -> float:
        told.add(rows)
        return gain_threshold(positions, false_alarms, rows)

    for module in (selection, fit, channels):
        monkeypatch.setattr(module, "gain_threshold", threshold)
    return told


@pytest.mark.parametrize("way", OVER_FRAMES)
def test_the_price_over_frames_follows_from_the_rows_of_the_whole_field(
    way: str, rows: set[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut(monkeypatch)
    Lists(way)()
    # 1: of the list of single frames.
    assert rows - {1.0} == {len(truth(1, over=True)) / FRAMES}


def test_the_price_behind_a_network_follows_from_the_molecules_that_it_expects_in_the_whole_field(
    rows: set[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = pipeline("network").propose(frames(over=True))
    many, few = ((found.probability == probability).sum() / FRAMES for probability in (1.0, 0.5))
    assert min(many, few) > 8
    rows.clear()
    cut(monkeypatch)
    Lists("network")()
    # A power of two, so that frames of about as many have the same one.
    assert rows == {2.0 ** int(math.log2(many + few / 2))}


def test_every_price_is_that_of_the_whole_field(
    asked: dict[str, set[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    positions = joint().search(frames(), joint().search_spacing_px).positions
    asked.clear()
    cut(monkeypatch)
    for way in WAYS:
        Lists(way)()
    assert {number for numbers in asked.values() for number in numbers} == {positions}
    # Nobody else has a price.
    source = Path(deepstorm3d.__file__).parent
    users = {
        ".".join(["deepstorm3d", *path.relative_to(source).with_suffix("").parts])
        for path in source.rglob("*.py")
        if ".positions" in (text := path.read_text(encoding="utf-8")) and "gain_threshold(" in text
    }
    assert users == set(asked)
