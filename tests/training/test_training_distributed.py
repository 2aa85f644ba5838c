"""Several processes, started as torchrun starts them: one result, one log, the same weights everywhere."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from deepstorm3d.training.distributed import is_main_process, process_group, share_gradients, stop_together

SCRIPT = """
import os, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from deepstorm3d.watch import Silent
from deepstorm3d.experiment.presets import preset
from deepstorm3d.jobs.train import build_localizer, build_sampler
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.optics.scalar import ScalarPSFSpec
from deepstorm3d.training.distributed import process_group, rank
from deepstorm3d.training.checkpoint import RunFiles
from deepstorm3d.training.loop import train
from deepstorm3d.experiment.training_settings import TrainingSpec

folder, stop, resume = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "resume"
spec = TrainingSpec(steps=8, batch=2, crop_px=24, warmup_steps=2, validate_every=4, validation_crops=4)
tiny = preset("quickstart").with_(
    psf=ScalarPSFSpec(patch_px=21), network=CoarseSpec(channels=8, skip=8, dilations=(1,)), training=spec
)
step, seen, frames = 0, [], []
with process_group(torch.device("cpu")) as device:
    localizer, sampler = build_localizer(tiny), build_sampler(tiny)
    draw = sampler.draw
    def watched(count, generator):
        batch = draw(count, generator)
        frames.append(batch.photons.sum().item())
        return batch
    sampler.draw = watched
    class Watching(Silent):
        @property
        def stopped(self):
            global step
            step += 1
            seen.append(torch.cat([p.detach().flatten() for p in localizer.parameters()]))
            # Only one process hears the user: the others must follow.
            return rank() == 1 and step == stop
    files = RunFiles(folder / "run.checkpoint", folder / "run.jsonl", resume=resume)
    validation = train(localizer, sampler, spec, files=files, watch=Watching())
    record = {"weights": torch.stack(seen), "validated": validation is not None, "frames": frames[1:]}
    torch.save(record, folder / f"rank{rank()}.pt")
"""


def launch(folder: Path, stop: int, resume: str) -> list[dict[str, Any]]:
    """Two processes on this machine; what each of them recorded."""
    (folder / "worker.py").write_text(SCRIPT)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(folder / "worker.py"), str(folder), str(stop), resume]
    workers = [
        subprocess.Popen(command, env={**os.environ, **group, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(2)
    ]
    assert [worker.wait(timeout=300) for worker in workers] == [0, 0]
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.slow
def test_two_processes_keep_the_same_weights_see_different_frames_and_stop_and_resume_together(
    tmp_path: Path,
) -> None:
    main, other = launch(tmp_path, 3, "new")
    assert len(main["weights"]) == len(other["weights"]) == 3
    assert torch.equal(main["weights"], other["weights"])
    assert not main["validated"]
    first = set(main["frames"])
    assert first.isdisjoint(other["frames"])

    main, other = launch(tmp_path, -1, "resume")
    assert len(main["weights"]) == len(other["weights"]) == 5
    assert torch.equal(main["weights"], other["weights"])
    assert main["validated"] and not other["validated"]
    drawn = main["frames"]
    assert set(drawn).isdisjoint(other["frames"])
    assert first.isdisjoint(drawn)
    # One process writes the log: the validations at 4 and 8.
    assert len((tmp_path / "run.jsonl").read_text().splitlines()) == 2


def test_one_process_alone_needs_no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    module = torch.nn.Linear(2, 2)
    with process_group(torch.device("cpu")) as device:
        assert device == torch.device("cpu")
        assert is_main_process()
        assert share_gradients(module) is module
        assert stop_together(True, device) and not stop_together(False, device)
