"""The compiled code of the joint fit computes what its reference in PyTorch computes."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fitting_scenes import DEPTH, MICROSCOPE, SIZE, Scene, exact_psf, nanometres, scene
from torch import Tensor

import deepstorm3d
from deepstorm3d.emitters import Localizations
from deepstorm3d.fitting import compiled
from deepstorm3d.fitting.frame_model import FrameModel
from deepstorm3d.fitting.information import joint_bounds
from deepstorm3d.fitting.joint import JointFit
from deepstorm3d.fitting.kernels.scene import deviance, weigh
from deepstorm3d.fitting.likelihood import Likelihood
from deepstorm3d.fitting.linear import expected_image
from deepstorm3d.fitting.photometry import fit_photometry
from deepstorm3d.fitting.proposals import Proposer
from deepstorm3d.fitting.refine import Bounds, Effort, refine, refine_together
from deepstorm3d.fitting.search import MatchedFilter
from deepstorm3d.noise import Noise
from deepstorm3d.optics.field_aberrations import FieldGrid, FieldSpec
from deepstorm3d.optics.tabulated import TabulatedPSF

BOUNDS = Bounds(DEPTH, (0.75, 1.25))


def single(number: int = 8, frames: int = 2, **of_scene: object) -> Scene:
    """A scene in single precision, which the compiled code takes."""
    made = scene(number, frames, dtype=torch.float32, **of_scene)  # pyright: ignore[reportArgumentType]
    assert compiled.can_compile(made.psf, made.state.xyz)
    return made


def uneven(made: Scene, seed: int = 3) -> Likelihood:
    """The frames of a camera with read noise that differs from pixel to pixel, some pixels excluded."""
    light = made.noisy(seed)
    generator = torch.Generator().manual_seed(seed)
    read = 4 * torch.rand(SIZE, generator=generator)
    weight = (torch.rand(light.frames.shape, generator=generator) > 0.05).float()
    return Likelihood(light.frames, Noise(1.5, read), weight, known=torch.full_like(light.frames, 2.0))


def not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "can_compile", lambda psf, like: False)


SCENES = {
    "one blur": {},
    "own blurs": {"blur": True},
    "two samples a pixel": {
        "psf": TabulatedPSF(exact_psf(27), DEPTH, blur_range=(1.0, 1.0), oversampling=2),
    },
    "two samples and own blurs": {
        "psf": TabulatedPSF(exact_psf(27), DEPTH, blur_range=(0.75, 1.25), oversampling=2), "blur": True,
    },
}  # fmt: skip


@pytest.fixture(params=list(SCENES))
def made(request: pytest.FixtureRequest) -> Scene:
    return single(**SCENES[request.param])


def test_images_and_derivatives_are_those_of_pytorch(made: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    image, linear = made.image(), made.linear()
    not_compiled(monkeypatch)
    expected, reference = made.image(), made.linear()
    torch.testing.assert_close(image, expected, rtol=2e-5, atol=2e-5 * float(expected.max()))
    assert torch.equal(linear.assembly.corner, reference.assembly.corner)
    largest = reference.jacobian.abs().amax((0, 2))
    assert ((linear.jacobian - reference.jacobian).abs().amax((0, 2)) < 2e-5 * largest).all()


def test_a_patch_across_the_edge_counts_only_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    made = single(6, 1)
    places = torch.tensor(
        [[-0.3, 1.0, 0.5], [5.2, 2.0, 0.3], [1.0, -0.6, 0.9], [2.0, 4.5, 0.2], [-9.0, 1, 1], [9, 9, 1]]
    )
    made = Scene(made.psf, replace(made.state, xyz=places), made.background)
    linear, image = made.linear(), made.image()
    not_compiled(monkeypatch)
    reference = made.linear()
    torch.testing.assert_close(linear.jacobian, reference.jacobian, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(image, made.image(), rtol=1e-4, atol=1e-3)


def test_a_psf_that_varies_over_the_field_is_taken_at_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = FieldGrid(FieldSpec(size_px=(60, 80), rises={7: (0.6, 0.4)}), MICROSCOPE.pixel_um)
    sources = [exact_psf(27, 1.0 + 0.02 * number) for number in range(len(grid.places))]
    made = single(6, 2, psf=TabulatedPSF(sources, DEPTH, field=grid))
    compiled_image = made.image()
    not_compiled(monkeypatch)
    torch.testing.assert_close(compiled_image, made.image(), rtol=2e-5, atol=1e-3)


def test_the_climb_ends_where_that_of_pytorch_ends(made: Scene) -> None:
    likelihood, start = uneven(made), made.disturbed(0.03, 0.06)
    effort = Effort(iterations=40, settled=0.005, tolerance=0.01)
    ours = refine(made.psf, start, likelihood, made.background, BOUNDS, effort)
    theirs = refine_together(made.psf, start, likelihood, made.background, BOUNDS, effort)
    assert ours.settled.all()
    torch.testing.assert_close(ours.deviance, theirs.deviance, rtol=0, atol=0.03)
    # One molecule at the edge is poorly determined.
    assert float(nanometres(ours.state, theirs.state).abs().max()) < 2.0
    assert float(nanometres(ours.state, theirs.state).abs().median()) < 0.1
    torch.testing.assert_close(ours.state.photons, theirs.state.photons, rtol=5e-3, atol=1)


def test_pixels_whose_counts_are_negative_weigh_as_in_pytorch() -> None:
    made = single()
    frames = 4 * torch.randn(made.image().shape, generator=torch.Generator().manual_seed(6)) - 1
    light = Likelihood(frames, Noise(1.5, 4 * torch.rand(SIZE)), known=torch.full_like(frames, 0.5))
    image = torch.rand_like(frames) * 6
    for frame in range(len(light)):
        seen = compiled.Scenes(light, made.background)[frame]
        assert (seen.counts < 0).any()
        score, information = np.empty_like(seen.counts), np.empty_like(seen.counts)
        weigh(seen, image[frame].numpy(), score, information)
        np.testing.assert_allclose(score, light.score(image)[frame].numpy(), rtol=2e-5, atol=1e-6)
        np.testing.assert_allclose(information, light.information(image)[frame].numpy(), rtol=1e-5)
        assert deviance(seen, image[frame].numpy()) == pytest.approx(
            float(light.deviance(image)[frame]), rel=1e-5
        )
    torch.testing.assert_close(compiled.deviance(light, image), light.deviance(image), rtol=1e-5, atol=0)


def test_the_climb_never_raises_the_deviance_and_keeps_within_the_bounds() -> None:
    made = single(10, 1, blur=True, seed=5)
    likelihood, start = made.noisy(4), made.disturbed(0.3, 0.6)
    before = likelihood.deviance(expected_image(made.psf, start, made.background, made.shape))
    fitted = refine(made.psf, start, likelihood, made.background, BOUNDS, Effort(iterations=3))
    assert (fitted.deviance <= before).all()
    assert fitted.state.xyz[:, 2].min() >= DEPTH[0] and fitted.state.xyz[:, 2].max() <= DEPTH[1]
    assert fitted.state.blur_px is not None
    assert fitted.state.blur_px.min() >= 0.75 - 1e-6 and fitted.state.blur_px.max() <= 1.25 + 1e-6
    assert (fitted.state.photons >= BOUNDS.photons).all()
    again = likelihood.deviance(expected_image(made.psf, fitted.state, made.background, made.shape))
    torch.testing.assert_close(again, fitted.deviance, rtol=1e-5, atol=0.01)


def test_bounds_are_those_of_pytorch(made: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    information = uneven(made).information(made.image())
    sigma, level = joint_bounds(made.linear(), information)
    photons = FrameModel(made.psf, made.background, BOUNDS, Effort()).photon_bounds(made.state, uneven(made))
    not_compiled(monkeypatch)
    expected, expected_level = joint_bounds(made.linear(), information)
    torch.testing.assert_close(sigma, expected, rtol=2e-3, atol=0)
    torch.testing.assert_close(level, expected_level, rtol=2e-3, atol=0)
    torch.testing.assert_close(photons, expected[:, 3], rtol=2e-2, atol=0)


def test_a_fit_tells_the_bounds_of_the_photons_at_its_end(made: Scene) -> None:
    model, likelihood = FrameModel(made.psf, made.background, BOUNDS, Effort()), uneven(made)
    fitted = model.fit(made.state, likelihood, photon_sigma=True)
    expected = model.photon_bounds(fitted.state, likelihood)
    assert fitted.photon_sigma is not None
    torch.testing.assert_close(fitted.photon_sigma, expected, rtol=2e-2, atol=0)
    assert model.fit(made.state, likelihood).photon_sigma is None


def test_photometry_solves_the_same_equations(monkeypatch: pytest.MonkeyPatch) -> None:
    made = single(10, 2)
    frames, state = made.noisy(2).frames, made.state
    light = fit_photometry(made.psf, state.xyz, state.frame, frames, spacing_px=20)
    not_compiled(monkeypatch)
    reference = fit_photometry(made.psf, state.xyz, state.frame, frames, spacing_px=20)
    torch.testing.assert_close(light.photons, reference.photons, rtol=2e-2, atol=20)
    # Conjugate gradients stop before the least squares are reached at the frame's edge.
    ours, theirs = ((frames - each.model).square() / each.model for each in (light, reference))
    assert float(ours.sum()) < float(theirs.sum()) * (1 + 1e-4)


def test_gains_of_dividing_are_those_of_pytorch(made: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    likelihood = uneven(made)
    search = MatchedFilter(made.psf, DEPTH, SIZE, likelihood.frames)
    proposer = Proposer(made.psf, BOUNDS, search)
    gains, _ = proposer._division_gains(made.state, made.linear(), likelihood)
    not_compiled(monkeypatch)
    expected, _ = proposer._division_gains(made.state, made.linear(), likelihood)
    assert float(expected.max()) > 0.1
    torch.testing.assert_close(gains, expected, rtol=2e-2, atol=2e-2)


def _refined(made: Scene, frames: Tensor) -> Localizations:
    fit = JointFit(made.psf, made.psf, BOUNDS, DEPTH, rounds=2, dim_photons=500)
    likelihood = made.noisy(7)
    place = torch.full((len(likelihood),), -1)
    place[frames] = torch.arange(len(frames))
    rows = place[made.state.frame] >= 0
    start = made.disturbed(0.03, 0.05)
    found = Localizations.proposals(start.xyz[rows], place[start.frame[rows]], torch.ones(int(rows.sum())))
    return fit(found, likelihood.select(frames))


def test_a_list_is_the_same_bit_for_bit_in_any_number_of_threads_and_any_batch() -> None:
    made, before = single(20, 5, seed=2), torch.get_num_threads()
    lists = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            lists.append(_refined(made, torch.arange(5)))
    finally:
        torch.set_num_threads(before)
    assert len(lists[0]) >= 20
    parts = Localizations.concat(
        [_refined(made, torch.tensor([0, 1])), _refined(made, torch.tensor([2, 3, 4])).shift(frames=2)]
    )
    for other in (*lists[1:], parts):
        for name in ("xyz", "photons", "background", "sigma_xyz", "sigma_photons", "fit_quality"):
            assert torch.equal(getattr(lists[0], name), getattr(other, name)), name


def test_a_frame_with_too_many_unknowns_is_fitted_without_its_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    made = single(8, 1)
    likelihood, start = made.noisy(1), made.disturbed(0.03, 0.05)
    small = refine(made.psf, start, likelihood, made.background, BOUNDS)
    monkeypatch.setattr(compiled, "MOST_UNKNOWNS", 10)
    large = refine(made.psf, start, likelihood, made.background, BOUNDS)
    torch.testing.assert_close(small.deviance, large.deviance, rtol=0, atol=0.1)


def test_no_frames_and_frames_without_molecules_are_fitted() -> None:
    made = single(4, 2)
    nobody, likelihood = Localizations.empty(), made.noisy(1)
    fit = JointFit(made.psf, made.psf, BOUNDS, DEPTH, rounds=0)
    assert len(fit(nobody, likelihood)) == 0
    assert fit.explain(nobody, likelihood.select(torch.zeros(0, dtype=torch.int64))).misfit.shape == (0,)


def sources_of_numbers(file: Path) -> set[Path]:
    """Files of the package that constants, names in capitals, are imported from."""
    sources = set[Path]()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and any(name.name.isupper() for name in node.names):
            folder = file.parents[node.level - 1] if node.level else Path("/")
            sources.add(folder.joinpath(*(node.module or "").split(".")).with_suffix(".py"))
    return {source for source in sources if source.exists()}


def test_every_file_with_compiled_code_renews_the_folder_of_machine_code() -> None:
    # Numba does not notice a change of a compiled function in another file: calling old code can crash.
    from deepstorm3d import numba_cache

    package = Path(deepstorm3d.__file__).parent
    named = {file for pattern in numba_cache._SOURCES for file in package.glob(pattern)}
    using = {
        file for file in package.rglob("*.py") if re.search(r"^@(compiled|njit|jit)\b", file.read_text(), re.M)
    }
    assert using and using <= named
    # A number that compiled code takes from another file is part of the machine code.
    assert {source for file in using for source in sources_of_numbers(file)} <= named


def test_machine_code_is_kept_outside_of_a_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deepstorm3d import numba_cache

    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(blocked))
    folder = numba_cache.cache_folder.__wrapped__()
    assert folder.is_dir() and blocked not in folder.parents


@pytest.mark.parametrize("size", [1, 4, 5, 6, 11, 40, 43])
def test_the_envelope_factor_solves_like_numpy(size: int) -> None:
    from deepstorm3d.fitting.kernels.factor import BLOCK, back, factorize, forward, inverse_diagonal

    generator = np.random.default_rng(0)
    band = np.tril(generator.normal(size=(size, size)))
    band[np.arange(size)[:, None] - np.arange(size) > 7] = 0
    matrix = band @ band.T + size * np.eye(size)
    begins = np.array([int(np.flatnonzero(row)[0]) for row in matrix])
    first = np.concatenate([np.full(len(part), part.min() // BLOCK * BLOCK) for part in
                            np.split(begins, range(BLOCK, size, BLOCK))])  # fmt: skip
    factor, values = np.tril(matrix).copy(), generator.normal(size=size)
    assert factorize(factor, first)
    solved = values.copy()
    forward(factor, first, solved, 0)
    back(factor, first, solved)
    np.testing.assert_allclose(solved, np.linalg.solve(matrix, values), rtol=1e-9)
    wanted = np.arange(size)[:: 2 if size > 5 else 1]
    diagonal = np.empty(len(wanted))
    inverse_diagonal(factor, first, wanted, diagonal)
    np.testing.assert_allclose(diagonal, np.diag(np.linalg.inv(matrix))[wanted], rtol=1e-9)
    assert not factorize(np.array([[1.0, 0.0], [2.0, 1.0]]), np.zeros(2, np.int64))


@pytest.mark.parametrize(("number", "name"), [(5, "five_by_five"), (4, "four_by_four"), (1, "one_by_one")])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_sums_of_products_in_registers_are_those_of_numpy(number: int, name: str, kind: type) -> None:
    import numba

    from deepstorm3d.fitting.kernels import products

    sums = getattr(products, name)

    @numba.njit
    def written(one: Any, here: int, other: Any, there: int, area: tuple[int, int, int], out: Any) -> None:
        sums(one, here, other, there, area, out)

    generator, stride = np.random.default_rng(1), 40
    one, other = np.full((2, number, 10 * stride), np.nan, kind)
    out = np.empty((number, number), kind)
    for rows, width in ((10, 40), (3, 1), (1, 16), (4, 17), (2, 33), (0, 5)):
        # Values beyond the width are not even numbers: they must not count.
        one[:], other[:] = np.nan, np.nan
        here, there = (stride - width, 0) if rows == 3 else (0, stride - width)
        parts = []
        for lines, begin in ((one, here), (other, there)):
            shaped = lines.reshape(number, 10, stride)
            at = begin % stride
            shaped[:, :rows, at : at + width] = generator.normal(size=(number, rows, width))
            parts.append(shaped[:, :rows, at : at + width].reshape(number, -1).astype(np.float64))
        written(one, here, other, there, (stride, rows, width), out)
        np.testing.assert_allclose(out, parts[0] @ parts[1].T, rtol=1e-5, atol=1e-5)


def test_a_matrix_of_which_molecules_were_renewed_is_that_of_the_new_state() -> None:
    from deepstorm3d.fitting.compiled import Scenes, molecules_of_state
    from deepstorm3d.fitting.kernels.matrix import arrange, fisher_matrix, new_order, update_molecules
    from deepstorm3d.fitting.kernels.normal import Slopes, linearize
    from deepstorm3d.fitting.kernels.overlap import new_profiles

    made = scene(12, 1, size=(90, 110), dtype=torch.float32)
    spline, molecules = molecules_of_state(made.psf, made.state)
    here = Scenes(made.noisy(1), made.background)[0]
    information = (1 / np.maximum(here.counts, 1)).astype(np.float32)
    size = 12 * 4 + here.rows.shape[1] * here.columns.shape[0]
    slopes = Slopes(
        np.zeros((12, 4, spline.patch_px * spline.side), np.float32), np.zeros((12, 6), np.int64), spline.side
    )
    linearize(spline, here, molecules, slopes)
    order, matrix = new_order(12, 4, here), np.empty((size, size), np.float32)
    arrange(here, slopes, order)
    fisher_matrix(here, slopes, information, order, matrix)
    # Some go to the other end of the frame or out of it: what they shared with splines and others is gone.
    moved = np.arange(12) % 3 == 0
    molecules.places[moved, :2] = molecules.places[moved, 1::-1]
    molecules.places[3, 0] = -20.0
    linearize(spline, here, molecules, slopes)
    update_molecules(here, slopes, information, moved, new_profiles(0, 0, 0.0), order, matrix)
    anew = np.empty_like(matrix)
    fisher_matrix(here, slopes, information, order, anew)
    np.testing.assert_array_equal(np.tril(matrix), np.tril(anew))


def test_logarithms_are_those_of_numpy() -> None:
    from deepstorm3d.fitting.kernels.logarithm import logarithms

    values = np.exp(np.random.default_rng(2).uniform(-60, 60, 10_007)).astype(np.float32)
    values[:6] = 1, 0.5**0.5, 2**0.5, 1e-30, 3e38, np.nextafter(np.float32(1), np.float32(0))
    expected = np.log(values.astype(np.float64))
    logarithms(values, np.empty(len(values), np.int32))
    np.testing.assert_allclose(values, expected, rtol=2.5e-7, atol=1e-8)


def test_the_photons_of_a_frame_do_not_depend_on_a_frame_that_is_singular_beside_it() -> None:
    made = single(8, 2)
    # Molecules of one place in the second frame: in single precision their matrix has no factor.
    xyz = made.state.xyz.clone()
    xyz[made.state.frame == 1] = xyz[made.state.frame == 1][:1]
    state, likelihood = replace(made.state, xyz=xyz), made.noisy(3)
    model = FrameModel(made.psf, made.background, BOUNDS, Effort())
    together = model.photon_bounds(state, likelihood)
    first = torch.tensor([0])
    alone = model.photon_bounds(state.select(first), likelihood.select(first))
    assert torch.equal(together[state.frame == 0], alone)
    assert bool(torch.isfinite(together).all())


def test_a_step_that_failed_is_not_tried_again_nearly_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two molecules at nearly one place exchange light in steps far longer than the image is linear."""
    from deepstorm3d.fitting.kernels import climb as module

    steps: list[int] = []
    whole = module.climb

    def counted(*of_climb: Any) -> tuple[float, bool, int]:
        done = whole(*of_climb)
        steps.append(done[2])
        return done

    monkeypatch.setattr(module, "climb", counted)
    for seed in range(8):
        made = single(12, 1, seed=seed)
        xyz = made.state.xyz.clone()
        xyz[1::2] = xyz[::2] + torch.tensor([0.03, -0.02, 0.05])
        start = replace(made.state, xyz=xyz)
        refine(made.psf, start, made.noisy(seed + 4), made.background, BOUNDS, Effort(60, 0.05))
    # 280 here, and 363 if the damping only rises ten times after each such step, from 1e-5 on.
    assert len(steps) == 8
    assert sum(steps) < 325
