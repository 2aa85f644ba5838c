"""What the studio may open lies in its folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deepstorm3d.errors import InputError
from deepstorm3d.studio.folder import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    inside = tmp_path / "data"
    (inside / "day 1").mkdir(parents=True)
    (inside / "a.tif").write_bytes(b"12345")
    (inside / ".hidden.tif").touch()
    (inside / "notes.txt").touch()
    (tmp_path / "secret.tif").touch()
    return Folder(inside)


@pytest.mark.parametrize("name", ["../secret.tif", "day 1/../../secret.tif", "/etc/passwd", "..", "a\0b"])
def test_paths_outside_are_refused(folder: Folder, name: str):
    with pytest.raises(InputError, match=r"outside the folder|is no path"):
        folder.path(name)


def test_a_link_to_the_outside_is_neither_listed_nor_opened(folder: Folder):
    os.symlink(folder.root.parent / "secret.tif", folder.root / "link.tif")
    assert [entry.name for entry in folder.entries(folder.root)] == ["day 1", "a.tif", "notes.txt"]
    with pytest.raises(InputError, match="outside the folder"):
        folder.existing("link.tif")


def test_folders_come_first_and_only_wanted_files(folder: Folder):
    entries = folder.entries(folder.root, lambda path: path.suffix == ".tif")
    assert [(entry.name, entry.is_folder, entry.size) for entry in entries] == [
        ("day 1", True, 0),
        ("a.tif", False, 5),
    ]


def test_choosing_begins_where_it_ended_for_this_purpose_or_for_any(folder: Folder):
    day = folder.root / "day 1"
    assert folder.place_for("Movie") == folder.root
    folder.choose(day / "b.tif", "Movie")
    assert folder.place_for("Movie") == folder.place_for("Model") == day
    folder.choose(folder.root / "m.pt", "Model")
    assert (folder.place_for("Movie"), folder.place_for("Model")) == (day, folder.root)
    assert folder.place_for("List") == folder.root, "as the last choice of all"
    folder.choose(folder.root, "List")
    assert folder.place_for("List") == folder.root, "never above the top"
    folder.choose(folder.root / "gone" / "c.tif", "Movie")
    assert folder.place_for("Movie") == folder.root


def test_a_path_is_shown_as_a_command_in_the_folder_takes_it(folder: Folder):
    assert folder.shown(folder.existing("day 1")) == "day 1"
    assert folder.existing(folder.root / "a.tif") == folder.root / "a.tif"


@pytest.mark.parametrize(("name", "words"), [("b.tif", "there is no 'b.tif'"), ("  ", "no file is chosen")])
def test_what_is_not_there_is_named(folder: Folder, name: str, words: str):
    with pytest.raises(InputError, match=words):
        folder.existing(name)


def test_a_studio_needs_a_folder(folder: Folder):
    with pytest.raises(InputError, match="is not a folder"):
        Folder(folder.root / "a.tif")


@pytest.mark.parametrize("name", [" lead.tif", "end.tif ", " both "])
def test_spaces_at_the_ends_belong_to_the_name_where_there_is_such_a_file(folder: Folder, name: str):
    (folder.root / name).touch()
    assert folder.existing(name) == folder.root / name
    assert folder.existing(" a.tif ") == folder.root / "a.tif"


def test_a_name_that_begins_like_an_option_is_shown_as_a_path(folder: Folder):
    (folder.root / "-5um.tif").touch()
    shown = folder.shown(folder.existing("-5um.tif"))
    assert shown == "./-5um.tif" and folder.existing(shown) == folder.root / "-5um.tif"
