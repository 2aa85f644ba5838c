"""PSFs in the files of other programs: what is written is read back, depth and photons included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
import torch

from deepstorm3d.errors import InputError, MissingPixelSize
from deepstorm3d.io.psfs import read_psf, write_psf
from deepstorm3d.io.psfs.splines import knots_of, power_coefficients
from deepstorm3d.psf_volume import PSFVolume

NAMES = ["psf_spline_calib.hdf5", "psf.h5", "psf_3dcal.mat", "psf.tif"]


def volume(low: float = -0.4) -> PSFVolume:
    """A lopsided spot that grows with depth: no two axes alike."""
    axis = torch.arange(-6.0, 7.0)
    z = torch.arange(11.0)
    width = 1 + 0.2 * z[:, None, None]
    spot = torch.exp(-((axis - 0.1 * z[:, None, None]) ** 2) / width - (axis[:, None] - 1) ** 2 / 4)
    return PSFVolume(0.8 * spot / spot.sum((1, 2), keepdim=True), 0.11, low, 0.05)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("low", [-0.4, 2.0])
def test_what_is_written_is_read_back(tmp_path: Path, name: str, low: float):
    psf = volume(low)
    write_psf(tmp_path / name, psf)
    back = read_psf(tmp_path / name)
    assert (back.values - psf.values).abs().max() < 1e-6
    assert back.pixel_um == pytest.approx(0.11)
    assert back.z_um == pytest.approx(low, abs=1e-9)
    assert back.step_um == pytest.approx(0.05)
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]
    with pytest.raises(InputError, match="overwrite=True"):
        write_psf(tmp_path / name, psf)
    write_psf(tmp_path / name, psf, overwrite=True)


def test_powers_are_those_of_the_spline_through_the_values():
    from scipy.interpolate import CubicSpline

    values = np.random.default_rng(0).random((4, 5, 6))
    powers = power_coefficients(values)
    assert powers.shape == (3, 4, 5, 4, 4, 4)
    assert knots_of(powers) == pytest.approx(values)
    at = (1.3, 2.6, 3.9)
    expected = values
    for axis, position in enumerate(at):
        expected = CubicSpline(np.arange(values.shape[axis]), expected, axis=0, bc_type="natural")(position)
    monomials = [(place % 1) ** np.arange(4) for place in at]
    assert np.einsum("abc,a,b,c", powers[1, 2, 3], *monomials) == pytest.approx(float(expected))


def test_what_is_no_psf_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"no format of PSFs ends in '\.csv'.*Picasso"):
        write_psf(tmp_path / "psf.csv", volume())
    with pytest.raises(InputError, match="no such file"):
        read_psf(tmp_path / "psf.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["locs"] = np.zeros(3)
    (tmp_path / "cut.h5").write_bytes(b"\x89HDF\r\n\x1a\n and no more")
    (tmp_path / "text.mat").write_text("no MATLAB", encoding="utf-8")
    tifffile.imwrite(tmp_path / "bare.tif", np.zeros((5, 9, 9), np.float32))
    for name, words in (
        ("other.h5", "neither"),
        ("cut.h5", "damaged"),
        ("text.mat", "no readable MATLAB"),
        ("bare.tif", "step between its planes"),
    ):
        with pytest.raises(InputError, match=words):
            read_psf(tmp_path / name)
    assert not (tmp_path / "psf.csv").exists()


def test_a_camera_pixel_that_no_file_names_is_asked_for(tmp_path: Path):
    tifffile.imwrite(tmp_path / "s.tif", np.ones((5, 9, 9), np.float32), imagej=True, metadata={"spacing": 0.1})
    with pytest.raises(InputError, match="`pixel_um`"):
        read_psf(tmp_path / "s.tif")
    assert read_psf(tmp_path / "s.tif", pixel_um=0.1).pixel_um == 0.1


SETTINGS = {
    "model": "spline-3d",
    "n_intervals": [12, 12, 10],
    "z_step_nm": 50,
    "z_center": 3,
    "photon_scale": 1,
}


@pytest.mark.parametrize(
    "settings",
    [
        *([1], "text", None, 3, {}, {"model": "spline-3d"}),
        *(SETTINGS | {name: value} for name in SETTINGS for value in (None, "wide", [], {}) if name != "model"),
        SETTINGS | {"n_intervals": [12, 12, 9]},
        SETTINGS | {"photon_scale": 0},
    ],
)
def test_a_calibration_of_picasso_that_is_not_whole_is_named(tmp_path: Path, settings: Any):
    write_psf(tmp_path / "p.hdf5", volume())
    with h5py.File(tmp_path / "p.hdf5", "a") as file:
        file.attrs["metadata"] = json.dumps(settings)
    with pytest.raises(InputError, match=r"p\.hdf5|finite"):
        read_psf(tmp_path / "p.hdf5", pixel_um=0.11)


@pytest.mark.parametrize("named", [None, 0, "absent"])
def test_a_calibration_of_picasso_without_a_pixel_asks_for_it(tmp_path: Path, named: Any):
    write_psf(tmp_path / "p.hdf5", volume())
    with h5py.File(tmp_path / "p.hdf5", "a") as file:
        settings = json.loads(str(file.attrs["metadata"])) | {"pixelsize": named}
        file.attrs["metadata"] = json.dumps({k: v for k, v in settings.items() if v != "absent"})
    with pytest.raises(MissingPixelSize, match="`pixel_um`"):
        read_psf(tmp_path / "p.hdf5")
    assert read_psf(tmp_path / "p.hdf5", pixel_um=0.12).pixel_um == 0.12


@pytest.mark.parametrize("part", ["coeff", "dz", "z0", "whole"])
@pytest.mark.parametrize("value", [np.zeros((0, 0)), "text", np.zeros(3), None])
def test_a_calibration_of_smap_that_is_not_whole_is_named(tmp_path: Path, part: str, value: Any):
    from scipy.io import loadmat, savemat

    write_psf(tmp_path / "p.mat", volume())
    held = loadmat(tmp_path / "p.mat", simplify_cells=True)
    spline = held["SXY"]["cspline"]
    if part == "whole":
        held["SXY"]["cspline"] = np.zeros(0) if value is None else value
    elif value is None:
        del spline[part]
    else:
        spline[part] = value
    savemat(tmp_path / "p.mat", {name: held[name] for name in ("SXY", "parameters")})
    with pytest.raises(InputError, match=r"p\.mat"):
        read_psf(tmp_path / "p.mat", pixel_um=0.11)


@pytest.mark.parametrize("settings", [np.zeros((0, 0)), np.arange(3.0), "text"])
def test_settings_of_smap_that_are_none_are_done_without(tmp_path: Path, settings: Any):
    from scipy.io import loadmat, savemat

    write_psf(tmp_path / "p.mat", volume())
    held = loadmat(tmp_path / "p.mat", simplify_cells=True)
    savemat(tmp_path / "p.mat", {"SXY": held["SXY"], "parameters": settings})
    assert read_psf(tmp_path / "p.mat", pixel_um=0.12).pixel_um == 0.12


def stack(path: Path, spacing: Any, side: float = 0.11, **said: Any) -> Path:
    planes = volume().values.numpy().astype(np.float32)
    metadata = {"axes": "ZYX", "spacing": spacing, **said}
    tifffile.imwrite(path, planes, imagej=True, resolution=(1 / side, 1 / side), metadata=metadata)
    return path


@pytest.mark.parametrize(
    ("unit", "um"),
    [("micron", 1), ("um", 1), ("\\u00B5m", 1), ("nm", 1e-3), ("mm", 1e3), ("cm", 1e4), ("inch", 25400)],
)
def test_a_stack_is_read_in_the_unit_that_it_names(tmp_path: Path, unit: str, um: float):
    psf = read_psf(stack(tmp_path / "s.tif", 0.05 / um, 0.11 / um, unit=unit), pixel_um=0.2)
    assert (psf.pixel_um, psf.step_um) == pytest.approx((0.11, 0.05), rel=1e-4)


@pytest.mark.parametrize(
    ("spacing", "unit"), [(50, "micron"), (0.05, "pixel"), (1, "inch"), (-0.05, "um"), ("x", "um")]
)
def test_a_step_that_is_none_of_a_psf_is_refused_with_its_unit(tmp_path: Path, spacing: Any, unit: str):
    with pytest.raises(InputError, match=f"{spacing} {unit} apart"):
        read_psf(stack(tmp_path / "s.tif", spacing, unit=unit), pixel_um=0.11)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.02, 0.5, 0.7])
def test_a_stack_that_was_cut_off_is_named_without_lines_of_tifffile(
    tmp_path: Path, share: float, caplog: pytest.LogCaptureFixture
):
    path = stack(tmp_path / "s.tif", 0.05, unit="micron")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"s\.tif"):
        read_psf(path)
    assert not caplog.records


@pytest.mark.parametrize("shape", [(3, 9, 9), (5, 8, 8), (5, 9, 7), (5, 9)])
def test_a_volume_without_a_middle_pixel_is_none(shape: tuple[int, ...]):
    with pytest.raises(InputError, match="odd side"):
        PSFVolume(torch.ones(shape), 0.1, 0.0, 0.1)


# Settings of uiPSF: as it writes them now, and as it did before.
NEW = {"pixel_size": {"x": 0.11, "y": 0.11, "z": 0.05}, "PSFtype": "zernike", "format": ".tif", "swapxy": False}
OLD = {"pixelsize_x": 0.11, "pixelsize_y": 0.11, "pixelsize_z": 0.05, "PSFtype": "zernike", "format": ".tif"}


def learned(path: Path, settings: dict[str, Any], res: dict[str, Any]) -> Path:
    """A file of uiPSF; names in res are paths."""
    with h5py.File(path, "w") as file:
        file.attrs["params"] = json.dumps({"channeltype": "single", **settings})
        for name, values in res.items():
            file[f"res/{name}"] = values
    return path


@pytest.mark.parametrize("settings", [NEW, OLD])
def test_planes_that_uipsf_learned_from_beads_begin_with_the_deepest(tmp_path: Path, settings: dict[str, Any]):
    psf = volume()
    # Its planes follow the stage toward the objective, and their scale is arbitrary.
    planes = 7 * psf.values.flip(0).numpy()
    back = read_psf(
        learned(tmp_path / "psf.h5", settings, {"I_model": planes, "I_model_reverse": planes[::-1]})
    )
    assert (back.values - psf.values / 0.8).abs().max() < 1e-6
    assert float(back.values.sum((1, 2)).max()) == pytest.approx(1)
    assert (back.pixel_um, back.step_um) == pytest.approx((0.11, 0.05))
    assert back.range_um == pytest.approx((-0.25, 0.25))


@pytest.mark.parametrize(("offset", "low"), [(np.full((1, 1), 6 + 0j, np.complex64), 0.3), (None, 0.0)])
def test_planes_that_uipsf_learned_in_situ_rise_from_the_coverslip(tmp_path: Path, offset: Any, low: float):
    psf = volume()
    res = {"I_model": psf.values.numpy(), "stagepos": np.ones(1)} | (
        {} if offset is None else {"zoffset": offset}
    )
    back = read_psf(learned(tmp_path / "psf.h5", NEW | {"PSFtype": "insitu_zernike"}, res))
    assert (back.values - psf.values / 0.8).abs().max() < 1e-6
    assert back.range_um == pytest.approx((low, low + 0.5))


@pytest.mark.parametrize(
    ("settings", "transposed"),
    [
        (NEW, False),
        (NEW | {"swapxy": True}, True),
        (NEW | {"format": ".mat"}, True),
        (NEW | {"format": ".mat", "swapxy": True}, False),
        (OLD | {"swaptif": True}, True),
        (OLD | {"format": ".mat", "swaptif": True}, True),
    ],
)
def test_planes_of_uipsf_get_the_rows_of_its_images(tmp_path: Path, settings: dict[str, Any], transposed: bool):
    psf = volume()
    planes = psf.values.flip(0).numpy()
    back = read_psf(
        learned(tmp_path / "psf.h5", settings, {"I_model": planes.swapaxes(1, 2) if transposed else planes})
    )
    assert (back.values - psf.values / 0.8).abs().max() < 1e-6


def test_voxels_of_uipsf_with_an_even_side_keep_the_bead_on_the_middle_pixel(tmp_path: Path):
    spot = np.zeros((5, 8, 8), np.float32)
    spot[:, 4, 4] = 1
    back = read_psf(learned(tmp_path / "psf.h5", NEW | {"PSFtype": "voxel"}, {"I_model": spot}))
    assert back.values.shape == (5, 7, 7)
    assert bool((back.values[:, 3, 3] == 1).all())


def test_of_channels_that_uipsf_learned_one_is_read(tmp_path: Path):
    planes = volume().values.numpy()
    one = learned(tmp_path / "one.h5", NEW | {"channeltype": "multi"}, {"channel0/I_model": planes})
    assert read_psf(one).values.shape == planes.shape


@pytest.mark.parametrize(
    ("settings", "res", "words"),
    [
        ({}, {"channel0/I_model": 0, "channel1/I_model": 0}, r"2 channels \(channel0, channel1\).*single"),
        ({}, {"channel0/I_model": 0, "channel0/A_model": 0}, "4Pi"),
        ({"channeltype": "4pi"}, {"channel0/I_model": 0}, "4Pi"),
        ({}, {"I_model_all": 0, "pos": 0}, "no planes 'I_model'.*only I_model_all, pos"),
        ({"pixel_size": {"x": 0.127, "y": 0.116, "z": 0.05}}, {"I_model": 0}, "127.00 × 116.00 nm"),
        ({}, {"I_model": np.ones((5, 8, 8))}, "planes of 8 px.*roi_size of 9 px"),
        ({}, {"I_model": np.zeros((5, 9, 9))}, "sums to 0"),
        ({}, {"I_model": np.full((5, 9, 9), np.nan)}, "finite"),
        ({}, {"I_model": np.ones((3, 5, 9, 9))}, "odd side"),
    ],
)
def test_what_uipsf_learned_of_another_kind_is_refused(
    tmp_path: Path, settings: dict[str, Any], res: dict[str, Any], words: str
):
    path = learned(tmp_path / "psf.h5", NEW | settings, res)
    with pytest.raises(InputError, match=words) as raised:
        read_psf(path)
    assert "damaged" not in str(raised.value)


def test_settings_of_uipsf_without_a_pixel_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="pixelsize_x"):
        read_psf(learned(tmp_path / "psf.h5", {}, {"I_model": np.ones((5, 9, 9))}))
