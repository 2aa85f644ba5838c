"""A file stands under its name only when it is whole; the old one stays until then."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from deepstorm3d.errors import InputError
from deepstorm3d.io.parts import claim_name, make_folder, replaced_when_whole, whole_file, write_text


def test_the_file_appears_when_the_block_ends_and_nothing_else_stays(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with whole_file(path) as temporary:
        assert temporary.suffix == ".csv" and temporary.parent == tmp_path
        temporary.write_text("x")
        assert not path.exists()
    assert path.read_text() == "x"
    assert [file.name for file in tmp_path.iterdir()] == ["out.csv"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError(), KeyboardInterrupt()])
def test_an_error_on_the_way_leaves_the_old_file(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "out.csv"
    write_text(path, "old")
    with pytest.raises((InputError, type(error))) as caught, whole_file(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["out.csv"]
    if isinstance(error, OSError):
        assert str(caught.value) == (
            f"cannot write {path}: No space left on device. Free some space or choose another folder."
        )


def test_what_is_wrong_is_told_of_the_name_that_was_given(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match=r"^.*out\.png: no mask; name it out\.npy$"),
        whole_file(tmp_path / "out.png") as temporary,
    ):
        raise InputError(f"{temporary}: no mask", "name it out.npy")
    with (
        pytest.raises(InputError, match=r"cannot write .*out\.png: .*out\.png. Free"),
        whole_file(tmp_path / "out.png") as temporary,
    ):
        raise OSError(f"a library cannot create {temporary}")


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "Free some space or choose another folder."),
        (errno.EDQUOT, "Free some space or choose another folder."),
        (errno.EACCES, "Choose another folder."),
        (errno.EROFS, "Choose another folder."),
        (errno.EIO, "Choose another folder."),
    ],
)
def test_space_is_to_be_freed_where_it_is_missing(tmp_path: Path, number: int, advice: str) -> None:
    with pytest.raises(InputError) as caught, whole_file(tmp_path / "o.csv"):
        raise OSError(number, os.strerror(number))
    assert str(caught.value) == f"cannot write {tmp_path / 'o.csv'}: {os.strerror(number)}. {advice}"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_cannot_be_written_to_is_told_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    claim_name(tmp_path / "out.csv", overwrite=overwrite)
    assert not list(tmp_path.iterdir())

    def refuse(**options: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("deepstorm3d.io.parts.TemporaryFile", refuse)
    with pytest.raises(InputError, match=r"cannot write .*out\.csv: Permission denied. Choose another folder"):
        claim_name(tmp_path / "out.csv", overwrite=overwrite)


def test_the_unfinished_part_of_a_growing_table_is_not_touched(tmp_path: Path) -> None:
    growing, progress = tmp_path / "out.part.csv", tmp_path / "out.part.json"
    growing.write_text("rows")
    progress.write_text("{}")
    for name in ("out.csv", "out.json"):
        write_text(tmp_path / name, "new")
    assert growing.read_text() == "rows" and progress.read_text() == "{}"


def test_a_folder_that_cannot_be_made_is_told_with_the_systems_reason(tmp_path: Path) -> None:
    assert make_folder(tmp_path / "a" / "b").is_dir() and make_folder(tmp_path / "a").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*file/b: Not a directory. Choose another folder"):
        make_folder(tmp_path / "file" / "b")


def test_a_missing_folder_is_an_input_error_and_without_explanation_the_systems(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "out.txt"
    with pytest.raises(InputError, match=r"cannot write .*No such file or directory"):
        write_text(path, "x")
    with pytest.raises(FileNotFoundError), replaced_when_whole(path) as temporary:
        temporary.write_text("x")
