"""Short real work for the tests of runs: a training of seconds, and waiting for what comes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["TINY_TRAINING", "training", "wait_for"]

Seen = TypeVar("Seen")

TINY_TRAINING = (
    *("training.batch=2", "training.crop_px=24", "training.validation_crops=2", "training.warmup_steps=2"),
    *("network.channels=8", "network.skip=8", "network.dilations=[1]", "psf.patch_px=13"),
)
"""Of the preset `quickstart`: the smallest network and crops that learn."""


def training(out: str, steps: int) -> list[str]:
    """The command for it."""
    settings = (*TINY_TRAINING, f"training.steps={steps}")
    return ["train", "quickstart", "--out", out, "--device", "cpu", *(f"--set={each}" for each in settings)]


def wait_for(look: Callable[[], Seen | None], what: str, seconds: float = 300.0) -> Seen:
    """What `look` sees, as soon as it is something; long patience, because machines are slow at times."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        seen = look()
        if seen:
            return seen
        time.sleep(0.03)
    raise AssertionError(f"nothing after {seconds:.0f} s: {what}")
