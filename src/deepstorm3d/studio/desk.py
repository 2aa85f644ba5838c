"""Desk: what is open in the studio, the same for every tab of the browser."""

from __future__ import annotations

from pathlib import Path

from .folder import Folder
from .limits.bounds import Limits
from .limits.design import DesignLook
from .movie.look import FrameLook
from .runs.shelf import Shelf

__all__ = ["Desk"]


class Desk:
    """The folder and, for each panel, what it shows.

    folder: that holds the user's files; raises InputError where it is none.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Folder(folder)
        self.movie = FrameLook()
        self.limits = Limits()
        self.design = DesignLook(Shelf(self.folder.root))
