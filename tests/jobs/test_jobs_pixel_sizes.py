"""Every command that reads frames compares both sides of their pixels; the user may know better."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import click
import h5py
import numpy as np
import pytest
import scipy.io
import tifffile
import torch
import typer
import zarr

from deepstorm3d.calibration.beads.settings import BeadSettings
from deepstorm3d.calibration.phase_retrieval.retrieval import retrieve_mask
from deepstorm3d.cli.app import app
from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.io.movies import open_movie
from deepstorm3d.io.movies.pixel_size import check_pixel, stated_pixel
from deepstorm3d.io.movies.preparation import Prepared, prepare
from deepstorm3d.io.psfs import read_psf
from deepstorm3d.io.tables import write_table
from deepstorm3d.jobs import preview, regenerate
from deepstorm3d.jobs.axial_scan import FocalPlanes, scan_stack
from deepstorm3d.jobs.estimate import estimate_movie
from deepstorm3d.jobs.localize import ListFile, localize_movie
from deepstorm3d.jobs.measure_psf import measure_psf
from deepstorm3d.jobs.reading_lists import read_localizations
from deepstorm3d.jobs.render_beside import MeasuredImage, StandardPSF, render_beside
from deepstorm3d.localizing.excerpt import Excerpt
from deepstorm3d.localizing.pipeline import Pipeline, load_pipeline
from factories import tiny_experiment, untrained_model, write_movie

pytestmark = pytest.mark.usefixtures("coarse_pictures")

FRAMES = np.full((6, 40, 48), 20, np.uint16)
EXPERIMENT = tiny_experiment()
RIGHT_UM = EXPERIMENT.microscope.pixel_um


def tiff(path: Path, width_um: float, height_um: float) -> Path:
    per_um = (1 / width_um, 1 / height_um)
    tifffile.imwrite(path, FRAMES, imagej=True, resolution=per_um, metadata={"unit": "um"})
    return path


def ome(path: Path, width_um: float, height_um: float) -> Path:
    said = {"PhysicalSizeX": 1000 * width_um, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": height_um}
    tifffile.imwrite(path, FRAMES, ome=True, metadata=said)
    return path


def pages(folder: Path, width_um: float, height_um: float) -> Path:
    folder.mkdir()
    for number in range(3):
        tifffile.imwrite(
            folder / f"f{number}.tif",
            FRAMES[number],
            resolution=(1e4 / width_um, 1e4 / height_um),
            resolutionunit="CENTIMETER",
        )
    return folder


def ome_zarr(folder: Path, width_um: float, height_um: float) -> Path:
    root = zarr.open_group(str(folder), mode="w", zarr_format=3)
    root.create_array("0", data=FRAMES, chunks=(1, 40, 48))
    axes = [{"name": "t", "type": "time"}]
    axes += [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    scale = [{"type": "scale", "scale": [1, height_um, width_um]}]
    image = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    root.attrs.update({"ome": {"version": "0.5", "multiscales": [image]}})
    return folder


@pytest.mark.parametrize(
    ("write", "name"), [(tiff, "m.tif"), (ome, "m.ome.tif"), (pages, "m"), (ome_zarr, "m.zarr")]
)
def test_both_sides_of_a_pixel_are_read(write: Callable[..., Path], name: str, tmp_path: Path):
    with open_movie(write(tmp_path / name, 0.11, 0.16)) as movie:
        assert (movie.pixel_um, movie.pixel_height_um) == pytest.approx((0.11, 0.16), rel=1e-4)
        assert stated_pixel(movie) == "110.0 nm wide and 160.0 nm high"
        with pytest.raises(InputError, match=r"110\.0 nm wide and 160\.0 nm high, mine are 110\.0 nm; stop; "):
            check_pixel(movie, 0.11, "mine are", "stop")
        turned = prepare(movie, Prepared(transpose=True, flip="both"))
        assert (turned.pixel_um, turned.pixel_height_um) == pytest.approx((0.16, 0.11), rel=1e-4)


def test_what_a_file_does_not_say_is_not_compared(tmp_path: Path):
    path = tmp_path / "m.tif"
    tifffile.imwrite(path, FRAMES, ome=True, metadata={"PhysicalSizeX": 0.11})
    with open_movie(path) as movie:
        assert movie.pixel_height_um is None
        check_pixel(movie, 0.11, "mine are", "stop")
        with pytest.raises(InputError, match=r"pixels are 110\.0 nm, mine"):
            check_pixel(movie, 0.1, "mine are", "stop")


def write_list(path: Path, pixel_um: float) -> None:
    one = torch.ones(1)
    sigma = torch.full((1, 3), 0.01)
    place, frame = torch.tensor([[2.0, 2.0, 0.5]]), torch.zeros(1, dtype=torch.int64)
    found = Localizations(place, frame, 1000 * one, 20 * one, one, sigma, one, one, one, "fit")
    write_table(path, found, pixel_um=pixel_um, frames=1, shape=(40, 48))


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return load_pipeline(untrained_model(EXPERIMENT, 0.5), refine=False)


def commands(
    pipeline: Pipeline, movie: Path, folder: Path, said_um: float | None
) -> dict[str, Callable[[], object]]:
    """What each command does with the movie, by its name."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    excerpt, beads = Excerpt(movie, pixel_um=said_um), BeadSettings(step_um=0.3, pixel_um=said_um)
    write_list(folder / "locs.csv", RIGHT_UM)
    return {
        "localize": lambda: localize_movie(excerpt, pipeline, ListFile(folder / "o.csv")),
        "preview": lambda: preview.preview_movie(excerpt, pipeline, folder / "preview", frames=1),
        "regenerate": lambda: regenerate.regenerate_frame(
            folder / "locs.csv", excerpt, pipeline, folder / "f.png"
        ),
        "estimate": lambda: estimate_movie(excerpt, EXPERIMENT, folder / "e.yaml"),
        "axial-scan": lambda: scan_stack(excerpt, EXPERIMENT, folder / "s.csv", FocalPlanes(0.3)),
        "retrieve-mask": lambda: retrieve_mask(EXPERIMENT, [movie], beads),
        "measure-psf": lambda: measure_psf(EXPERIMENT, [movie], beads, folder / "p.tif"),
    }


@pytest.mark.parametrize(
    "command", ["localize", "preview", "regenerate", "estimate", "axial-scan", "retrieve-mask", "measure-psf"]
)
def test_a_wrong_side_is_refused_and_the_users_word_counts(
    pipeline: Pipeline, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for job in (regenerate, preview):
        monkeypatch.setattr(job, "save_figure", lambda figure, path: None)
    movie = tiff(tmp_path / "m.tif", RIGHT_UM, 1.4 * RIGHT_UM)
    with pytest.raises(InputError, match=r"nm wide and .* nm high.*\(`pixel_um`\)"):
        commands(pipeline, movie, tmp_path / "c", None)[command]()
    with pytest.raises(InputError, match=r"pixels are given as 130\.0 nm \(`pixel_um`\)"):
        commands(pipeline, movie, tmp_path / "c", 0.13)[command]()
    try:
        commands(pipeline, movie, tmp_path / "c", RIGHT_UM)[command]()
    except InputError as error:
        # Dark frames hold neither beads nor molecules; that is all there is to complain of now.
        assert "pixels are" not in str(error) and "pixel_um" not in str(error)


def test_every_command_that_reads_frames_has_the_option():
    group = typer.main.get_command(app)
    assert isinstance(group, click.Group) or hasattr(group, "commands")
    lacking = []
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        frames = any(
            p.param_type_name == "argument" and p.name in ("movie", "stack", "beads") for p in command.params
        )
        said = [p.help for p in command.params if "--pixel-nm" in p.opts]
        if frames and not (said and "in place of the file's" in str(said[0])):
            lacking.append(name)
    assert not lacking


def test_an_image_beside_a_rendering_has_square_pixels_or_the_users(tmp_path: Path):
    image = tiff(tmp_path / "w.tif", 0.1, 0.2)
    locs = tmp_path / "locs.csv"
    write_list(locs, 0.1)
    with pytest.raises(InputError, match=r"100\.0 nm wide and 200\.0 nm high.*`MeasuredImage\.pixel_nm`"):
        render_beside(
            locs, tmp_path / "o.png", MeasuredImage(image), standard=StandardPSF(na=1.4, wavelength_nm=670)
        )


@pytest.mark.parametrize("name", ["a_sml.mat", "a.h5", "a.csv", "a.hdf5"])
@pytest.mark.usefixtures("coarse_pictures")
def test_a_list_without_a_pixel_is_drawn_beside_the_usual_one_or_told_to_be_converted(
    name: str, tmp_path: Path
):
    path, rows = tmp_path / name, np.arange(1.0, 40.0)
    if name == "a_sml.mat":
        loc = {"frame": rows, "xnm": 100 * rows, "ynm": 50 * rows, "znm": rows}
        scipy.io.savemat(path, {"saveloc": {"loc": loc}})
    elif name == "a.csv":
        path.write_text(
            "frame,x [nm],y [nm],z [nm]\n" + "".join(f"{n:g},{100 * n},{50 * n},{n}\n" for n in rows)
        )
    else:
        with h5py.File(path, "w") as file:
            if name == "a.h5":
                for column, values in {
                    "frame": rows,
                    "x_nm": 100 * rows,
                    "y_nm": 50 * rows,
                    "z_nm": rows,
                }.items():
                    file[f"locs/{column}"] = values
            else:
                kind = np.dtype([(each, "f4") for each in ("frame", "x", "y", "z")])
                file["locs"] = np.array([(n, n, n / 2, n) for n in rows], dtype=kind)
    standard, out = StandardPSF(na=1.4, wavelength_nm=670), tmp_path / "o.png"
    if name == "a.hdf5":  # its positions are in pixels
        with pytest.raises(InputError, match=r"give it to a.hdf5 first \(`convert`\)"):
            render_beside(path, out, standard=standard)
    else:
        assert render_beside(path, out, standard=standard).pixel_um == 0.1
        assert out.is_file()


def test_a_psf_file_with_pixels_that_are_not_square_is_refused(tmp_path: Path):
    tifffile.imwrite(
        tmp_path / "psf.tif",
        np.ones((4, 15, 15), np.float32),
        imagej=True,
        resolution=(10.0, 8.0),
        metadata={"axes": "ZYX", "unit": "micron", "spacing": 0.1},
    )
    with pytest.raises(InputError, match=r"100\.0 nm wide and 125\.0 nm high"):
        read_psf(tmp_path / "psf.tif")


def test_a_list_that_names_its_pixel_is_not_overruled_in_silence(tmp_path: Path):
    write_list(tmp_path / "locs.csv", 0.1)
    assert read_localizations(tmp_path / "locs.csv", 100.0)[1].pixel_nm == pytest.approx(100)
    with pytest.raises(
        InputError, match=r"says its pixels are 100 nm.* 110 nm \(`pixel_um`\) is for lists that do not say"
    ):
        read_localizations(tmp_path / "locs.csv", 110.0)


def test_a_movie_written_here_states_both_sides(tmp_path: Path):
    write_movie(tmp_path / "m.tif", FRAMES)
    with open_movie(tmp_path / "m.tif") as movie:
        assert (movie.pixel_um, movie.pixel_height_um) == pytest.approx((0.11, 0.11))
