"""Results of a comparison of masks: bounds of position errors, and the conditions for which they are valid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["AXIS_NAMES", "Bounds", "LimitReport", "MaskLimits"]

AXIS_NAMES = ("x", "y", "z")


@dataclass(frozen=True)
class Bounds:
    """Bounds for several values of one condition.

    at: (K,) depth µm, photons, photons per pixel or emitters per µm²;  sigma_nm: (K, 3) σ of x, y, z, nm.
    """

    at: NDArray[np.float64]
    sigma_nm: NDArray[np.float64]


@dataclass(frozen=True)
class MaskLimits:
    """Bounds of one mask.

    depth: of one molecule at each depth;  photons, background: root mean square over the depths;
    median, rms: over molecules at random positions, all of a frame estimated together, as a function of their
    density;  emitters: (K,) their number in a frame.
    """

    name: str
    depth: Bounds
    photons: Bounds
    background: Bounds
    median: Bounds
    rms: Bounds
    emitters: NDArray[np.int64]


@dataclass(frozen=True)
class LimitReport:
    """Bounds of each mask, and the conditions for which they are valid.

    photons, background, blur_px: of a molecule, if they are not varied;  noise: of the camera, in words;
    z_um: range of depths;
    frame_px, margin_px: the frame of many molecules, and its border without molecules.
    """

    experiment: str
    photons: float
    background: float
    blur_px: float
    noise: str
    z_um: tuple[float, float]
    frame_px: tuple[int, int]
    margin_px: float
    masks: tuple[MaskLimits, ...]

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield one row for each bound with all its conditions; bounds over all depths have an empty depth."""
        one: dict[str, Any] = {
            "z_um": "",
            "photons": self.photons,
            "background": self.background,
            "emitters": 1,
            "density_per_um2": "",
        }
        for mask in self.masks:
            tables = [
                ("depth", "one molecule", "z_um", mask.depth),
                ("photons", "rms over depth", "photons", mask.photons),
                ("background", "rms over depth", "background", mask.background),
                ("density", "median of all", "density_per_um2", mask.median),
                ("density", "rms of all", "density_per_um2", mask.rms),
            ]
            for against, statistic, key, bounds in tables:
                for index, (value, sigma) in enumerate(zip(bounds.at, bounds.sigma_nm, strict=True)):
                    place = {key: round(float(value), 6)}
                    if against == "density":
                        place["emitters"] = int(mask.emitters[index])
                    figures = {
                        f"sigma_{a}_nm": round(float(s), 4) for a, s in zip(AXIS_NAMES, sigma, strict=True)
                    }
                    yield {"mask": mask.name, "against": against, "bound": statistic, **one, **place, **figures}
