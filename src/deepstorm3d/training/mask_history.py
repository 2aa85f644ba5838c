"""The mask at several steps of a design, in a file beside it, so that one can see it learn."""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..io.parts import whole_file
from ..optics.masks import PhaseMask

__all__ = ["MaskHistory", "read_history"]


class MaskHistory:
    """The masks of a design, kept in a file (.npz) so that a resumed run has all of them.

    path: the file;  fresh: whether the run begins anew, so that masks of an earlier one are forgotten.
    steps: after how many steps of the design each mask was kept;  phases: of each, (h, w) rad.
    """

    def __init__(self, path: Path, *, fresh: bool) -> None:
        self.path = path
        self.steps: list[int] = []
        self.phases: list[Tensor] = []
        if path.exists() and not fresh:
            steps, phases = read_history(path)
            self.steps, self.phases = steps.tolist(), list(torch.from_numpy(phases))

    def append(self, step: int, mask: PhaseMask) -> None:
        """Keep the mask as it is now, after so many steps."""
        while self.steps and self.steps[-1] >= step:
            # Kept after the last checkpoint of the run that is resumed: it comes again.
            self.steps.pop()
            self.phases.pop()
        self.steps.append(step)
        # A copy: what is given may be the parameter itself, which goes on changing.
        self.phases.append(mask().detach().cpu().float().clone())
        phases = torch.stack(self.phases).half().numpy()
        with whole_file(self.path) as temporary:
            np.savez_compressed(temporary, steps=np.array(self.steps), phases=phases)


def read_history(path: Path) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Steps (K,) of a design, and the phase (K, h, w) rad of its mask after each; half precision in the file.

    Raises InputError where the file cannot be read.
    """
    try:
        with np.load(path) as file:
            return file["steps"].astype(np.int64), file["phases"].astype(np.float32)
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise InputError(f"cannot read {path} as the masks of a design: {error}") from error
