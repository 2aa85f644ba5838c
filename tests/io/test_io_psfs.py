"""PSFs in the files of other programs: what is written is read back, depth and photons included."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import torch

from deepstorm3d.errors import InputError
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
    with pytest.raises(InputError, match="--overwrite"):
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
    with pytest.raises(InputError, match="--pixel-nm"):
        read_psf(tmp_path / "s.tif")
    assert read_psf(tmp_path / "s.tif", pixel_um=0.1).pixel_um == 0.1


@pytest.mark.parametrize("shape", [(3, 9, 9), (5, 8, 8), (5, 9, 7), (5, 9)])
def test_a_volume_without_a_middle_pixel_is_none(shape: tuple[int, ...]):
    with pytest.raises(InputError, match="odd side"):
        PSFVolume(torch.ones(shape), 0.1, 0.0, 0.1)
