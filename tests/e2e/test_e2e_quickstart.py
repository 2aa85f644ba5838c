"""The tutorial's training: minutes on two cores, to a Jaccard index of at least 0.85 at 0.5 emitters/µm²."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from deepstorm3d.analysis.matching import match
from deepstorm3d.analysis.metrics import score
from deepstorm3d.experiment.presets import preset
from deepstorm3d.io.tables import read_table, read_truth
from deepstorm3d.jobs.localize import ListFile, localize_movie
from deepstorm3d.jobs.simulate import MovieSimulation, simulate_movie
from deepstorm3d.jobs.train import train_model
from deepstorm3d.localizer.modelfile import load_model_file
from deepstorm3d.localizing.excerpt import Excerpt
from deepstorm3d.localizing.pipeline import load_pipeline
from deepstorm3d.simulation.specimen import Specimen


@pytest.mark.slow
def test_quickstart_reaches_its_target(tmp_path: Path) -> None:
    experiment = preset("quickstart").with_(frame_px=(81, 81))
    train_model(experiment, tmp_path / "model.pt")
    # 40 emitters in 81×81 pixels of 110 nm: 0.5 per µm².
    simulate_movie(
        MovieSimulation(experiment, frames=30, specimen=Specimen(emitters=40), seed=9),
        tmp_path / "m.tif",
        truth=tmp_path / "t.csv",
    )
    localize_movie(
        Excerpt(tmp_path / "m.tif"),
        load_pipeline(load_model_file(tmp_path / "model.pt")),
        ListFile(tmp_path / "l.csv"),
    )
    truth, found = read_truth(tmp_path / "t.csv", pixel_um=0.11), read_table(tmp_path / "l.csv", pixel_um=0.11)
    figures = score(truth, found, match(truth, found, tolerance_um=0.15))
    assert torch.isfinite(found.xyz).all()
    assert figures.jaccard >= 0.85
