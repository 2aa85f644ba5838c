"""One stack of beads, read slice by slice: its mean, its parts, the images of its beads in photons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...camera import Camera
from ...chip import check_size
from ...errors import InputError
from ...fitting.likelihood import Likelihood
from ...io.movies import Movie, opened, path_of
from ...pixels.counts import whole_counts
from ...pixels.faults import PixelFaults
from ...pixels.reading import Light, PixelReader

__all__ = ["OneStack"]

# The maximum count is taken as saturation if at least this many pixels have it.
_PLATEAU_PX = 12
# Least maximum count that is taken as saturation, ADU.
_PLATEAU_COUNTS = 200
# Number of parts of a stack by which lobes of a bead are distinguished from neighbours.
_PARTS = 16


class OneStack:
    """One stack, read slice by slice."""

    def __init__(
        self, source: Path | Movie, camera: Camera, frames_per_slice: int, faults: PixelFaults
    ) -> None:
        self.source, self.path = source, path_of(source)
        self.camera, self.each, self.faults = camera, frames_per_slice, faults
        self.maps, self.sound = camera.load_maps(), ~faults.bad
        self.reader = PixelReader(faults, lambda counts: camera.to_photons(counts, self.maps))
        # Outliers: number of pixels that stand out in single frames, and number of these frames.
        self.outliers = self.outlier_frames = 0
        self.full = torch.zeros(0, 0, dtype=torch.bool)
        with opened(source) as movie:
            self.frames, self.height, self.width = movie.shape
        check_size(self.maps, (self.height, self.width), f"the slices of {self.path.name}")
        if self.frames % self.each:
            raise InputError(
                f"{self.path}: {self.frames} frames are no multiple of the {self.each} frames of a slice "
                "(`frames_per_slice`)"
            )
        self.slices = self.frames // self.each
        self.greatest, self.at_greatest, self.whole_numbers = -np.inf, 0, True

    def counts(self) -> Any:
        """The frames one after the other, (H, W) float32 counts."""
        with opened(self.source) as movie:
            for frame in range(self.frames):
                yield frame, np.asarray(movie.read(frame, frame + 1)[0], dtype=np.float32)

    def light(self, counts: Any) -> Light:
        """One frame (H, W) of counts."""
        return self.reader(torch.from_numpy(counts)[None])

    def means(self, position_um: Tensor) -> tuple[Tensor, Tensor]:
        """Mean of all frames (H, W), and of parts of the stack in order of position (G, H, W), photons.

        position_um: (S,).  The maximum count, whether all are whole numbers, and outliers are recorded on the
        way.
        """
        parts = min(self.slices, _PARTS)
        part = position_um.argsort(stable=True).argsort() * parts // self.slices
        total, sound = torch.zeros(parts, self.height, self.width), self.sound.numpy()
        for frame, counts in self.counts():
            light = self.light(counts)
            total[part[frame // self.each]] += light.photons[0]
            self.outliers += int(light.outliers)
            self.outlier_frames += int(light.outliers > 0)
            self.whole_numbers = self.whole_numbers and whole_counts(counts)
            # A hot pixel is not where the counts end.
            here = float(counts.max(where=sound, initial=-np.inf))
            if here > self.greatest:
                self.greatest, self.at_greatest = here, 0
            if here == self.greatest:
                self.at_greatest += int(((counts == here) & sound).sum())
        held = torch.bincount(part, minlength=parts) * self.each
        return total.sum(0) / self.frames, total / held[:, None, None]

    @property
    def saturation(self) -> float:
        """Count at which a pixel is saturated: the camera's, or the maximum count of this stack."""
        plateau = self.whole_numbers and self.greatest > _PLATEAU_COUNTS and self.at_greatest >= _PLATEAU_PX
        return min(self.camera.saturation, self.greatest) if plateau else self.camera.saturation

    def warnings(self) -> list[str]:
        """Warnings from the counts."""
        told = self.faults.about_defects()
        if self.outliers:
            told.append(
                f"{self.outliers} pixels in {self.outlier_frames} of {self.frames} frames stand out more than "
                "light through this objective can (cosmic rays, flickering pixels); they are ignored there"
            )
        if self.saturation < self.camera.saturation:
            told.append(
                f"{self.at_greatest} pixels have the greatest count, {self.greatest:.0f}: the camera saturates "
                f"there, not at {self.camera.saturation:.0f}; they are left out (set camera.saturation)"
            )
        return told

    def images(self, centre: Tensor, side: int) -> Likelihood:
        """Images of beads, one bead after the other: (beads · slices, side, side).

        Saturated and defective pixels are left out; `full` records by slice and bead where saturated ones are
        not defective.
        """
        half = side // 2
        images = torch.zeros(len(centre), self.slices, side, side)
        weight = torch.ones_like(images)
        self.full = torch.zeros(len(centre), self.slices, dtype=torch.bool)
        limit = self.saturation
        for frame, counts in self.counts():
            light, slice_ = self.light(counts), frame // self.each
            photons, full = light.photons[0], torch.from_numpy(counts >= limit)
            free = ~full if light.weight is None else (light.weight[0] > 0) & ~full
            for bead, (column, row) in enumerate(centre.tolist()):
                box = (slice(row - half, row + half + 1), slice(column - half, column + half + 1))
                images[bead, slice_] += photons[box]
                weight[bead, slice_] *= free[box]
                self.full[bead, slice_] |= bool((full & self.sound)[box].any())
        noise = self.camera.pixel_noise(self.maps).averaged().at_least_shot_noise().of_sum(self.each)
        anything_left_out = bool((weight == 0).any())
        return Likelihood(
            images.flatten(0, 1),
            noise,
            weight.flatten(0, 1) if anything_left_out else None,
        )
