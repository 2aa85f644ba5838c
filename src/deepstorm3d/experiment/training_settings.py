"""Settings of a training run."""

from __future__ import annotations

from ..spec import Spec, quantity

__all__ = ["TrainingSpec"]


class TrainingSpec(Spec):
    """Length and learning rate of a training. Each step uses one batch of newly simulated crops."""

    steps: int = quantity(8000, "", "number of training steps", ge=1)
    batch: int = quantity(6, "crops", "simulated crops in a step (in each process)", ge=1, label="Batch size")
    crop_px: int = quantity(96, "px", "side of a simulated crop", ge=16, le=4096, label="Side of a crop")
    learning_rate: float = quantity(2e-3, "", "largest learning rate (AdamW)", gt=0, le=1)
    warmup_steps: int = quantity(
        200, "", "steps over which the learning rate rises to its largest", ge=0, label="Warm-up steps"
    )
    weight_decay: float = quantity(0.01, "", "decoupled weight decay", ge=0)
    clip_norm: float = quantity(
        1.0,
        "",
        "largest norm of the gradient; longer ones are scaled down to it",
        gt=0,
        label="Largest gradient norm",
    )
    half_precision: bool = quantity(True, "", "bfloat16 convolutions, if the processor is faster with them")
    validate_every: int = quantity(
        500, "", "steps between validations", ge=1, label="Steps between validations"
    )
    validation_crops: int = quantity(
        48, "crops", "simulated crops in a validation, always the same", ge=1, label="Validation crops"
    )
    patience: int = quantity(0, "validations", "stop after this many without an improvement; 0: never", ge=0)
    checkpoint_every: int = quantity(
        250, "", "steps between checkpoints", ge=1, label="Steps between checkpoints"
    )
