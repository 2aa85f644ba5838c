"""Errors on the page: in the words of the program, for people who know no Python."""

from __future__ import annotations

import errno

import pytest

from deepstorm3d.errors import InputError, NameTaken
from deepstorm3d.studio.parts.notices import explained


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("a.tif exists; allow it to be replaced (`overwrite=True`)", "a.tif exists; allow it to be replaced"),
        ("the camera's gain (`camera` gain=2.2) is wrong", "the camera's gain is wrong"),
        ("leave `mask` out", "leave mask out"),
        ("3 (x, y, z) numbers", "3 (x, y, z) numbers"),
    ],
)
def test_no_argument_of_python_is_named(said: str, shown: str):
    assert explained(InputError(said)) == shown


def test_a_full_disk_and_a_file_that_may_not_be_written_are_told_plainly():
    assert "no space left" in explained(OSError(errno.ENOSPC, "No space left on device"))
    assert explained(PermissionError(errno.EACCES, "Permission denied", "a.csv")) == "a.csv: Permission denied"


def test_a_fault_of_the_program_says_so():
    assert "please report it: KeyError: 'a'" in explained(KeyError("a"))


def test_no_value_of_python_is_named_where_a_sentence_needs_one():
    assert (
        explained(InputError("go on with `resume=True`, or delete it")) == "go on with 'Resume', or delete it"
    )
    taken = NameTaken("a.npy exists", "choose another name, or allow it to be replaced (`overwrite=True`)")
    assert explained(taken) == "a.npy exists; choose another name, or delete it"
