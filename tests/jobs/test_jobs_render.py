"""Rendering jobs: data files keep counts and voxel sizes, refusals name the way out, images are registered."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.extent import frame_extent
from deepstorm3d.io.movies import open_movie
from deepstorm3d.io.tables import TableHeader, write_list
from deepstorm3d.jobs.render import Drawing, render_section_table, render_stack_table, render_table
from deepstorm3d.jobs.render_beside import MeasuredImage, StandardPSF, render_beside
from deepstorm3d.rendering.canvas import Canvas
from deepstorm3d.rendering.gaussians import Gaussians
from deepstorm3d.rendering.sections import Axis, Box, cloud_of
from factories import localizations

pytestmark = pytest.mark.usefixtures("coarse_pictures")

PIXEL, SHAPE = 0.1, (60, 70)
MICROSCOPE = {"experiment": {"microscope": {"na": 1.4, "wavelength": 0.6}}}


def some(sigma: bool = True, seed: int = 5) -> Localizations:
    """400 localizations in 5 × 4 × 1 µm, with σ of 10, 12 and 20 nm or none."""
    g = torch.Generator().manual_seed(seed)
    xyz = 0.8 + torch.rand(400, 3, generator=g) * torch.tensor([5.0, 4.0, 1.0])
    table = Localizations.proposals(xyz, torch.zeros(400, dtype=torch.int64), torch.ones(400))
    if not sigma:
        return table
    widths = torch.tensor([0.010, 0.012, 0.020]).expand(400, 3)
    return dataclasses.replace(table, sigma_xyz=widths, sigma_source="crlb")


def written(folder: Path, table: Localizations, name: str = "found.hdf5", **provenance: Any) -> Path:
    write_list(
        folder / name, table, TableHeader(pixel_um=PIXEL, frames=1, shape=SHAPE, provenance=provenance or {})
    )
    return folder / name


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return written(tmp_path, some(), **MICROSCOPE)


@pytest.mark.parametrize("method", [None, Gaussians()])
def test_a_stack_holds_every_localization_and_its_voxel_size(tmp_path: Path, source: Path, method: Any):
    out = tmp_path / "stack.tif"
    stack = render_stack_table(source, out, Drawing(method, 20), plane_nm=50)
    with tifffile.TiffFile(out) as tiff:
        volume, said = tiff.asarray(), tiff.imagej_metadata or {}
        numerator, denominator = tiff.pages[0].tags["XResolution"].value
    assert volume.shape == stack.shape and volume.dtype == np.float32
    assert (said["slices"], said["unit"]) == (stack.shape[0], "micron")
    assert said["spacing"] == pytest.approx(0.05)
    assert denominator / numerator == pytest.approx(0.02)
    assert volume.sum(dtype=float) == pytest.approx(400, rel=2e-3)


def test_planes_of_a_stack_are_ordered_from_shallow_to_deep(tmp_path: Path, source: Path):
    render_stack_table(source, tmp_path / "s.tif", Drawing(pixel_nm=50, box=Box(z=(0.8, 1.8))), plane_nm=100)
    volume = tifffile.imread(tmp_path / "s.tif")
    expected = np.histogram(some().xyz[:, 2].numpy(), bins=np.linspace(0.8, 1.8, 11))[0]
    assert volume.sum(axis=(1, 2)) == pytest.approx(
        expected, abs=1.01
    )  # stored in nm: one may change its plane


def places(path: Path) -> tuple[float, ...]:
    """Centre of what is in a TIFF, by the origin and sizes that ImageJ reads: x, y and, of a stack, z, µm."""
    with tifffile.TiffFile(path) as tiff:
        image, said = tiff.asarray(), tiff.imagej_metadata or {}
        numerator, denominator = tiff.pages[0].tags["XResolution"].value
    sizes = [denominator / numerator] * 2 + [float(said.get("spacing", 0))]
    grid = np.indices(image.shape) + 0.5
    middle = [float((axis * image).sum() / image.sum()) for axis in grid][::-1]
    origin = [float(said[f"{axis}origin"]) for axis in "xyz"[: image.ndim]]
    return tuple((at - first) * size for at, first, size in zip(middle, origin, sizes, strict=False))


@pytest.mark.parametrize("across", ["x", "y", "z"])
def test_tiffs_of_one_list_say_where_they_lie(tmp_path: Path, across: Axis):
    clusters = [(1.0, 2.5, 0.3), (2.0, 1.5, 0.6), (3.3, 0.7, 0.9)]
    spread = 0.02 * torch.randn(300, 3, generator=torch.Generator().manual_seed(1))
    xyz = torch.tensor(clusters).repeat_interleave(100, 0) + spread
    source = written(tmp_path, localizations(xyz))
    column = "xyz".index(across)
    for number, cluster in enumerate(clusters):
        middle = xyz[100 * number : 100 * (number + 1)].mean(0).tolist()
        between = (cluster[column] - 0.12, cluster[column] + 0.12)
        out = tmp_path / f"section_{number}.tif"
        render_section_table(source, out, across, between, Drawing(pixel_nm=20))
        # An image of x–y, or of x or y and depth.
        seen = {"x": (1, 2), "y": (0, 2), "z": (0, 1)}[across]
        assert places(out) == pytest.approx([middle[axis] for axis in seen], abs=0.003)
    render_table(source, tmp_path / "flat.tif", Drawing(pixel_nm=20))
    assert places(tmp_path / "flat.tif") == pytest.approx(xyz.mean(0).tolist()[:2], abs=0.003)
    render_stack_table(source, tmp_path / "stack.tif", Drawing(pixel_nm=20), plane_nm=50)
    assert places(tmp_path / "stack.tif") == pytest.approx(xyz.mean(0).tolist(), abs=0.003)


def test_a_flat_tiff_is_data_with_its_pixel_size(tmp_path: Path, source: Path):
    out = tmp_path / "flat.tif"
    drawn = render_table(source, out, Drawing(pixel_nm=25))
    with open_movie(out) as image:
        assert image.pixel_um == pytest.approx(0.025)
        assert image.dtype == np.float32
        assert np.array_equal(image.read(0, 1)[0], drawn.xy.density)
    cut = render_section_table(source, tmp_path / "cut.tif", "y", (2.75, 3.25), Drawing(pixel_nm=25))
    assert tifffile.imread(tmp_path / "cut.tif").sum() == pytest.approx(cut.localizations, rel=1e-5)


def test_sections_and_boxes_write_pictures(tmp_path: Path, source: Path):
    render_section_table(source, tmp_path / "cut.png", "z", (1.15, 1.25), Drawing(Gaussians(), 20))
    assert (tmp_path / "cut.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match=r"cut\.png exists.*`overwrite=True`"):
        render_section_table(source, tmp_path / "cut.png", "z", (1.15, 1.25))
    with pytest.raises(InputError, match=r"no localization in what is to be drawn; the list spans x 0\.8"):
        render_table(source, tmp_path / "no.png", Drawing(box=Box(z=(5.0, 6.0))))
    with pytest.raises(InputError, match=r"a stack is written as \.tif"):
        render_stack_table(source, tmp_path / "stack.png")


def test_a_list_without_sigma_names_the_ways_out(tmp_path: Path):
    bare = written(tmp_path, some(sigma=False))
    with pytest.raises(InputError, match=r"`histogram`.*`blur_um`"):
        render_table(bare, tmp_path / "no.png", Drawing(Gaussians()))
    assert render_table(bare, tmp_path / "yes.tif", Drawing(Gaussians(blur_um=0.03))).localizations == 400


def test_beside_a_standard_image_the_microscope_is_the_lists_own_or_the_users(tmp_path: Path, source: Path):
    pair = render_beside(source, tmp_path / "pair.png", drawing=Drawing(pixel_nm=20))
    assert pair.sigma_um == pytest.approx(0.21 * 0.6 / 1.4)
    assert pair.registration is None and pair.pixel_um == pytest.approx(PIXEL)
    assert (tmp_path / "pair.png").read_bytes().startswith(b"\x89PNG")
    other = render_beside(
        source, tmp_path / "other.png", drawing=Drawing(pixel_nm=20), standard=StandardPSF(na=0.7)
    )
    assert other.sigma_um == pytest.approx(0.21 * 0.6 / 0.7)
    silent = written(tmp_path, some(), "silent.hdf5")
    with pytest.raises(InputError, match=r"`na=1\.45` `wavelength_nm=670`"):
        render_beside(silent, tmp_path / "no.png")
    with pytest.raises(InputError, match="belong to no microscope"):
        render_beside(silent, tmp_path / "no.png", standard=StandardPSF(na=1.4, wavelength_nm=0.6))
    with pytest.raises(InputError, match="side by side"):
        render_beside(source, tmp_path / "no.tif")


def acquired(path: Path, table: Localizations, shift_um: tuple[float, float], pixel_um: float | None) -> Path:
    """A widefield movie of the list, moved by x and y, with noise."""
    canvas = Canvas.over(frame_extent(SHAPE, PIXEL), PIXEL)
    method = Gaussians(blur_um=0.09)
    cloud = cloud_of(table.shift((*shift_um, 0.0)), method, Box())
    light = method.draw(canvas, cloud.blocks(("y", "x"), np.ones((1, 1), np.float32)), 1)[0]
    g = np.random.default_rng(0)
    frames = g.poisson(100 + 200 * light, (4, *light.shape)).astype(np.uint16)
    resolution = {} if pixel_um is None else {"resolution": (1 / pixel_um, 1 / pixel_um)}
    tifffile.imwrite(path, frames, imagej=True, metadata={"unit": "um", "axes": "TYX"}, **resolution)
    return path


def test_a_measured_image_is_registered_and_its_shift_found(tmp_path: Path, source: Path):
    file = acquired(tmp_path / "wide.tif", some(), (0.31, -0.17), PIXEL)
    pair = render_beside(source, tmp_path / "pair.png", MeasuredImage(file), Drawing(pixel_nm=20))
    assert pair.registration is not None
    down, right = (PIXEL * shift for shift in pair.registration.shift_px)
    assert (right, down) == pytest.approx((-0.31, 0.17), abs=0.02)
    assert pair.registration.correlation > 0.9


def test_an_image_of_something_else_or_of_unknown_pixels_is_refused(tmp_path: Path, source: Path):
    file = acquired(tmp_path / "other.tif", some(seed=9), (0.0, 0.0), PIXEL)
    with pytest.raises(InputError, match="cannot be registered"):
        render_beside(source, tmp_path / "no.png", MeasuredImage(file), Drawing(pixel_nm=20))
    plain = tmp_path / "plain.tif"
    tifffile.imwrite(plain, np.ones(SHAPE, np.uint16))
    with pytest.raises(InputError, match=r"`MeasuredImage\.pixel_nm`"):
        render_beside(source, tmp_path / "no.png", MeasuredImage(plain))


@pytest.mark.parametrize(
    ("box", "told"),
    [
        (Box(x=(1000.0, 4500.0)), True),
        (Box(x=(1000.0, 4500.0), y=(700.0, 3000.0)), True),
        (Box(y=(10.0, 30.0), z=(-100.0, -50.0)), True),
        (Box(z=(50.0, math.inf)), True),
        (Box(x=(100.0, 200.0)), False),
        (Box(x=(60.0, 70.0)), False),
        (Box(x=(60.0, math.inf)), False),
        (Box(x=(0.0, 1000.0), z=(1.0, math.inf)), False),
        (Box(z=(1.0, 2.0)), False),
        (Box(z=(10.0, 20.0)), False),
        (Box(z=(-math.inf, -2.0)), False),
        (Box(x=(55.0, 56.0), z=(-0.2, 0.2)), False),
    ],
    ids=str,
)
def test_clipping_planes_that_hold_no_row_are_taken_for_nm_only_where_they_hold_many_as_nm(
    tmp_path: Path, box: Box, told: bool
):
    """100,000 rows in 50 × 50 × 1.4 µm: a few of them lie between any two planes in nm."""
    xyz = (torch.rand(100_000, 3, generator=torch.Generator().manual_seed(0)) - 0.5) * torch.tensor(
        [50, 50, 1.4]
    )
    xyz[:, :2] += 25
    dense = Localizations.proposals(xyz, torch.zeros(len(xyz), dtype=torch.int64), torch.ones(len(xyz)))
    with pytest.raises(InputError, match="holds no localization in what is to be drawn") as refused:
        render_table(written(tmp_path, dense), tmp_path / "none.tif", Drawing(box=box))
    assert ("clipping planes are in µm, not nm" in str(refused.value)) == told
