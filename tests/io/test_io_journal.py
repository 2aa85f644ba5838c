"""The journal of a growing table: what is in it stays, whatever happens to the last record."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepstorm3d.io.tables.journal import Journal, Record

RECORDS = [
    Record(3, 2, "fit", b"first\nblock"),
    Record(6, 2, "fit", b""),
    Record(9, 5, "fit", bytes(range(256))),
]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    journal = Journal(tmp_path / "rows")
    journal.create()
    for record in RECORDS:
        journal.append(record)
    return journal


def test_records_come_back_as_they_went_in(journal: Journal):
    assert list(journal.records()) == RECORDS
    assert journal.cut() == RECORDS[-1]
    assert list(journal.records()) == RECORDS


def test_wherever_it_is_cut_the_whole_records_are_left(journal: Journal):
    whole = journal.path.read_bytes()
    ends = [0]
    for count in range(1, 4):
        part = Journal(journal.path.with_name("part"))
        part.create()
        for record in RECORDS[:count]:
            part.append(record)
        ends.append(part.path.stat().st_size)
    for length in range(len(whole) + 1):
        journal.path.write_bytes(whole[:length])
        left = sum(end <= length for end in ends[1:])
        assert journal.cut() == (RECORDS[left - 1] if left else None)
        assert journal.path.stat().st_size == ends[left]
        journal.append(RECORDS[2])
        assert list(journal.records()) == [*RECORDS[:left], RECORDS[2]]


def test_a_damaged_record_ends_it(journal: Journal):
    content = bytearray(journal.path.read_bytes())
    content[-1] ^= 1
    journal.path.write_bytes(bytes(content))
    assert list(journal.records()) == RECORDS[:2]


def test_a_full_disk_leaves_the_records_before(journal: Journal, monkeypatch: pytest.MonkeyPatch):
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        journal.append(RECORDS[0])
    assert list(journal.records()) == RECORDS
