"""Masks as fabricated plates: heights in nm, as numbers, images, layouts or solids; and back."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, MissingPackage
from ...spec import Spec, quantity, spec_from_mapping
from ..parts import claim_name, whole_file
from ..tiff_images import explained_tiff
from .sidecar import write_sidecar

__all__ = ["PlateSpec", "plate_heights", "plate_phase", "read_plate", "write_plate"]

Floats = NDArray[np.float64]
_TURN = 2 * np.pi
_ENDINGS = (".npy", ".tif", ".tiff", ".gds", ".stl")


class PlateSpec(Spec):
    """A plate of glass (or resist) whose height makes the phase. All that is needed to read the phase back."""

    kind: Literal["plate"] = "plate"
    wavelength_um: float = quantity(0.58, "µm", "wavelength in vacuum", gt=0)
    n_plate: float = quantity(
        1.4585, "", "refractive index of the plate at that wavelength (fused silica)", gt=1
    )
    n_around: float = quantity(1.0, "", "refractive index of what surrounds it (air)", ge=1)
    levels: int = quantity(0, "", "heights that the process makes; 0: any height", ge=0, le=4096)
    pitch_um: float = quantity(24.0, "µm", "pitch of the mask's pixels", gt=0)

    @property
    def turn_nm(self) -> float:
        """Height of a full turn, λ/(n − n₀), nm."""
        return 1000 * self.wavelength_um / (self.n_plate - self.n_around)


def plate_heights(phase: Floats, spec: PlateSpec) -> Floats:
    """Heights (h, w) nm for a phase (h, w) rad: wrapped to one turn, in even steps where it has levels.

    h = φ·λ/(2π(n − n₀)).  Raises InputError where the plate's index is not above its surroundings'.
    """
    if spec.n_plate <= spec.n_around:
        raise InputError(
            f"the plate's index {spec.n_plate:g} must be above that around it, {spec.n_around:g}: "
            "a plate that bends no light makes no phase"
        )
    turns = np.remainder(phase, _TURN) / _TURN
    if spec.levels:
        turns = np.remainder(np.rint(turns * spec.levels), spec.levels) / spec.levels
    return turns * spec.turn_nm


def plate_phase(heights: Floats, spec: PlateSpec) -> Floats:
    """The phase (h, w) rad that heights (nm) make: the way back."""
    return heights / spec.turn_nm * _TURN


def write_plate(path: Path, heights: Floats, spec: PlateSpec, *, overwrite: bool) -> None:
    """Write heights as .npy or .tif (nm), .gds (a layer for each level) or .stl (a solid, µm).

    The settings go beside it (``FILE.json``).  Raises InputError for another ending, a library that is not
    installed, a layout without levels, or a failed write.
    """
    suffix = path.suffix.lower()
    if suffix not in _ENDINGS:
        raise InputError(f"{path}: a plate is written as {', '.join(_ENDINGS)}, not '{path.suffix}'")
    claim_name(path, overwrite=overwrite)
    with whole_file(path) as temporary:
        if suffix == ".npy":
            np.save(temporary, heights)
        elif suffix == ".gds":
            _write_layout(temporary, heights, spec)
        elif suffix == ".stl":
            _write_solid(temporary, heights, spec)
        else:
            import tifffile

            tifffile.imwrite(temporary, heights.astype(np.float32), photometric="minisblack")
    write_sidecar(path, spec)


def read_plate(path: Path, mapping: dict[str, Any]) -> Floats:
    """The phase of heights that `write_plate` wrote as .npy or .tif."""
    import tifffile

    spec = spec_from_mapping(PlateSpec, mapping, source=f"{path}.json")
    suffix = path.suffix.lower()
    if suffix not in (".npy", ".tif", ".tiff"):
        raise InputError(f"{path}: heights are read back from .npy and .tif, not from '{path.suffix}'")
    try:
        with nullcontext() if suffix == ".npy" else explained_tiff(path):
            heights = np.load(path) if suffix == ".npy" else np.squeeze(tifffile.imread(path))
    except InputError:
        raise
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: cannot be read ({error})", "export the mask again") from error
    return plate_phase(heights.astype(np.float64), spec)


def _write_layout(path: Path, heights: Floats, spec: PlateSpec) -> None:
    """GDSII: layer k holds the pixels of level k (level 0 is left as it is), merged; units µm."""
    try:
        import gdstk
    except ImportError as error:
        raise MissingPackage(f"{path}: a layout needs gdstk", "fabrication") from error
    if not spec.levels:
        raise InputError(f"{path}: a layout needs a number of levels, one layer for each: `levels=8`")
    cell = gdstk.Cell("mask")
    steps = np.rint(heights / spec.turn_nm * spec.levels).astype(int)
    top, left = (-side * spec.pitch_um / 2 for side in heights.shape)
    for level in range(1, spec.levels):
        squares = []
        for row, column in np.argwhere(steps == level):
            # A layout's y axis points up, an image's rows run down.
            x, y = left + column * spec.pitch_um, -(top + row * spec.pitch_um)
            squares.append(gdstk.rectangle((x, y), (x + spec.pitch_um, y - spec.pitch_um)))
        cell.add(*gdstk.boolean(squares, [], "or", layer=level) if squares else [])
    library = gdstk.Library(unit=1e-6, precision=1e-9)
    library.add(cell)
    library.write_gds(path)


def _write_solid(path: Path, heights: Floats, spec: PlateSpec) -> None:
    """STL: a block with a square pillar for each pixel, on a base of one turn; units µm, z up."""
    try:
        from stl import mesh
    except ImportError as error:
        raise MissingPackage(f"{path}: a solid needs numpy-stl", "fabrication") from error
    quads = np.concatenate(list(_faces(heights / 1000 + spec.turn_nm / 1000, spec.pitch_um)))
    triangles = quads[:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3, 3)
    solid = mesh.Mesh(np.zeros(len(triangles), dtype=mesh.Mesh.dtype))
    solid.vectors[:] = triangles
    solid.save(str(path))


def _faces(z: Floats, pitch: float) -> Any:
    """Four corners of every face, (n, 4, 3), seen from outside anticlockwise: tops, walls, bottom."""
    rows, columns = z.shape
    x, y = np.arange(columns + 1) * pitch, -np.arange(rows + 1) * pitch

    def face(corners: list[tuple[Any, Any, Any]]) -> Floats:
        return np.stack([np.stack(np.broadcast_arrays(*corner), -1) for corner in corners], -2).reshape(
            -1, 4, 3
        )

    left, right, up, down = x[:-1][None, :], x[1:][None, :], y[:-1][:, None], y[1:][:, None]
    yield face([(left, down, z), (right, down, z), (right, up, z), (left, up, z)])
    around = np.pad(z, 1)
    # Each wall stands between two heights and looks to the lower side; equal heights need none.
    east, west = around[1:-1, 1:], around[1:-1, :-1]
    across = [
        (x[None, :], down, west),
        (x[None, :], down, east),
        (x[None, :], up, east),
        (x[None, :], up, west),
    ]
    walls = face(across)
    yield walls[(west != east).ravel()]
    south, north = around[1:, 1:-1], around[:-1, 1:-1]
    at = y[:, None]
    walls = face([(left, at, north), (left, at, south), (right, at, south), (right, at, north)])
    yield walls[(south != north).ravel()]
    flat = np.zeros((1, 1))
    yield face([(x[:1], y[-1:], flat), (x[:1], y[:1], flat), (x[-1:], y[:1], flat), (x[-1:], y[-1:], flat)])
