"""The files of a long run, named after its result, and whether the run may start or be resumed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..io.masks import refuse_mask_ending
from ..io.parts import beside, claim_name
from .checkpoint import MetricsLog, load_checkpoint

__all__ = ["DesignRun", "Run"]


@dataclass(frozen=True)
class Run:
    """Files of a training or a design, in the same folder as its result `out`."""

    out: Path

    @property
    def checkpoint(self) -> Path:
        """State to resume from."""
        return beside(self.out, ".checkpoint")

    @property
    def preview(self) -> Path:
        """Picture of the present state, drawn at each validation."""
        return beside(self.out, ".preview.png")

    @property
    def metrics(self) -> Path:
        """Log in JSON lines."""
        return beside(self.out, ".metrics.jsonl")

    def claim(self, *, resume: bool = False, overwrite: bool = False) -> None:
        """Raise InputError if the result is there and may not be replaced, before hours of work.

        resume: the run goes on from its checkpoint, if there is one. An unfinished run of another kind with
        this name is not given up with `overwrite` either.
        """
        if self.checkpoint.exists() and self._of_another(self.checkpoint):
            raise InputError(
                f"{self.checkpoint} holds {self._another}",
                "choose another name (`out`), or delete the checkpoint to give that up",
            )
        self._refuse_complete(resume)
        claim_name(self.out, overwrite=overwrite or (resume and self.checkpoint.exists()))

    def check(self, *, resume: bool) -> None:
        """Raise InputError if an unfinished run would be overwritten, or a finished one resumed."""
        self._refuse_log_of_another()
        if self.checkpoint.exists() and not resume:
            raise InputError(
                f"{self.checkpoint} holds an unfinished run",
                "go on with `resume=True`, or delete it to start anew",
            )
        self._refuse_complete(resume)

    def _refuse_complete(self, resume: bool) -> None:
        if resume and self.out.exists() and not self.checkpoint.exists():
            raise InputError(
                f"{self.out} is complete, there is nothing to resume; delete it, or start without `resume`"
            )

    @property
    def _another(self) -> str:
        return "an unfinished design of a mask"

    def _of_another(self, checkpoint: Path) -> bool:
        return _made_by(checkpoint) == "design"

    def _refuse_log_of_another(self) -> None:
        if MetricsLog(self.metrics).figures("bound_nm"):
            raise InputError(
                f"{self.metrics} is the log of a design by Fisher information",
                "choose another name for the model (`out`), or move the log away",
            )


class DesignRun(Run):
    """Files of a design; `out` is the mask.

    A training whose model has the name of `model` has its checkpoint, log and picture under the same names.
    """

    def claim(self, *, resume: bool = False, overwrite: bool = False, network: bool = True) -> None:
        """As of `Run`, and if files of a training with this name would be replaced.

        network: whether the design trains one, and writes it as `model`.
        """
        super().claim(resume=resume, overwrite=overwrite)
        kept = overwrite or (resume and self.checkpoint.exists())
        # A design by Fisher information leaves the model, and would replace the log of its training.
        if network or (self.model.exists() and MetricsLog(self.metrics).figures("loss")):
            claim_name(self.model, overwrite=kept)

    def check(self, *, resume: bool) -> None:
        """As of `Run`, and if the mask could not be written at the end for its ending."""
        refuse_mask_ending(self.out)
        super().check(resume=resume)

    @property
    def model(self) -> Path:
        """The network trained together with the mask."""
        return beside(self.out, ".pt")

    @property
    def solid(self) -> Path:
        """Picture of the PSF as a 3D surface."""
        return beside(self.out, ".3d.png")

    @property
    def curve(self) -> Path:
        """Picture of the learning curve."""
        return beside(self.out, ".curve.png")

    @property
    def history(self) -> Path:
        """The mask at each validation."""
        return beside(self.out, ".history.npz")

    @property
    def animation(self) -> Path:
        """Animation of mask and PSF during the design."""
        return beside(self.out, ".gif")

    @property
    def _another(self) -> str:
        return f"the unfinished training of {self.model}"

    def _of_another(self, checkpoint: Path) -> bool:
        return _made_by(checkpoint) == "training"

    def _refuse_log_of_another(self) -> None:
        """A design's log has the name of its own earlier one; `claim` knows whose it is."""


def _made_by(checkpoint: Path) -> str:
    """What a checkpoint is of: a "training", a "design" (a mask that learns), or "" where it is damaged."""
    try:
        saved = load_checkpoint(checkpoint)
    except InputError:
        return ""
    return "training" if "weights" in saved and not saved.get("optics") else "design"
