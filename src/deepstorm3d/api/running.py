"""Long runs that Python begins: their files are never replaced, and one that is to go on must be there."""

from __future__ import annotations

from typing import Any

from ..errors import InputError, NameTaken
from ..training.runs import Run

__all__ = ["claim_run"]


def claim_run(run: Run, *, named: bool, resume: bool, **further: Any) -> None:
    """Raise InputError if the run cannot begin, or, to be resumed, has no checkpoint.

    named: whether the caller has named its file;  further: for `claim` of the kind of run.
    """
    run.check(resume=resume)
    if resume and not named:
        raise InputError(
            "a run without a file leaves nothing to resume", "give its name (`out`), or leave out `resume`"
        )
    if resume and not run.checkpoint.exists():
        raise InputError(
            f"there is nothing to resume: no checkpoint {run.checkpoint.name} in {run.checkpoint.parent}",
            "check the name (`out`), or leave out `resume`",
        )
    try:
        run.claim(resume=resume, **further)
    except NameTaken as error:
        raise InputError(error.what, "choose another name (`out`), or delete it") from error
