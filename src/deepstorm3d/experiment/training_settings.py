"""Settings of a training run."""

from __future__ import annotations

from ..spec import Spec, quantity

__all__ = ["TrainingSpec"]


class TrainingSpec(Spec):
    """Length and learning rate of a training. Each step uses one batch of newly simulated crops."""

    steps: int = quantity(8000, "", "optimiser steps in all", ge=1)
    batch: int = quantity(6, "crops", "simulated crops in a step (in each process)", ge=1)
    crop_px: int = quantity(96, "px", "side of a simulated crop", ge=16)
    learning_rate: float = quantity(2e-3, "", "highest rate of AdamW", gt=0, le=1)
    warmup_steps: int = quantity(200, "", "steps over which the rate rises to its highest", ge=0)
    weight_decay: float = quantity(0.01, "", "decoupled weight decay", ge=0)
    clip_norm: float = quantity(1.0, "", "longest gradient; longer ones are shortened to it", gt=0)
    half_precision: bool = quantity(True, "", "bfloat16 convolutions where the processor has them")
    validate_every: int = quantity(500, "", "steps between validations", ge=1)
    validation_crops: int = quantity(48, "crops", "simulated crops in a validation, always the same", ge=1)
    patience: int = quantity(0, "validations", "stop after this many without a better score; 0: never", ge=0)
    checkpoint_every: int = quantity(250, "", "steps between checkpoints", ge=1)
