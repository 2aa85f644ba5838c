"""Mask design by Fisher information: minimise the Cramér-Rao bound, without a network."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..emitters import Emitters
from ..errors import InputError
from ..experiment.design_settings import DesignSpec
from ..field import Field
from ..io.torch_file import save_tensors
from ..optics.fisher import crlb, joint_crlb
from ..optics.psf import PSF, on_axis
from ..simulation.priors import EmitterPrior
from ..watch import SILENT, Watcher
from .checkpoint import MetricsLog, RunFiles
from .state import changed_settings, other_settings

__all__ = ["CHECKPOINT_EVERY", "DEPTHS", "Alone", "Crowd", "Descent", "FisherCriterion", "minimise_bound"]

DEPTHS = 21
"""Number of depths over which the bound of one molecule is averaged."""
CHECKPOINT_EVERY = 25
"""Number of steps between two checkpoints."""


FisherCriterion = Callable[[Any, torch.Generator], Tensor]
"""The quantity that the mask design minimises: a scalar in nm with a gradient to the mask.

It is called with a PSF with a trainable mask, or a list of them, one a channel; and with a generator, for
criteria that draw random molecules.
"""


@dataclass(frozen=True)
class Alone:
    """Mean over depth of σx + σy + σz of one molecule (the Tetrapod's criterion: Shechtman et al. 2014).

    photons: of the molecule;  background: photons per pixel;  blur_px: Gaussian σ, px;  z_um: depth range, µm.
    """

    photons: float
    background: float
    blur_px: float
    z_um: tuple[float, float]

    def __call__(self, psf: PSF, generator: torch.Generator) -> Tensor:
        """See `FisherCriterion`; this criterion draws no random molecules."""
        z = torch.linspace(*self.z_um, DEPTHS, device=generator.device)
        xyz = on_axis(z)
        level = torch.ones_like(z)
        sigma = crlb(psf, xyz, self.photons * level, self.background * level, self.blur_px * level)
        return 1000 * sigma[:, :3].sum(1).mean()


@dataclass(frozen=True)
class Crowd:
    """Geometric mean of σx + σy + σz over molecules at random positions, all of a frame estimated together.

    The bound itself balances footprint and precision, because wide spots overlap with their neighbours. The
    mean is geometric so that a single close pair does not dominate.

    prior: number and positions of the molecules;  field: the frames;  frames: number drawn for each step;
    border_px: molecules closer to the edge are not averaged (much of their image is missing), but still are
    neighbours;  photons, background, blur_px: as in `Alone`.
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
        drawn, inside = self.draw(generator)
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
        return 1000 * sigma[inside, :3].sum(1).log().mean().exp()

    def draw(self, generator: torch.Generator) -> tuple[Emitters, Tensor]:
        """Molecules of a step, and which of them (N,) bool are averaged: one at least."""
        drawn = self.prior.draw(self.frames, self.field, generator)
        while not bool(self._inside(drawn.xyz).any()):
            drawn = self.prior.draw(self.frames, self.field, generator)
        return drawn, self._inside(drawn.xyz)

    def _inside(self, xyz: Tensor) -> Tensor:
        """Whether each molecule is far enough from the edge to be averaged: (N,) bool."""
        place = xyz[:, :2] / self.field.pixel_um
        last = place.new_tensor([self.field.width, self.field.height]) - 1 - self.border_px
        return ((place >= self.border_px) & (place <= last)).all(1)


@dataclass(frozen=True)
class Descent:
    """Result of a descent.

    values: of the criterion (nm), one for each step of this run;  complete: whether the last step was reached;
    earlier: values of the steps before the run was resumed, as its log has them.
    """

    values: list[float]
    complete: bool
    earlier: list[float] = field(default_factory=list)


def minimise_bound(
    psf: nn.Module,
    criterion: FisherCriterion,
    penalty: Callable[[], Tensor],
    spec: DesignSpec,
    *,
    seed: int = 0,
    files: RunFiles | None = None,
    watch: Watcher = SILENT,
) -> Descent:
    """Optimize the PSF's mask by a criterion, until the last step or until it is stopped.

    Minimises the logarithm of the criterion plus the penalty, by Adam with a cosine learning-rate schedule.

    psf: exact, with a trainable mask, or a module list of them;  penalty: of these masks;
    spec: gives steps and learning rate;  seed: of the random molecules;  files: checkpoint, whether to continue
    from it, and the log: a line a step with the criterion (``bound_nm``);  watch: is called after each step and
    can stop the run.
    Raises InputError if the file is not a checkpoint, or one of other masks or of another experiment.
    """
    steps, learning_rate = spec.fisher_steps, spec.learning_rate
    optimiser = torch.optim.Adam(psf.parameters(), learning_rate)
    generator = torch.Generator(next(psf.parameters()).device).manual_seed(seed)
    done, files = 0, files or RunFiles()
    saved = files.to_resume()
    if saved is not None:
        _refuse_another(saved, files)
        _restore(saved, psf, optimiser, generator)
        done = saved["step"]
    log, about = MetricsLog(files.metrics), {"experiment": _settings(files.experiment)}
    log.rewind(done)
    earlier = log.figures("bound_nm")
    stopped, values = False, []
    while done < steps and not stopped:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * 0.5 * (1 + math.cos(math.pi * done / steps))
        value = criterion(psf, generator)
        # With the logarithm a penalty of 0.1 equals a bound larger by a tenth, at any number of photons.
        loss = value.log() + penalty()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        done += 1
        values.append(float(value.detach()))
        log.append({"step": done, "bound_nm": values[-1]})
        watch.progress(done, steps, f"σx + σy + σz {values[-1]:.2f} nm")
        stopped = watch.stopped
        if files.checkpoint is not None and (stopped or done % CHECKPOINT_EVERY == 0):
            state = {"optics": psf.state_dict(), "optimiser": optimiser.state_dict()}
            save_tensors({**state, "generator": generator.get_state(), "step": done, **about}, files.checkpoint)
    return Descent(values, done >= steps, earlier)


def _settings(experiment: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What of an experiment a design without a network depends on."""
    if experiment is None:
        return None
    return {key: experiment[key] for key in experiment if key not in ("training", "network")}


def _refuse_another(saved: Mapping[str, Any], files: RunFiles) -> None:
    """Raise InputError where the checkpoint was begun with another experiment; earlier versions kept none."""
    changed = changed_settings(saved.get("experiment"), _settings(files.experiment))
    if changed and files.checkpoint is not None:
        raise other_settings(files.checkpoint, changed)


def _restore(
    saved: Mapping[str, Any], psf: nn.Module, optimiser: torch.optim.Optimizer, generator: torch.Generator
) -> None:
    """Restore what a checkpoint holds; raises InputError if it belongs to another design."""
    try:
        psf.load_state_dict(saved["optics"])
        optimiser.load_state_dict(saved["optimiser"])
        generator.set_state(saved["generator"])
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"the checkpoint holds other masks, or masks of which others learn: {error}; "
            "resume with the same experiment and `device`, or start anew without `resume`"
        ) from error
