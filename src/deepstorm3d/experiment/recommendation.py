"""The answer to which mask fits a sample: known masks, best first, with what to expect of each."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..brief import Brief
from ..errors import InputError
from ..optics.masks import MaskSpec
from ..simulation.backgrounds import UniformBackground
from ..simulation.photons import FixedPhotons
from ..simulation.priors import DensityCount, EmitterPrior, Scene

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["Advice", "Recommendation", "Sample"]


@dataclass(frozen=True)
class Sample:
    """What is to be imaged.

    z_um: range of depths, µm;  density: molecules per µm² in a frame;  photons: of a molecule in a frame, of
    all channels together;  background: photons per pixel, of all channels together.
    """

    z_um: tuple[float, float]
    density: float
    photons: float
    background: float

    def describe(self) -> str:
        """Depths, density and light in words, with their units."""
        low, high = self.z_um
        return (
            f"{low:g} to {high:g} µm of depth, {self.density:.3g} molecules per µm², "
            f"{self.photons:,.0f} photons over {self.background:g} per pixel"
        )

    def scene(self, blur_px: float, margin_px: float = 0.0) -> Scene:
        """The sample as a scene of an experiment, with one Gaussian blur σ, px."""
        prior = EmitterPrior(
            count=DensityCount(low=self.density, high=self.density),
            photons=FixedPhotons(photons=self.photons),
            z_um=self.z_um,
            margin_px=(margin_px, margin_px),
            blur_px=(blur_px, blur_px),
        )
        level = UniformBackground(low=self.background, high=self.background)
        return Scene(emitters=prior, background=level)


@dataclass(frozen=True)
class Advice:
    """What to expect of one known mask.

    masks: of each channel;  focus: nominal focal plane for it, µm;  jaccard: expected, 0 to 1;
    rmse_lateral_nm, rmse_axial_nm: expected of the molecules that are matched, within the matching distance,
    laterally of the full distance; where most are missed they lie below the bound of all, and are no sign of
    precision;  bound_lateral_nm, bound_axial_nm: median joint Cramér-Rao bound of all at the density;
    spot_um2: area of its spot, mean over depths;  reason: in one line.
    """

    mask: str
    about: str
    masks: tuple[MaskSpec, ...]
    focus: float
    jaccard: float
    rmse_lateral_nm: float
    rmse_axial_nm: float
    bound_lateral_nm: float
    bound_axial_nm: float
    spot_um2: float
    reason: str = ""

    @property
    def efficiency(self) -> float:
        """The measure that orders the masks, per cent: Jaccard index and both errors together.

        Mean of the lateral and axial 100 − sqrt((100 − J)² + (α·RMSE)²), J the Jaccard index in per cent,
        α = 1 / nm lateral and 0.5 / nm axial (Sage et al., Nature Methods 16:387, 2019); an error below the
        bound counts as the bound.
        """
        missing = 100 * (1 - self.jaccard)
        lateral = max(self.rmse_lateral_nm, self.bound_lateral_nm)
        errors = lateral, 0.5 * max(self.rmse_axial_nm, self.bound_axial_nm)
        return sum(100 - math.hypot(missing, error) for error in errors) / 2


@dataclass(frozen=True, repr=False)
class Recommendation(Brief):
    """Known masks for a sample, best first.

    sample: that was asked about;  advice: of each mask;  notes: what limits the answer, in sentences.
    """

    sample: Sample
    advice: tuple[Advice, ...]
    notes: tuple[str, ...]

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield a row of plain numbers and words for each mask, best first."""
        for each in self.advice:
            yield {
                "mask": each.mask,
                "jaccard": round(each.jaccard, 3),
                "rmse_lateral_nm": round(each.rmse_lateral_nm, 2),
                "rmse_axial_nm": round(each.rmse_axial_nm, 2),
                "bound_lateral_nm": round(each.bound_lateral_nm, 2),
                "bound_axial_nm": round(each.bound_axial_nm, 2),
                "efficiency": round(each.efficiency, 1),
                "spot_um2": round(each.spot_um2, 3),
                "focus_um": round(each.focus, 3),
                "channels": len(each.masks),
                "reason": each.reason,
            }

    def to_pandas(self) -> DataFrame:
        """The rows as a table; raises InputError without pandas."""
        try:
            from pandas import DataFrame
        except ImportError as error:
            raise InputError("to_pandas needs pandas: pip install pandas") from error
        return DataFrame(list(self.rows()))
