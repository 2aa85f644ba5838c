"""Independent streams of random numbers from the one seed of an experiment, each by its name."""

from __future__ import annotations

import torch

from .errors import InputError

__all__ = ["STREAMS", "stream", "stream_seed"]

STREAMS = {
    "training": 0,
    "validation": 1_000_003,
    "movie": 2_000_003,
    "limit": 3_000_017,
    "matched scene": 4_000_037,
    "estimated movie": 4_000_038,
    "found photons": 8_000_074,
    "mask comparison": 40_000_003,
    "further channel": 50_000_017,
    "dyes": 60_000_011,
}
"""What is added to the seed for each stream. The numbers are far apart, so that nearby seeds share no stream: a
simulated movie never repeats what a network was trained on. (But "matched scene" and "estimated movie" of
seeds that differ by 1 are the same.) They stay as they are, because the results of a seed depend on them."""

_PROCESS = 7_919
"""Added for each further process of a training on several GPUs."""

_STEP = 1_000_000_007
"""Added for each step after which a training was resumed."""


_MOST = 2**62
"""Largest seed."""


def stream_seed(seed: int, name: str) -> int:
    """The seed of a stream, for code that makes its own generators; `name`: a key of `STREAMS`."""
    return seed + STREAMS[name]


def stream(
    seed: int, name: str, device: torch.device | str = "cpu", *, process: int = 0, step: int = 0
) -> torch.Generator:
    """The generator of a stream.

    seed: of the experiment, or as the user gave it;  name: a key of `STREAMS`;  process, step: of a training;
    each process, and each step from which one is resumed, has numbers of its own.  Raises InputError for a seed
    that a generator does not take.
    """
    if abs(seed) > _MOST:
        raise InputError(f"the seed {seed} is too large for random numbers", f"give one of up to {_MOST}")
    return torch.Generator(device).manual_seed(stream_seed(seed, name) + _PROCESS * process + _STEP * step)
