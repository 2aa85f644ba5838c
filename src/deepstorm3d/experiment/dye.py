"""A dye of an experiment: its wavelength, what the microscope does to that, and how many molecules have it."""

from __future__ import annotations

from ..spec import Spec, quantity

__all__ = ["Dye"]


class Dye(Spec):
    """Molecules that emit at a wavelength of their own, seen through the same mask by the same camera."""

    wavelength: float = quantity(
        0.58, "µm", "emission wavelength in vacuum", gt=0.2, lt=2.0, label="Emission wavelength"
    )
    amount: float = quantity(1.0, "", "number of its molecules relative to the other dyes'", gt=0)
    focus: float | None = quantity(
        None,
        "µm",
        "nominal focal plane at this wavelength (chromatic shift); null: as of the microscope",
        label="Focal plane",
    )
    mask_index: tuple[float, float] | None = quantity(
        None,
        "",
        "refractive index of the mask's material at microscope.wavelength and at this one; null: the same at "
        "both, so that the phase goes with 1/wavelength",
        label="Mask's index",
    )

    def phase_factor(self, wavelength: float) -> float:
        """The mask's phase for this dye over that at another wavelength, µm."""
        there, here = self.mask_index or (2.0, 2.0)
        return wavelength / self.wavelength * (here - 1) / (there - 1)
