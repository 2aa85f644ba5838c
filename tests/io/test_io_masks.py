"""Masks: radians in three formats, one fingerprint, and what is not radians is refused."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from deepstorm3d.errors import InputError
from deepstorm3d.io import mask_sha256, read_mask, write_mask

DATA = Path(__file__).parents[3] / "shared" / "data"
PHASE = np.random.default_rng(1).uniform(-np.pi, np.pi, (21, 23))


@pytest.mark.parametrize("suffix", [".npy", ".mat", ".tif"])
def test_a_mask_keeps_its_phase_and_its_fingerprint(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"mask{suffix}"
    write_mask(path, PHASE)
    phase = read_mask(path)
    assert phase.shape == (21, 23)
    np.testing.assert_allclose(phase, PHASE, atol=1e-6)
    assert mask_sha256(phase) == mask_sha256(PHASE)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_the_fingerprint_tells_masks_apart() -> None:
    assert mask_sha256(PHASE) != mask_sha256(PHASE.T)
    assert mask_sha256(np.zeros((2, 8))) != mask_sha256(np.zeros((4, 4)))
    assert mask_sha256(np.zeros((2, 2))) == mask_sha256(-np.zeros((2, 2)))


def test_a_matlab_73_file_is_read_the_right_way_round(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.mat", "w", userblock_size=512) as file:
        file["mask"] = PHASE.T  # MATLAB writes columns first
    raw = bytearray((tmp_path / "m.mat").read_bytes())
    raw[:124] = b"MATLAB 7.3 MAT-file".ljust(124)
    raw[124:128] = b"\x00\x02IM"
    (tmp_path / "m.mat").write_bytes(raw)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.mat"), PHASE)


def test_a_mat_file_with_two_images_lists_them(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "m.mat", {"mask": PHASE, "amplitude": PHASE, "pitch": 24.0})
    with pytest.raises(InputError, match=r"found 2 .*mask \(21, 23\).*amplitude"):
        read_mask(tmp_path / "m.mat")
    scipy.io.savemat(tmp_path / "one.mat", {"mask": PHASE, "pitch": 24.0, "name": "tetrapod"})
    np.testing.assert_array_equal(read_mask(tmp_path / "one.mat"), PHASE)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.degrees(PHASE), "radians"),
        (np.arange(256, dtype=np.uint8).reshape(16, 16), "8-bit"),
        (np.arange(16, dtype=np.uint8).reshape(4, 4), "8-bit"),
        (np.rint(30 + 10 * PHASE), "levels"),
        (np.round(90 * PHASE / np.pi).astype(np.float32), "degrees"),
        (np.where(PHASE > 3, np.nan, PHASE), "NaN"),
        (np.exp(1j * PHASE), "complex"),
        (np.zeros((2, 3, 4)), "shape"),
        (np.zeros(5), "shape"),
    ],
)
def test_what_is_not_a_phase_is_refused(values: np.ndarray, reason: str, tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", values)
    with pytest.raises(InputError, match=reason):
        read_mask(tmp_path / "m.npy")


def test_what_is_not_a_mask_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such mask"):
        read_mask(tmp_path / "none.npy")
    with pytest.raises(InputError, match=r"\.npy, \.mat or \.tif"):
        read_mask(tmp_path / "mask.png")
    for name in ("m.npy", "m.mat", "m.tif"):
        (tmp_path / name).write_text("these are not the numbers you are looking for" * 10)
        with pytest.raises(InputError, match=name):
            read_mask(tmp_path / name)


@pytest.mark.parametrize("name", ["mask_learned", "mask_tetrapod"])
def test_the_published_masks_are_read(name: str) -> None:
    path = DATA / f"{name}.mat"
    if not path.exists():
        pytest.skip("the shared masks are not here")
    phase = read_mask(path)
    assert phase.shape == (329, 329)
    assert phase[0, 0] == 0 and 3 < np.abs(phase).max() <= np.pi + 1e-6


@pytest.mark.parametrize("suffix", [".npy", ".mat", ".tif"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.9])
def test_a_file_that_was_cut_off_is_the_users_trouble_in_words(
    suffix: str, share: float, tmp_path: Path
) -> None:
    path = tmp_path / f"mask{suffix}"
    write_mask(path, PHASE)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=path.name):
        read_mask(path)
