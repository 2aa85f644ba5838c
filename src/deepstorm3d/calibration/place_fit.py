"""Fits of places, depths and blur of beads together, and of some polynomials of the phase with them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .bead_model import FocusedPSF, background_terms, bead_patches, expected, ridged, scoring_step
from .images import BeadImages, BeadState

__all__ = ["Unknowns", "fit_each", "fit_places", "sigma_of_polynomials"]

# Steps of the finite differences: µm laterally and in depth, px of blur, rad of a polynomial.
_STEP_UM, _STEP_PX, _STEP_RAD = 0.002, 0.02, 0.01
# Longest steps of one iteration: µm, µm, px, rad; and how sharp or blurred a bead can be.
_LONGEST_XY, _LONGEST_Z, _LONGEST_BLUR, _LONGEST_RAD = 0.1, 0.15, 0.3, 0.3
_BLURS = (0.2, 4.0)


@dataclass(frozen=True)
class Unknowns:
    """What `fit_places` may change besides each image's light and place.

    depths: of the beads, but for their mean;  mean_depth: that, too: only where nothing in the phase can take
    its place;  blur: of all images;  polynomials: vectors of coefficients
    (rad, or of the amplitude's logarithm) in the PSF, changed in place; piston and tilts of the phase cannot be
    among them, for places undo these.
    """

    depths: bool = True
    mean_depth: bool = False
    blur: bool = True
    polynomials: tuple[Tensor, ...] = ()

    @property
    def terms(self) -> int:
        """How many polynomials."""
        return sum(len(each) for each in self.polynomials)


@dataclass(frozen=True)
class _NormalEquations:
    """Of what images share, the rest eliminated: polynomials, depths, blur in this order.

    curvature: (q, q);  slope: (q,);  own: of each chunk of images the inverse (n, 6, 6), the right side (n, 6)
    and the mixed part (n, 6, q) of what they have of their own.
    """

    curvature: Tensor
    slope: Tensor
    own: list[tuple[Tensor, Tensor, Tensor]]

    def own_steps(self, together: Tensor) -> Tensor:
        """Steps (N, 6) of places, light and background that belong to a step of what is shared."""
        return torch.cat([(inv @ (right - mix @ together)[..., None])[..., 0] for inv, right, mix in self.own])


@torch.no_grad()
def fit_places(
    psf: FocusedPSF, images: BeadImages, state: BeadState, unknowns: Unknowns, chunk: int = 64
) -> BeadState:
    """One step of Fisher scoring in all but the phase, and where asked in some polynomials of that, too.

    Light, background, x and y belong to one image each and are eliminated from the normal equations of
    what images share, the polynomials, the depths of the beads and the blur (Schur complement). Were places
    and polynomials fitted in turns instead, a coma and a drift of the stage that mimic each other would take
    hundreds of turns. The mean depth stays: with it the phase would be known only up to a defocus.
    """
    equations = _normal_equations(psf, images, state, unknowns, chunk)
    together = _shared_step(equations, images, unknowns, len(state.z_um))
    return _moved(state, equations.own_steps(together).to(state.xy), together, unknowns)


@torch.no_grad()
def sigma_of_polynomials(
    psf: FocusedPSF, images: BeadImages, state: BeadState, unknowns: Unknowns, chunk: int = 64
) -> Tensor:
    """σ of the polynomials' coefficients from the Fisher information, everything else unknown: (P,) rad."""
    equations = _normal_equations(psf, images, state, unknowns, chunk)
    matrix = equations.curvature + _held(equations.curvature, images, unknowns, len(state.z_um))
    ridge = torch.diag(1e-9 * matrix.diagonal().clamp(min=1e-9))
    return torch.linalg.inv(matrix + ridge).diagonal()[: unknowns.terms].clamp(min=0).sqrt()


def _normal_equations(
    psf: FocusedPSF, images: BeadImages, state: BeadState, unknowns: Unknowns, chunk: int
) -> _NormalEquations:
    shared = unknowns.terms + len(state.z_um) * unknowns.depths + unknowns.blur
    curvature = state.xy.new_zeros(shared, shared, dtype=torch.float64)
    slope = curvature.new_zeros(shared)
    own: list[tuple[Tensor, Tensor, Tensor]] = []
    for rows in torch.arange(len(images)).split(chunk):
        part, mine = images.select(rows), state.select(rows)
        local, joint = _columns(psf, part, mine, unknowns)
        model = expected(local[:, 2].unflatten(1, (images.side, -1)), mine)
        information = part.likelihood.information(model).flatten(1)[:, None]
        score = part.likelihood.score(model).flatten(1)[:, :, None]
        inner, right = ridged(((local * information) @ local.mT).double(), (local @ score)[..., 0].double())
        mixed = ((local * information) @ joint.mT).double()
        inverse = torch.linalg.inv(inner)
        curvature += (((joint * information) @ joint.mT).double() - mixed.mT @ inverse @ mixed).sum(0)
        slope += ((joint @ score)[..., 0].double() - (mixed.mT @ inverse @ right[:, :, None])[..., 0]).sum(0)
        own.append((inverse, right, mixed))
    return _NormalEquations(curvature, slope, own)


def _columns(
    psf: FocusedPSF, images: BeadImages, state: BeadState, unknowns: Unknowns
) -> tuple[Tensor, Tensor]:
    """Derivatives in what images have of their own (N, 6, pixels), and in what they share (N, q, pixels)."""
    here = bead_patches(psf, images, state)
    light = state.photons[:, None, None]

    def slope(changed: BeadState, step: float) -> Tensor:
        return (bead_patches(psf, images, changed) - here) * (light / step)

    side = torch.eye(2).to(state.xy) * _STEP_UM
    along = [slope(replace(state, xy=state.xy + side[axis]), _STEP_UM) for axis in (0, 1)]
    terms = background_terms(images.side, here).expand(len(images), -1, -1, -1)
    local = torch.cat([torch.stack([*along, here], 1), terms], 1).flatten(2)
    joint = _polynomial_columns(psf, images, state, unknowns.polynomials, here)
    if unknowns.depths:
        deeper = slope(replace(state, z_um=state.z_um + _STEP_UM), _STEP_UM)
        owner = torch.nn.functional.one_hot(images.bead, len(state.z_um)).to(here)
        joint.append(owner[:, :, None, None] * deeper[:, None])
    if unknowns.blur:
        joint.append(slope(replace(state, blur_px=state.blur_px + _STEP_PX), _STEP_PX)[:, None])
    return local, torch.cat(joint, 1).flatten(2) if joint else local[:, :0]


def _polynomial_columns(
    psf: FocusedPSF, images: BeadImages, state: BeadState, polynomials: tuple[Tensor, ...], here: Tensor
) -> list[Tensor]:
    """Derivatives in the polynomials' coefficients, [(N, P, h, w)] or nothing."""
    columns, scale = [], state.photons[:, None, None] / _STEP_RAD
    for coefficients in polynomials:
        for index in range(len(coefficients)):
            before = coefficients[index].clone()
            coefficients[index] += _STEP_RAD
            columns.append((bead_patches(psf, images, state) - here) * scale)
            coefficients[index] = before
    return [torch.stack(columns, 1)] if columns else []


def _shared_step(equations: _NormalEquations, images: BeadImages, unknowns: Unknowns, beads: int) -> Tensor:
    """The step of polynomials, depths and blur."""
    curvature, terms = equations.curvature, unknowns.terms
    if not len(curvature):
        return equations.slope
    diagonal = curvature.diagonal().clamp(min=1e-9)
    ridge = 1e-3 * diagonal
    ridge[:terms] = 1e-5 * diagonal[:terms].max() if terms else 0.0
    held = _held(curvature, images, unknowns, beads)
    step = torch.linalg.solve(curvature + held + torch.diag(ridge), equations.slope)
    depths = beads * unknowns.depths
    longest = [_LONGEST_RAD] * terms + [_LONGEST_Z] * depths + [_LONGEST_BLUR] * unknowns.blur
    return step.clamp(-step.new_tensor(longest), step.new_tensor(longest))


def _held(curvature: Tensor, images: BeadImages, unknowns: Unknowns, beads: int) -> Tensor:
    """What holds the mean depth of the beads that are there, (q, q)."""
    if not unknowns.depths or unknowns.mean_depth:
        return torch.zeros_like(curvature)
    there = torch.bincount(images.bead, minlength=beads) > 0
    mean = torch.nn.functional.pad(there.to(curvature), (unknowns.terms, int(unknowns.blur)))
    return 1e3 * curvature.diagonal().max().clamp(min=1e-9) * mean[:, None] * mean


def _moved(state: BeadState, own: Tensor, together: Tensor, unknowns: Unknowns) -> BeadState:
    """The state after a step: own (N, 6) of the images; together of polynomials, depths and blur."""
    beads, terms = len(state.z_um) if unknowns.depths else 0, unknowns.terms
    steps = together[:terms].split([len(each) for each in unknowns.polynomials])
    for coefficients, step in zip(unknowns.polynomials, steps, strict=True):
        coefficients.add_(step.to(coefficients))
    return replace(
        state,
        xy=state.xy + own[:, :2].clamp(-_LONGEST_XY, _LONGEST_XY),
        photons=(state.photons + own[:, 2]).clamp(min=1.0),
        background=state.background + own[:, 3:],
        z_um=state.z_um + together[terms : terms + beads].to(state.z_um) if beads else state.z_um,
        blur_px=(state.blur_px + (together[-1].to(state.blur_px) if unknowns.blur else 0.0)).clamp(*_BLURS),
    )


@torch.no_grad()
def fit_each(
    psf: FocusedPSF, images: BeadImages, state: BeadState, iterations: int = 6, chunk: int = 64
) -> tuple[Tensor, Tensor]:
    """Localize each image by itself, as a molecule: x, y, z, light and background (Fisher scoring).

    Returns (N, 3) µm: x, y in the image, z as if the bead had one of its own in each; and their σ, (N, 3) µm.
    """
    nothing = Unknowns(depths=False, blur=False)
    alone = replace(images, bead=torch.arange(len(images)))
    state = replace(state, z_um=state.z_um[images.bead])
    sigma = torch.zeros(len(images), 3, dtype=torch.float64)
    for turn in range(iterations + 1):
        own, steps = state, []
        for rows in torch.arange(len(images)).split(chunk):
            part, mine = alone.select(rows), own.select(rows)
            local, _ = _columns(psf, part, mine, nothing)
            patches = local[:, 2].unflatten(1, (images.side, -1))
            deeper = bead_patches(psf, part, replace(mine, z_um=mine.z_um + _STEP_UM)) - patches
            deeper *= mine.photons[:, None, None] / _STEP_UM
            columns = torch.cat([local[:, :2], deeper.flatten(1)[:, None], local[:, 2:]], 1)
            model = expected(patches, mine)
            information, score = part.likelihood.information(model), part.likelihood.score(model)
            if turn == iterations:
                matrix = ((columns * information.flatten(1)[:, None]) @ columns.mT).double()
                inverse = torch.linalg.inv(ridged(matrix, matrix[:, 0])[0])
                sigma[rows] = inverse.diagonal(dim1=1, dim2=2)[:, :3].clamp(min=0).sqrt()
            steps.append(scoring_step(columns, information, score))
        if turn < iterations:
            step = torch.cat(steps)
            moved = _moved(
                state, torch.cat([step[:, :2], step[:, 3:]], 1), step[:, :0], Unknowns(depths=False, blur=False)
            )
            state = replace(moved, z_um=state.z_um + step[:, 2].clamp(-_LONGEST_Z, _LONGEST_Z))
    return torch.cat([state.xy, state.z_um[:, None]], 1), sigma.to(state.xy)
