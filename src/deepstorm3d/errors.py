"""What ends a command early: a mistake that the user can mend, and the wish to stop."""

__all__ = ["DoubtfulResult", "InputError", "Interrupted"]


class InputError(ValueError):
    """Something given to the program is wrong.

    The message says what is wrong, with the numbers, and what to do about it; the command
    line prints it without a traceback and ends with exit status 2.
    """


class Interrupted(Exception):
    """Work was asked to stop, and has stopped in the middle of what it was doing."""


class DoubtfulResult(UserWarning):
    """A result in memory that a user should look at twice: what was seen, in numbers, and what to do."""
