"""What all tests share: the same random examples in every run, a GPU real or pretended, fixtures for many."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import settings

import pretended_cuda
from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.presets import preset
from deepstorm3d.localizer.coarse import CoarseSpec
from deepstorm3d.optics.computed import ComputedPSFSpec
from deepstorm3d.optics.scalar import ScalarPSFSpec
from shared_tables import sharing

settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Tests run side by side, and so do the programs that they start: one thread each.
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
# Before the first backward pass of the process, whichever test makes it.
_CANNOT_PRETEND = None if torch.cuda.is_available() else pretended_cuda.set_up()


@pytest.fixture(scope="module")
def cuda() -> Iterator[None]:
    """The device "cuda": the machine's own, or one that only holds CUDA's rules where there is none."""
    if torch.cuda.is_available():
        yield
        return
    if _CANNOT_PRETEND is not None:
        pytest.skip(_CANNOT_PRETEND)
    with pretended_cuda.pretended_cuda():
        yield


@pytest.fixture(scope="session", autouse=True)
def shared_tables() -> Iterator[None]:
    """The same PSF is tabulated once in a process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ComputedPSFSpec, "tabulate", sharing(ComputedPSFSpec.tabulate))
        yield


@pytest.fixture(scope="session")
def small_design() -> Experiment:
    """A mask of 21 pixels across and a network of seconds, to design and compare masks with."""
    base = preset("mask-design")
    return base.with_(
        microscope=base.microscope.with_(mask_pitch=200.0),
        psf=ScalarPSFSpec(patch_px=13),
        network=CoarseSpec(channels=8, skip=8, dilations=(1,)),
    )


@pytest.fixture
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training, design and mask retrieval draw nothing: it takes as long as all else a test does of them."""

    def nothing(*_: object, **__: object) -> None:
        return None

    for name in (
        "jobs.train.draw_training_preview",
        "jobs.design_psf.evolution_animation",
        *(f"jobs.{job}.save_figure" for job in ("design_psf", "design_channels", "compare_psf")),
        "jobs.design_channels.masks_with_psfs",
        *(f"plot.{name}" for name in ("mask_with_psf", "psf_surfaces", "learning", "mask_comparison")),
        *(f"calibration.phase_retrieval.report.{name}" for name in ("retrieval", "save_figure")),
    ):
        monkeypatch.setattr(f"deepstorm3d.{name}", nothing)


@pytest.fixture
def coarse_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures with few pixels and no layout, which takes seconds: where they are not the subject."""
    from matplotlib.figure import Figure

    whole = Figure.savefig

    def savefig(figure: Figure, *given: Any, **options: Any) -> None:
        figure.set_layout_engine("none")
        figure.set_dpi(20)
        whole(figure, *given, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)
