"""Masks on modulators and plates: to the nearest level, where they belong, and back to the same phase."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from deepstorm3d.errors import InputError
from deepstorm3d.io.masks import read_mask, write_mask
from deepstorm3d.io.masks.calibration import read_calibration
from deepstorm3d.io.masks.modulator import ModulatorSpec, modulator_levels, modulator_phase, write_modulator
from deepstorm3d.io.masks.plate import PlateSpec, plate_heights, plate_phase, write_plate

Floats = NDArray[np.float64]


def mask(seed: int = 0, shape: tuple[int, int] = (21, 21)) -> Floats:
    return 4 * np.random.default_rng(seed).normal(size=shape)


def apart(one: Floats, other: Floats) -> float:
    """Greatest difference up to whole turns, rad."""
    return float(np.abs(np.angle(np.exp(1j * (one - other)))).max())


def modulator(**changes: object) -> ModulatorSpec:
    known = {"size_px": (90, 120), "pitch_um": 10.0, "mask_px": (21, 21), "mask_pitch_um": 30.0}
    return ModulatorSpec.model_validate({**known, **changes})


@settings(max_examples=25, deadline=None)
@given(
    levels=st.integers(2, 256),
    flip=st.sampled_from(["none", "x", "y", "xy"]),
    centre=st.tuples(st.integers(-8, 8), st.integers(-20, 20)),
    grating=st.tuples(st.sampled_from([0.0, 4.0, 7.3]), st.sampled_from([0.0, -5.0])),
)
def test_a_mask_comes_back_within_half_a_level(
    levels: int, flip: str, centre: tuple[int, int], grating: tuple[float, float]
) -> None:
    spec = modulator(levels=levels, flip=flip, centre_px=centre, grating_px=grating)
    written = modulator_levels(mask(), spec)
    assert written.shape == spec.size_px
    # Where 256 is no multiple of the levels they are uneven by one grey level.
    uneven = 0.0 if 256 % levels == 0 else 2 * math.pi / 256
    assert apart(modulator_phase(written, spec), mask()) <= math.pi / levels + uneven + 1e-9


def test_a_mask_sits_where_its_centre_and_flip_say() -> None:
    phase = np.zeros((21, 21))
    phase[4, 15] = math.pi
    for flip, row, column in (("none", 4, 15), ("x", 4, 5), ("y", 16, 15), ("xy", 16, 5)):
        levels = modulator_levels(
            phase, modulator(size_px=(81, 81), pitch_um=30.0, flip=flip, centre_px=(3, -7))
        )
        # The mask's middle pixel (10, 10) lies at (40 + 3, 40 − 7).
        assert np.argwhere(levels == 128).tolist() == [[row + 33, column + 23]]


def test_a_grating_turns_once_in_its_period() -> None:
    levels = modulator_levels(np.zeros((21, 21)), modulator(grating_px=(0, 8))).astype(int)
    assert levels[0, :9].tolist() == [0, 32, 64, 96, 128, 160, 192, 224, 0]
    assert (levels == levels[0]).all()


def test_a_measured_calibration_is_obeyed(tmp_path: Path) -> None:
    # A modulator that bends: level² instead of level, beyond a turn at the end.
    curve = 6.6 * (np.arange(256) / 255) ** 2
    (tmp_path / "lut.csv").write_text(
        "level,phase\n" + "".join(f"{level},{phase:.6f}\n" for level, phase in enumerate(curve))
    )
    spec = modulator(calibration=read_calibration(tmp_path / "lut.csv"))
    assert len(spec.calibration) == 256
    written = modulator_levels(mask(), spec)
    # The steps are widest at the steep end.
    assert apart(modulator_phase(written, spec), mask()) < 0.6 * np.diff(curve).max()
    even = modulator_levels(mask(), modulator())[30:60, 45:75] * (2 * math.pi / 256)
    assert apart(curve[written[30:60, 45:75]], even) < 0.06


def test_files_are_read_back_as_masks(tmp_path: Path) -> None:
    for name in ("m.png", "m.bmp", "m.tif"):
        spec = modulator(flip="x")
        write_modulator(tmp_path / name, modulator_levels(mask(), spec), spec, overwrite=False)
        assert apart(read_mask(tmp_path / name), mask()) <= math.pi / 256 + 1e-9
    with pytest.raises(InputError, match="overwrite=True"):
        write_modulator(tmp_path / "m.png", modulator_levels(mask(), modulator()), modulator(), overwrite=False)


def test_a_resized_image_and_a_mask_too_large_are_refused(tmp_path: Path) -> None:
    from PIL import Image

    spec = modulator()
    write_modulator(tmp_path / "m.png", modulator_levels(mask(), spec), spec, overwrite=False)
    Image.open(tmp_path / "m.png").resize((60, 45)).save(tmp_path / "m.png")
    with pytest.raises(InputError, match="cut, resized or replaced"):
        read_mask(tmp_path / "m.png")
    with pytest.raises(InputError, match="demagnify"):
        modulator_levels(mask(), modulator(size_px=(40, 40)))
    (tmp_path / "m.png.json").write_text("{")
    with pytest.raises(InputError, match="export the mask again"):
        read_mask(tmp_path / "m.png")


@pytest.mark.parametrize("name", ["p.npy", "p.tif"])
def test_a_mask_in_radians_replaces_an_exported_one_and_its_settings(tmp_path: Path, name: str) -> None:
    spec = PlateSpec()
    write_plate(tmp_path / name, plate_heights(mask(), spec), spec, overwrite=False)
    settings = (tmp_path / f"{name}.json").read_text()
    write_mask(tmp_path / name, mask())
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert np.allclose(read_mask(tmp_path / name), mask(), atol=1e-6)
    # The settings of the file that was there before, brought back, are not taken for this one's.
    (tmp_path / f"{name}.json").write_text(settings)
    with pytest.raises(InputError, match=rf"replaced since.*delete {name}\.json"):
        read_mask(tmp_path / name)


def test_settings_of_earlier_versions_without_a_hash_are_obeyed(tmp_path: Path) -> None:
    spec = PlateSpec()
    write_plate(tmp_path / "p.npy", plate_heights(mask(), spec), spec, overwrite=False)
    (tmp_path / "p.npy.json").write_text(json.dumps(spec.to_mapping()))
    assert apart(read_mask(tmp_path / "p.npy"), mask()) < 1e-6


@pytest.mark.parametrize("name", ["p.npy", "p.tif", "m.png", "m.tif"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5])
def test_an_exported_file_that_was_cut_off_is_named(tmp_path: Path, name: str, share: float) -> None:
    spec = modulator() if name[0] == "m" else PlateSpec()
    if isinstance(spec, ModulatorSpec):
        write_modulator(tmp_path / name, modulator_levels(mask(), spec), spec, overwrite=False)
    else:
        write_plate(tmp_path / name, plate_heights(mask(), spec), spec, overwrite=False)
    (tmp_path / f"{name}.json").write_text(json.dumps(spec.to_mapping()))
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=name):
        read_mask(tmp_path / name)


CURVE = np.linspace(0, 6.3, 256)


@pytest.mark.parametrize(
    ("name", "line", "heading"),
    [
        ("lut.csv", "{level},{phase:.4f}", "level,phase\n"),
        ("lut.csv", "{level};{phase:.4f}", "level;phase [rad]\n"),
        ("lut.csv", "{level}; {phase:.4f}", "# µm, rad\n\n"),
        ("lut.txt", "{level}, {phase:.4f}", ""),
        ("lut.txt", "{level}\t{phase:.4f}", ""),
        ("lut.txt", "{phase:.4f}", "phase\n"),
        ("lut.csv", "{voltage},{level},{phase:.4f}", "mV,level,phase\n"),
    ],
)
@pytest.mark.parametrize("comma", [False, True])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1", "utf-16"])
def test_a_calibration_is_read_however_it_is_written(
    tmp_path: Path, name: str, line: str, heading: str, comma: bool, encoding: str
) -> None:
    if comma and "," in line:
        pytest.skip("a comma cannot be both")
    numbers = "\n".join(
        line.format(level=level, phase=phase, voltage=20 * level) for level, phase in enumerate(CURVE)
    )
    (tmp_path / name).write_bytes(
        (heading + (numbers.replace(".", ",") if comma else numbers)).encode(encoding)
    )
    assert read_calibration(tmp_path / name) == pytest.approx(CURVE, abs=1e-4)


@pytest.mark.parametrize("step", [1, 15, 51])
@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("wrapped", [False, True])
def test_levels_that_were_not_measured_lie_between_those_that_were(
    tmp_path: Path, step: int, order: int, wrapped: bool
) -> None:
    phases = CURVE % 6.25 if wrapped and step == 1 else CURVE
    rows = [f"{level},{phases[level]:.6f}" for level in range(0, 256, step)]
    (tmp_path / "lut.csv").write_text("\n".join(rows[::order]))
    assert read_calibration(tmp_path / "lut.csv") == pytest.approx(phases, abs=1e-5)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("0\n", "2 to 256"),
        ("level,phase\n", "2 to 256"),
        ("0,1\n1,2\n", "less than a turn"),
        ("level,phase\n0,0\n1,\n2,9\n", "line 3"),
        ("0,0\n1,nan\n2,9\n", "line 2"),
        ("0,0\n1\n2,9\n", "line 2"),
        ("0,0\nend,of,file\n", "line 2"),
        ("3,0\n4,9\n", "from 3 to 4.*phase at level 0"),
        ("0,0\n256,9\n", "from 0 to 256"),
        ("-1,0\n0,9\n", "from -1 to 0"),
        ("0,0\n1,4\n1,9\n", "given once"),
    ],
)
def test_a_calibration_that_is_not_whole_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "lut.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=complaint):
        read_calibration(path)


def test_phases_alone_are_those_of_levels_from_0(tmp_path: Path) -> None:
    (tmp_path / "lut.csv").write_text("0\n90\n180\n")
    assert read_calibration(tmp_path / "lut.csv") == (0, 90, 180)


def test_a_turn_of_glass_is_the_wavelength_over_the_difference_of_indices() -> None:
    spec = PlateSpec(wavelength_um=0.67, n_plate=1.5, n_around=1.33)
    assert plate_heights(np.array([[math.pi]]), spec)[0, 0] == pytest.approx(670 / 0.17 / 2)
    assert apart(plate_phase(plate_heights(mask(), spec), spec), mask()) < 1e-9
    eight = spec.with_(levels=8)
    heights = plate_heights(mask(), eight)
    assert len(np.unique(heights)) == 8
    assert float(heights.max()) == pytest.approx(7 / 8 * spec.turn_nm)
    assert apart(plate_phase(heights, eight), mask()) <= math.pi / 8 + 1e-9
    with pytest.raises(InputError, match="bends no light"):
        plate_heights(mask(), spec.with_(n_plate=1.33))


def test_heights_are_written_and_read_back(tmp_path: Path) -> None:
    spec = PlateSpec(levels=16)
    for name in ("p.npy", "p.tif"):
        write_plate(tmp_path / name, plate_heights(mask(), spec), spec, overwrite=False)
        assert apart(read_mask(tmp_path / name), mask()) <= math.pi / 16 + 1e-3
    with pytest.raises(InputError, match=r"not '\.png'"):
        write_plate(tmp_path / "p.png", plate_heights(mask(), spec), spec, overwrite=False)


def test_a_layout_has_a_layer_for_each_level_with_the_area_of_its_pixels(tmp_path: Path) -> None:
    gdstk = pytest.importorskip("gdstk")
    spec = PlateSpec(levels=4, pitch_um=30.0)
    heights = plate_heights(mask(), spec)
    write_plate(tmp_path / "p.gds", heights, spec, overwrite=False)
    polygons = gdstk.read_gds(tmp_path / "p.gds").cells[0].polygons
    for level in (1, 2, 3):
        count = int((np.rint(heights / spec.turn_nm * 4) == level).sum())
        area = sum(polygon.area() for polygon in polygons if polygon.layer == level)
        assert area == pytest.approx(900 * count)
    # Row 0 is at the top: the first pixel's corner points up and left.
    (x0, y0), (x1, y1) = gdstk.read_gds(tmp_path / "p.gds").cells[0].bounding_box()
    assert min(x0, y0) >= -315 and max(x1, y1) <= 315
    with pytest.raises(InputError, match="number of levels"):
        write_plate(tmp_path / "q.gds", heights, PlateSpec(), overwrite=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.gds", "p.gds.json"]


def test_a_solid_is_closed_and_has_the_plates_volume(tmp_path: Path) -> None:
    mesh = pytest.importorskip("stl.mesh")
    spec = PlateSpec(levels=4, pitch_um=3.0)
    heights = plate_heights(mask(), spec)
    write_plate(tmp_path / "p.stl", heights, spec, overwrite=False)
    solid = mesh.Mesh.from_file(str(tmp_path / "p.stl"))
    # Divergence theorem: right only if every face looks outside and none is missing.
    volume = float((solid.vectors[:, 0] * np.cross(solid.vectors[:, 1], solid.vectors[:, 2])).sum() / 6)
    expected = 9 * float((heights / 1000 + spec.turn_nm / 1000).sum())
    assert volume == pytest.approx(expected, rel=1e-4)
