"""Results of a comparison of masks: bounds of position errors, and the conditions for which they are valid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..brief import Brief

__all__ = ["AXIS_NAMES", "Bounds", "LimitReport", "MaskLimits", "SummaryLine"]

AXIS_NAMES = ("x", "y", "z")


@dataclass(frozen=True, repr=False)
class Bounds(Brief):
    """Bounds for several values of one condition.

    at: (K,) depth µm, photons, photons per pixel or emitters per µm²;  sigma_nm: (K, 3) σ of x, y, z, nm.
    """

    at: NDArray[np.float64]
    sigma_nm: NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class MaskLimits(Brief):
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
class SummaryLine:
    """One line of the short table of a report.

    against: depth, all depths, photons, background or density;  label: the condition in words;
    sigma_nm: (masks, 3) σ of x, y, z, nm, the median where many molecules are estimated together;
    rms_nm: (masks, 3) their root mean square then, else None.
    """

    against: str
    label: str
    sigma_nm: NDArray[np.float64]
    rms_nm: NDArray[np.float64] | None = None


@dataclass(frozen=True, repr=False)
class LimitReport(Brief):
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

    def summary(self) -> Iterator[SummaryLine]:
        """The lines of a table that fits a screen: five depths, round photons, every common density."""
        first = self.masks[0]
        depths = len(first.depth.at)
        for index in sorted({round(share * (depths - 1) / 4) for share in range(5)}):
            yield self._line("depth", f"depth {first.depth.at[index]:.3g} µm", "depth", index)
        everywhere = [np.sqrt(np.square(mask.depth.sigma_nm).mean(0)) for mask in self.masks]
        yield SummaryLine("all depths", "all depths, rms", np.stack(everywhere))
        for index, value in enumerate(first.photons.at):
            if f"{value:.0e}"[0] in "13":
                yield self._line("photons", f"{value:,.0f} photons, rms", "photons", index)
        for index, value in enumerate(first.background.at):
            if f"{value:.0e}"[0] == "1":
                yield self._line("background", f"background {value:g}, rms", "background", index)
        common = min(len(mask.emitters) for mask in self.masks)
        for index, (number, density) in enumerate(
            zip(first.emitters[:common], first.median.at[:common], strict=True)
        ):
            label = f"{number} in a frame, {density:.2g} per µm²"
            rms = np.stack([mask.rms.sigma_nm[index] for mask in self.masks])
            median = self._line("density", label, "median", index)
            yield SummaryLine("density", label, median.sigma_nm, rms)

    def _line(self, against: str, label: str, bounds: str, index: int) -> SummaryLine:
        sigmas = [getattr(mask, bounds).sigma_nm[index] for mask in self.masks]
        return SummaryLine(against, label, np.stack(sigmas))
