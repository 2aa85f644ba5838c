"""Fits of light and background of each image, of places, depths and blur, and of some polynomials."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from ..optics.assembly import Assembly
from ..optics.psf import Patches
from .images import BeadImages, BeadState

__all__ = ["FocusedPSF", "Unknowns", "bead_patches", "expected", "fit_each", "fit_light", "fit_places"]

# Steps of the finite differences: µm laterally and in depth, px of blur, rad of a polynomial.
_STEP_UM, _STEP_PX, _STEP_RAD = 0.002, 0.02, 0.01
# Longest steps of one iteration: µm, µm, px, rad; and how sharp or blurred a bead can be.
_LONGEST_XY, _LONGEST_Z, _LONGEST_BLUR, _LONGEST_RAD = 0.1, 0.15, 0.3, 0.3
_BLURS = (0.2, 4.0)


class FocusedPSF(Protocol):
    """A PSF that takes a focus of its own for each image."""

    @property
    def pixel_um(self) -> float:
        """Camera pixel in the sample, µm."""
        ...

    def __call__(
        self, xyz: Tensor, blur_px: Tensor | None = None, *, focus_um: Tensor | None = None
    ) -> Patches:
        """xyz: (N, 3) µm;  blur_px: (N,) px;  focus_um: (N,) nominal focal planes or None."""
        ...


@dataclass(frozen=True)
class Unknowns:
    """What `fit_places` may change besides each image's light and place.

    depths: of the beads;  blur: of all images;  polynomials: coefficients (P,) rad in the mask of the PSF,
    changed in place, or None; piston and tilts cannot be among them, for places undo these.
    """

    depths: bool = True
    blur: bool = True
    polynomials: Tensor | None = None


def bead_patches(psf: FocusedPSF, images: BeadImages, state: BeadState) -> Tensor:
    """Fraction of a bead's light in each pixel of its image: (N, h, w), differentiable."""
    xyz, focus = state.places(images)
    middle = (images.side // 2) * psf.pixel_um
    xyz = xyz + xyz.new_tensor([middle, middle, 0.0])
    patches = psf(xyz, state.blur_px.expand(len(xyz)), focus_um=focus)
    own = torch.arange(len(xyz), device=xyz.device)
    size = (patches.values.shape[1], patches.values.shape[2])
    places = Assembly(patches.corner, own, size, (len(xyz), images.side, images.side))
    return places.add(places.inside(patches.values))


def background_terms(side: int, like: Tensor) -> Tensor:
    """A level, and slopes that reach ±1 at the edges: (3, side, side)."""
    ramp = torch.linspace(-1, 1, side, dtype=like.dtype, device=like.device)
    return torch.stack([torch.ones(side, side).to(like), ramp.expand(side, -1), ramp[:, None].expand(-1, side)])


def expected(patches: Tensor, state: BeadState) -> Tensor:
    """Photons expected in each pixel of each image: (N, h, w)."""
    surface = torch.einsum("nk,khw->nhw", state.background, background_terms(patches.shape[-1], patches))
    return patches * state.photons[:, None, None] + surface


@torch.no_grad()
def fit_light(images: BeadImages, patches: Tensor, state: BeadState, iterations: int = 2) -> BeadState:
    """Photons and background of each image at fixed places: Fisher scoring, 4 unknowns each."""
    terms = background_terms(images.side, patches)
    columns = torch.cat([patches[:, None], terms.expand(len(images), -1, -1, -1)], 1).flatten(2)
    for _ in range(iterations):
        model = expected(patches, state)
        step = _solve(columns, images.likelihood.information(model), images.likelihood.score(model))
        state = replace(
            state,
            photons=(state.photons + step[:, 0]).clamp(min=1.0),
            background=state.background + step[:, 1:],
        )
    return state


def _solve(columns: Tensor, information: Tensor, score: Tensor) -> Tensor:
    """Steps (N, p) of Fisher scoring for columns (N, p, pixels)."""
    information, score = information.flatten(1), score.flatten(1)
    matrix = (columns * information[:, None]) @ columns.mT
    return torch.linalg.solve(*_ridged(matrix.double(), (columns @ score[:, :, None])[..., 0].double())).to(
        columns
    )


def _ridged(matrix: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """A small ridge keeps the matrix regular where an image holds no light."""
    diagonal = matrix.diagonal(dim1=-2, dim2=-1).clamp(min=1e-12)
    return matrix + torch.diag_embed(1e-6 * diagonal), right


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
    beads = len(state.z_um)
    terms = 0 if unknowns.polynomials is None else len(unknowns.polynomials)
    shared = terms + beads * unknowns.depths + unknowns.blur
    curvature = state.xy.new_zeros(shared, shared, dtype=torch.float64)
    slope = curvature.new_zeros(shared)
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    for rows in torch.arange(len(images)).split(chunk):
        part, mine = images.select(rows), state.select(rows)
        local, joint = _columns(psf, part, mine, unknowns)
        model = expected(local[:, 2].unflatten(1, (images.side, -1)), mine)
        information = part.likelihood.information(model).flatten(1)[:, None]
        score = part.likelihood.score(model).flatten(1)[:, :, None]
        inner, right = _ridged(((local * information) @ local.mT).double(), (local @ score)[..., 0].double())
        cross = ((local * information) @ joint.mT).double()
        inverse = torch.linalg.inv(inner)
        curvature += (((joint * information) @ joint.mT).double() - cross.mT @ inverse @ cross).sum(0)
        slope += ((joint @ score)[..., 0].double() - (cross.mT @ inverse @ right[:, :, None])[..., 0]).sum(0)
        parts.append((inverse, right, cross))
    there = torch.bincount(images.bead, minlength=beads) > 0
    together = _shared_step(curvature, slope, there[: beads * unknowns.depths], terms)
    own = torch.cat([(i @ (r - c @ together)[..., None])[..., 0] for i, r, c in parts]).to(state.xy)
    return _moved(state, own, together, unknowns)


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
    psf: FocusedPSF, images: BeadImages, state: BeadState, coefficients: Tensor | None, here: Tensor
) -> list[Tensor]:
    """Derivatives in the polynomials' coefficients, [(N, P, h, w)] or nothing."""
    columns = []
    for index in range(0 if coefficients is None else len(coefficients)):
        assert coefficients is not None
        before = coefficients[index].clone()
        coefficients[index] += _STEP_RAD
        columns.append((bead_patches(psf, images, state) - here) * (state.photons[:, None, None] / _STEP_RAD))
        coefficients[index] = before
    return [torch.stack(columns, 1)] if columns else []


def _shared_step(curvature: Tensor, slope: Tensor, there: Tensor, polynomials: int) -> Tensor:
    """The step of polynomials, depths and blur, the mean depth of the beads that are there held."""
    if not len(slope):
        return slope
    diagonal = curvature.diagonal().clamp(min=1e-9)
    blur = len(slope) - polynomials - len(there)
    mean = torch.nn.functional.pad(there.to(slope), (polynomials, blur))
    held = 1e3 * float(diagonal.max()) * mean[:, None] * mean
    ridge = 1e-3 * diagonal
    ridge[:polynomials] = 1e-5 * diagonal[:polynomials].max() if polynomials else 0.0
    step = torch.linalg.solve(curvature + held + torch.diag(ridge), slope)
    longest = step.new_tensor([_LONGEST_RAD] * polynomials + [_LONGEST_Z] * len(there) + [_LONGEST_BLUR] * blur)
    return step.clamp(-longest, longest)


def _moved(state: BeadState, own: Tensor, together: Tensor, unknowns: Unknowns) -> BeadState:
    """The state after a step: own (N, 6) of the images; together of polynomials, depths and blur."""
    beads = len(state.z_um) if unknowns.depths else 0
    terms = len(together) - beads - unknowns.blur
    if unknowns.polynomials is not None:
        unknowns.polynomials.add_(together[:terms].to(unknowns.polynomials))
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
    alone = replace(images, bead=torch.arange(len(images)))
    state = replace(state, z_um=state.z_um[images.bead])
    sigma = torch.zeros(len(images), 3, dtype=torch.float64)
    for turn in range(iterations + 1):
        own, steps = state, []
        for rows in torch.arange(len(images)).split(chunk):
            part, mine = alone.select(rows), own.select(rows)
            local, _ = _columns(psf, part, mine, Unknowns(False, False))
            patches = local[:, 2].unflatten(1, (images.side, -1))
            deeper = bead_patches(psf, part, replace(mine, z_um=mine.z_um + _STEP_UM)) - patches
            deeper *= mine.photons[:, None, None] / _STEP_UM
            columns = torch.cat([local[:, :2], deeper.flatten(1)[:, None], local[:, 2:]], 1)
            model = expected(patches, mine)
            information, score = part.likelihood.information(model), part.likelihood.score(model)
            if turn == iterations:
                matrix = ((columns * information.flatten(1)[:, None]) @ columns.mT).double()
                inverse = torch.linalg.inv(_ridged(matrix, matrix[:, 0])[0])
                sigma[rows] = inverse.diagonal(dim1=1, dim2=2)[:, :3].clamp(min=0).sqrt()
            steps.append(_solve(columns, information, score))
        if turn < iterations:
            step = torch.cat(steps)
            moved = _moved(state, torch.cat([step[:, :2], step[:, 3:]], 1), step[:, :0], Unknowns(False, False))
            state = replace(moved, z_um=state.z_um + step[:, 2].clamp(-_LONGEST_Z, _LONGEST_Z))
    return torch.cat([state.xy, state.z_um[:, None]], 1), sigma.to(state.xy)
