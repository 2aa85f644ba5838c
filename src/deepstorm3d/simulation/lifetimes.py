"""How long a molecule shines: in one frame only, or through several of a movie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from ..kinds import Kinds
from ..spec import Spec, quantity
from .blinking import frames_lit

__all__ = ["BLINKING", "Blinking", "BlinkingSpec", "ExponentialBlinking", "Lives", "NoBlinking"]


@dataclass(frozen=True)
class Lives:
    """When molecules switch on and off, in several stretches of frames that are independent of one another.

    stretch: (M,) int64, of each molecule;  start, end: (M,) float64, frames from the beginning of its stretch.
    A molecule may begin before its stretch and end after it.
    """

    stretch: Tensor
    start: Tensor
    end: Tensor

    def __len__(self) -> int:
        return len(self.start)

    def lit(self, frames: int) -> tuple[Tensor, Tensor, Tensor]:
        """Who shines in which frame: molecule, frame of its stretch, share of its light there; (K,) each.

        frames: length of a stretch. The shares of a molecule sum to 1, less what falls outside of its stretch.
        """
        molecule, frame, time_on = frames_lit(self.start, self.end, frames)
        return molecule, frame, time_on / (self.end - self.start)[molecule]


class BlinkingSpec(Spec):
    """How long a molecule shines: a kind defines its name (`kind`) and, if molecules last, both methods."""

    kind: Any

    @property
    def lasts(self) -> bool:
        """Whether a molecule may shine in several frames; else every frame has molecules of its own."""
        return True

    def lives(self, in_frame: Tensor, frames: int, generator: torch.Generator) -> Lives:
        """Draw the molecules that shine in stretches of so many frames.

        in_frame: (B,) mean number of molecules with light in each frame of each stretch.
        """
        raise NotImplementedError(f"a blinking of kind {self.kind} needs lives()")

    @property
    def mean_share(self) -> float:
        """Mean share of a molecule's light in a frame in which it has any."""
        raise NotImplementedError(f"a blinking of kind {self.kind} needs mean_share")

    def shares(self, number: int, generator: torch.Generator) -> Tensor:
        """The share of its molecule's light that a randomly chosen image has: (number,)."""
        stretch = torch.full((1,), max(1.0, float(number)), device=generator.device)
        _, _, share = self.lives(stretch, 1, generator).lit(1)
        chosen = torch.randint(max(1, len(share)), (number,), generator=generator, device=generator.device)
        return share[chosen].float()


class NoBlinking(BlinkingSpec):
    """Every frame has molecules of its own, each with all its light in it."""

    kind: Literal["none"] = "none"

    @property
    def lasts(self) -> bool:
        """Never."""
        return False

    @property
    def mean_share(self) -> float:
        """All of it."""
        return 1.0

    def shares(self, number: int, generator: torch.Generator) -> Tensor:
        """All of it, for each; draws nothing."""
        return torch.ones(number, device=generator.device)


class ExponentialBlinking(BlinkingSpec):
    """A molecule switches on once, at a random time, and shines evenly for an exponentially distributed time.

    Its first and its last frame are dim, since it is on during a part of them only. The number of molecules in
    a frame has a Poisson distribution, and a movie is in a steady state from its first frame on.
    """

    kind: Literal["exponential"] = "exponential"
    mean_frames: float = quantity(
        3.0, "frames", "mean time for which a molecule is on", gt=0, label="Mean time on"
    )

    def lives(self, in_frame: Tensor, frames: int, generator: torch.Generator) -> Lives:
        """Molecules of a Poisson process in its steady state; arguments as in `BlinkingSpec.lives`.

        A life of mean τ frames has light in τ + 1 frames on average, so that in_frame / (τ + 1) molecules
        switch on in each. Of those that are on when the stretch begins (in_frame τ / (τ + 1) on average) the
        time since they switched on and the time left to them are independent and exponential: the process has
        no memory.
        """
        device, life = in_frame.device, self.mean_frames
        rate = in_frame.double() / (life + 1)
        before, during = (
            torch.poisson(mean, generator=generator).long() for mean in (rate * life, rate * frames)
        )
        stretch = torch.arange(len(in_frame), device=device)
        old, new = torch.repeat_interleave(stretch, before), torch.repeat_interleave(stretch, during)

        def times(number: int) -> Tensor:
            drawn = torch.empty(number, dtype=torch.float64, device=device)
            return life * drawn.exponential_(generator=generator)

        begun, left, whole = times(len(old)), times(len(old)), times(len(new))
        start = frames * torch.rand(len(new), dtype=torch.float64, generator=generator, device=device)
        return Lives(torch.cat([old, new]), torch.cat([-begun, start]), torch.cat([left, start + whole]))

    @property
    def mean_share(self) -> float:
        """One over the mean number of frames with light."""
        return 1 / (self.mean_frames + 1)


BLINKING = Kinds(NoBlinking, ExponentialBlinking)
"""All kinds of blinking. ``BLINKING.register`` adds one that is defined elsewhere."""

Blinking = Annotated[BlinkingSpec, BLINKING]
