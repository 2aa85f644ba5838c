"""Design by Fisher information: the mask that lets the Cramér-Rao bound be smallest, without any network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from ..experiment.design_settings import DesignSpec
from ..field import Field
from ..io.torch_file import save_tensors
from ..optics.exact import ExactPSF
from ..optics.fisher import crlb, joint_crlb
from ..optics.psf import PSF, on_axis
from ..simulation.priors import EmitterPrior
from ..watch import SILENT, Watcher
from .checkpoint import load_checkpoint
from .design import MaskPenalty

__all__ = ["Alone", "Crowd", "Descent", "FisherCriterion", "minimise_bound"]

_DEPTHS = 21
_CHECKPOINT_EVERY = 25


class FisherCriterion(Protocol):
    """What a mask is judged by."""

    def __call__(self, psf: PSF, generator: torch.Generator) -> Tensor:
        """A scalar, nm, with a gradient to the mask; generator: of what is drawn anew each time."""
        ...


@dataclass(frozen=True)
class Alone:
    """Mean over depth of σx + σy + σz of one molecule (the Tetrapod's criterion: Shechtman et al. 2014).

    photons: of the molecule;  background: photons per pixel;  blur_px: Gaussian σ;  z_um: depths.
    """

    photons: float
    background: float
    blur_px: float
    z_um: tuple[float, float]

    def __call__(self, psf: PSF, generator: torch.Generator) -> Tensor:
        """See `FisherCriterion`; nothing is drawn."""
        z = torch.linspace(*self.z_um, _DEPTHS, device=generator.device)
        xyz = on_axis(z)
        level = torch.ones_like(z)
        sigma = crlb(psf, xyz, self.photons * level, self.background * level, self.blur_px * level)
        return 1000 * sigma[:, :3].sum(1).mean()


@dataclass(frozen=True)
class Crowd:
    """Geometric mean of σx + σy + σz over molecules at random places, all of a frame estimated together.

    Footprint and precision are weighed by the bound itself: a wide spot pays in the light of its
    neighbours. The geometric mean, since one close pair would outweigh all others in the plain one.

    prior: how many and where;  field: the frames;  frames: drawn for each step;  border_px: molecules nearer
    to the edge are neighbours only, for much of their image is missing;  photons, background, blur_px: as in
    `Alone`.
    """

    prior: EmitterPrior
    field: Field
    photons: float
    background: float
    blur_px: float
    frames: int = 6
    border_px: float = 10.0

    def __call__(self, psf: PSF, generator: torch.Generator) -> Tensor:
        """See `FisherCriterion`."""
        drawn = self.prior.draw(self.frames, self.field, generator)
        while not bool(self._inside(drawn.xyz).any()):
            drawn = self.prior.draw(self.frames, self.field, generator)
        judged = self._inside(drawn.xyz)
        level = torch.ones_like(drawn.photons)
        background = drawn.xyz.new_full((self.frames,), self.background)
        sigma = joint_crlb(
            psf,
            drawn.xyz,
            self.photons * level,
            drawn.frame,
            background,
            self.field.size,
            self.blur_px * level,
        )
        return 1000 * sigma[judged, :3].sum(1).log().mean().exp()

    def _inside(self, xyz: Tensor) -> Tensor:
        """Which molecules are judged: (N,) bool."""
        place = xyz[:, :2] / self.field.pixel_um
        last = place.new_tensor([self.field.width, self.field.height]) - 1 - self.border_px
        return ((place >= self.border_px) & (place <= last)).all(1)


@dataclass(frozen=True)
class Descent:
    """Values of the criterion (nm), one for each step done in this run; complete: whether the last step was."""

    values: list[float]
    complete: bool


def minimise_bound(
    psf: ExactPSF,
    criterion: FisherCriterion,
    penalty: MaskPenalty,
    spec: DesignSpec,
    *,
    seed: int = 0,
    checkpoint: Path | None = None,
    resume: bool = False,
    watch: Watcher = SILENT,
) -> Descent:
    """Let the PSF's mask learn by the criterion, until its last step or until it is stopped.

    Minimises the logarithm of the criterion plus the penalty, by Adam with half a cosine for its rate.

    psf: exact, with a mask that learns;  penalty: its prices;  spec: gives steps and learning rate;
    seed: of what is drawn;  checkpoint: state kept there;
    resume: go on from it, exactly as if never stopped;  watch: told and asked after each step.
    Raises InputError where the checkpoint is none.
    """
    steps, learning_rate = spec.fisher_steps, spec.learning_rate
    optimiser = torch.optim.Adam(psf.parameters(), learning_rate)
    generator = torch.Generator(next(psf.parameters()).device).manual_seed(seed)
    done = 0
    if resume and checkpoint is not None and checkpoint.exists():
        saved = load_checkpoint(checkpoint)
        psf.load_state_dict(saved["optics"])
        optimiser.load_state_dict(saved["optimiser"])
        generator.set_state(saved["generator"])
        done = saved["step"]
    stopped, values = False, []
    while done < steps and not stopped:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * 0.5 * (1 + math.cos(math.pi * done / steps))
        value = criterion(psf, generator)
        # The logarithm: a penalty of 0.1 weighs as much as a bound larger by a tenth, whatever the light.
        loss = value.log() + penalty()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        done += 1
        values.append(float(value.detach()))
        watch.progress(done, steps, f"σx + σy + σz {values[-1]:.2f} nm")
        stopped = watch.stopped
        if checkpoint is not None and (stopped or done % _CHECKPOINT_EVERY == 0):
            state = {"optics": psf.state_dict(), "optimiser": optimiser.state_dict()}
            save_tensors({**state, "generator": generator.get_state(), "step": done}, checkpoint)
    return Descent(values, done >= steps)
