"""Molecules of two dyes in the same frames: each is fitted with the PSF of its own."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from fitting_scenes import exact_psf
from torch import Tensor

from deepstorm3d.analysis.dye_ratios import ImageEvidence, dyes_by_image
from deepstorm3d.analysis.matching import match
from deepstorm3d.emitters import Emitters, Localizations
from deepstorm3d.experiment.dye import Dye
from deepstorm3d.experiment.dyes import dye_stack, dyes_table
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.field import Field
from deepstorm3d.fitting.dyes import DyeFit, DyesInFrames
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.localizing.over_dyes import dye_fit
from deepstorm3d.simulation.simulator import Simulator
from factories import emitters, localizations, tiny_experiment

SIDE = 44


@cache
def setup() -> Experiment:
    """An astigmatic lens at 500 and 700 nm, focused 150 nm apart."""
    base = tiny_experiment()
    focus = base.microscope.focus
    return base.with_(dyes={"short": Dye(wavelength=0.5), "long": Dye(wavelength=0.7, focus=focus + 0.15)})


@cache
def fit() -> DyeFit:
    return dye_fit(setup())


def seen(
    molecules: Emitters, dye: Tensor, seed: int = 0, *, experiment: Experiment | None = None
) -> Likelihood:
    experiment = setup() if experiment is None else experiment
    psf = dyes_table(experiment)
    simulator = Simulator(psf, experiment.camera, Field(SIDE, SIDE, experiment.microscope.pixel_um))
    stack = dye_stack(experiment, psf)
    dark = torch.full((int(molecules.frame.max()) + 1, SIDE, SIDE), 15.0)
    image = simulator.expected(stack.seen(replace(molecules, dye=dye)), dark)
    return Likelihood(torch.poisson(image, generator=torch.Generator().manual_seed(seed)))


def drawn(frames: int, each: int, photons: float, seed: int = 0) -> tuple[Emitters, Tensor]:
    """As many molecules in each frame, at least 0.4 µm apart, of either dye."""
    generator = torch.Generator().manual_seed(seed)
    rows: list[list[float]] = []
    for _ in range(frames):
        own: list[list[float]] = []
        while len(own) < each:
            x, y, z = (torch.rand(3, generator=generator) * torch.tensor([3.4, 3.4, 0.9])).tolist()
            place = [x + 0.6, y + 0.6, z + 0.15]
            if all((place[0] - p[0]) ** 2 + (place[1] - p[1]) ** 2 > 0.16 for p in own):
                own.append(place)
        rows += own
    frame = [number for number in range(frames) for _ in range(each)]
    dye = 1 + torch.randint(0, 2, (len(rows),), generator=generator)
    return emitters(rows, frame, photons), dye


def near(molecules: Emitters, seed: int = 5) -> Localizations:
    """Candidates some 50 nm from the truth."""
    generator = torch.Generator().manual_seed(seed)
    off = 0.05 * torch.randn(len(molecules), 3, generator=generator)
    return localizations(molecules.xyz + off, molecules.frame.tolist())


def right(found: DyesInFrames, molecules: Emitters, dye: Tensor) -> Tensor:
    pairs = match(molecules, found.localizations, tolerance_um=0.15)
    assert len(pairs) >= 0.95 * len(molecules)
    return found.dye[pairs.found_index] + 1 == dye[pairs.truth_index]


def test_two_molecules_whose_spots_overlap_get_their_dyes_and_places() -> None:
    molecules = emitters([[2.0, 2.2, 0.5], [2.5, 2.4, 0.8]], photons=20_000.0)
    for dye in ([1, 2], [2, 1], [2, 2]):
        found = fit()(near(molecules), seen(molecules, torch.tensor(dye)))
        assert len(found.dye) == 2
        pairs = match(molecules, found.localizations, tolerance_um=0.1)
        assert (found.dye[pairs.found_index] + 1).tolist() == [dye[k] for k in pairs.truth_index.tolist()]
        off = found.localizations.xyz[pairs.found_index] - molecules.xyz[pairs.truth_index]
        assert float((off / found.localizations.sigma_xyz[pairs.found_index]).abs().max()) < 4
        own = found.deviance.gather(1, found.dye[:, None])
        assert bool((own == 0).all()) and float(found.deviance.max(1).values.min()) > 20


def test_a_frame_alone_and_among_others_is_the_same() -> None:
    # Of one frame a molecule changes its dye and the fit is repeated, of the other none does.
    molecules, dye = drawn(2, 2, 1500.0, seed=7)
    light, start = seen(molecules, dye), near(molecules)
    among = fit()(start, light)
    for frame in range(2):
        own = start.select(start.frame == frame).shift(frames=-frame)
        alone = fit()(own, light.select(torch.tensor([frame])))
        rows = (among.localizations.frame == frame).nonzero()[:, 0]
        assert torch.equal(alone.dye, among.dye[rows])
        for one, other in ((alone.deviance, among.deviance), (alone.others, among.others)):
            torch.testing.assert_close(one, other[rows], atol=1e-6, rtol=0)


def test_bright_molecules_are_told_apart_with_their_neighbours_and_fit_to_their_noise() -> None:
    molecules, dye = drawn(6, 6, 15_000.0)
    found = fit()(near(molecules), seen(molecules, dye))
    assert float(right(found, molecules, dye).double().mean()) > 0.97
    pairs = match(molecules, found.localizations, tolerance_um=0.15)
    off = found.localizations.xyz[pairs.found_index] - molecules.xyz[pairs.truth_index]
    error = (off / found.localizations.sigma_xyz[pairs.found_index]).abs().median(0).values / 0.6745
    assert bool((error < 1.5).all())
    assert abs(float(found.excess.median())) < 1.5


def test_the_ratio_of_likelihoods_says_how_often_it_is_wrong() -> None:
    molecules, dye = drawn(30, 3, 700.0, seed=4)
    found = fit()(near(molecules), seen(molecules, dye))
    posterior = torch.softmax(-0.5 * found.deviance, 1).max(1).values
    pairs = match(molecules, found.localizations, tolerance_um=0.2)
    wrong = (found.dye[pairs.found_index] + 1 != dye[pairs.truth_index]).double()
    claimed = 1 - posterior[pairs.found_index]
    assert len(pairs) > 60 and 0.03 < float(wrong.mean()) < 0.45
    spread = float((claimed * (1 - claimed)).sum().sqrt()) / len(pairs)
    assert abs(float(wrong.mean() - claimed.mean())) < 3.5 * spread + 0.02


def test_molecules_of_another_wavelength_are_none() -> None:
    molecules, dye = drawn(10, 4, 15_000.0, seed=2)
    # Numbered by wavelength: the other one lies between the two dyes.
    seen_as = torch.where(dye == 2, 3, dye)
    seen_as[::10], dye[::10] = 2, 3
    others = setup().with_(dyes={**setup().dyes, "other": Dye(wavelength=0.6)})
    found = fit()(near(molecules), seen(molecules, seen_as, experiment=others))
    evidence = ImageEvidence(*(each.numpy() for each in (found.deviance, found.others, found.excess)))
    told = dyes_by_image(found.localizations, evidence, ("short", "long")).localizations
    pairs = match(molecules, told, tolerance_um=0.2)
    assert told.dye is not None
    given, true = told.dye[pairs.found_index], dye[pairs.truth_index]
    assert float((given == true)[true < 3].double().mean()) > 0.9
    assert float((given == 0)[true == 3].double().mean()) >= 0.7


def test_without_candidates_the_search_finds_molecules_of_both_dyes() -> None:
    # Frame by frame: now and then a search from nothing ends in a wrong arrangement.
    molecules, dye = drawn(8, 3, 15_000.0, seed=2)
    found = fit()(Localizations.empty(), seen(molecules, dye))
    assert int(right(found, molecules, dye).sum()) >= 22


def test_frames_without_molecules_are_no_error() -> None:
    dark = Likelihood(torch.poisson(torch.full((2, SIDE, SIDE), 15.0), torch.Generator().manual_seed(0)))
    found = fit()(Localizations.empty(), dark)
    assert found.deviance.shape == (0, 2) and found.others.shape == (0, 3) and len(found.localizations) == 0


def test_only_tables_can_be_stacked() -> None:
    with pytest.raises(ValueError, match="tabulated"):
        DyeFit([replace(fit().joint, core=exact_psf())])
