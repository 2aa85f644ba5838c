"""Fits of positions, depths, slices and blur of beads, together with some polynomials of the phase."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..beads.images import BeadImages, BeadState, weights_of_zero
from .bead_model import FocusedPSF, background_terms, bead_patches, expected, ridged, scoring_step

__all__ = ["Unknowns", "fit_each", "fit_positions", "sigma_of_polynomials"]

# Step of the finite differences laterally and in depth, µm.
_STEP_UM = 0.002
# Step of the finite differences in blur, px.
_STEP_PX = 0.02
# Step of the finite differences in a polynomial, rad.
_STEP_RAD = 0.01
# Largest change in x and y in one iteration, µm.
_LONGEST_XY = 0.1
# Largest change in z in one iteration, µm.
_LONGEST_Z = 0.15
# Largest change of the blur in one iteration, px.
_LONGEST_BLUR = 0.3
# Largest change of a polynomial in one iteration, rad.
_LONGEST_RAD = 0.3
# Limits of the blur, px.
_BLURS = (0.2, 4.0)
# Prior σ of the z error of a slice, µm; keeps slices without signal near their nominal position.
_STAGE_UM = 0.3
# Images computed at once.
_AT_ONCE = 64


@dataclass(frozen=True)
class Unknowns:
    """The unknowns of `fit_positions` besides the light and position of each image.

    depths: of the beads, except their mean;  mean_depth: also their mean: only where it is not degenerate with
    the phase;  positions: of the slices, except their zero, which is a defocus;  blur: of all images;
    polynomials: vectors of coefficients (rad, or of the amplitude's logarithm) in the PSF, changed in place;
    they exclude piston and tilts of the phase, which are degenerate with positions.
    """

    depths: bool = True
    mean_depth: bool = False
    positions: bool = False
    blur: bool = True
    polynomials: tuple[Tensor, ...] = ()

    @property
    def terms(self) -> int:
        """Number of polynomials."""
        return sum(len(each) for each in self.polynomials)

    def sizes(self, state: BeadState) -> tuple[int, int, int, int]:
        """Numbers of polynomials, depths, positions and blurs shared by the images, in this order."""
        return self.terms, len(state.z_um) * self.depths, len(state.offset_um) * self.positions, int(self.blur)


@dataclass(frozen=True)
class _NormalEquations:
    """Normal equations of the shared unknowns, the others eliminated; in the order of `Unknowns.sizes`.

    curvature: (q, q);  slope: (q,);  own: for each chunk of images, for the unknowns of each image: the inverse
    (n, 6, 6), the right side (n, 6) and the mixed part (n, 6, q).
    """

    curvature: Tensor
    slope: Tensor
    own: list[tuple[Tensor, Tensor, Tensor]]

    def own_steps(self, together: Tensor) -> Tensor:
        """Steps (N, 6) of positions, light and background that follow from a step of the shared unknowns."""
        return torch.cat([(inv @ (right - mix @ together)[..., None])[..., 0] for inv, right, mix in self.own])


@torch.no_grad()
def fit_positions(psf: FocusedPSF, images: BeadImages, state: BeadState, unknowns: Unknowns) -> BeadState:
    """One step of Fisher scoring in everything but the phase and, if requested, in polynomials of the phase.

    Light, background, x and y belong to one image each and are eliminated from the normal equations of the
    shared unknowns: the polynomials, the depths of the beads, the positions of the slices and the blur (Schur
    complement). Alternating fits of positions and polynomials would need hundreds of iterations, because a coma
    and a drift of the stage look alike. The mean depth and the zero of the positions are fixed: with them free,
    the phase would be determined only up to a defocus.
    """
    equations = _normal_equations(psf, images, state, unknowns)
    together = _shared_step(equations, images, state, unknowns)
    return _moved(state, equations.own_steps(together).to(state.xy), together, unknowns)


@torch.no_grad()
def sigma_of_polynomials(psf: FocusedPSF, images: BeadImages, state: BeadState, unknowns: Unknowns) -> Tensor:
    """σ of the polynomials' coefficients from the Fisher information, everything else unknown: (P,) rad."""
    equations = _normal_equations(psf, images, state, unknowns)
    matrix = equations.curvature + _held(equations.curvature, images, state, unknowns)
    ridge = torch.diag(1e-9 * matrix.diagonal().clamp(min=1e-9))
    return torch.linalg.inv(matrix + ridge).diagonal()[: unknowns.terms].clamp(min=0).sqrt()


def _normal_equations(
    psf: FocusedPSF, images: BeadImages, state: BeadState, unknowns: Unknowns
) -> _NormalEquations:
    shared = sum(unknowns.sizes(state))
    curvature = state.xy.new_zeros(shared, shared, dtype=torch.float64)
    slope = curvature.new_zeros(shared)
    own: list[tuple[Tensor, Tensor, Tensor]] = []
    for rows in torch.arange(len(images)).split(_AT_ONCE):
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
    """Derivatives in the unknowns of each image (N, 6, pixels), and in the shared ones (N, q, pixels)."""
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
    if unknowns.positions:
        farther = slope(replace(state, offset_um=state.offset_um + _STEP_UM), _STEP_UM)
        slices = torch.nn.functional.one_hot(images.plane, len(state.offset_um)).to(here)
        joint.append(slices[:, :, None, None] * farther[:, None])
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


def _shared_step(
    equations: _NormalEquations, images: BeadImages, state: BeadState, unknowns: Unknowns
) -> Tensor:
    """The step of polynomials, depths, positions and blur."""
    curvature, slope = equations.curvature, equations.slope.clone()
    if not len(curvature):
        return slope
    terms, depths, positions, blurs = unknowns.sizes(state)
    diagonal = curvature.diagonal().clamp(min=1e-9)
    ridge = 1e-3 * diagonal
    ridge[:terms] = 1e-5 * diagonal[:terms].max() if terms else 0.0
    held = _held(curvature, images, state, unknowns)
    if positions:
        slope[terms + depths : terms + depths + positions] -= state.offset_um.to(slope) / _STAGE_UM**2
    step = torch.linalg.solve(curvature + held + torch.diag(ridge), slope)
    longest = [_LONGEST_RAD] * terms + [_LONGEST_Z] * (depths + positions) + [_LONGEST_BLUR] * blurs
    return step.clamp(-step.new_tensor(longest), step.new_tensor(longest))


def _held(curvature: Tensor, images: BeadImages, state: BeadState, unknowns: Unknowns) -> Tensor:
    """Constraint on the mean depth of the beads and on the zero of the positions, (q, q)."""
    terms, depths, positions, blurs = unknowns.sizes(state)
    means = []
    if depths and not unknowns.mean_depth:
        there = torch.bincount(images.bead, minlength=depths) > 0
        means.append(torch.nn.functional.pad(there.to(curvature), (terms, positions + blurs)))
    held = torch.zeros_like(curvature)
    if positions:
        seen = images.plane.unique()
        weights = curvature.new_zeros(positions)
        # The same weight as the constraint on the mean depth.
        weights[seen] = len(seen) * weights_of_zero(images.nominal_um()[seen].to(curvature))
        means.append(torch.nn.functional.pad(weights, (terms + depths, blurs)))
        held.diagonal()[terms + depths : terms + depths + positions] += 1 / _STAGE_UM**2
    strong = 1e3 * curvature.diagonal().max().clamp(min=1e-9) if len(curvature) else 0.0
    return held + strong * sum((mean[:, None] * mean for mean in means), torch.zeros_like(curvature))


def _moved(state: BeadState, own: Tensor, together: Tensor, unknowns: Unknowns) -> BeadState:
    """The state after a step: own (N, 6) of the images; together of polynomials, depths, positions and blur."""
    shapes, deeper, farther, wider = together.split(unknowns.sizes(state))
    steps = shapes.split([len(each) for each in unknowns.polynomials])
    for coefficients, step in zip(unknowns.polynomials, steps, strict=True):
        coefficients.add_(step.to(coefficients))
    return replace(
        state,
        xy=state.xy + own[:, :2].clamp(-_LONGEST_XY, _LONGEST_XY),
        photons=(state.photons + own[:, 2]).clamp(min=1.0),
        background=state.background + own[:, 3:],
        z_um=state.z_um + deeper.to(state.z_um) if unknowns.depths else state.z_um,
        offset_um=state.offset_um + farther.to(state.offset_um) if unknowns.positions else state.offset_um,
        blur_px=(state.blur_px + wider.to(state.blur_px).sum()).clamp(*_BLURS),
    )


@torch.no_grad()
def fit_each(
    psf: FocusedPSF, images: BeadImages, state: BeadState, iterations: int = 6
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
        for rows in torch.arange(len(images)).split(_AT_ONCE):
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
            moved = _moved(state, torch.cat([step[:, :2], step[:, 3:]], 1), step.new_zeros(0), nothing)
            state = replace(moved, z_um=state.z_um + step[:, 2].clamp(-_LONGEST_Z, _LONGEST_Z))
    return torch.cat([state.xy, state.z_um[:, None]], 1), sigma.to(state.xy)
