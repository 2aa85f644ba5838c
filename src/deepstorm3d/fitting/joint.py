"""From a list of candidates to the most likely list: joint fit, selection, uncertainties."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..emitters import Localizations
from ..field import Field
from ..optics.psf import PSF, psf_in_field
from ..watch import SILENT, Part, Watcher, advance
from .at_edges import AtEdges, widened
from .background import SplineBackground
from .blurs import searched_with_blurs
from .compiled import announce, can_compile
from .crowd import most_molecules, of_usable_frames
from .edge_starts import ALL_EDGES, Edges, EdgeStarts, edges_of
from .frame_model import FrameModel
from .groups import Footprint, groups
from .information import joint_bounds
from .likelihood import Likelihood
from .linear import LinearImage
from .parallel import side_by_side
from .passes import Passes
from .photometry import at_positions, fit_light
from .proposals import Proposer
from .refine import Bounds, Effort, Refined
from .room import Room
from .search import MatchedFilter
from .second_pass import SecondPass
from .selection import Selector
from .state import JointState
from .unexplained import FAR, misfit_of_frames

__all__ = ["Explained", "JointFit"]

# Trial fits only decide about penalties of 10 and more in the deviance, so they may stop early.
_TRIAL_SETTLED = 1.0  # a trial fit stops when a step lowers the deviance by less than this
_TRIAL_ITERATIONS = 15  # largest number of steps of a trial fit
_TRIAL_TOLERANCE = 0.2  # relative residual at which the linear equations of a trial step count as solved
# Memory on the processor, bytes, a third more than measured (benchmarks/frame_memory.py): for each pixel and
# unknown of a molecule's patch, and for each pair of unknowns (a matrix, its factors and its inverse: 25).
_BYTES_OF_DERIVATIVE = 22
_BYTES_OF_PAIR = 35


@dataclass(frozen=True)
class Explained:
    """A refined list, and how well it explains its frames.

    localizations: rows of frames 0 … B−1;  misfit: (B,) mean deviance of each frame's pixels, 1 if only noise
    remains, NaN if it was not measured.
    """

    localizations: Localizations
    misfit: Tensor


@dataclass(frozen=True)
class JointFit:
    """Maximum-likelihood fit of all molecules of a frame together, starting from candidates.

    core: PSF on a small patch, for the search;  whole: PSF with its tails, for the last fit;
    bounds: allowed range of the unknowns;  z_um: depths to search;  fit_blur: fit one blur for each molecule
    (the PSFs must be tabulated over a range of blurs);  spacing_px: final distance between background knots;
    search_spacing_px: the same during the search, larger, because a flexible background would absorb molecules;
    false_alarms, dim_photons: see `Selector`;  rounds: of adding molecules (0: only positions are refined, the
    list stays);
    most_per_um2: a frame with more candidates than this density starts with none, and molecules are added only
    up to it;
    network: candidates in frames (K, H, W) of photons, given their numbers (K,) in the batch as well, for more
    passes over crowded ones (`SecondPass`);
    field_px: height and width of the field of which the frames are a part (None: they are all of it): the
    false alarms are those of the whole field;  edges: which sides of the frames are edges of it;
    watch: is called with the number of frames done; it can end the work (Interrupted);
    room: memory that is shared with fits beside this one (None: there are none).
    """

    core: PSF
    whole: PSF
    bounds: Bounds
    z_um: tuple[float, float]
    fit_blur: bool = False
    spacing_px: float = 15.0
    search_spacing_px: float = 20.0
    false_alarms: float = 1e-3
    dim_photons: float = 0.0
    rounds: int = 8
    most_per_um2: float = 5.0
    network: Callable[[Tensor, Tensor], Localizations] | None = None
    field_px: tuple[int, int] | None = None
    edges: Edges = ALL_EDGES
    watch: Watcher = SILENT
    room: Room | None = None

    def in_field(self, field: Field, whole: Field) -> JointFit:
        """The same fit for frames that show a part of the whole field that is searched."""
        core, tails = (psf_in_field(psf, field) for psf in (self.core, self.whole))
        return replace(self, core=core, whole=tails, field_px=whole.size, edges=edges_of(field, whole))

    def search(self, frames: Tensor, spacing_px: float) -> MatchedFilter:
        """The search for molecules in frames (B, H, W);  spacing_px: of the knots of their background."""
        size = (frames.shape[1], frames.shape[2])
        return MatchedFilter.shared(self.core, self.z_um, size, frames, self.field_px, spacing_px)

    def most(self, shape: tuple[int, ...]) -> int:
        """The largest number of molecules in a frame (…, H, W), including those slightly outside its edge."""
        size = (shape[-2], shape[-1])
        return most_molecules(self.most_per_um2, size, self.core.pixel_um, self.core.patch_px)

    def __call__(
        self, found: Localizations, likelihood: Likelihood, expected: Tensor | None = None
    ) -> Localizations:
        """The refined list of B frames: see `explain`."""
        return self.explain(found, likelihood, expected).localizations

    @torch.no_grad()
    def explain(
        self, found: Localizations, likelihood: Likelihood, expected: Tensor | None = None
    ) -> Explained:
        """The refined list of B frames, and its misfit.

        found: candidates, rows of frames 0 … B−1;  expected: (B,) number of molecules that are known to be in
        the whole field of each frame: of so many rows at most the share `false_alarms` is false (None: of
        one);  returns localizations with photons, background, σ from the joint Fisher information
        (``sigma_source = fit``) and the mean deviance under each molecule's spot as fit quality. A molecule
        keeps its probability; an added one gets 1 − the rate of false alarms.
        The computing time is bounded for any frames: by `most` molecules, `rounds` and the steps of each fit.
        """
        total, like = len(likelihood), likelihood.frames
        # Too many candidates are no usable list: the network fails on such a frame. The search may succeed.
        found = of_usable_frames(found.sort(), total, self.most(tuple(like.shape)))
        # Compiled code fits one frame after the other, so that a list does not depend on the other frames.
        side = can_compile(self.core, like) and can_compile(self.whole, like)
        parts = self._frames_together(found, likelihood, expected, alone=side)
        search = self.search(like, self.search_spacing_px)

        def explained(number: int, watch: Watcher) -> Explained:
            frames, rows = parts[number]
            fit = replace(self, watch=watch, network=self._network_of(frames))
            part = fit._fit(_of_frames(found, frames, total), likelihood.select(frames), search, rows)
            table = part.localizations
            return Explained(replace(table, frame=frames[table.frame]), part.misfit)

        made: list[Explained] = []
        if side:
            announce(self.watch)
            most = int(torch.bincount(found.frame, minlength=1).max())
            needed = self.bytes_of((like.shape[1], like.shape[2]), most)
            with nullcontext() if self.room is None else self.room.of(needed, self.watch):
                made = side_by_side(explained, len(parts), self.watch)
        else:
            done = 0
            for number, (frames, _) in enumerate(parts):
                made.append(explained(number, Part(self.watch, done, len(frames), total)))
                done += len(frames)
                advance(self.watch, done, total)
        if not made:
            return Explained(found, like.new_zeros(0))
        order = torch.cat([frames for frames, _ in parts]).argsort()
        misfit = torch.cat([part.misfit for part in made])[order]
        return Explained(Localizations.concat([part.localizations for part in made]).sort(), misfit)

    def _frames_together(
        self, found: Localizations, likelihood: Likelihood, expected: Tensor | None, *, alone: bool
    ) -> list[tuple[Tensor, float]]:
        """Numbers of frames that are fitted together, (K,), and the number of molecules expected in each.

        Those of a group have the same price of a molecule. alone: each frame is a group.
        """
        device, total = found.frame.device, len(likelihood)
        rows = _powers_of_two(torch.ones(total, device=device) if expected is None else expected)
        if alone:
            return [(torch.tensor([frame]), float(rows[frame])) for frame in range(total)]
        counts, together = torch.bincount(found.frame, minlength=total), list[tuple[Tensor, float]]()
        for same in rows.unique():
            frames = (rows == same).nonzero()[:, 0]
            for first, last in groups(counts[frames].tolist(), self._footprint(likelihood), device):
                together.append((frames[first:last], float(same)))
        return together

    def _footprint(self, likelihood: Likelihood) -> Footprint:
        height, width = likelihood.frames.shape[1:]
        down, across = self._surface(likelihood, self.spacing_px).shape
        return Footprint(4 + self.fit_blur, self.whole.patch_px, height * width, down * across)

    def bytes_of(self, size: tuple[int, int], molecules: float) -> float:
        """Memory that the fit of a frame (H, W) with so many molecules takes on the processor, beside that for
        its pixels (`MatchedFilter.bytes_per_pixel`), bytes."""
        down, across = SplineBackground.shared(size, self.spacing_px, torch.zeros(0)).shape
        each = 4 + self.fit_blur
        matrix = (each * molecules + down * across) ** 2
        return molecules * each * self.whole.patch_px**2 * _BYTES_OF_DERIVATIVE + matrix * _BYTES_OF_PAIR

    def _network_of(self, frames: Tensor) -> Callable[[Tensor, Tensor], Localizations] | None:
        """The network for the frames of these numbers, (K,), which are counted from 0 then."""
        network = self.network
        return None if network is None else lambda photons, numbers: network(photons, frames[numbers])

    @torch.no_grad()
    def _fit(
        self, found: Localizations, likelihood: Likelihood, search: MatchedFilter, expected: float
    ) -> Explained:
        surface = self._surface(likelihood, self.search_spacing_px)
        selector = self._selector(surface, search, expected)
        best = self._searched(self._start(found, likelihood), likelihood, selector)
        surface, best = self._with_finer_background(best, likelihood, surface, selector)
        # What the selector's model keeps of the last state goes with it: the last fit takes the most memory.
        model = FrameModel(self.whole, surface, self.bounds, Effort(watch=self.watch))
        selector = replace(selector, model=model)
        final, spread = model.fit(best.state, likelihood), None
        if self.rounds:
            starts = EdgeStarts(self.core, self.bounds, search.z, self.spacing_px, self.edges)
            final, spread = AtEdges(selector, starts)(final, likelihood)
        table = self._localizations(final, found, likelihood, surface)
        table = table if spread is None else widened(table, spread)
        return Explained(table, misfit_of_frames(likelihood, final.deviance))

    def _with_finer_background(
        self, best: Refined, likelihood: Likelihood, coarse: SplineBackground, selector: Selector
    ) -> tuple[SplineBackground, Refined]:
        """Refit with the background's final knots, and remove molecules that only represented its structure."""
        fine = self._surface(likelihood, self.spacing_px)
        same = fine.gram_solve(fine.adjoint(coarse.surface(best.state.coefficients)))
        selector = replace(selector, model=self._model(fine))
        start, rounds = replace(best.state, coefficients=same), self.rounds
        fitted = selector.model.fit(start, likelihood, photon_sigma=rounds > 0)
        if rounds:
            fitted = selector.pruned(fitted, likelihood)
            far = misfit_of_frames(likelihood, fitted.deviance) > FAR
            fitted = selector.sure(fitted, likelihood, far)
        return fine, fitted

    def _selector(self, surface: SplineBackground, search: MatchedFilter, expected: float) -> Selector:
        return Selector(
            self._model(surface),
            Proposer(self.core, self.bounds, search, watch=self.watch),
            self.false_alarms,
            self.dim_photons,
            self.most(surface.size),
            expected,
        )

    def _model(self, surface: SplineBackground) -> FrameModel:
        effort = Effort(_TRIAL_ITERATIONS, _TRIAL_SETTLED, _TRIAL_TOLERANCE, self.watch)
        return FrameModel(self.core, surface, self.bounds, effort)

    def _searched(self, start: JointState, likelihood: Likelihood, selector: Selector) -> Refined:
        """The fitted and completed list, with one blur for each molecule where blurs are fitted."""
        complete = searched_with_blurs if self.fit_blur else Selector.completed
        best = complete(selector, start, likelihood, self.rounds)
        if self.rounds and self.network is not None:
            again = SecondPass(self.network, self.search_spacing_px, self.dim_photons)
            best = Passes(selector, again)(best, likelihood, rounds=self.rounds)
        return best

    def _surface(self, likelihood: Likelihood, spacing_px: float) -> SplineBackground:
        height, width = likelihood.frames.shape[1:]
        return SplineBackground.shared((height, width), spacing_px, likelihood.frames)

    def _start(self, found: Localizations, likelihood: Likelihood) -> JointState:
        """Initial guess: photons and background by least squares at the candidates' positions."""
        light, level = fit_light(
            self.core,
            found.xyz,
            found.frame,
            likelihood.frames,
            weight=likelihood.weight,
            noise=likelihood.noise,
            spacing_px=self.search_spacing_px,
        )
        xyz = torch.cat([found.xyz[:, :2], found.xyz[:, 2:].clamp(*self.bounds.z_um)], 1)
        photons = light.clamp(min=self.bounds.photons)
        origin = torch.arange(len(found), device=found.frame.device)
        start = JointState(xyz, photons, found.frame, level, origin=origin)
        # Candidates without light in the least-squares fit are dropped; the search adds missed molecules again.
        return start.rows(light > max(0.1 * self.dim_photons, self.bounds.photons))

    def _localizations(
        self, final: Refined, found: Localizations, likelihood: Likelihood, surface: SplineBackground
    ) -> Localizations:
        """The fitted state as a table, with its Cramér-Rao bounds."""
        state = final.state
        image = LinearImage(self.whole, state, surface, tuple(likelihood.frames.shape))
        sigma, sigma_background = joint_bounds(image, likelihood.information(image.image))
        quality = image.under_spots(likelihood.deviance_image(image.image), likelihood.weight)
        origin = torch.full_like(state.frame, -1) if state.origin is None else state.origin
        probability = torch.full_like(state.photons, 1 - self.false_alarms)
        probability[origin >= 0] = found.probability[origin[origin >= 0]].to(probability)
        return Localizations(
            xyz=state.xyz,
            frame=state.frame,
            photons=state.photons,
            background=at_positions(
                surface.surface(state.coefficients), state.xyz, state.frame, self.whole.pixel_um
            ),
            probability=probability,
            sigma_xyz=self.bounds.stated(state.xyz, sigma),
            sigma_photons=sigma[:, 3],
            sigma_background=sigma_background,
            fit_quality=quality,
            sigma_source="fit",
        )


def _powers_of_two(rows: Tensor) -> Tensor:
    """The powers of two, at least 1, that these numbers reach: frames of about as many have the same price."""
    return rows.clamp(min=1).log2().floor().exp2()


def _of_frames(found: Localizations, frames: Tensor, total: int) -> Localizations:
    """The rows of the frames of these numbers, (K,) of `total`, which are counted from 0 then."""
    place = found.frame.new_full((total,), -1)
    place[frames] = torch.arange(len(frames), device=frames.device)
    number = place[found.frame]
    rows = number >= 0
    return replace(found.select(rows), frame=number[rows])
