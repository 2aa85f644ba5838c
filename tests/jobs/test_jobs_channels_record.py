"""The record of a list of two channels: which transform lies beside it, and what a resumed run says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from channel_recording import turned
from deepstorm3d.analysis.fit_quality import QualitySample
from deepstorm3d.errors import InputError
from deepstorm3d.io.movies.preparation import Prepared
from deepstorm3d.io.transforms import mapping_of, read_transform, write_transform
from deepstorm3d.jobs.channels_list import BothChannels
from deepstorm3d.jobs.channels_record import (
    claim_transform_file,
    keep_transform,
    prepared_of,
    recorded_transform,
)
from deepstorm3d.jobs.channels_summary import ChannelsSummary
from deepstorm3d.jobs.localize import ListFile
from deepstorm3d.jobs.localize_together import Together


def test_another_transform_beside_the_list_is_refused_or_replaced(tmp_path: Path) -> None:
    out, pair, stale = tmp_path / "both.hdf5", turned(), replace(turned(), depth=(0.2, 0.01))
    write_transform(tmp_path / "both.transform.yaml", stale)
    for wanted in (pair, None):
        with pytest.raises(InputError, match=r"both\.transform\.yaml exists"):
            claim_transform_file(ListFile(out), wanted)
        claim_transform_file(ListFile(out, overwrite=True), wanted)
    # The very file that is given may lie there.
    claim_transform_file(ListFile(out), stale)
    assert read_transform(keep_transform(out, pair)).depth == pair.depth


def test_the_transform_of_a_record_is_the_one_that_was_used() -> None:
    kept = recorded_transform({"transform": mapping_of(turned())})
    assert kept is not None and mapping_of(kept) == mapping_of(turned())
    assert recorded_transform({"movie": "A.npy"}) is None


def test_frames_are_prepared_as_recorded_in_one_channel_in_each_or_not_at_all() -> None:
    flipped = Prepared(flip="horizontal")
    told = flipped.to_mapping()
    assert prepared_of({}) == [Prepared(), Prepared()]
    assert prepared_of({"prepared": told}) == [flipped, flipped]
    assert prepared_of({"prepared": [told, Prepared().to_mapping()]}) == [flipped, Prepared()]


@pytest.mark.parametrize("rows", [0, 12])
def test_no_molecule_is_told_only_where_there_was_none_before_either(rows: int) -> None:
    def never(*_: object) -> None:
        raise AssertionError

    summary = ChannelsSummary(frames=5, earlier=4, earlier_rows=rows)
    both = BothChannels(never, never, [], turned())  # pyright: ignore[reportArgumentType]
    told = Together(both, summary, QualitySample()).doubts()
    assert any("no molecule was found" in text for text in told) == (rows == 0)


@pytest.mark.parametrize(
    ("known", "second", "told"),
    [(True, 5000.0, False), (True, 4000.0, True), (True, 6000.0, True), (False, 4000.0, False)],
)
def test_a_share_that_was_taken_as_known_and_is_another_is_told(known: bool, second: float, told: bool) -> None:
    summary = ChannelsSummary(frames=5, rows=50, photons=(1e4 - second, second), share=0.5, share_known=known)
    assert any("light_known" in text for text in summary.doubts()) == told
