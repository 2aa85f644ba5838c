"""The phase by maximum likelihood: gradients through the image model, with the light eliminated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..beads.images import BeadImages, BeadState
from .bead_model import FocusedPSF, bead_patches, expected, fit_light

__all__ = ["PhaseFit"]

# The search ends when the loss per pixel (and the parameters, rad) change by less than this; with smaller
# changes the line search would divide 0 by 0.
_NOTHING = 1e-9


@dataclass
class PhaseFit:
    """Minimizes the negative log-likelihood of all images over parameters of the mask.

    The search is L-BFGS (Liu & Nocedal 1989). Photons and background are linear and solved at every step
    (variable projection, Golub & Pereyra 1973), so the gradient in the phase alone is that of the profile
    likelihood.

    psf: built with the mask that has the parameters;  penalty: added to the loss, or None;
    chunk: images whose gradient is computed at once.
    """

    psf: FocusedPSF
    images: BeadImages
    state: BeadState
    chunk: int = 32

    def loss(self) -> float:
        """Negative log-likelihood (half the deviance) of the present state; accumulates the gradient."""
        states, total = [], 0.0
        for rows in torch.arange(len(self.images)).split(self.chunk):
            part = self.images.select(rows)
            mine = self.state.select(rows)
            patches = bead_patches(self.psf, part, mine)
            mine = fit_light(part, patches.detach(), mine)
            states.append(mine)
            model = expected(patches.detach(), mine)
            total += float(part.likelihood.deviance(model).sum()) / 2
            if torch.is_grad_enabled():
                slope = -part.likelihood.score(model) * mine.photons[:, None, None]
                patches.backward(slope)
        self.state = replace(
            self.state,
            photons=torch.cat([each.photons for each in states]),
            background=torch.cat([each.background for each in states]),
        )
        return total

    def run(
        self, parameters: Sequence[nn.Parameter], iterations: int, penalty: nn.Module | None = None
    ) -> float:
        """Run this number of L-BFGS iterations; returns the negative log-likelihood (half the deviance).

        Parameters and light are restored if the line search diverges.
        """
        kept = [each.detach().clone() for each in parameters]
        state, losses = self.state, []
        optimiser = torch.optim.LBFGS(
            parameters,
            max_iter=iterations,
            max_eval=iterations + iterations // 2 + 2,
            history_size=30,
            tolerance_grad=0.0,
            tolerance_change=_NOTHING,
            line_search_fn="strong_wolfe",
        )
        # Of order 1 at the start, as the line search expects.
        scale = 1.0 / max(float(self.images.likelihood.pixels.sum()), 1.0)

        def closure() -> Tensor:
            optimiser.zero_grad()
            losses.append(self.loss())
            value = losses[-1] * scale
            for each in parameters:
                if each.grad is not None:
                    each.grad *= scale
            total = torch.tensor(value, dtype=torch.float64)
            if penalty is not None:
                extra = penalty() * scale
                extra.backward()
                total = total + extra.detach()
            return total

        optimiser.step(closure)
        with torch.no_grad():
            loss = self.loss()
            if not loss <= losses[0]:
                for each, value in zip(parameters, kept, strict=True):
                    each.copy_(value)
                self.state = state
                loss = self.loss()
        return loss
