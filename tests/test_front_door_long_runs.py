"""Long runs begun in Python replace nothing, train nothing anew by mistake, and name remedies they have."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import deepstorm3d as ds
from deepstorm3d.field import Field
from deepstorm3d.watch import SILENT, Named, Part, Quiet, Silent

FOUND = ds.Localizations.proposals(torch.rand(5, 3), torch.arange(5), torch.ones(5))
TRUTH = ds.Emitters(FOUND.xyz, FOUND.frame, torch.full((5,), 900.0), torch.arange(5))
CAMERA = Field(64, 64, 0.1)
PAIR = ds.ChannelPair(ds.Transform.identity(), (0.0, 0.001), (CAMERA, CAMERA))
FILE: dict[str, Any] = {"pixel_um": 0.1, "frames": 5, "shape": (64, 64)}
# Every function that writes a file which it does not replace: its name, and a call for a file.
WRITERS: dict[str, tuple[Callable[..., Any], str, dict[str, Any]]] = {
    "train": (ds.train, "m.pt", {"experiment": "quickstart"}),
    "design by network": (ds.design_mask, "m.npy", {"experiment": "mask-design"}),
    "design by Fisher": (ds.design_mask, "m.npy", {"experiment": "mask-design", "by": "fisher"}),
    "list": (ds.write_table, "l.hdf5", {"localizations": FOUND, **FILE}),
    "truth": (ds.write_truth, "t.csv", {"emitters": TRUTH, **FILE}),
    "mask": (ds.write_mask, "m.npy", {"phase": torch.zeros(5, 5), "overwrite": False}),
    "transform": (ds.write_transform, "t.yaml", {"channels": PAIR}),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_is_there_is_kept_and_the_arguments_that_help_are_the_functions_own(
    name: str, tmp_path: Path
):
    function, file, given = WRITERS[name]
    path = tmp_path / file
    path.write_text("dear")
    out = "out" if "out" in inspect.signature(function).parameters else "path"
    with pytest.raises(ds.InputError, match="exists") as refused:
        function(**{out: path}, **given)
    assert path.read_text() == "dear"
    named = {text.partition("=")[0] for text in re.findall(r"`([^`]*)`", str(refused.value))}
    assert named and named <= set(inspect.signature(function).parameters), str(refused.value)


@pytest.mark.parametrize("name", ["train", "design by network", "design by Fisher"])
@pytest.mark.parametrize("in_memory", [False, True])
def test_a_run_that_was_never_begun_is_not_begun_by_resume(name: str, in_memory: bool, tmp_path: Path):
    function, file, given = WRITERS[name]
    with pytest.raises(ds.InputError, match=r"nothing to resume.*leave out `resume`"):
        function(out=None if in_memory else tmp_path / file, resume=True, **given)
    assert list(tmp_path.iterdir()) == []


def test_a_silent_watcher_stops_every_work_from_within_and_from_outside():
    class Enough(Silent):
        def progress(self, done: int, total: int, note: str = "") -> None:
            self.stopped = done >= 1

    assert not Enough().stopped
    with pytest.raises(ds.Interrupted):
        ds.limit("quickstart", watch=Enough())
    pressed = Silent()
    pressed.stopped = True
    for part in (Part(pressed, 0, 1, 1), Quiet(pressed), Named(pressed, "one")):
        with pytest.raises(ds.Interrupted):
            ds.limit("quickstart", watch=part)
    assert not SILENT.stopped and not Silent().stopped
