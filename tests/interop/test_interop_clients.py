"""Other programs read our tables, and we theirs, to 0.01 px and 0.1 nm, frame and sign of z included.

Run by ``make test-interop``. Each test prints the largest difference that it measured. Where a program does
not convert a format's origin or frame base, the test says so and holds it to the file's own numbers.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from deepstorm3d.emitters import Localizations
from deepstorm3d.errors import InputError
from deepstorm3d.io.tables import FORMATS, read_table, write_table

PIXEL_NM = 110.0
RECORDING: dict[str, Any] = {"pixel_um": 0.11, "frames": 9, "shape": (121, 150)}
# Column and row in pixels, z in nm, frame: no two alike, sub-pixel, z of either sign.
COLUMN, ROW, Z, FRAME = [17.25, 3.1, 90.5], [40.75, 4.6, 60.125], [-310.0, 1250.0, 2500.0], [0, 3, 5]
SIGMA_NM = (6.0, 8.0, 21.0)
Client = Callable[..., Any]
Note = Callable[[str], None]


def table(*, linked: bool = False) -> Localizations:
    xyz = torch.tensor([COLUMN, ROW, Z], dtype=torch.float64).T * torch.tensor([0.11, 0.11, 0.001])
    found = Localizations.proposals(xyz.float(), torch.tensor(FRAME), torch.tensor([0.9, 0.8, 0.7]))
    return dataclasses.replace(
        found,
        photons=torch.tensor([4321.0, 5000.0, 600.0]),
        sigma_xyz=torch.tensor([SIGMA_NM] * 3) / 1000,
        sigma_source="crlb",
        detections=torch.tensor([1, 4, 2]) if linked else None,
    )


def ours(folder: Path, name: str, *, linked: bool = False) -> Path:
    path = folder / f"ours_{name}{next(kind.endings[0] for kind in FORMATS if kind.name == name)}"
    write_table(path, table(linked=linked), **RECORDING, format=name)
    return path


def largest(found: Sequence[float], wanted: Sequence[float]) -> float:
    assert len(found) == len(wanted)
    return max(abs(a - b) for a, b in zip(found, wanted, strict=True))


def agree(
    note: Note,
    columns: tuple[Sequence[float], Sequence[float], Sequence[float]],
    *,
    unit_nm: float = 1.0,
    z_unit_nm: float = 1.0,
    origin_px: float = 0.0,
) -> None:
    """x, y and z as another program has them; unit_nm, z_unit_nm, origin_px: of its numbers."""
    x, y, z = columns
    dx = largest([value * unit_nm / PIXEL_NM - origin_px for value in x], COLUMN)
    dy = largest([value * unit_nm / PIXEL_NM - origin_px for value in y], ROW)
    dz = largest([value * z_unit_nm for value in z], Z)
    note(f"x {dx:.1e} px, y {dy:.1e} px, z {dz:.1e} nm")
    assert max(dx, dy) < 0.01 and max(dx, dy) * PIXEL_NM < 0.1
    assert dz < 0.1


def agree_with_ours(note: Note, back: Localizations) -> None:
    x, y, z = (1000 * back.xyz.double()).T.tolist()
    agree(note, (x, y, z), unit_nm=1.0)
    assert back.frame.tolist() == FRAME


def test_picasso_reads_our_table(client: Client, note: Note, tmp_path: Path):
    seen = client("picasso", "read", ours(tmp_path, "picasso"))
    agree(note, (seen["x"], seen["y"], seen["z"]), unit_nm=PIXEL_NM)
    assert (seen["frame"], seen["pixel_nm"]) == (FRAME, PIXEL_NM)
    assert seen["lpx"][0] * PIXEL_NM == pytest.approx(SIGMA_NM[0], abs=1e-3)
    assert seen["lpz"] == [SIGMA_NM[2]] * 3
    assert "len" not in seen


def test_picasso_knows_our_linked_table_as_linked(client: Client, tmp_path: Path):
    path = ours(tmp_path, "picasso", linked=True)
    assert client("picasso", "read", path)["len"] == [1, 4, 2]
    client("picasso", "rewrite", path, tmp_path / "theirs.hdf5")
    back = read_table(tmp_path / "theirs.hdf5").detections
    assert back is not None and back.tolist() == [1, 4, 2]


def test_we_read_what_picasso_saves(client: Client, note: Note, tmp_path: Path):
    assert client("picasso", "rewrite", ours(tmp_path, "picasso"), tmp_path / "theirs.hdf5") == 3
    back = read_table(tmp_path / "theirs.hdf5")
    agree_with_ours(note, back)
    torch.testing.assert_close(back.sigma_xyz, table().sigma_xyz, atol=1e-6, rtol=0)


def test_picasso_imports_our_thunderstorm_table_half_a_pixel_off(client: Client, note: Note, tmp_path: Path):
    """Its import divides by the pixel size only: the corner of the first pixel becomes its centre (0.11.3).

    It also counts frames from the first one that has a row, which is frame 0 here.
    """
    seen = client("picasso", "read_thunderstorm", ours(tmp_path, "thunderstorm"), PIXEL_NM)
    agree(note, (seen["x"], seen["y"], seen["z"]), unit_nm=PIXEL_NM, origin_px=0.5)
    assert seen["frame"] == FRAME


def test_picassos_export_for_thunderstorm_is_refused(client: Client, tmp_path: Path):
    """It counts frames from 0 and pixels from the centre (0.11.3): neither is ThunderSTORM's."""
    client("picasso", "export_thunderstorm", ours(tmp_path, "picasso"), tmp_path / "theirs.csv")
    with pytest.raises(InputError, match=r"from Picasso is read from its \.hdf5"):
        read_table(tmp_path / "theirs.csv", pixel_um=0.11)


def test_picasso_finds_a_spot_where_we_say_its_centre_is(client: Client, note: Note, tmp_path: Path):
    """The origin itself: Gaussian spots integrated over pixels whose centres are the whole numbers."""
    centres = [(20.25, 30.75), (33.6, 12.1)]  # column, row
    np.save(tmp_path / "movie.npy", np.stack([gaussian_spot(*centre) for centre in centres]))
    seen = client("picasso", "fit", tmp_path / "movie.npy")
    order = np.argsort(seen["frame"])
    assert len(order) == 2
    differences = [
        max(abs(seen["x"][row] - column), abs(seen["y"][row] - line))
        for row, (column, line) in zip(order, centres, strict=True)
    ]
    note(f"x and y {max(differences):.1e} px")
    assert max(differences) < 0.01


def gaussian_spot(column: float, row: float, sigma: float = 1.2) -> np.ndarray[Any, Any]:
    """(50, 48) photons: 20,000 in a Gaussian, 10 in every pixel."""

    def part(centre: float, pixels: int) -> np.ndarray[Any, Any]:
        edges = (np.arange(pixels + 1) - 0.5 - centre) / (sigma * math.sqrt(2))
        return np.diff([0.5 * math.erf(edge) for edge in edges])

    return 20_000 * part(row, 50)[:, None] * part(column, 48)[None, :] + 10


def test_smappy_reads_our_table(client: Client, note: Note, tmp_path: Path):
    seen = client("smappy", "read", ours(tmp_path, "smappy", linked=True))
    agree(note, (seen["x_nm"], seen["y_nm"], seen["z_nm"]))
    assert (seen["frame"], seen["pixel_nm"], seen["n_in_group"]) == (FRAME, PIXEL_NM, [1, 4, 2])
    assert (seen["x_err_nm"][0], seen["z_err_nm"][0]) == pytest.approx((SIGMA_NM[0], SIGMA_NM[2]))


def test_we_read_what_smappy_saves(client: Client, note: Note, tmp_path: Path):
    assert client("smappy", "rewrite", ours(tmp_path, "smappy", linked=True), tmp_path / "theirs.h5") == 3
    back = read_table(tmp_path / "theirs.h5")
    agree_with_ours(note, back)
    assert back.detections is not None and back.detections.tolist() == [1, 4, 2]


@pytest.mark.parametrize(("name", "origin_px"), [("thunderstorm", 0.5), ("smap", 1.0)])
def test_smappy_takes_our_csv_as_it_stands(
    client: Client, note: Note, tmp_path: Path, name: str, origin_px: float
):
    """It converts neither the origin of a CSV nor its frames from 1 (0.4.1)."""
    seen = client("smappy", "read", ours(tmp_path, name))
    agree(note, (seen["x_nm"], seen["y_nm"], seen["z_nm"]), origin_px=origin_px)
    assert seen["frame"] == [frame + 1 for frame in FRAME]
    assert seen["z_err_nm"] == [SIGMA_NM[2]] * 3


def test_locan_takes_our_thunderstorm_table_as_it_stands(client: Client, note: Note, tmp_path: Path):
    seen = client("locan", "read", "thunderstorm", ours(tmp_path, "thunderstorm"))
    agree(note, (seen["position_x"], seen["position_y"], seen["position_z"]), origin_px=0.5)
    assert seen["frame"] == [frame + 1 for frame in FRAME]
    assert seen["uncertainty_z"] == [SIGMA_NM[2]] * 3


def test_locan_finds_the_row_first_in_our_decode_table(client: Client, note: Note, tmp_path: Path):
    """It names DECODE's axes x and y without swapping them (0.22): its x is our y."""
    seen = client("locan", "read", "decode", ours(tmp_path, "decode"))
    agree(note, (seen["position_y"], seen["position_x"], seen["position_z"]))
    assert (seen["frame"], seen["y_sig"], seen["x_sig"]) == (FRAME, [SIGMA_NM[0]] * 3, [SIGMA_NM[1]] * 3)


def test_we_read_locans_thunderstorm_table(client: Client, note: Note, tmp_path: Path):
    path = tmp_path / "theirs.csv"
    client("locan", "rewrite", "thunderstorm", ours(tmp_path, "thunderstorm"), "thunderstorm", path)
    agree_with_ours(note, read_table(path))


def test_we_and_locan_read_the_same_mat_file_and_we_its_smap_table(client: Client, note: Note, tmp_path: Path):
    write_mat73(tmp_path / "cell_sml.mat")
    agree_with_ours(note, read_table(tmp_path / "cell_sml.mat"))
    seen = client("locan", "read", "smap", tmp_path / "cell_sml.mat")
    agree(note, (seen["position_x"], seen["position_y"], seen["position_z"]), origin_px=1.0)
    client("locan", "rewrite", "smap", tmp_path / "cell_sml.mat", "smap", tmp_path / "theirs.csv")
    agree_with_ours(note, read_table(tmp_path / "theirs.csv", pixel_um=0.11))


def test_we_and_smappy_read_the_same_mat_file(client: Client, note: Note, tmp_path: Path):
    """It counts frames from 0, but leaves the origin where SMAP has it (0.4.1)."""
    write_mat73(tmp_path / "cell_sml.mat")
    agree_with_ours(note, read_table(tmp_path / "cell_sml.mat"))
    seen = client("smappy", "read", tmp_path / "cell_sml.mat")
    agree(note, (seen["x_nm"], seen["y_nm"], seen["z_nm"]), origin_px=1.0)
    assert (seen["frame"], seen["pixel_nm"]) == (FRAME, pytest.approx(PIXEL_NM))


def write_mat73(path: Path) -> None:
    """The molecules as SMAP has them, pixels and frames from 1."""
    fields = {
        "xnm": [(value + 1) * PIXEL_NM for value in COLUMN],
        "ynm": [(value + 1) * PIXEL_NM for value in ROW],
        "znm": Z,
        "frame": [frame + 1 for frame in FRAME],
        "phot": [4321.0, 5000.0, 600.0],
    }
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in fields.items():
            file[f"saveloc/loc/{name}"] = np.array([values], dtype=np.float64)
        file["saveloc/file/info/cam_pixelsize_um"] = np.array([[0.11], [0.11]])


def test_napari_storm_reads_our_table(client: Client, note: Note, tmp_path: Path):
    """It divides z by the pixel size but not lpz, of which it takes the nm for pixels (3.1.0)."""
    seen = client("napari_storm", "read", ours(tmp_path, "picasso"))
    columns = seen["x_pos_pixels"], seen["y_pos_pixels"], seen["z_pos_pixels"]
    agree(note, columns, unit_nm=PIXEL_NM, z_unit_nm=PIXEL_NM)
    assert (seen["frame_number"], seen["pixel_nm"]) == (FRAME, PIXEL_NM)
    assert seen["sigma_x_pixels"][0] * PIXEL_NM == pytest.approx(SIGMA_NM[0], abs=1e-3)
    assert seen["sigma_z_pixels"] == [SIGMA_NM[2]] * 3


def test_napari_storm_takes_our_thunderstorm_table_as_it_stands(client: Client, note: Note, tmp_path: Path):
    seen = client("napari_storm", "read", ours(tmp_path, "thunderstorm"))
    agree(note, (seen["x_pos_pixels"], seen["y_pos_pixels"], seen["z_pos_pixels"]), origin_px=0.5)
    assert seen["frame_number"] == [frame + 1 for frame in FRAME]
    assert seen["sigma_z_pixels"] == [SIGMA_NM[2]] * 3


def test_comet_takes_our_thunderstorm_table_as_it_stands(client: Client, note: Note, tmp_path: Path):
    seen = client("comet", "read", ours(tmp_path, "thunderstorm"))
    agree(note, (seen["x"], seen["y"], seen["z"]), origin_px=0.5)
    assert seen["frame"] == [frame + 1 for frame in FRAME]


def test_we_read_comets_thunderstorm_table(client: Client, note: Note, tmp_path: Path):
    """It writes positions and frames alone, without the pixel size."""
    client("comet", "rewrite", ours(tmp_path, "thunderstorm"), tmp_path / "theirs.csv")
    agree_with_ours(note, read_table(tmp_path / "theirs.csv", pixel_um=0.11))
