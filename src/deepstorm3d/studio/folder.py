"""The folder that the studio was given: what may be opened lies in it, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError

__all__ = ["Entry", "Folder"]


@dataclass(frozen=True)
class Entry:
    """One line of the file browser.

    name: without its folder;  size: bytes, 0 for a folder;  changed: seconds since 1970.
    """

    name: str
    is_folder: bool
    size: int
    changed: float


class Folder:
    """Paths confined to one folder.

    root: the folder; raises InputError where it is none.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise InputError(f"{root} is not a folder", "give the folder that holds your movies and tables")
        self.root = root.resolve()
        self._chosen: dict[str, Path] = {}

    def path(self, name: str | Path) -> Path:
        """The path that a name stands for, relative to the folder or absolute.

        Raises InputError where it lies outside, also by way of a link.
        """
        text = str(name)
        try:
            # Spaces at the ends are typed by mistake, or belong to the name of a file.
            given = Path(text if (self.root / text).exists() else text.strip())
            whole = (self.root / given).resolve()
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(f"'{name}' is no path: {error}") from error
        if not whole.is_relative_to(self.root):
            raise InputError(
                f"'{name}' lies outside the folder of this studio, {self.root}",
                "start the studio with the folder that holds it",
            )
        return whole

    def existing(self, name: str | Path) -> Path:
        """As `path`; raises InputError also where nothing is there."""
        if not str(name).strip():
            raise InputError("no file is chosen")
        whole = self.path(name)
        if not whole.exists():
            raise InputError(f"there is no '{self.shown(whole)}' in {self.root}")
        return whole

    def shown(self, path: Path) -> str:
        """A path as the page shows it and as a command in this folder takes it: relative to the folder.

        One that begins with "-" begins with "./" instead, or a command would take it for an option.
        """
        if not path.is_relative_to(self.root):
            return str(path)
        relative = path.relative_to(self.root).as_posix()
        return f"./{relative}" if relative.startswith("-") else relative

    def choose(self, path: Path, purpose: str) -> None:
        """Remember that a file or folder was chosen.  purpose: what for, as the chooser says it."""
        # The last one of all is last.
        self._chosen.pop(purpose, None)
        self._chosen[purpose] = path

    def place_for(self, purpose: str) -> Path:
        """The folder in which to begin to choose: that of the last choice for this purpose, or else for any."""
        last = self._chosen.get(purpose) or next(reversed(self._chosen.values()), self.root)
        place = self.root if last == self.root else last.parent
        return place if place.is_dir() else self.root

    def entries(self, place: Path, wanted: Callable[[Path], bool] = lambda path: True) -> list[Entry]:
        """Folders, then files that are wanted, by name; hidden ones and those that cannot be read are left out.

        Raises InputError where the place lies outside or cannot be listed.
        """
        place = self.path(place)
        try:
            inside = sorted(place.iterdir(), key=lambda path: path.name.lower())
        except OSError as error:
            raise InputError(f"cannot list {self.shown(place) or '.'}: {error.strerror}") from error
        found = [entry for path in inside if (entry := self._entry(path, wanted)) is not None]
        return sorted(found, key=lambda entry: not entry.is_folder)

    def _entry(self, path: Path, wanted: Callable[[Path], bool]) -> Entry | None:
        if path.name.startswith("."):
            return None
        try:
            if not path.resolve().is_relative_to(self.root):
                return None
            is_folder, stat = path.is_dir(), path.stat()
        except (OSError, RuntimeError):
            return None
        if not is_folder and not wanted(path):
            return None
        return Entry(path.name, is_folder, 0 if is_folder else stat.st_size, stat.st_mtime)
