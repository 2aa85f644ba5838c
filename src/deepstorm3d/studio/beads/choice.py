"""Which beads are used: those that a survey finds usable, but for what the user adds and leaves out."""

from __future__ import annotations

from dataclasses import dataclass

from ...calibration.beads.survey import BeadSurvey
from ...errors import InputError

__all__ = ["BeadChoice", "BeadEntry", "Place"]

Place = tuple[int, int, int]
"""Number of its stack, column and row of a bead, px from 0."""

# A click within this fraction of a bead's square of its middle means that bead.
_NEAR = 0.3


@dataclass(frozen=True)
class BeadEntry:
    """One bead of the gallery.

    place: where it is;  brightness: relative to the brightest of its stack, 0 where the user added it;
    reason: why it would not be used by itself;  taken: whether it is used.
    """

    place: Place
    brightness: float
    reason: str
    taken: bool

    @property
    def words(self) -> str:
        """What it is, in one line."""
        _, column, row = self.place
        light = f", brightness {self.brightness:.2f}" if self.brightness else ", added by you"
        return f"column {column}, row {row}{light}"


class BeadChoice:
    """The choice among the beads of stacks.

    Attributes
    ----------
    survey : BeadSurvey or None
        What there is.
    added, left_out : set
        Places that the user added, though the survey would not use them, and places that are not used.
    """

    def __init__(self) -> None:
        self.survey: BeadSurvey | None = None
        self.added: set[Place] = set()
        self.left_out: set[Place] = set()

    def begin(self) -> None:
        """Forget the choice: other stacks are looked at."""
        self.survey, self.added, self.left_out = None, set(), set()

    def entries(self) -> list[BeadEntry]:
        """All beads: those found, the brightest of each stack first, then those that the user added."""
        if self.survey is None:
            return []
        found: list[BeadEntry] = []
        for number, stack in enumerate(self.survey.stacks):
            for spot in stack.spots:
                place = (number, spot.column, spot.row)
                taken = place in self.added or (not spot.reason and place not in self.left_out)
                found.append(BeadEntry(place, spot.brightness, spot.reason, taken))
        known = {entry.place for entry in found}
        return found + [BeadEntry(place, 0.0, "", True) for place in sorted(self.added - known)]

    def taken(self) -> tuple[Place, ...]:
        """The beads that are used."""
        return tuple(entry.place for entry in self.entries() if entry.taken)

    @property
    def as_found(self) -> bool:
        """Whether the choice is the survey's own."""
        return not self.added and not self.left_out

    def click(self, stack: int, column: float, row: float) -> BeadEntry:
        """Take the bead under a click, leave it out where it is taken, or add one where there is none.

        Raises InputError where a new bead, or one that is taken, would be too near to the border.
        """
        if self.survey is None:
            raise InputError("no stack of beads is open")
        reach = _NEAR * self.survey.side
        near = [
            entry
            for entry in self.entries()
            if entry.place[0] == stack and max(abs(entry.place[1] - column), abs(entry.place[2] - row)) <= reach
        ]
        if near:
            nearest = min(near, key=lambda one: (one.place[1] - column) ** 2 + (one.place[2] - row) ** 2)
            return self.turn(nearest.place)
        place = (stack, *self.survey.stacks[stack].spot_near(column, row))
        self._check_room(place)
        self.added.add(place)
        return self._entry(place)

    def turn(self, place: Place) -> BeadEntry:
        """Take a bead, or leave it out where it is taken.

        Raises InputError where it is too near to the border.
        """
        entry = self._entry(place)
        if entry.taken:
            self.added.discard(place)
            if not entry.reason and entry.brightness:
                self.left_out.add(place)
        else:
            self._check_room(place)
            self.left_out.discard(place)
            if entry.reason:
                self.added.add(place)
        return next((each for each in self.entries() if each.place == place), entry)

    def _entry(self, place: Place) -> BeadEntry:
        return next(entry for entry in self.entries() if entry.place == place)

    def _check_room(self, place: Place) -> None:
        assert self.survey is not None
        number, column, row = place
        height, width = self.survey.stacks[number].mean.shape
        room = min(column, row, width - 1 - column, height - 1 - row)
        if room < self.survey.side // 2:
            raise InputError(
                f"the bead at column {column}, row {row} is {room} px from the border; its image of "
                f"{self.survey.side} px needs {self.survey.side // 2}",
                "choose another, or a smaller image (`side_px`)",
            )
