"""Settings of a mask design: the trainable parameters, the learning rate, and the penalties."""

from __future__ import annotations

from typing import Literal

from ..spec import Spec, quantity

__all__ = ["DesignSpec"]


class DesignSpec(Spec):
    """Trainable parameters, learning rate and penalties of a design that starts from the experiment's mask."""

    parameters: Literal["pixels", "zernike"] = quantity(
        "pixels",
        "",
        "what changes: the phase of each mask pixel, or Zernike coefficients added to the start",
        label="What changes",
    )
    zernike_order: int = quantity(
        8, "", "highest radial order of the Zernike coefficients", ge=2, le=20, label="Highest Zernike order"
    )
    hold: tuple[str, ...] = quantity(
        (),
        "",
        "channels whose masks stay as they are, by name ('first': the experiment's own mask)",
        label="Masks held fixed",
    )
    learning_rate: float = quantity(0.02, "rad", "largest change of a phase in a step (Adam)", gt=0, le=1)
    fisher_steps: int = quantity(
        600, "", "steps of a design by Fisher information", ge=1, label="Steps, Fisher information"
    )
    fisher_density: float = quantity(
        0.0,
        "1/µm²",
        "density of molecules whose joint bound is minimised; 0: one molecule alone",
        ge=0,
        label="Molecule density",
    )
    bound_weight: float = quantity(
        0.0,
        "",
        "weight of the bound's logarithm beside the network's loss, in a design with a network; 0: none",
        ge=0,
        label="Weight of the bound",
    )
    roughness: float = quantity(
        0.0,
        "per rad²",
        "penalty on the mean squared phase difference of neighbouring pixels",
        ge=0,
        label="Penalty on roughness",
    )
    spread: float = quantity(
        0.0,
        "",
        "penalty on the mean fraction of light outside the patch",
        ge=0,
        label="Penalty on spread light",
    )
    phase_range: float = quantity(
        0.0,
        "rad",
        "largest peak-to-peak phase of the mask (for plates); 0: no limit",
        ge=0,
        label="Largest phase range",
    )
