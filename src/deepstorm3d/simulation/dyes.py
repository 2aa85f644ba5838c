"""Which dye each molecule is, and where a PSF of several dyes shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..emitters import Emitters

__all__ = ["DyeStack", "DyesOfMolecules"]


class DyeStack:
    """The dyes of a PSF that has them one deeper than the other (`TabulatedPSF.stacked`).

    amounts: relative number of molecules of each dye;  step_um: by which each dye is deeper than the one
    before.
    """

    def __init__(self, amounts: Sequence[float], step_um: float) -> None:
        self.amounts, self.step_um = torch.tensor(amounts, dtype=torch.float64), step_um

    def drawn(self, emitters: Emitters, generator: torch.Generator) -> Emitters:
        """Give each molecule a dye, the same in all its frames; their `id` counts from 0."""
        if not len(emitters):
            return replace(emitters, dye=torch.zeros_like(emitters.id))
        return replace(emitters, dye=self.draw(int(emitters.id.max()) + 1, generator)[emitters.id])

    def draw(self, molecules: int, generator: torch.Generator) -> Tensor:
        """The dyes of so many molecules, (molecules,) int64 from 1."""
        if not molecules:
            return torch.zeros(0, dtype=torch.int64, device=generator.device)
        amounts = self.amounts.to(generator.device)
        return 1 + torch.multinomial(amounts, molecules, replacement=True, generator=generator)

    def seen(self, emitters: Emitters) -> Emitters:
        """Emitters with dyes where the stacked PSF shows them, without the column."""
        assert emitters.dye is not None, "emitters of several dyes need the column"
        deeper = torch.nn.functional.pad(self.step_um * (emitters.dye - 1)[:, None].to(emitters.xyz), (2, 0))
        return replace(emitters, xyz=emitters.xyz + deeper, dye=None)


class DyesOfMolecules:
    """Draws the dye of each molecule of a movie when it first appears, so that it keeps it in all blocks."""

    def __init__(self, stack: DyeStack, generator: torch.Generator) -> None:
        self.stack, self._generator = stack, generator
        self._known = stack.draw(0, generator)

    def given_to(self, emitters: Emitters) -> Emitters:
        """The emitters with the dyes of their molecules, whose `id` counts from 0 through the movie."""
        count = int(emitters.id.max()) + 1 if len(emitters) else 0
        more = self.stack.draw(max(0, count - len(self._known)), self._generator)
        self._known = torch.cat([self._known, more])
        return replace(emitters, dye=self._known[emitters.id])
