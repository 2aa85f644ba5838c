"""Between the tensors of the fit and its compiled code (`fitting.kernels`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..optics.drawing import add_molecules, can_compile, molecules_of
from ..watch import Watcher, advance
from .likelihood import Likelihood
from .state import LONGEST_BLUR_PX, LONGEST_UM

if TYPE_CHECKING:
    from ..optics.assembly import Assembly
    from ..optics.compiled import Molecules
    from ..optics.compiled_spline import Spline
    from ..optics.psf import PSF
    from .background import SplineBackground
    from .kernels.normal import Slopes
    from .kernels.scene import Scene
    from .linear import LinearImage
    from .refine import Bounds, Effort
    from .state import JointState

__all__ = [
    "announce",
    "bounds",
    "can_compile",
    "climbed",
    "deviance",
    "division_terms",
    "expected",
    "frame_matrix",
    "is_small",
    "linearized",
    "photon_bounds",
    "score_terms",
    "solve_light",
]

Array = NDArray[Any]
MOST_UNKNOWNS = 4000
"""Unknowns of a frame above which the Fisher matrix is not formed: its memory grows with their square."""


def announce(watch: Watcher) -> None:
    """Say that the first fit on this computer takes longer, because its code is compiled."""
    from ..numba_cache import is_compiled_already

    if not is_compiled_already("fitting"):
        watch.message("the fit is being compiled for this computer: one or two minutes, once")


def is_small(state: JointState) -> bool:
    """Whether the Fisher matrix of every frame of a state is small enough to be formed."""
    each, (frames, down, across) = 4 if state.blur_px is None else 5, state.coefficients.shape
    return frames == 0 or each * int(state.counts.max()) + down * across <= MOST_UNKNOWNS


class Scenes:
    """The frames of a likelihood and their molecules, one compiled scene after another."""

    def __init__(
        self, likelihood: Likelihood, background: SplineBackground, begin_px: Tensor | None = None
    ) -> None:
        self._pixels = pixels_of(likelihood)
        self._excess = float(likelihood.noise.excess)
        parts = (*background.basis(), background.knots())
        self._splines = [part.expand(len(likelihood), -1, -1).numpy() for part in parts]
        self._begin = first_pixels(len(likelihood), begin_px)

    def __getitem__(self, frame: int) -> Scene:
        from .kernels.scene import Scene

        counts, base, weight = (part[frame] for part in self._pixels)
        rows, columns, knots = (np.ascontiguousarray(part[frame]) for part in self._splines)
        return Scene(counts, base, weight, self._excess, rows, columns, knots, self._begin[frame])


def first_pixels(frames: int, begin_px: Tensor | None) -> Array:
    """Column and row of each frame's first pixel, (B, 2) int64."""
    return np.zeros((frames, 2), np.int64) if begin_px is None else begin_px.numpy()


def rows_of_frames(frame: Tensor, frames: int) -> Iterator[tuple[int, slice]]:
    """Each frame and its rows, which are sorted by frame (N,)."""
    end = 0
    for number, count in enumerate(torch.bincount(frame, minlength=frames).tolist()):
        yield number, slice(end, end + count)
        end += count


def molecules_of_state(psf: PSF, state: JointState) -> tuple[Spline, Molecules]:
    """The compiled form of the PSF, and the molecules of a state."""
    return molecules_of(psf, state.xyz, state.photons, state.blur_px)


def some_of(molecules: Molecules, rows: slice) -> Molecules:
    """Some rows of the molecules, sharing their memory."""
    return type(molecules)(*(column[rows] for column in molecules))


def climbed(
    psf: PSF,
    start: JointState,
    likelihood: Likelihood,
    background: SplineBackground,
    bounds: Bounds,
    effort: Effort,
) -> tuple[JointState, Tensor, Tensor, Tensor | None]:
    """The state after the fit of every frame, its deviance (B,), whether it converged (B,), σ of photons (N,).

    σ only if the effort asks for it; NaN in frames where it could not be computed. No frame may have more than
    `MOST_UNKNOWNS` unknowns.
    """
    from .kernels.climb import climb

    spline, molecules = molecules_of_state(psf, start)
    scenes = Scenes(likelihood, background, start.begin_px)
    coefficients = start.coefficients.double().numpy().copy()
    anywhere = (-np.inf, np.inf)
    ranges = np.array([anywhere, anywhere, bounds.z_um, (bounds.photons, np.inf), bounds.blur_px])
    limits = np.column_stack([ranges, (*LONGEST_UM, np.inf, LONGEST_BLUR_PX)])[
        : 4 if start.blur_px is None else 5
    ]
    deviance, settled = np.empty(len(likelihood)), np.empty(len(likelihood), bool)
    sigma = np.empty(len(start) if effort.photon_sigma else 0)
    for frame, rows in rows_of_frames(start.frame, len(likelihood)):
        advance(effort.watch)
        deviance[frame], settled[frame], _ = climb(
            spline, scenes[frame], some_of(molecules, rows), coefficients[frame], limits,
            (effort.iterations, effort.settled), sigma[rows],
        )  # fmt: skip
    found = torch.from_numpy(molecules.places).to(start.xyz)
    state = replace(
        start,
        xyz=found[:, :3].contiguous(),
        photons=found[:, 3].contiguous(),
        coefficients=torch.from_numpy(coefficients).to(start.coefficients),
        blur_px=None if start.blur_px is None else found[:, 4].contiguous(),
    )
    photons = torch.from_numpy(sigma).to(start.photons) if effort.photon_sigma else None
    return state, torch.from_numpy(deviance), torch.from_numpy(settled), photons


def slopes_of(values: Tensor, assembly: Assembly) -> Slopes:
    """Derivatives (N, p, h·w) of molecules in the form of the compiled code."""
    from .kernels.normal import Slopes

    return Slopes(values.contiguous().numpy(), assembly.windows().numpy(), assembly.patch[1])


def bounds(image: LinearImage, information: Tensor) -> tuple[Tensor, Tensor] | None:
    """σ (N, p) of all unknowns and σ (N,) of the background, float64, from compiled code; None if it cannot."""
    from .kernels.bounds import frame_bounds

    scenes = Scenes(Likelihood(information), image.background)
    slopes = slopes_of(image.jacobian, image.assembly)
    sigma, level = np.zeros(slopes.values.shape[:2]), np.zeros(len(slopes.values))
    for frame, rows in rows_of_frames(image.frame, len(information)):
        size = sigma[rows].size + image.background.shape[0] * image.background.shape[1]
        if size > MOST_UNKNOWNS:
            return None
        # Double precision: two molecules at nearly one place differ by little.
        own = slopes._replace(values=slopes.values[rows].astype(np.float64), windows=slopes.windows[rows])
        weights, matrix = information[frame].contiguous().numpy(), np.empty((size, size))
        if not frame_bounds(scenes[frame], own, weights, matrix, sigma[rows], level[rows]):
            return None
    return torch.from_numpy(sigma), torch.from_numpy(level)


def photon_bounds(
    psf: PSF, state: JointState, information: Tensor, background: SplineBackground
) -> Tensor | None:
    """σ of the photons of all molecules, (N,) float64, at a state; None if it cannot be computed.

    information: (B, H, W) of the pixels.  Removals compare σ with a threshold, for which single precision is
    enough; a frame whose matrix is singular in it is computed in double precision.
    """
    from .kernels.bounds import photon_bounds as of_frame

    if not is_small(state):
        return None
    spline, molecules = molecules_of_state(psf, state)
    scenes = Scenes(Likelihood(information), background, state.begin_px)
    sigma, knots = np.zeros((len(state), 4 if state.blur_px is None else 5)), state.coefficients[:1].numel()
    for frame, rows in rows_of_frames(state.frame, len(information)):
        own, size = some_of(molecules, rows), sigma[rows].size + knots
        weights = information[frame].contiguous().numpy()
        for kind in (np.float32, np.float64):
            if of_frame(spline, scenes[frame], own, weights, np.empty((size, size), kind), sigma[rows]):
                break
        else:
            return None
    return torch.from_numpy(sigma[:, 3])


def linearized(psf: PSF, state: JointState, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Corners (N, 2) px of patches in their frames, and the derivatives (N, p, h, w), 0 outside the frame."""
    from .kernels.normal import linearize_patches

    spline, molecules = molecules_of_state(psf, state)
    begin = first_pixels(state.frames, state.begin_px)[state.frame.numpy()]
    corner = np.empty((len(state), 2), np.int64)
    unknowns = 4 if state.blur_px is None else 5
    jacobian = np.zeros((len(state), unknowns, psf.patch_px, psf.patch_px), np.float32)
    linearize_patches(spline, molecules, begin, (shape[1], shape[2]), corner, jacobian)
    return torch.from_numpy(corner), torch.from_numpy(jacobian)


def expected(psf: PSF, state: JointState, background: SplineBackground) -> Tensor:
    """Expected photons (B, H, W) of a state."""
    spline, molecules = molecules_of_state(psf, state)
    image = background.surface(state.coefficients).contiguous()
    add_molecules(spline, molecules, state.frame, first_pixels(state.frames, state.begin_px), image)
    return image


def division_terms(
    psf: PSF, state: JointState, image: LinearImage, score: Tensor, information: Tensor, halves: Tensor
) -> Tensor:
    """Products of the change of the image if a molecule is divided, (N, D, p + 2): see `kernels.division`."""
    from .kernels.division import division_terms as of_frame

    (spline, molecules), slopes = molecules_of_state(psf, state), slopes_of(image.jacobian, image.assembly)
    pull, stiff, ways = (part.contiguous().numpy() for part in (score, information, halves.double()))
    terms = np.empty((len(state), len(ways), slopes.values.shape[1] + 2))
    for frame, rows in rows_of_frames(state.frame, state.frames):
        own = slopes._replace(values=slopes.values[rows], windows=slopes.windows[rows])
        of_frame(spline, some_of(molecules, rows), own, pull[frame], stiff[frame], ways, terms[rows])
    return torch.from_numpy(terms)


def score_terms(
    psf: PSF, new: JointState, image: LinearImage, score: Tensor, information: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Products of the images of K molecules that are not in an image's list, see `kernels.score`.

    new: of one frame;  image: of the list;  score, information: (1, H, W).
    Returns (K, 2), (K, n, p) and (K, k, l), float64.
    """
    from .kernels.score import score_terms as of_frame

    (spline, molecules), slopes = molecules_of_state(psf, new), slopes_of(image.jacobian, image.assembly)
    scene = Scenes(Likelihood(information), image.background, new.begin_px)[0]
    shapes = ((2,), slopes.values.shape[:2], image.background.shape)
    terms = tuple(np.zeros((len(new), *shape)) for shape in shapes)
    of_frame(spline, scene, molecules, slopes, (score[0].contiguous().numpy(), scene.counts), terms)
    own, others, smooth = (torch.from_numpy(part) for part in terms)
    return own, others, smooth


def deviance(likelihood: Likelihood, model: Tensor) -> Tensor:
    """`Likelihood.deviance` of frames (B, H, W) in compiled code: (B,) float64."""
    from .kernels.scene import pixel_deviance

    parts = zip(*pixels_of(likelihood), model.contiguous().numpy(), strict=True)
    return torch.tensor(
        [pixel_deviance(*pixels, float(likelihood.noise.excess), image) for *pixels, image in parts],
        dtype=torch.float64,
    )


def pixels_of(likelihood: Likelihood) -> list[Array]:
    """Counts, base and weights of the frames' pixels, each (B, H, W) float32, as a `Scene` takes them."""
    weight = torch.ones_like(likelihood.frames) if likelihood.weight is None else likelihood.weight
    return [part.contiguous().numpy() for part in (likelihood.shifted_counts, likelihood.base(), weight)]


def solve_light(
    patches: Tensor, assembly: Assembly, background: SplineBackground, weights: Tensor, residual: Tensor
) -> tuple[Tensor, Tensor] | None:
    """Weighted least-squares change of photons (N,) and coefficients (B, k, l); None if a frame is too large.

    patches: (N, h, w), 0 outside the frame and for molecules that are fixed, sorted by frame;
    weights, residual: (B, H, W).
    """
    from .kernels.photometry import solve_light as of_frame

    frames, knots = len(weights), np.zeros((len(weights), *background.shape))
    most = int(torch.bincount(assembly.frame, minlength=frames).max()) if frames else 0
    if most + background.shape[0] * background.shape[1] > MOST_UNKNOWNS or bool(
        (assembly.frame.diff() < 0).any()
    ):
        return None
    scenes, slopes = Scenes(Likelihood(weights), background), slopes_of(patches[:, None].flatten(2), assembly)
    light, stiff, left = np.zeros(len(patches)), weights.contiguous().numpy(), residual.contiguous().numpy()
    for frame, rows in rows_of_frames(assembly.frame, frames):
        own = slopes._replace(values=slopes.values[rows], windows=slopes.windows[rows])
        of_frame(scenes[frame], own, stiff[frame], left[frame], light[rows], knots[frame])
    return torch.from_numpy(light).to(weights), torch.from_numpy(knots).to(weights)


def frame_matrix(image: LinearImage, information: Tensor, *, double: bool = False) -> Tensor:
    """Fisher matrix (n, n) of the unknowns of one frame: those of the molecules, then the coefficients.

    image: of one frame, which must be compiled;  information: (1, H, W);  double: with sums in double
    precision.
    """
    from .kernels.matrix import arrange, fisher_matrix, new_order

    scene, slopes = (
        Scenes(Likelihood(information), image.background)[0],
        slopes_of(image.jacobian, image.assembly),
    )
    kind, (number, unknowns, _) = np.float64 if double else np.float32, slopes.values.shape
    slopes = slopes._replace(values=slopes.values.astype(kind, copy=False))
    order = new_order(number, unknowns, scene)
    size = number * unknowns + order.coefficients.size
    matrix = np.empty((size, size), kind)
    arrange(scene, slopes, order)
    fisher_matrix(scene, slopes, information[0].contiguous().numpy(), order, matrix)
    row = torch.from_numpy(
        np.concatenate([(order.molecules[:, None] + np.arange(unknowns)).ravel(), order.coefficients.ravel()])
    )
    whole = torch.from_numpy(matrix)
    whole = torch.tril(whole) + torch.tril(whole, -1).mT
    return whole[row[:, None], row]
