"""Frames that no list of molecules explains: bounded work, bounded lists, and what is sure is kept.

Work is counted in images of single molecules that are computed, not in seconds: the same on every machine.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fitting_scenes import DEPTH, MICROSCOPE, SIZE, table
from torch import Tensor

from deepstorm3d.camera import IdealCamera
from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.errors import Interrupted
from deepstorm3d.field import Field
from deepstorm3d.fitting.crowd import most_probable
from deepstorm3d.fitting.joint import Explained, JointFit
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.refine import Bounds
from deepstorm3d.fitting.unexplained import FAR, misfit_everywhere
from deepstorm3d.optics.psf import PSF, Patches
from deepstorm3d.simulation.simulator import Simulator
from deepstorm3d.watch import Silent
from watchers import Recorder

PLACES = torch.tensor([[1.2, 1.3, 0.2], [3.9, 1.2, 0.9], [2.6, 3.2, 0.6]])
# Images of molecules for each molecule that a frame may hold (measured: 37 at most).
WORK = 200


class Counting:
    """A PSF that counts the molecules whose images it is asked for."""

    def __init__(self, psf: PSF) -> None:
        self.psf, self.asked = psf, 0
        self.pixel_um, self.patch_px = psf.pixel_um, psf.patch_px

    def __call__(self, xyz: Tensor, blur_px: Tensor | None = None) -> Patches:
        self.asked += len(xyz)
        return self.psf(xyz, blur_px)

    def derivatives(
        self, xyz: Tensor, blur_px: Tensor | None = None, *, in_blur: bool = False
    ) -> tuple[Patches, Tensor]:
        self.asked += len(xyz)
        return self.psf.derivatives(xyz, blur_px, in_blur=in_blur)


@pytest.fixture
def psf() -> Counting:
    return Counting(table(1.0, 1.0, torch.float32))


@pytest.fixture
def fit(psf: Counting) -> JointFit:
    return JointFit(psf, psf, Bounds(DEPTH), DEPTH, most_per_um2=2.0)


def frames(photons: float = 5000.0, level: float = 20.0, count: int = 1) -> Tensor:
    """Three molecules that do not overlap, the same in every frame, with shot noise."""
    xyz, rows = PLACES.repeat(count, 1), torch.arange(3 * count)
    truth = Emitters(xyz, rows // 3, torch.full((len(xyz),), photons), rows)
    field = Field(*SIZE, MICROSCOPE.pixel_um)
    mean = Simulator(table(1.0, 1.0, torch.float32), IdealCamera(), field).expected(
        truth, torch.full((count, *SIZE), level)
    )
    return torch.poisson(mean, generator=torch.Generator().manual_seed(5))


def anywhere(number: int, count: int = 1) -> Localizations:
    """What a network says that sees nothing it knows: molecules all over, all of them certain."""
    generator = torch.Generator().manual_seed(number)
    side = torch.tensor([SIZE[1], SIZE[0], 0.0]) * MICROSCOPE.pixel_um
    side[2] = DEPTH[1]
    xyz = torch.rand(number, 3, generator=generator) * side
    return Localizations.proposals(xyz, torch.arange(number) % count, torch.ones(number)).sort()


def nearest(found: Localizations) -> Tensor:
    """Distance of each true place to the nearest row, µm."""
    return torch.cdist(PLACES, found.xyz).amin(1)


@pytest.mark.parametrize(("factor", "proposed"), [(10.0, 30), (80.0, 2000), (65536.0, 2000)])
def test_counts_too_bright_by_a_factor_keep_the_molecules_that_are_sure(
    fit: JointFit, psf: Counting, factor: float, proposed: int
) -> None:
    explained = fit.explain(anywhere(proposed), Likelihood(factor * frames()))
    found = explained.localizations
    assert len(found) == len(PLACES)
    assert float(nearest(found).max()) < 0.05
    # The noise is that many times too strong, and so the list says.
    assert float(explained.misfit) == pytest.approx(factor, rel=0.15)
    assert float(found.fit_quality.min()) > 0.5 * factor
    assert psf.asked < WORK * fit.most(SIZE)


def striped() -> Tensor:
    light = frames()
    light[:, ::7] += 3000
    return light


def salted() -> Tensor:
    light = frames()
    light[torch.rand(light.shape, generator=torch.Generator().manual_seed(1)) < 0.02] = 65535
    return light


ABSURD = {
    "all dark": torch.zeros(1, *SIZE),
    "all below the baseline": torch.full((1, *SIZE), -100.0),
    "all saturated": torch.full((1, *SIZE), 65535.0),
    "half of it saturated": torch.cat([frames()[:, :20], torch.full((1, 20, SIZE[1]), 65535.0)], 1),
    "stripes": striped(),
    "salt": salted(),
    "a stuck gradient": frames() + torch.linspace(0, 60000, SIZE[1]),
    "random counts": torch.rand(1, *SIZE, generator=torch.Generator().manual_seed(2)) * 65535,
    "a chessboard": 60000.0 * ((torch.arange(SIZE[0])[:, None] + torch.arange(SIZE[1])) % 2)[None],
}


@pytest.mark.parametrize(
    ("name", "proposed"), [*((name, 30) for name in ABSURD), ("salt", 0), ("random counts", 5000)]
)
def test_no_frame_takes_more_than_bounded_work(fit: JointFit, psf: Counting, name: str, proposed: int) -> None:
    found = fit(anywhere(proposed), Likelihood(ABSURD[name]))
    assert len(found) <= fit.most(SIZE)
    assert psf.asked < WORK * fit.most(SIZE)
    for label, column in found.columns().items():
        assert torch.isfinite(column).all(), label


def test_a_lost_frame_changes_nothing_in_the_frames_beside_it(fit: JointFit) -> None:
    light = frames(count=2)
    alone = fit.explain(Localizations.empty(), Likelihood(light[:1]))
    light[1] *= 80
    together = fit.explain(anywhere(20).shift(frames=1), Likelihood(light))
    kept = together.localizations.select(together.localizations.frame == 0)
    torch.testing.assert_close(kept.xyz, alone.localizations.xyz, rtol=0, atol=1e-3)
    assert (together.misfit > FAR).tolist() == [False, True]


def test_a_dense_frame_is_within_the_bounds(fit: JointFit, psf: Counting) -> None:
    """The bounds leave good frames their room: as many molecules as the experiment's densest, all proposed."""
    generator = torch.Generator().manual_seed(4)
    side = torch.tensor([SIZE[1], SIZE[0]]) * MICROSCOPE.pixel_um
    number = round(float(side.prod()) * fit.most_per_um2 / 2)
    xyz = torch.cat(
        [
            0.1 * side + 0.8 * side * torch.rand(number, 2, generator=generator),
            torch.rand(number, 1, generator=generator),
        ],
        1,
    )
    rows = torch.arange(number)
    truth = Emitters(xyz, torch.zeros_like(rows), torch.full((number,), 5000.0), rows)
    simulator = Simulator(psf.psf, IdealCamera(), Field(*SIZE, MICROSCOPE.pixel_um))
    light = torch.poisson(simulator.expected(truth, torch.full((1, *SIZE), 20.0)), generator=generator)
    explained = fit.explain(Localizations.proposals(xyz, truth.frame, torch.ones(number)), Likelihood(light))
    assert abs(len(explained.localizations) - number) <= 0.1 * number
    assert float(explained.misfit) < 1.3
    assert psf.asked < WORK * fit.most(SIZE)


def test_the_work_can_be_ended_at_any_time(fit: JointFit, psf: Counting) -> None:
    """Between two looks at whether to stop lies at most one step of the fit."""
    seen: list[int] = []

    class Looking(Silent):
        @property
        def stopped(self) -> bool:
            seen.append(psf.asked)
            return False

    replace(fit, watch=Looking()).explain(anywhere(20), Likelihood(frames()))
    assert int(torch.tensor(seen).diff().max()) <= 20 * 20
    before = psf.asked
    for last in (1, len(seen) // 2):
        with pytest.raises(Interrupted):
            replace(fit, watch=Recorder(stop_at=last + 1)).explain(anywhere(20), Likelihood(frames()))
    assert psf.asked - before < seen[-1]


def test_progress_counts_frames_that_are_done(fit: JointFit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepstorm3d.fitting.groups._MOLECULES_ON_CPU", 3)
    watch = Recorder()
    true = Localizations.proposals(PLACES.repeat(4, 1), torch.arange(12) // 3, torch.ones(12))
    replace(fit, watch=watch).explain(true, Likelihood(frames(count=4)))
    done = watch.done
    assert done == sorted(done)
    assert done[0] == 0
    assert done[-1] == 4
    assert set(done) == set(range(5))


def test_a_list_without_a_fit_is_cut_to_its_most_probable_rows() -> None:
    found = anywhere(100, count=2)
    found = replace(found, probability=torch.linspace(0.1, 1, 100))
    kept = most_probable(found, 2, 10)
    assert torch.bincount(kept.frame).tolist() == [10, 10]
    for frame in (0, 1):
        best = found.probability[found.frame == frame].sort(descending=True).values[:10]
        assert torch.equal(kept.probability[kept.frame == frame].sort(descending=True).values, best)
    assert most_probable(found, 2, 50) is found
    assert len(most_probable(Localizations.empty(), 3, 5)) == 0


def test_no_frames_are_explained_by_nothing(fit: JointFit) -> None:
    explained = fit.explain(Localizations.empty(), Likelihood(torch.zeros(0, *SIZE)))
    assert isinstance(explained, Explained)
    assert len(explained.localizations) == len(explained.misfit) == 0


@pytest.mark.parametrize("excluded", [0.0, 0.2, 0.4, 0.8])
def test_excluded_pixels_are_not_taken_for_explained_ones(excluded: float) -> None:
    mean = torch.full((1, 120, 120), 50.0)
    # A gain that is wrong by 4.
    frames = 4 * torch.poisson(mean / 4, generator=torch.Generator().manual_seed(0))
    weight = torch.ones_like(frames)
    weight[:, :, : round(120 * excluded)] = 0.0
    assert float(misfit_everywhere(Likelihood(frames, weight=weight), mean)) == pytest.approx(4.0, rel=0.25)


def test_a_frame_without_any_pixel_is_not_called_unexplained() -> None:
    nothing = torch.zeros(1, 24, 24)
    assert float(misfit_everywhere(Likelihood(nothing + 9, weight=nothing), nothing + 1)) == 1.0
