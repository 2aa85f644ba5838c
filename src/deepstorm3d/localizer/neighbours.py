"""The images that a network sees for each frame: of every channel, the frame and those before and after it."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["alone", "channel_by_channel", "neighbours_of", "with_frames", "with_neighbours"]


def neighbours_of(place: Tensor, first: Tensor | int, last: Tensor | int, context: int) -> Tensor:
    """Numbers of the frames that a network sees for each frame: (N, 2 context + 1), in order of time.

    place: (N,) numbers of the frames;  first, last: of the movie that each is in, numbers or (N, 1). Beyond the
    ends of a movie its first or last frame is repeated.
    """
    seen = place[:, None] + torch.arange(-context, context + 1, device=place.device)
    low, high = (torch.as_tensor(end, device=place.device) for end in (first, last))
    return torch.minimum(torch.maximum(seen, low), high)


def with_neighbours(movie: Tensor, context: int) -> Tensor:
    """All images that a network sees for each frame of a movie.

    movie: (N, H, W), or (N, C, H, W) of C channels, consecutive frames;  returns (N, C·(2 context + 1), H, W):
    channel after channel, each in order of time.
    """
    seen = neighbours_of(torch.arange(len(movie), device=movie.device), 0, len(movie) - 1, context)
    return channel_by_channel(movie[seen])


def alone(frames: Tensor, context: int) -> Tensor:
    """The same for frames (B, H, W) or (B, C, H, W) of which each is the only one of its movie."""
    return channel_by_channel(frames[:, None].expand(-1, 2 * context + 1, *frames.shape[1:]))


def with_frames(images: Tensor, frames: Tensor, context: int) -> Tensor:
    """What a network sees, with other frames (B, H, W) or (B, C, H, W) in place of those in the middle."""
    if images.dim() == 3:
        return frames
    changed = images.clone()
    changed[:, context :: 2 * context + 1] = frames if frames.dim() == 4 else frames[:, None]
    return changed


def channel_by_channel(seen: Tensor) -> Tensor:
    """(B, T, H, W) unchanged, and (B, T, C, H, W) as (B, C·T, H, W)."""
    return seen if seen.dim() == 4 else seen.transpose(1, 2).flatten(1, 2)
