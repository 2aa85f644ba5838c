"""Data sheets of common cameras: initial values until the user's own camera is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ..errors import InputError

__all__ = ["CAMERA_SHEETS", "CameraSheet", "camera_sheet"]


@dataclass(frozen=True)
class CameraSheet:
    """Specifications of a camera in one read-out mode.

    pitch_um: pixel pitch;  full_well: electrons;  read_noise: e-;  of_pixels: whether the read noise is the rms
    over the pixels or their median (the rms is larger if pixels differ);  electrons_per_count: None if it
    differs between cameras and is on the certificate of each;  offset: counts without light, or None for the
    same reason;  bits: of a count;  source: document with these values; "(to be checked)": not all of them were
    compared with it.
    """

    maker: str
    model: str
    mode: str
    pitch_um: float
    full_well: float
    read_noise: float
    of_pixels: Literal["rms", "median"]
    electrons_per_count: float | None
    offset: float | None
    bits: int
    source: str
    kind: Literal["scmos", "emccd"] = "scmos"

    @property
    def title(self) -> str:
        """Maker, model and mode in words."""
        return f"{self.maker} {self.model} ({self.mode})"

    @property
    def camera(self) -> dict[str, Any]:
        """The camera's part of an experiment, as far as the data sheet defines it."""
        said: dict[str, Any] = {"kind": self.kind, "read_noise": self.read_noise}
        said["saturation"] = float(2**self.bits - 1)
        if self.electrons_per_count is not None:
            said["gain"] = float(f"{1 / self.electrons_per_count:.4g}")
        if self.offset is not None:
            said["baseline"] = self.offset
        return said

    @property
    def unsaid(self) -> tuple[str, ...]:
        """Keys that are missing in the data sheet and that the user must add."""
        needed = ("em_gain", "gain", "baseline") if self.kind == "emccd" else ("gain", "baseline")
        return tuple(key for key in needed if key not in self.camera)

    def remarks(self) -> str:
        """Comment for the head of an experiment file."""
        return (
            f"Camera: {self.title}.\n"
            f"Its figures are those of the data sheet, to start from: {self.source}.\n"
            f"Read noise: {self.of_pixels} of the pixels; full well {self.full_well:,.0f} e-, "
            f"pixels of {self.pitch_um:g} µm.\nYours differs: measure it (camera maps, or a dark movie)."
        )


_HAMAMATSU = "Hamamatsu"
_ANDOR = "Andor"
_PHOTOMETRICS = "Teledyne Photometrics"

CAMERA_SHEETS = {
    "orca-flash4-v3": CameraSheet(
        _HAMAMATSU, "ORCA-Flash4.0 V3", "standard scan", 6.5, 30_000, 1.6, "rms", 0.46, 100, 16,
        "Hamamatsu data sheet, C13440-20CU (to be checked)",
    ),
    "orca-fusion": CameraSheet(
        _HAMAMATSU, "ORCA-Fusion", "ultra-quiet scan", 6.5, 15_000, 0.7, "rms", 0.24, 100, 16,
        "Hamamatsu data sheet, C14440-20UP",
    ),
    "orca-fusion-bt": CameraSheet(
        _HAMAMATSU, "ORCA-Fusion BT", "ultra-quiet scan", 6.5, 15_000, 0.7, "rms", 0.24, 100, 16,
        "Hamamatsu data sheet, C15440-20UP",
    ),
    "orca-quest": CameraSheet(
        _HAMAMATSU, "ORCA-Quest", "standard scan", 4.6, 7_000, 0.43, "rms", 0.107, 200, 16,
        "Hamamatsu data sheet, C15550-20UP (to be checked)",
    ),
    "orca-quest-2": CameraSheet(
        _HAMAMATSU, "ORCA-Quest 2", "standard scan", 4.6, 7_000, 0.43, "rms", 0.107, 200, 16,
        "Hamamatsu catalogue SCAS0166E, C15550-22UP",
    ),
    "pco-edge-4.2": CameraSheet(
        "PCO", "pco.edge 4.2 LT", "slow scan", 6.5, 30_000, 0.8, "median", 0.46, 100, 16,
        "PCO data sheet, pco.edge 4.2 LT (to be checked)",
    ),
    "zyla-4.2": CameraSheet(
        _ANDOR, "Zyla 4.2 PLUS", "16 bit, rolling shutter", 6.5, 30_000, 0.9, "median", 0.45, 100, 16,
        "Andor, Zyla hardware manual 2.0 (2021), table 5, and brochure",
    ),
    "zyla-5.5": CameraSheet(
        _ANDOR, "Zyla 5.5", "16 bit, rolling shutter, 560 MHz", 6.5, 30_000, 1.38, "median", 0.45, 100, 16,
        "Andor, Zyla hardware manual 2.0 (2021), table 4 and section 2.3",
    ),
    "sona-4.2b-11": CameraSheet(
        _ANDOR, "Sona 4.2B-11", "16 bit", 11.0, 85_000, 1.6, "median", None, 100, 16,
        "Andor specification sheet, Sona (to be checked)",
    ),
    "prime-95b": CameraSheet(
        _PHOTOMETRICS, "Prime 95B", "16 bit", 11.0, 80_000, 1.6, "median", None, 100, 16,
        "Teledyne Photometrics data sheet, Prime 95B (2020) (to be checked)",
    ),
    "ixon-ultra-897": CameraSheet(
        _ANDOR, "iXon Ultra 897", "EM amplifier, 10 MHz", 16.0, 180_000, 50.0, "rms", None, None, 16,
        "Andor, iXon Ultra manual 1.1 (2013), section 3.1.2", "emccd",
    ),
    "ixon-ultra-888": CameraSheet(
        _ANDOR, "iXon Ultra 888", "EM amplifier, 30 MHz", 13.0, 80_000, 130.0, "rms", None, None, 16,
        "Andor specification sheet, iXon Ultra 888 (to be checked)", "emccd",
    ),
}  # fmt: skip
"""Data sheets by the names that `config` accepts."""


def camera_sheet(name: str) -> CameraSheet:
    """The data sheet of a camera; raises InputError with the known names for another one."""
    if name not in CAMERA_SHEETS:
        raise InputError(
            f"there is no camera '{name}' in the list; it has: {', '.join(CAMERA_SHEETS)}",
            "set camera.* by hand for any other",
        )
    return CAMERA_SHEETS[name]
