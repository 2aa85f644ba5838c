"""The microscope: wavelength, objective, 4f system with the mask, and camera."""

from __future__ import annotations

import math
from typing import Self

from pydantic import model_validator

from ..spec import Spec, quantity

__all__ = ["Microscope"]

# Largest width of the pupil, mask pixels. Wider pupils come from a wrong unit and would fill the memory.
_MOST_MASK_PX = 5000
# Depths of field, n λ / NA², from the focal plane at which no patch holds an image: 20 µm at a high NA.
_OUT_OF_FOCUS = 40.0


class Microscope(Spec):
    """A widefield microscope whose back focal plane is imaged by a 4f system onto a phase mask.

    Nehme et al. 2020, Methods. The defaults are the published telomere set-up.
    """

    wavelength: float = quantity(
        0.58, "µm", "emission wavelength in vacuum", gt=0.2, lt=2.0, label="Emission wavelength"
    )
    na: float = quantity(
        1.45, "", "numerical aperture of the objective", gt=0.1, lt=2.0, label="Numerical aperture"
    )
    n_immersion: float = quantity(
        1.518,
        "",
        "refractive index of the immersion medium",
        ge=1.0,
        lt=2.5,
        label="Refractive index, immersion",
    )
    n_sample: float = quantity(
        1.33, "", "refractive index of the sample", ge=1.0, lt=2.5, label="Refractive index, sample"
    )
    magnification: float = quantity(100.0, "", "magnification from sample to camera", ge=1.0, le=1000.0)
    focal_length: float = quantity(
        1.5e5, "µm", "focal length of the 4f system's lenses", gt=0, label="Focal length of 4f lenses"
    )
    camera_pitch: float = quantity(
        11.0, "µm", "camera pixel pitch", gt=0.5, lt=100.0, label="Camera pixel pitch"
    )
    mask_pitch: float = quantity(
        24.0, "µm", "pixel pitch of the phase mask", gt=0.1, lt=1000.0, label="Mask pixel pitch"
    )
    focus: float = quantity(
        4.5,
        "µm",
        "nominal focal plane: objective travel towards the sample from focus on the coverslip",
        label="Nominal focal plane",
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.na >= self.n_immersion:
            raise ValueError(
                f"na {self.na} must be below n_immersion {self.n_immersion}: no light leaves at a steeper angle"
            )
        if self.magnification <= self.na:
            raise ValueError(f"magnification {self.magnification} must be above na {self.na}")
        if self.mask_px > _MOST_MASK_PX:
            raise ValueError(
                f"the pupil's image of {self.pupil_diameter / 1000:.4g} mm would be {self.mask_px} mask pixels "
                f"of {self.mask_pitch:g} µm across, at most {_MOST_MASK_PX} are computed; "
                "check focal_length, mask_pitch (both in µm) and magnification"
            )
        return self

    def check_depths(self, z_um: tuple[float, float], key: str = "microscope.focus") -> None:
        """Raise ValueError for a focal plane so far from molecules at these depths, µm, that none has an image.

        key: of the focal plane in the experiment.  A dry objective's plane lies deeper than nominal by up to
        half of that, and a deep range may be looked at from one of its ends.
        """
        low, high = z_um
        away = max(low - self.focus, self.focus - high)
        depth_of_field = self.n_sample * self.wavelength / min(self.na, self.n_sample) ** 2
        if away <= max(_OUT_OF_FOCUS * depth_of_field, abs(self.focus) / 2, high - low):
            return
        in_nm = "" if abs(self.focus) < 100 else f": {self.focus:g} nm are {self.focus / 1000:g}"
        raise ValueError(
            f"{key} of {self.focus:g} µm lies {away:.4g} µm from the depths of the molecules, {low:g} to "
            f"{high:g} µm (z_um), which gives no image; set it near the depths, in µm{in_nm}"
        )

    @property
    def pixel_um(self) -> float:
        """Camera pixel in the sample, µm."""
        return self.camera_pitch / self.magnification

    @property
    def pupil_diameter(self) -> float:
        """Diameter of the pupil's image at the mask, µm: 2 f NA / sqrt(M² − NA²)."""
        return 2 * self.focal_length * self.na / math.sqrt(self.magnification**2 - self.na**2)

    @property
    def aperture(self) -> float:
        """Largest radius of light that propagates in the sample, fraction of the pupil's: min(1, n_s/NA)."""
        return min(1.0, self.n_sample / self.na)

    @property
    def aperture_radius(self) -> float:
        """Radius of the aperture's image at the mask, µm; light outside it does not propagate in the sample."""
        return self.aperture * self.pupil_diameter / 2

    @property
    def mask_px(self) -> int:
        """Smallest odd number of mask pixels that covers the usable aperture."""
        return self.mask_px_across(self.aperture)

    def mask_px_across(self, radius: float) -> int:
        """Smallest odd number of mask pixels that covers a disc of this radius, a fraction of the pupil's."""
        return 2 * math.ceil(radius * self.pupil_diameter / 2 / self.mask_pitch) + 1

    @property
    def image_period_px(self) -> float:
        """Period of the image of a mask that is sampled at its pitch, camera pixels: λ f / (p_m p_c)."""
        return self.wavelength * self.focal_length / (self.mask_pitch * self.camera_pitch)
