"""What ends a command early: a mistake that the user can mend, and the wish to stop."""

__all__ = [
    "DoubtfulResult",
    "InputError",
    "Interrupted",
    "MissingPackage",
    "MissingPixelSize",
    "NameTaken",
    "refuse_um",
]

# Least distance that is taken, nm: nobody means a smaller one, and one in µm that is taken for nm is smaller.
_LEAST_NM = 1.0


class InputError(ValueError):
    """Something given to the program is wrong.

    what: what is wrong, with the numbers;  remedy: what to do about it, where `what` does not say it.
    The command line prints both without a traceback and ends with exit status 2. An argument or function that
    helps stands in backticks, as Python knows it: "give the pixel size (`pixel_um`)"; the command line puts its
    own option there (`cli/flags.py`).
    """

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(f"{what}; {remedy}" if remedy else what)
        self.what, self.remedy = what, remedy


def refuse_um(what: str, nm: float) -> None:
    """Raise InputError for a distance above 0 that is so small that it must be in µm; what: "a blur"."""
    if nm < _LEAST_NM:
        raise InputError(
            f"{what} of {nm:g} nm is less than {_LEAST_NM:g} nm, the least that is taken",
            f"it is in nm: {nm:g} µm are {1000 * nm:g}",
        )


class MissingPixelSize(InputError):
    """A file does not say how large its pixels are, and nobody else does."""


class NameTaken(InputError):
    """A file of that name is there already, and was not said to be replaceable."""


class MissingPackage(InputError):
    """A package that is not part of the program's plain installation is needed.

    what: which one, for what;  extra: the extra of this program that brings it.
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(what, f"pip install 'deepstorm3d[{extra}]'")
        self.extra = extra

    def __reduce__(self) -> tuple[type["MissingPackage"], tuple[str, str]]:
        """For processes that hand it on: made anew from what it was made from."""
        return MissingPackage, (self.what, self.extra)


class Interrupted(Exception):
    """Work was asked to stop, and has stopped in the middle of what it was doing."""


class DoubtfulResult(UserWarning):
    """A result in memory that a user should look at twice: what was seen, in numbers, and what to do."""
