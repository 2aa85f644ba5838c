"""The one exception for a mistake that the user can mend."""

__all__ = ["InputError"]


class InputError(ValueError):
    """Something given to the program is wrong.

    The message says what is wrong, with the numbers, and what to do about it; the command
    line prints it without a traceback and ends with exit status 2.
    """
