"""Masks as a spatial light modulator takes them: 8-bit levels on its own pixels, and back to radians."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...spec import Spec, quantity, spec_from_mapping
from ..parts import claim_name, whole_file
from .sidecar import write_sidecar

__all__ = [
    "ModulatorSpec",
    "modulator_levels",
    "modulator_phase",
    "read_modulator",
    "write_modulator",
]

Floats = NDArray[np.float64]
_TURN = 2 * np.pi


class ModulatorSpec(Spec):
    """A modulator, and how a mask is put onto it. All that is needed to read the phase back."""

    kind: Literal["slm"] = "slm"
    size_px: tuple[int, int] = quantity((1080, 1920), "px", "rows and columns of the modulator")
    pitch_um: float = quantity(8.0, "µm", "pitch of its pixels", gt=0)
    levels: int = quantity(256, "", "grey levels that it tells apart", ge=2, le=256)
    two_pi_level: float = quantity(
        256.0, "", "level at which a full turn would be reached, where the phase grows evenly", gt=0, le=1024
    )
    calibration: tuple[float, ...] = quantity((), "rad", "phase at every level 0, 1, 2, … (measured)")
    flip: Literal["none", "x", "y", "xy"] = quantity("none", "", "mirror the mask: columns (x), rows (y)")
    centre_px: tuple[float, float] = quantity(
        (0.0, 0.0), "px", "row and column of the optical axis from the modulator's middle"
    )
    grating_px: tuple[float, float] = quantity(
        (0.0, 0.0),
        "px",
        "periods of a blaze along rows and columns: it moves the image off the light that is "
        "not modulated; 0: none",
    )
    mask_px: tuple[int, int] = quantity((1, 1), "px", "rows and columns of the mask")
    mask_pitch_um: float = quantity(24.0, "µm", "pitch of the mask's pixels", gt=0)


def modulator_levels(phase: Floats, spec: ModulatorSpec) -> NDArray[np.uint8]:
    """Grey levels (rows, columns) of the modulator for a mask (h, w) rad.

    Each modulator pixel takes the mask's value at its centre, plus the grating, wrapped to one turn and
    rounded to the nearest level (around the turn). Outside the mask: the grating alone.
    Raises InputError where the mask does not fit onto the modulator.
    """
    rows, columns = _mask_pixels(spec)
    across = phase.shape[0] * spec.mask_pitch_um, phase.shape[1] * spec.mask_pitch_um
    room = tuple(size * spec.pitch_um for size in spec.size_px)
    if across[0] > room[0] + spec.pitch_um or across[1] > room[1] + spec.pitch_um:
        raise InputError(
            f"the mask is {across[1] / 1000:.2f} × {across[0] / 1000:.2f} mm, the modulator "
            f"{room[1] / 1000:.2f} × {room[0] / 1000:.2f} mm",
            "give the modulator's size and pitch, or demagnify the pupil onto it (another focal length)",
        )
    turned = _flipped(phase, spec.flip)
    inside = _within(rows, phase.shape[0])[:, None] & _within(columns, phase.shape[1])
    picked = turned[rows.clip(0, phase.shape[0] - 1)[:, None], columns.clip(0, phase.shape[1] - 1)]
    wanted = np.where(inside, picked, 0.0) + _grating(spec)
    table = _level_phases(spec)
    steps = _allowed_levels(spec)
    # The nearest level on the circle: a phase of 2π − ε is nearer to level 0 than to the level below it.
    order = np.argsort(np.remainder(table[steps], _TURN))
    circle = np.remainder(table[steps], _TURN)[order]
    padded = np.concatenate([[circle[-1] - _TURN], circle, [circle[0] + _TURN]])
    nearest = np.searchsorted((padded[1:] + padded[:-1]) / 2, np.remainder(wanted, _TURN)) - 1
    return steps[order][nearest % len(order)].astype(np.uint8)


def modulator_phase(levels: NDArray[Any], spec: ModulatorSpec) -> Floats:
    """The phase (h, w) rad that levels stand for, on the mask's own pixels, 0 to 2π: the way back.

    Each mask pixel takes the modulator pixel at its centre.  Raises InputError for another size.
    """
    if levels.shape != spec.size_px:
        raise InputError(
            f"the image is {levels.shape[1]} × {levels.shape[0]} px, but was written for a modulator of "
            f"{spec.size_px[1]} × {spec.size_px[0]} px; it has been cut or resized"
        )
    phase = _level_phases(spec)[levels.astype(np.int64)] - _grating(spec)
    ratio = spec.mask_pitch_um / spec.pitch_um
    places = []
    for count, size, centre in zip(spec.mask_px, spec.size_px, spec.centre_px, strict=True):
        middle = (size - 1) / 2 + centre
        place = np.rint(middle + (np.arange(count) - (count - 1) / 2) * ratio).astype(np.int64)
        places.append(place.clip(0, size - 1))
    picked = phase[places[0][:, None], places[1]]
    return np.asarray(np.remainder(_flipped(picked, spec.flip), _TURN), dtype=np.float64)


def write_modulator(path: Path, levels: NDArray[np.uint8], spec: ModulatorSpec, *, overwrite: bool) -> None:
    """Write levels as an 8-bit .png, .bmp or .tif, and the settings beside it (``FILE.json``).

    Raises InputError for another ending, or a failed write.
    """
    from PIL import Image

    if path.suffix.lower() not in (".png", ".bmp", ".tif", ".tiff"):
        raise InputError(f"{path}: a modulator's image is a .png, .bmp or .tif file, not '{path.suffix}'")
    claim_name(path, overwrite=overwrite)
    with whole_file(path) as temporary:
        Image.fromarray(levels).save(temporary)
    write_sidecar(path, spec)


def read_modulator(path: Path, mapping: dict[str, Any]) -> Floats:
    """The phase of an image that `write_modulator` wrote."""
    from PIL import Image

    spec = spec_from_mapping(ModulatorSpec, mapping, source=f"{path}.json")
    try:
        with Image.open(path) as image:
            return modulator_phase(np.asarray(image), spec)
    except OSError as error:
        raise InputError(f"{path}: cannot be read as an image ({error})") from error


def _mask_pixels(spec: ModulatorSpec) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of the mask pixel under each row and column of the modulator; may lie outside."""
    ratio = spec.pitch_um / spec.mask_pitch_um
    found = []
    for count, size, centre in zip(spec.mask_px, spec.size_px, spec.centre_px, strict=True):
        offset = np.arange(size) - (size - 1) / 2 - centre
        found.append(np.floor((count - 1) / 2 + offset * ratio + 0.5).astype(np.int64))
    return found[0], found[1]


def _within(index: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    return (index >= 0) & (index < count)


def _flipped(phase: Floats, flip: str) -> Floats:
    if "y" in flip:
        phase = phase[::-1]
    return phase[:, ::-1] if "x" in flip else phase


def _grating(spec: ModulatorSpec) -> Floats:
    """Linear phase of the blaze, (rows, columns) rad."""
    total = np.zeros(spec.size_px)
    for axis, period in enumerate(spec.grating_px):
        if period:
            ramp = _TURN * np.arange(spec.size_px[axis]) / period
            total = total + (ramp[:, None] if axis == 0 else ramp)
    return total


def _level_phases(spec: ModulatorSpec) -> Floats:
    """Phase at every level 0 … 255."""
    if spec.calibration:
        table = np.asarray(spec.calibration, dtype=np.float64)
        return np.concatenate([table, np.full(256 - len(table), table[-1])])
    return np.arange(256, dtype=np.float64) * (_TURN / spec.two_pi_level)


def _allowed_levels(spec: ModulatorSpec) -> NDArray[np.int64]:
    """The levels used: all of one turn, or `levels` of them evenly spread."""
    turn = len(spec.calibration) if spec.calibration else int(np.ceil(spec.two_pi_level))
    count = min(256, turn)
    return np.unique(np.floor(np.arange(spec.levels) * count / spec.levels).astype(np.int64))
