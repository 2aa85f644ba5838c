"""How stacks of beads were recorded, and which beads of them are used."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from ...arguments import refuse_other_words
from ...errors import InputError
from ...frames.pixel_faults import DefectChoice, defects_meant
from .images import Moves

__all__ = ["BLUR_OF_MOLECULES", "BeadPosition", "BeadSettings"]

# Gaussian σ of the blur of a molecule, px.
BLUR_OF_MOLECULES = 1.0
# Largest diameter of a bead, nm.
_LARGEST_BEAD_NM = 2000.0
# Smallest useful side of the image of a bead, px.
_LEAST_SIDE_PX = 11

BeadPosition = tuple[int, int] | tuple[int, int, int]
"""Column and row of a bead, px; or number of its stack, column and row."""


@dataclass(frozen=True)
class BeadSettings:
    """How stacks of beads were recorded.

    Parameters
    ----------
    moves : "objective" or "depth"
        What changes from slice to slice: the objective (beads on the coverslip), or the depth of the beads.
    step_um, first_um : float
        Distance of the slices, µm (negative: the other way), and position of the first.
    positions : tuple or path
        One position a slice, µm, or a text file with one a line; instead of the two before.
    bead_um : float
        Diameter of the beads, µm.
    bead_z_um : float
        Height of their middle above the coverslip, µm; None: half the diameter.
    frames_per_slice : int
        Exposures of one slice, which are added up.
    side_px : int
        Side of the image of a bead, odd; None: as large as its light needs.
    pixel_um : float
        Camera pixel in the sample, µm, whatever the files say; None: as they say, where they do.
    places : tuple of (column, row), or path
        First pixel of each stack on the chip, where stacks are crops of one field; or the file with them.
    chip_px : tuple
        Width and height of that field, px; None: ``psf.field.size_px``.
    defects : "auto", "none" or path
        Whether defective pixels are looked for, or named by a file.
    beads_at : tuple, or path
        The beads to use, instead of all that are found alone in their square: ``(column, row)`` of the middle
        of each, pixels from 0; ``(stack, column, row)`` where there are several stacks, which count from 0;
        or the file with them.

    Raises
    ------
    InputError
        For a word that is not offered, positions given twice, a step of 0, and numbers that are out of their
        range or not finite.
    """

    moves: Moves = "objective"
    step_um: float | None = None
    first_um: float | None = None
    positions: Path | tuple[float, ...] | None = None
    bead_um: float = 0.1
    bead_z_um: float | None = None
    frames_per_slice: int = 1
    side_px: int | None = None
    pixel_um: float | None = None
    places: Path | tuple[tuple[int, int], ...] | None = None
    chip_px: tuple[int, int] | None = None
    defects: DefectChoice = "auto"
    beads_at: Path | tuple[BeadPosition, ...] | None = None

    def __post_init__(self) -> None:
        refuse_other_words(self)
        object.__setattr__(self, "defects", defects_meant(self.defects))
        if self.positions is not None and (self.step_um is not None or self.first_um is not None):
            raise InputError(
                "the positions of the slices are given twice",
                "give a file of positions (`positions`), or `step_um` and `first_um`, not both",
            )
        if self.step_um == 0:
            raise InputError("with a step of 0 µm all slices have one position", "give another `step_um`")
        self._refuse_infinite()
        if not 0 <= 1000 * self.bead_um <= _LARGEST_BEAD_NM:
            raise InputError(
                f"a diameter of {1000 * self.bead_um:g} nm is none of a bead",
                f"give 0 to {_LARGEST_BEAD_NM:g} nm (`bead_um`)",
            )
        if self.bead_z_um is not None and self.bead_z_um < 0:
            raise InputError(
                f"a bead {self.bead_z_um:g} µm above the coverslip lies in the glass",
                "give 0 or more (`bead_z_um`)",
            )
        if self.frames_per_slice < 1:
            raise InputError(
                f"a slice cannot have {self.frames_per_slice} exposures", "give 1 or more (`frames_per_slice`)"
            )
        if self.side_px is not None and (self.side_px < _LEAST_SIDE_PX or self.side_px % 2 == 0):
            raise InputError(
                f"the images of beads cannot be {self.side_px} px wide",
                f"give an odd number of {_LEAST_SIDE_PX} px or more (`side_px`)",
            )

    def _refuse_infinite(self) -> None:
        lengths = {
            "step (`step_um`)": self.step_um,
            "position of the first slice (`first_um`)": self.first_um,
            "diameter of the beads (`bead_um`)": self.bead_um,
            "height of the beads (`bead_z_um`)": self.bead_z_um,
        }
        for what, value in lengths.items():
            if value is not None and not math.isfinite(value):
                raise InputError(f"the {what} is {value} µm", "give a finite number")
        if isinstance(self.positions, tuple) and not all(map(math.isfinite, self.positions)):
            raise InputError("a position of a slice is not finite", "give µm (`positions`)")

    @property
    def depth_um(self) -> float:
        """Depth of the beads, fixed in the fit; in addition to the nominal one where the depth changes."""
        if self.moves == "depth":
            return 0.0
        return self.bead_um / 2 if self.bead_z_um is None else self.bead_z_um
