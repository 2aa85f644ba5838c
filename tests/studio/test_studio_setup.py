"""The experiment as a form: made from the records, judged field by field, and looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

import deepstorm3d as ds
from deepstorm3d.camera import CameraSpec
from deepstorm3d.camera.kinds import CAMERAS
from deepstorm3d.errors import InputError
from deepstorm3d.experiment.camera_sheets import CAMERA_SHEETS
from deepstorm3d.experiment.channel import Channel
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.files import changed, read_experiment
from deepstorm3d.experiment.presets import PRESETS
from deepstorm3d.io.masks import mask_sha256
from deepstorm3d.io.movies.preparation import Prepared
from deepstorm3d.noise import Noise
from deepstorm3d.spec import quantity
from deepstorm3d.studio.folder import Folder
from deepstorm3d.studio.movie.explained import Question
from deepstorm3d.studio.setup.draft import ExperimentDraft
from deepstorm3d.studio.setup.form import form_of
from deepstorm3d.studio.setup.look import ViewQuestion, view_experiment
from deepstorm3d.studio.setup.same import assignments, estimate_command, python_lines
from deepstorm3d.studio.setup.setup import Setup
from deepstorm3d.watch import SILENT
from factories import tiny_experiment

NA = ("microscope", "na")
Z = ("scenes", "main", "emitters", "z_um")


@pytest.mark.parametrize("name", PRESETS)
def test_every_value_of_an_experiment_file_has_a_field_and_only_those(name: str) -> None:
    mapping = PRESETS[name]().to_mapping()
    shown = {field.path: field.value for field in form_of(Experiment, mapping).walk()}
    assert shown == dict(leaves(mapping, ()))


def leaves(value: Any, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], Any]]:
    """Values of a nested mapping that are no sections; what maps numbers to values is one value."""
    tables = ("aberrations", "transmission", "rises", "coefficients")
    if isinstance(value, dict) and path[-1:] not in [(table,) for table in tables]:
        return [each for key, part in value.items() for each in leaves(part, (*path, key))]
    return [] if path[-1] in ("kind", "format_version") else [(path, value)]


def test_units_limits_and_help_are_those_of_the_records() -> None:
    form = form_of(Experiment, ds.preset("storm").to_mapping())
    fields = {field.path: field for field in form.walk()}
    wavelength = fields["microscope", "wavelength"]
    assert wavelength.label == "Emission wavelength (µm)"
    assert wavelength.hint == "Emission wavelength in vacuum [> 0.2, < 2] · microscope.wavelength"
    assert fields[NA].label == "Numerical aperture"
    assert form.find(("psf", "field")).label == "Change across the field"
    assert form.find(("scenes", "main")).label == "main", "a scene has the name that the user gave it"
    assert fields[Z].editor == "pair" and not fields[Z].optional
    blur = fields["scenes", "main", "emitters", "blur_px"]
    assert blur.editor == "pair" and blur.optional
    assert fields["design", "parameters"].choices == ("pixels", "zernike")
    assert fields["training", "half_precision"].editor == "switch"
    camera = form.find(("camera",))
    assert camera.kind == "minimum_subtracted" and set(camera.kinds) >= {"ideal", "scmos", "emccd"}


def test_no_value_is_called_by_a_bare_abbreviation() -> None:
    """A label is words and a unit: no key of the file, and no unit twice."""
    labels = {
        each.label for name in PRESETS for each in form_of(Experiment, PRESETS[name]().to_mapping()).walk()
    }
    assert len(labels) > 50
    for label in labels:
        words, _, unit = label.removesuffix(")").partition(" (")
        assert "_" not in words and words[0].isupper(), label
        assert not unit or unit not in words.lower().split(), label


def test_a_choice_of_numbers_shows_the_number_that_is_set() -> None:
    draft = ExperimentDraft("storm")
    draft.set_kind(("network",), "voxel")
    upsampling = next(field for field in draft.form().walk() if field.path == ("network", "upsampling"))
    assert upsampling.value in upsampling.choices == (1, 2, 4)
    draft.set(("network", "upsampling"), upsampling.choices[1])
    assert not draft.faults and draft.value(("network", "upsampling")) == 2


def test_a_kind_from_outside_has_a_form_without_any_code() -> None:
    kinds = dict(CAMERAS._kinds)
    try:

        class DrippingCamera(CameraSpec):
            """A camera whose pixels drip."""

            kind: Literal["dripping"] = "dripping"
            leak: float = quantity(0.25, "e-/frame", "electrons that leak into a pixel", ge=0, le=9)
            saturation: float = quantity(4095.0, "ADU", "full pixel")

            def expose(self, expected: torch.Tensor, generator: Any, maps: Any = None) -> torch.Tensor:
                return torch.poisson(expected + self.leak, generator=generator)

            def to_photons(self, counts: torch.Tensor, maps: Any = None) -> torch.Tensor:
                return counts.float() - self.leak

            def pixel_noise(self, maps: Any = None) -> Noise:
                return Noise(read_variance=self.leak)

        CAMERAS.register(DrippingCamera)
        draft = ExperimentDraft("quickstart")
        draft.set_kind(("camera",), "dripping")
        section = draft.form().find(("camera",))
        assert "dripping" in section.kinds and section.about == "A camera whose pixels drip."
        assert [field.label for field in section.fields] == ["Leak (e-/frame)", "Saturation (ADU)"]
        draft.enter(("camera", "leak"), "10")
        assert "less than or equal to 9" in draft.faults["camera", "leak"]
        draft.enter(("camera", "leak"), "2")
        assert not draft.faults and isinstance(draft.experiment.camera, DrippingCamera)
        assert draft.experiment.camera.leak == 2.0
    finally:
        CAMERAS._kinds, CAMERAS._adapter = kinds, None


def test_a_wrong_value_says_so_at_its_field_and_the_last_good_experiment_stays() -> None:
    draft = ExperimentDraft("storm")
    good = draft.experiment
    draft.enter(NA, "1.6")
    assert draft.faults == {NA: "na 1.6 must be below n_immersion 1.518: no light leaves at a steeper angle"}
    assert draft.experiment is good and draft.value(NA) == 1.6
    with pytest.raises(InputError, match=r"not valid yet: microscope\.na: na 1\.6"):
        draft.complete.with_()
    # A value that is right takes effect though another is still wrong.
    draft.enter(("seed",), "7")
    assert draft.experiment.seed == 7 and NA in draft.faults
    draft.enter(NA, "wide")
    assert draft.faults[NA] == "must be a number (given: 'wide')"
    draft.enter(NA, "1.4")
    assert not draft.faults and draft.experiment.microscope.na == 1.4 and draft.experiment.seed == 7


def test_two_values_that_only_together_are_right_are_both_taken() -> None:
    draft = ExperimentDraft("tetrapod")
    low, high = (("scenes", "nucleus", "emitters", "photons", key) for key in ("low", "high"))
    draft.enter(low, "70000")
    assert list(draft.faults) == [low] and "low must not be above high" in draft.faults[low]
    draft.enter(high, "90000")
    assert not draft.faults
    photons = draft.experiment.scene("nucleus").emitters.photons
    assert photons.to_mapping() == {"kind": "uniform", "low": 70000.0, "high": 90000.0}


def test_one_wrong_number_of_two_is_told_at_the_field_of_both() -> None:
    draft = ExperimentDraft("storm")
    draft.set(Z, [0.0, None])
    assert draft.faults[Z] == "must be a number (nothing is given)"
    draft.set(Z, [3.0, 1.0])
    assert "lower first" in draft.faults[Z]
    draft.enter(Z, "[0, 1")
    assert "cannot be read" in draft.faults[Z]
    draft.set(Z, [0.0, 3.0])
    assert not draft.faults and draft.experiment.z_um == (0.0, 3.0)


def test_kinds_scenes_and_undo() -> None:
    draft = ExperimentDraft("storm")
    draft.set_kind(("camera",), "scmos")
    assert draft.value(("camera", "gain")) == 1.0
    draft.copy_part(("scenes", "main"), "dense")
    with pytest.raises(InputError, match="'main' is taken"):
        draft.copy_part(("scenes", "dense"), "main")
    assert list(draft.experiment.scenes) == ["main", "dense"]
    draft.remove_part(("scenes", "main"))
    draft.remove_part(("scenes", "dense"))
    assert any("scenes is empty" in words for words in draft.faults.values())
    draft.undo()
    assert list(draft.experiment.scenes) == ["dense"] and not draft.faults
    for _ in range(9):
        draft.undo()
    assert draft.experiment == ds.preset("storm")


def test_a_data_sheet_sets_the_camera_and_asks_for_what_it_does_not_say() -> None:
    draft = ExperimentDraft("telomeres")
    draft.take_camera("orca-fusion")
    assert not draft.faults and draft.experiment.camera.to_mapping()["read_noise"] == 0.7
    draft.take_camera("ixon-ultra-897")
    missing = {("camera", key) for key in CAMERA_SHEETS["ixon-ultra-897"].unsaid}
    assert set(draft.faults) == missing
    assert all("data sheet of the Andor iXon Ultra 897" in words for words in draft.faults.values())
    for path in missing:
        draft.enter(path, "20")
    assert not draft.faults and draft.experiment.camera.kind == "emccd"


def test_the_assignments_lead_from_the_start_to_the_experiment() -> None:
    draft = ExperimentDraft("telomeres")
    draft.enter(NA, "1.4")
    draft.set_kind(("camera",), "scmos")
    draft.enter(("camera", "gain"), "2.2")
    draft.set_kind(("psf",), "vectorial")
    draft.enter(("psf", "aberrations"), "{5: 0.3, 8: -0.1}")
    draft.set_kind(("scenes", "nucleus", "emitters", "count"), "fixed")
    made = assignments(draft.origin, draft.experiment)
    assert changed(ds.preset("telomeres").to_mapping(), made, source="test") == draft.experiment
    assert {"microscope.na=1.4", "camera.kind=scmos", "camera.gain=2.2", "psf.kind=vectorial"} <= set(made)
    assert not any(each.startswith(("camera.baseline", "psf.patch_px", "seed")) for each in made)
    draft.copy_part(("scenes", "nucleus"), "second")
    made = assignments(draft.origin, draft.experiment)
    assert changed(ds.preset("telomeres").to_mapping(), made, source="test") == draft.experiment


def test_the_python_lines_write_the_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    draft = ExperimentDraft("telomeres")
    draft.enter(NA, "1.4")
    exec(python_lines(draft, "made.yaml"), {})
    assert read_experiment("made.yaml") == draft.experiment


def test_the_estimate_s_command_takes_the_movie_as_it_is_looked_at(tmp_path: Path) -> None:
    prepared = Prepared(flip="horizontal", subtract="median", window=50)
    asked = Question(tmp_path / "m.tif", roi=(0, 1, 64, 65), prepared=prepared, pixel_um=0.1)
    assert estimate_command(asked, Folder(tmp_path), "e.yaml", "tetrapod") == (
        "deepstorm3d estimate m.tif e.yaml --model tetrapod --roi 0,1,64,65 --flip horizontal "
        "--subtract median --window 50 --pixel-nm 100 --out estimated.yaml"
    )
    with pytest.raises(InputError, match="open one in the panel Movie first"):
        estimate_command(Question(), Folder(tmp_path), "e.yaml", "")


def test_a_view_shows_a_seeded_frame_and_how_like_it_is_to_a_real_one() -> None:
    experiment = ds.preset("quickstart")
    real, _ = ds.simulate(experiment, 1, seed=5)
    view = view_experiment(ViewQuestion(experiment, seed=5, real=real[0]), 1, SILENT)
    np.testing.assert_array_equal(view.frame, real[0])
    assert view.alike is not None and view.alike.values == 0.0
    np.testing.assert_array_equal(view.histograms["real"].share, view.histograms["simulated"].share)
    np.testing.assert_allclose(view.planes, ds.psf(experiment, view.depths), atol=1e-7)
    assert view.strip().shape == (view.planes.shape[1], view.planes.shape[2] * len(view.depths))
    darker = view_experiment(ViewQuestion(experiment, seed=5, real=3 * real[0]), 2, SILENT)
    assert any("pixel values differ" in line for line in darker.remarks)
    assert view_experiment(ViewQuestion(experiment), 3, SILENT).alike is None


def test_the_newest_change_is_looked_at(tmp_path: Path) -> None:
    setup = Setup(Folder(tmp_path))
    setup.draft.take_preset("quickstart")
    setup.look()
    for seed in range(1, 6):
        setup.choose(seed=seed)
    answer = setup.looked.wait()
    assert answer.result is not None and answer.question.seed == 5
    before = setup.looked.changes
    setup.look()
    assert setup.looked.changes == before, "the same question is not asked twice"


def test_files_count_from_the_folder_and_nothing_outside_is_read_or_written(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    phase = ds.mask("quickstart").astype(np.float32)
    np.save(folder / "sub" / "mask.npy", phase)
    np.save(tmp_path / "outside.npy", phase)
    setup = Setup(Folder(folder))
    setup.draft.take_preset("quickstart")
    setup.draft.set_kind(("mask",), "file")
    setup.name_file(("mask", "path"), "sub/mask.npy")
    np.testing.assert_allclose(ds.mask(setup.experiment), phase, atol=1e-6)
    path = setup.write("sub/mine.yaml")
    assert read_experiment(path).mask.to_mapping() == {
        "kind": "file",
        "path": str(folder / "sub" / "mask.npy"),
        "sha256": mask_sha256(phase),
    }
    assert "path: mask.npy" in path.read_text(encoding="utf-8")
    with pytest.raises(InputError, match="exists"):
        setup.write("sub/mine.yaml")
    with pytest.raises(InputError, match="outside the folder"):
        setup.write("../mine.yaml")
    with pytest.raises(InputError, match=r"let it end in \.yaml"):
        setup.write("mine.txt")
    with pytest.raises(InputError, match="outside the folder"):
        setup.name_file(("mask", "path"), "../outside.npy")
    setup.draft.set(("mask", "path"), "../outside.npy")
    with pytest.raises(InputError, match="outside the folder"):
        setup.look()
    setup.read("sub/mine.yaml")
    assert setup.draft.start == "sub/mine.yaml"
    np.testing.assert_allclose(ds.mask(setup.experiment), phase, atol=1e-6)


def test_a_camera_is_measured_from_movies_and_taken(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    dark = rng.normal(100, 3, (60, 24, 24)).round().astype(np.uint16)
    bright = (rng.poisson(400, (60, 24, 24)) * 2 + rng.normal(100, 3, (60, 24, 24))).round().astype(np.uint16)
    np.save(tmp_path / "dark.npy", dark)
    np.save(tmp_path / "bright.npy", bright)
    setup = Setup(Folder(tmp_path))
    setup.measure_camera("dark.npy", "bright.npy", "camera")
    found = setup.work.wait()
    assert found.transfer.mean_gain == pytest.approx(2.0, rel=0.1)
    setup.accept()
    assert setup.draft.experiment.camera.kind == "scmos" and setup.work.state == "idle"
    assert Path(setup.experiment.camera.maps_named()["gain"]) == tmp_path / "camera" / "gain.npy"
    with pytest.raises(InputError, match="nothing to take"):
        setup.accept()


def test_an_estimate_runs_in_a_thread_can_be_stopped_and_is_taken(tmp_path: Path) -> None:
    movie, _ = ds.simulate("quickstart", 12, seed=2)
    np.save(tmp_path / "movie.npy", movie)
    setup = Setup(Folder(tmp_path))
    setup.draft.take_preset("quickstart")
    setup.draft.enter(("camera", "saturation"), "60000")
    setup.estimate(ds.Excerpt(tmp_path / "movie.npy"))
    with pytest.raises(InputError, match="busy"):
        setup.estimate(ds.Excerpt(tmp_path / "movie.npy"))
    setup.work.stop()
    assert setup.work.wait() is None and setup.work.state == "stopped"
    setup.estimate(ds.Excerpt(tmp_path / "movie.npy"))
    found = setup.work.wait()
    setup.accept()
    assert setup.draft.experiment == found.experiment
    assert setup.draft.experiment.camera.saturation == 60000


def test_each_channel_is_seen_in_a_frame_and_in_its_own_planes() -> None:
    first = tiny_experiment()
    far = Channel(light=0.25, focus=first.microscope.focus + 0.5)
    experiment = first.with_(channels={"far": far})
    view = view_experiment(ViewQuestion(experiment, seed=5), 1, SILENT)
    movies, _ = ds.simulate_channels(experiment, 1, seed=5)
    np.testing.assert_array_equal(view.frame, movies["first"][0])
    (seen,) = view.further
    assert (seen.name, seen.share) == ("far", 0.25)
    np.testing.assert_array_equal(seen.frame, movies["far"][0])
    np.testing.assert_allclose(seen.planes, ds.psf(experiment.of_channel(1), view.depths), atol=1e-7)
    assert np.abs(seen.planes - view.planes).max() > 0.01
    assert view.strip().shape == (2 * view.planes.shape[1], view.planes.shape[2] * len(view.depths))
