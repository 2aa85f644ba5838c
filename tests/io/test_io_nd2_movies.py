"""The adapter to the package nd2, against a stand-in for what that package documents.

Nothing writes ND2 but Nikon's program, so no real file is read here: the stand-in has the attributes of
``nd2.ND2File`` that its documentation names, and one test holds it against the real class where nd2 is there.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from deepstorm3d.errors import InputError
from deepstorm3d.io import open_movie

FRAMES = (1 + np.arange(12 * 40 * 50) % 60000).astype(np.uint16).reshape(12, 40, 50)


class FakeND2File:
    """``nd2.ND2File`` as documented: sizes, dtype, is_rgb, voxel_size(), read_frame(), close()."""

    sizes: ClassVar[dict[str, int]] = {"T": 12, "Y": 40, "X": 50}
    dtype = np.dtype(np.uint16)
    is_rgb = False
    pixel = 0.11
    closed = 0

    def __init__(self, path: Path) -> None:
        if Path(path).read_bytes()[:4] != b"\xda\xce\xbe\x0a":
            raise ValueError("Invalid ChunkMap signature")

    def voxel_size(self) -> SimpleNamespace:
        return SimpleNamespace(x=self.pixel, y=self.pixel, z=1.0)

    def read_frame(self, frame_index: int) -> np.ndarray:
        return FRAMES[frame_index] * (frame_index != 11)  # the last frame is listed and not in the file

    def close(self) -> None:
        type(self).closed += 1


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeND2File]:
    kind = type("ND2File", (FakeND2File,), {})
    module = ModuleType("nd2")
    module.ND2File = kind  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "nd2", module)
    return kind


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "run.nd2").write_bytes(b"\xda\xce\xbe\x0a")
    return tmp_path / "run.nd2"


def test_frames_size_and_pixel_come_from_the_file(fake: type[FakeND2File], path: Path) -> None:
    with open_movie(path) as movie:
        assert movie.shape == (12, 40, 50) and movie.dtype == np.uint16
        assert movie.pixel_um == pytest.approx(0.11)
        np.testing.assert_array_equal(movie.read(3, 8), FRAMES[3:8])
    assert fake.closed == 1


def test_time_and_depth_both_count_as_frames(fake: type[FakeND2File], path: Path) -> None:
    fake.sizes = {"T": 4, "Z": 3, "Y": 40, "X": 50}
    with open_movie(path) as movie:
        assert movie.shape == (12, 40, 50)


def test_a_file_without_calibration_says_no_pixel(fake: type[FakeND2File], path: Path) -> None:
    fake.pixel = 1.0
    with open_movie(path) as movie:
        assert movie.pixel_um is None


def test_a_frame_that_is_not_in_the_file_is_named(fake: type[FakeND2File], path: Path) -> None:
    with open_movie(path) as movie, pytest.raises(InputError, match="frame 11 is not in the file"):
        movie.read(9, 12)


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"T": 6, "C": 2, "Y": 40, "X": 50}, "2 channels"),
        ({"T": 6, "P": 2, "Y": 40, "X": 50}, "2 positions"),
        ({"T": 6, "Y": 40, "X": 50, "S": 3}, "RGB"),
    ],
)
def test_several_channels_and_positions_are_refused(
    sizes: dict[str, int], said: str, fake: type[FakeND2File], path: Path
) -> None:
    fake.sizes = sizes
    with pytest.raises(InputError, match=said):
        open_movie(path)
    assert fake.closed == 1


def test_a_file_that_was_cut_off_says_how_to_rescue_it(fake: type[FakeND2File], path: Path) -> None:
    path.write_bytes(b"\x00" * 100)
    with pytest.raises(InputError, match=r"ChunkMap.*rescue_nd2"):
        open_movie(path)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.setitem(sys.modules, "nd2", None)
    with pytest.raises(InputError, match=r"package nd2.*pip install 'deepstorm3d\[io\]'"):
        open_movie(path)


def test_the_stand_in_has_nothing_that_the_real_class_has_not(path: Path) -> None:
    nd2 = pytest.importorskip("nd2", reason="needs deepstorm3d[io]")
    for name in ("sizes", "dtype", "is_rgb", "voxel_size", "read_frame", "close"):
        assert hasattr(nd2.ND2File, name)
    path.write_bytes(b"\xda\xce\xbe\x0a" + bytes(5000))
    with pytest.raises(InputError, match="rescue_nd2"):  # the real package on a file that was cut off
        open_movie(path)
