"""Other starts for a retrieval whose design does not explain the beads: phase retrieval has many dead ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..optics.designs import tetrapod_coefficients
from ..optics.zernike import noll_to_nm
from .correction import Correction
from .images import BeadState
from .misfit import misfit
from .phase_fit import PhaseFit
from .place_fit import Unknowns, fit_places

__all__ = ["Trial", "best_trial"]

_RANDOM = 12
_SHORT, _LONG = 8, 25
_FINALISTS = 3
# Share of the light unexplained with which a start is good enough to stop.
_GOOD = 0.04


@dataclass(frozen=True)
class Trial:
    """The start that explained the images best.

    tried: how many;  state: light and places that go with it (the correction holds its coefficients);
    share: of the signal's power unexplained.
    """

    tried: int
    state: BeadState
    share: float


def best_trial(fit: PhaseFit, correction: Correction, tell: Callable[[str], None]) -> Trial:
    """Fit the polynomials from many starts a little, from the best three longer; keep the best.

    Starts: where the fit is now, nothing added, the Tetrapod either way and turned by 45°, astigmatism
    either way, and smooth random phases (always the same).
    """
    origin = fit.state
    here = correction.coefficients.detach().clone()
    results: list[tuple[float, Tensor, BeadState]] = []
    starts = [here, *_starts(correction.indices)]
    for number, values in enumerate(starts, 1):
        tell(f"start {number} of {len(starts)}")
        results.append(_run(fit, correction, values, origin, _SHORT))
    results.sort(key=lambda result: result[0])
    finals = []
    for _, values, state in results[:_FINALISTS]:
        finals.append(_run(fit, correction, values, state, _LONG))
        if finals[-1][0] < _GOOD:
            break
    share, values, state = min(finals, key=lambda result: result[0])
    _set(correction, values)
    return Trial(len(starts), state, share)


def _run(
    fit: PhaseFit, correction: Correction, values: Tensor, state: BeadState, iterations: int
) -> tuple[float, Tensor, BeadState]:
    _set(correction, values)
    fit.state = state
    for _ in range(2):
        fit.run([correction.coefficients], iterations)
        fit.state = fit_places(fit.psf, fit.images, fit.state, Unknowns(depths=False, blur=False))
    share = misfit(fit.psf, fit.images, fit.state).share
    return share, correction.coefficients.detach().clone(), fit.state


def _set(correction: Correction, values: Tensor) -> None:
    with torch.no_grad():
        correction.coefficients.copy_(values)


def _starts(indices: list[int]) -> list[Tensor]:
    tetrapod = tetrapod_coefficients()
    # Noll 5 (sin 2θ) and 6 (cos 2θ) are one shape turned by 45°; so are 13 and 12, 23 and 24.
    turned = {{6: 5, 12: 13, 24: 23}.get(index, index): value for index, value in tetrapod.items()}
    tables = [
        {},
        *({k: sign * v for k, v in table.items()} for table in (tetrapod, turned) for sign in (1, -1)),
    ]
    tables += [{noll: sign * 1.5} for noll in (5, 6) for sign in (1, -1)]
    starts = [torch.tensor([table.get(noll, 0.0) for noll in indices], dtype=torch.float64) for table in tables]
    generator = torch.Generator().manual_seed(0)
    order = torch.tensor([noll_to_nm(noll)[0] for noll in indices], dtype=torch.float64)
    for number in range(_RANDOM):
        values = torch.randn(len(indices), generator=generator, dtype=torch.float64)
        values = torch.where((order >= 2) & (order <= 5), values / order, 0.0)
        starts.append(values * (1.0 + 0.5 * (number % 3)) / values.norm())
    return starts
