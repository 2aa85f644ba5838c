"""In how many frames each molecule of a list was found."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..emitters import Localizations
from ..errors import InputError

__all__ = ["frames_of_molecules"]


def frames_of_molecules(table: Localizations) -> NDArray[np.int64]:
    """Number of frames of each of M molecules, in order of their numbers: (M,).

    Raises InputError for a list whose rows were found frame by frame.
    """
    if table.molecule is None:
        raise InputError(
            "the list does not say which rows are one molecule: each was found from its frame alone",
            "localize with the fit over several frames (`over_frames=True`)",
        )
    return np.unique(table.molecule.cpu().numpy(), return_counts=True)[1].astype(np.int64)
