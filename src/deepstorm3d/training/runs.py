"""The files of a long run, named after its result, and whether the run may start or be resumed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError

__all__ = ["DesignRun", "Run"]


@dataclass(frozen=True)
class Run:
    """Files of a training or a design, in the same folder as its result `out`."""

    out: Path

    @property
    def checkpoint(self) -> Path:
        """State to resume from."""
        return self.out.with_suffix(".checkpoint")

    @property
    def preview(self) -> Path:
        """Picture of the present state, drawn at each validation."""
        return self.out.with_suffix(".preview.png")

    @property
    def metrics(self) -> Path:
        """Log in JSON lines."""
        return self.out.with_suffix(".metrics.jsonl")

    def check(self, *, resume: bool) -> None:
        """Raise InputError if an unfinished run would be overwritten, or a finished one resumed."""
        if self.checkpoint.exists() and not resume:
            raise InputError(
                f"{self.checkpoint} holds an unfinished run",
                "go on with `resume=True`, or delete it to start anew",
            )
        if resume and self.out.exists() and not self.checkpoint.exists():
            raise InputError(
                f"{self.out} is complete, there is nothing to resume; delete it, or start without `resume`"
            )


class DesignRun(Run):
    """Files of a design; `out` is the mask."""

    @property
    def model(self) -> Path:
        """The network trained together with the mask."""
        return self.out.with_suffix(".pt")

    @property
    def solid(self) -> Path:
        """Picture of the PSF as a 3D surface."""
        return self.out.with_suffix(".3d.png")

    @property
    def curve(self) -> Path:
        """Picture of the learning curve."""
        return self.out.with_suffix(".curve.png")

    @property
    def history(self) -> Path:
        """The mask at each validation."""
        return self.out.with_suffix(".history.npz")

    @property
    def animation(self) -> Path:
        """Animation of mask and PSF during the design."""
        return self.out.with_suffix(".gif")
