"""`import deepstorm3d as ds`: its names, where they are listed, and the short examples that rest on them."""

from __future__ import annotations

import doctest
import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import deepstorm3d as ds
from deepstorm3d.camera import EmccdCamera, ScmosCamera
from deepstorm3d.io.psfs import write_psf
from deepstorm3d.jobs.limit import Sweep
from deepstorm3d.jobs.localize import ListFile, localize_movie
from deepstorm3d.jobs.simulate import MovieSimulation, simulate_movie
from deepstorm3d.localizing.excerpt import Excerpt
from deepstorm3d.optics.measured import MeasuredPSFSpec
from deepstorm3d.psf_volume import PSFVolume
from deepstorm3d.watch import Silent
from watchers import Recorder

SOURCE = Path(ds.__file__)


def test_dir_lists_the_public_names_and_every_one_of_them_can_be_had():
    assert dir(ds) == sorted(ds.__all__)
    for name in ds.__all__:
        assert getattr(ds, name) is not None


def test_the_names_known_to_type_checkers_are_those_that_can_be_had():
    block = SOURCE.read_text(encoding="utf-8").partition("if TYPE_CHECKING:")[2].partition("\n\n")[0]
    named = re.findall(r" as (\w+)", block)
    assert sorted(named) == sorted(set(ds.__all__) - {"__version__"})


def test_a_name_is_defined_where_the_list_says():
    for name, home in ds._HOMES.items():
        value = getattr(ds, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__module__.startswith(f"deepstorm3d.{home}"), f"{name}: {value.__module__}"


def test_a_name_that_there_is_not_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'localise'"):
        _ = ds.localise


def test_every_public_name_says_what_it_is():
    silent = [name for name in ds._HOMES if not (inspect.getdoc(getattr(ds, name)) or "").strip()]
    assert not silent, f"without a docstring: {silent}"


@pytest.mark.parametrize("name", sorted(ds._HOMES))
def test_the_examples_of_its_docstring_are_true(name: str):
    value = getattr(ds, name)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    for example in doctest.DocTestFinder(recurse=False).find(value, name):
        assert runner.run(example).failed == 0, f"{name}: see the output above"


def test_simulate_localize_evaluate_and_draw_take_eight_lines_at_most():
    """The example in the package's docstring; `test_docs` runs the README's, which has the same lines."""
    lines = (ds.__doc__ or "").splitlines()
    example = [line.strip() for line in lines if line.startswith("    ") and line.strip()]
    assert example[0] == "import deepstorm3d as ds"
    assert len(example) <= 8
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    verbs = ("load_model", "simulate", "localize", "evaluate", "plot.rendering")
    for verb in verbs:
        assert any(f".{verb}(" in line for line in example) and f".{verb}(" in readme


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[ds.Model, Path, ds.Localizations]:
    """A model, a movie file of two frames, and the list that the command gives of it."""
    folder = tmp_path_factory.mktemp("seen")
    model = ds.load_model("tetrapod", device="cpu")
    small = model.experiment
    simulate_movie(MovieSimulation(small, frames=2, seed=5), folder / "movie.tif", overwrite=True)
    localize_movie(Excerpt(folder / "movie.tif"), model.pipeline(refine=False), ListFile(folder / "found.hdf5"))
    return model, folder / "movie.tif", ds.read_table(folder / "found.hdf5")


def test_a_movie_in_memory_has_the_counts_of_the_file_with_the_same_seed(seen):
    model, path, _ = seen
    movie, truth = ds.simulate(model.experiment, frames=2, seed=5)
    np.testing.assert_array_equal(movie, ds.read_movie(path))
    assert len(truth) and int(truth.frame.max()) <= 1


@pytest.mark.parametrize("kind", ["array", "tensor", "path", "text"])
def test_arrays_tensors_and_paths_give_the_list_of_the_command(seen, kind: str):
    model, path, listed = seen
    counts = ds.read_movie(path)
    movie = {
        "array": counts,
        "tensor": torch.from_numpy(counts.astype(np.int32)),
        "path": path,
        "text": str(path),
    }
    found = model.localize(movie[kind], refine=False)
    torch.testing.assert_close(found.xyz, listed.xyz, atol=1e-5, rtol=0)
    assert found.frame.tolist() == listed.frame.tolist()


def test_frames_and_region_of_a_movie_in_memory_keep_their_numbers(seen):
    model, path, listed = seen
    found = model.localize(ds.Excerpt(ds.read_movie(path), frames=(1, 2)), refine=False)
    assert set(found.frame.tolist()) == {1}
    assert len(found) == int((listed.frame == 1).sum())


def test_a_doubtful_result_is_told_as_a_warning(seen):
    model, path, _ = seen
    with pytest.warns(ds.DoubtfulResult, match="baseline"):
        brighter = ds.read_movie(path).astype(np.float32) + 400
        model.localize(ds.Excerpt(brighter, frames=(0, 1)), refine=False)


def test_work_that_is_stopped_raises_and_gives_no_half_list(seen):
    class Stopping(Silent):
        stopped = True

    with pytest.raises(ds.Interrupted):
        seen[0].localize(ds.read_movie(seen[1]), refine=False, watch=Stopping())


@pytest.mark.parametrize(
    ("movie", "said"),
    [
        (np.zeros((2, 3, 4, 5)), "shape"),
        (np.full((1, 121, 121), np.nan), "NaN"),
        (np.zeros((1, 9, 9)), "extends"),
        ([[1, 2], [3, 4]], "not a list"),
    ],
)
def test_what_is_no_movie_for_the_model_is_refused_in_words(seen, movie: np.ndarray, said: str):
    with pytest.raises(ds.InputError, match=said):
        seen[0].localize(movie, refine=False)


def test_a_list_in_memory_goes_through_filter_link_and_evaluate():
    _, truth = ds.simulate("quickstart", frames=3, emitters=5, seed=2)
    n = len(truth)
    found = ds.Localizations.proposals(truth.xyz, truth.frame, torch.ones(n))
    assert len(ds.filter(found, "z_nm > 500")) == int((truth.xyz[:, 2] > 0.5).sum())
    assert ds.evaluate(found, truth).score.jaccard == 1.0
    assert len(ds.link(found, radius_nm=5)) == n


def test_a_trained_network_is_a_model_at_hand(tmp_path: Path):
    setup = ds.preset("quickstart")
    small = setup.with_(
        training=setup.training.with_(steps=2, batch=1, crop_px=48, validate_every=2, validation_crops=2)
    )
    model = ds.train(small, device="cpu")
    assert repr(model).startswith("Model('quickstart'")
    model.save(tmp_path / "mine.pt")
    assert repr(ds.load_model(tmp_path / "mine.pt", device="cpu")) == repr(model)
    watch = Recorder()
    again = ds.train(small, device="cpu", from_model=tmp_path / "mine.pt", watch=watch)
    assert "starts from mine.pt: 100 % of its weights are taken over" in watch.messages
    assert repr(again).startswith("Model('quickstart'")


def test_the_images_of_a_psf_are_those_that_molecules_are_drawn_with():
    planes = ds.psf("quickstart", [0.4, 1.2])
    assert planes.shape[0] == 2 and planes.shape[1] == planes.shape[2]
    # The astigmatic spot is long across above the focus and along below it.
    offset = np.arange(planes.shape[1]) - planes.shape[1] // 2
    across, down = ((planes * offset[:, None] ** 2).sum((1, 2)), (planes * offset**2).sum((1, 2)))
    assert (across[0] - down[0]) * (across[1] - down[1]) < 0
    own = ds.mask("quickstart")
    np.testing.assert_allclose(ds.psf("quickstart", [0.4], mask=own), planes[:1], atol=1e-6)
    assert not np.allclose(ds.psf("quickstart", [0.4], mask=0 * own), planes[:1], atol=1e-3)


def test_the_bound_falls_with_the_root_of_the_photons_where_there_is_no_background():
    dim, bright = ds.crlb("quickstart", [[3, 3, 1.0]] * 2, photons=[1000, 4000], background=1e-3)
    np.testing.assert_allclose(bright[:3], dim[:3] / 2, rtol=0.01)


@pytest.mark.parametrize("name", ["quickstart", "astigmatic"])
def test_a_bound_is_on_the_widest_patch_whatever_the_experiments_and_within_a_percent_of_the_limit(name: str):
    setup = ds.preset(name)
    narrow = setup.with_(psf=setup.psf.with_(patch_px=setup.psf.patch_px - 8))
    low, high = setup.z_um
    where = [[3, 3, low], [3, 3, high]]
    whole = ds.crlb(setup, where, photons=3000, background=10)
    np.testing.assert_allclose(ds.crlb(narrow, where, photons=3000, background=10), whole, rtol=1e-4)
    sweep = Sweep(depths=2, photons=(3000,), background=(10,), emitters=())
    told = ds.limit(setup, sweep=sweep, photons=3000, background=10).masks[0].depth.sigma_nm
    np.testing.assert_allclose(1000 * whole[:, :3], told, rtol=0.012)
    assert (1000 * whole[:, 2] < told[:, 2] * 1.001).all()


def test_a_bound_knows_the_noise_of_the_camera():
    setup = ds.preset("quickstart")
    where = [[3, 3, 0.6]]
    ideal = ds.crlb(setup, where, photons=3000, background=10)
    gain = ds.crlb(
        setup.with_(camera=EmccdCamera(em_gain=1000.0, read_noise=0.0)), where, photons=3000, background=10
    )
    np.testing.assert_allclose(gain, ideal * 2**0.5, rtol=2e-3)
    read = ds.crlb(setup.with_(camera=ScmosCamera(read_noise=4.0)), where, photons=3000, background=10)
    brighter = ds.crlb(setup, where, photons=3000, background=26 + 1 / 12)  # rounding to whole counts
    np.testing.assert_allclose(read, brighter, rtol=1e-6)


def test_a_bound_without_background_is_refused():
    with pytest.raises(ds.InputError, match="above 0"):
        ds.crlb("quickstart", [[3, 3, 1.0]], photons=1000, background=0)


def test_a_bound_beyond_the_depth_range_is_that_of_an_experiment_that_reaches_there():
    setup = ds.preset("quickstart")
    scenes = {
        name: scene.with_(emitters=scene.emitters.with_(z_um=(-0.5, 3.0)))
        for name, scene in setup.scenes.items()
    }
    deeper = setup.with_(scenes=scenes)
    where = [[3, 3, -0.4], [3, 3, 1.0], [3, 3, 2.4]]
    beyond, within = (ds.crlb(each, where, photons=3000, background=10) for each in (setup, deeper))
    np.testing.assert_allclose(beyond, within, rtol=0.01)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"xyz": [[3, 3], [1, 2], [2, 2]]}, "N, 3"),
        ({"xyz": [[[3, 3, 1]]]}, "N, 3"),
        ({"xyz": [[3, 3, 1], [2]]}, "no array"),
        ({"xyz": [[3, 3, float("nan")]]}, "finite"),
        ({"xyz": [[3, 3, 500]]}, "not nm"),
        ({"photons": -100}, "above 0"),
        ({"photons": [100, 0, 1]}, "above 0"),
        ({"photons": [100, 200]}, "one for each"),
        ({"photons": "many"}, "no array"),
        ({"background": 0}, "above 0"),
        ({"background": float("nan")}, "finite"),
    ],
)
def test_what_has_no_bound_is_refused_in_words(changed: dict[str, object], said: str):
    given = {"xyz": [[3, 3, 1.0]] * 3, "photons": 1000, "background": 10, **changed}
    with pytest.raises(ds.InputError, match=said):
        ds.crlb("quickstart", **given)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("z_um", [0.5, [[0.5]], [float("nan")], "deep", [500.0]])
def test_what_is_no_list_of_depths_is_refused_in_words(z_um: object):
    with pytest.raises(ds.InputError):
        ds.psf("quickstart", z_um)  # pyright: ignore[reportArgumentType]


def test_a_measured_psf_has_no_image_beyond_its_planes(tmp_path: Path):
    setup = ds.preset("quickstart")
    pixel_um = setup.microscope.pixel_um
    planes = PSFVolume(torch.full((13, 27, 27), 1 / 27**2), pixel_um, z_um=0.0, step_um=0.1)
    write_psf(tmp_path / "planes.tif", planes)
    measured = setup.with_(psf=MeasuredPSFSpec(path=str(tmp_path / "planes.tif"), patch_px=15))
    for refused in (
        lambda: ds.psf(measured, [0.5, 1.5]),
        lambda: ds.crlb(measured, [[3, 3, -0.2]], photons=1000, background=10),
    ):
        with pytest.raises(ds.InputError, match=r"known from 0 to 1\.2 µm"):
            refused()
    assert ds.psf(measured, [0.0, 1.2]).shape == (2, 15, 15), "as psf.patch_px says"


@pytest.mark.parametrize("asked", [{"threshold": 2}, {"threshold": -0.1}, {"method": "mel"}])
def test_what_no_model_can_be_asked_is_refused_before_the_work(seen, asked: dict[str, object]):
    with pytest.raises(ds.InputError, match=r"probability|network, pursuit or mle, not 'mel'"):
        seen[0].localize(seen[1], **asked)


@pytest.mark.parametrize("device", ["gpu", "tpu:0", "cpu:1", "cuda:x", "cuda:99"])
def test_a_device_that_is_not_there_is_refused_before_the_work(device: str, small_design: ds.Experiment):
    for work in (
        lambda: ds.load_model("tetrapod", device=device),
        lambda: ds.train("quickstart", device=device),
        lambda: ds.design_mask(small_design, device=device),
    ):
        with pytest.raises(ds.InputError, match="device"):
            work()


@pytest.mark.parametrize("asked", [{"emitters": -1}, {"emitters": 2.5}, {"specimen": "mitos"}])
def test_a_specimen_that_cannot_be_is_refused_in_words(asked: dict[str, object]):
    with pytest.raises(
        ds.InputError, match=r"whole number|filaments, mitochondria, ellipsoid, nucleus or None, not 'mitos'"
    ):
        ds.simulate("quickstart", **asked)  # pyright: ignore[reportArgumentType]


def test_masks_are_compared_by_name_from_arrays_and_files(tmp_path: Path):
    flat = np.zeros_like(ds.mask("quickstart"))
    ds.write_mask(tmp_path / "own.npy", ds.mask("quickstart"))
    sweep = Sweep(depths=3, photons=(1e3,), background=(10,), emitters=(1,), molecules=4)
    report = ds.limit("quickstart", {"flat": flat, "own": tmp_path / "own.npy", "set-up": None}, sweep=sweep)
    sigma = {each.name: each.depth.sigma_nm for each in report.masks}
    np.testing.assert_allclose(sigma["own"], sigma["set-up"], rtol=1e-3)
    assert not np.allclose(sigma["flat"], sigma["own"], rtol=0.1)


def test_masks_go_by_the_names_that_the_command_knows():
    setup = ds.preset("quickstart").with_(mask={"kind": "astigmatic"})
    phase = ds.mask(setup.with_(mask={"kind": "tetrapod"}))
    sweep = Sweep(depths=3, photons=(1e3,), background=(10,), emitters=(1,), molecules=4)
    one, other = ds.limit(setup, {"name": "tetrapod", "array": phase}, sweep=sweep).masks
    np.testing.assert_array_equal(one.depth.sigma_nm, other.depth.sigma_nm)
    light: dict[str, Any] = {"photons": 1000, "background": 10}
    for ask in (
        lambda mask: ds.psf(setup, [0.5], mask=mask),
        lambda mask: ds.crlb(setup, [[3, 3, 1]], **light, mask=mask),
    ):
        np.testing.assert_array_equal(ask("tetrapod"), ask(phase))
        with pytest.raises(
            ds.InputError, match=r"no mask 'tetrapodd'; there are: .*tetrapod.*, or give a file"
        ):
            ask("tetrapodd")


def test_a_mask_designed_in_memory_is_better_than_its_start(small_design: ds.Experiment):
    setup = small_design.with_(design=small_design.design.with_(fisher_steps=40))
    with pytest.raises(ds.InputError, match="no network"):
        ds.design_mask(setup, by="fisher", from_model="tetrapod")
    found = ds.design_mask(setup, by="fisher", device="cpu")
    assert found.shape == ds.mask(setup).shape
    xyz = [[1, 1, z] for z in np.linspace(*setup.z_um, 5)]
    light = {"photons": 3000, "background": 20}
    assert ds.crlb(setup, xyz, mask=found, **light)[:, 2].mean() < ds.crlb(setup, xyz, **light)[:, 2].mean()
