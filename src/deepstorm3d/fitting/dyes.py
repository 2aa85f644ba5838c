"""Molecules of several dyes in a frame: each is fitted with the PSF of the dye that explains its image best.

The PSFs of the dyes stand in one table, one deeper than the other (`TabulatedPSF.stacked`), so that the joint
fit, its search and its uncertainties are those of one PSF. A molecule moves from one dye to another only by
trial, in its neighbourhood, with its neighbours fitted again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..emitters import Localizations
from ..optics.psf import PSF, on_axis
from ..optics.tabulated import TabulatedPSF
from .background import SplineBackground
from .changes import APART_UM, Changes
from .crowd import expected_molecules
from .frame_model import FrameModel
from .joint import JointFit
from .likelihood import Likelihood
from .neighbourhoods import Neighbourhoods
from .photometry import fit_light
from .refine import Effort, Refined
from .rivals import outdone
from .state import JointState

__all__ = ["DyeFit", "DyesInFrames"]

_ROUNDS = 3  # largest number of times that every molecule is tried with every other dye
_LEAST_GAIN = 0.5  # decrease of the deviance from which on a molecule is taken for one of another dye
_DEPTH_STEP_UM = 0.05  # distance of the depths at which the PSFs of two dyes are compared


@dataclass(frozen=True)
class DyesInFrames:
    """The molecules of frames with the dyes that explain them.

    localizations: places and σ by the PSF of each molecule's own dye, without the column;
    dye: (N,) int64 of each, from 0;
    deviance: (N, K) float64, of the frames if the molecule is of dye k, with its neighbours fitted again, less
    that of the list: 0 for its own;  others: (N, M), the same for other wavelengths, which are no dye's;
    excess: (N,) by how many standard deviations of noise the mean deviance under its spot exceeds 1.
    """

    localizations: Localizations
    dye: Tensor
    deviance: Tensor
    others: Tensor
    excess: Tensor


class DyeFit:
    """Joint fit of molecules of K dyes in one channel.

    fits: of single frames, one for each dye, with PSFs tabulated over the same depths and blurs;
    others: of M other wavelengths, with which a molecule of the list is only compared.
    Raises ValueError for other PSFs (`TabulatedPSF.stacked`).
    """

    def __init__(self, fits: Sequence[JointFit], others: Sequence[JointFit] = ()) -> None:
        first, alone = fits[0], _table(fits[0].core)
        self.dyes, self.step_um, self._z_um = len(fits), alone.stack_step_um, alone.z_range
        self.psfs = self.dyes + len(others)
        deepest = self.step_um * (self.dyes - 1)
        self._deepest = self.step_um * (self.psfs - 1)
        cores = [each.core for each in (*fits, *others)]
        bounds = replace(first.bounds, z_um=(first.bounds.z_um[0], first.bounds.z_um[1] + deepest))
        self.bounds = first.bounds
        """Range of the unknowns of the molecules of each dye."""
        self.joint = replace(
            first,
            core=_stacked(cores),
            whole=_stacked([each.whole for each in fits]),
            bounds=bounds,
            z_um=(first.z_um[0], first.z_um[1] + deepest),
        )
        """The fit of all dyes together; a molecule of dye k is k · `step_um` deeper than it is."""
        self._alike = [[_most_alike(_table(one), _table(two)) for two in cores] for one in cores[: self.dyes]]

    @torch.no_grad()
    def __call__(self, found: Localizations, likelihood: Likelihood) -> DyesInFrames:
        """The molecules of B frames.

        found: candidates, rows of frames 0 … B−1, at depths as the first dye would have them. They are placed
        and tried with the other dyes; the list is completed and pruned with the PSFs of all dyes, and every
        molecule is tried with the other dyes again.
        Raises Interrupted where the watcher of the first fit stops it.
        """
        only_places = replace(self.joint, rounds=0)
        placed = self._of_better_dyes(only_places(found, likelihood), likelihood)
        expected = expected_molecules(placed, len(likelihood))
        listed = self._of_better_dyes(self.joint(placed, likelihood, expected), likelihood)
        final = only_places(listed, likelihood)
        dye = self.dye_of(final.xyz)
        deviance = torch.zeros(len(final), self.psfs, dtype=torch.float64, device=dye.device)
        if len(final):
            model, state = self._fitted(final, likelihood)
            low, high = self.joint.bounds.z_um
            deepest = high - self.step_um * (self.dyes - 1) + self._deepest
            model = replace(model, bounds=replace(model.bounds, z_um=(low, deepest)))
            for wanted in self._others(dye):
                for rows in _apart(state):
                    near, fitted = self._tried(model, state, likelihood, rows, wanted[rows])
                    deviance[rows, wanted[rows]] = fitted.deviance - near.deviance
        places = final.xyz - self.step_um * on_axis(dye.to(final.xyz))
        own, others = deviance[:, : self.dyes], deviance[:, self.dyes :]
        stated = replace(final, xyz=places, sigma_xyz=self.bounds.stated(places, final.sigma_xyz))
        return DyesInFrames(stated, dye, own, others, self._excess(final))

    def dye_of(self, xyz: Tensor) -> Tensor:
        """The dye of molecules (N, 3) µm of the fit of all dyes, by their depths, (N,) int64 from 0."""
        low, high = self._z_um
        between = self.step_um - (high - low)
        return ((xyz[:, 2] - low + between / 2) / self.step_um).floor().clamp(0, self.dyes - 1).long()

    def _others(self, dye: Tensor) -> Iterator[Tensor]:
        """Each of the other dyes and wavelengths, for molecules of dyes (N,)."""
        for other in range(1, self.dyes):
            yield (dye + other) % self.dyes
        for number in range(self.dyes, self.psfs):
            yield torch.full_like(dye, number)

    def _of_better_dyes(self, found: Localizations, likelihood: Likelihood) -> Localizations:
        """The list with molecules of other dyes where these lower the deviance.

        Only frames in which a molecule changed are fitted and tried again, so that what is found in a frame
        does not depend on the others.
        """
        if not len(found):
            return found
        model, state = self._fitted(found, likelihood)
        frames = torch.arange(state.frames, device=state.frame.device)
        for _ in range(_ROUNDS):
            part, light = state.select(frames), likelihood.select(frames)
            changed = torch.zeros_like(frames, dtype=torch.bool)
            for number in range(1, self.dyes):
                part, those = self._changed(model, part, light, number)
                changed |= those
            if not bool(changed.any()):
                break
            again = part.select(changed.nonzero()[:, 0])
            frames = frames[changed]
            state = state.replace_frames(frames, model.fit(again, likelihood.select(frames)).state)
        assert state.origin is not None
        return replace(found.select(state.origin), xyz=state.xyz, photons=state.photons).sort()

    def _changed(
        self, model: FrameModel, state: JointState, likelihood: Likelihood, number: int
    ) -> tuple[JointState, Tensor]:
        """The state after each molecule was tried with the dye that is `number` further, and in which frames
        one changed, (B,) bool."""
        assert state.origin is not None
        frames = torch.zeros(state.frames, dtype=torch.bool, device=state.frame.device)
        for chosen in [state.origin[rows] for rows in _apart(state)]:
            assert state.origin is not None
            # The order of rows changes with each change; their origin stays.
            rows = torch.isin(state.origin, chosen).nonzero()[:, 0]
            wanted = (self.dye_of(state.xyz[rows]) + number) % self.dyes
            near, fitted = self._tried(model, state, likelihood, rows, wanted)
            taken = near.deviance - fitted.deviance > _LEAST_GAIN
            if bool(taken.any()):
                frames[state.frame[rows[taken]]] = True
                state = near.merged(fitted.state, taken, torch.zeros_like(taken))
        return state, frames

    def _tried(
        self, model: FrameModel, state: JointState, likelihood: Likelihood, rows: Tensor, wanted: Tensor
    ) -> tuple[Neighbourhoods, Refined]:
        """The neighbourhoods of rows (M,), no two of which are one, fitted with these as the dyes wanted."""
        number = torch.arange(len(rows), device=rows.device)
        new = replace(
            state.rows(rows),
            xyz=self._as_dye(state.xyz[rows], wanted),
            frame=number,
            coefficients=state.coefficients.new_zeros(len(rows), 1, 1),
        )
        level = torch.ones_like(state.photons[rows])
        changes = Changes(state.frame[rows], state.xyz[rows, :2], level, rows, number, new)
        near = Neighbourhoods(model, state, model.image(state, likelihood), likelihood, changes)
        return near, near.model.fit(near.changed(), near.likelihood)

    def _as_dye(self, xyz: Tensor, wanted: Tensor) -> Tensor:
        """Molecules at the depths at which the dyes wanted look most like them."""
        dye, places = self.dye_of(xyz), xyz.clone()
        low, _ = self._z_um
        for one in range(self.dyes):
            for two in range(self.psfs):
                rows = (dye == one) & (wanted == two)
                depths = self._alike[one][two].to(xyz)
                place = ((xyz[rows, 2] - one * self.step_um - low) / _DEPTH_STEP_UM).round().long()
                places[rows, 2] = depths[place.clamp(0, len(depths) - 1)] + two * self.step_um
        return places

    def _fitted(self, found: Localizations, likelihood: Likelihood) -> tuple[FrameModel, JointState]:
        """The image model of the frames, and the list with its background fitted by it."""
        joint, frames = self.joint, likelihood.frames
        surface = SplineBackground.shared((frames.shape[1], frames.shape[2]), joint.spacing_px, frames)
        model = FrameModel(joint.core, surface, joint.bounds, Effort(watch=joint.watch))
        _, level = fit_light(
            joint.core,
            found.xyz,
            found.frame,
            frames,
            weight=likelihood.weight,
            noise=likelihood.noise,
            spacing_px=joint.spacing_px,
        )
        middle = torch.full_like(found.photons, sum(joint.bounds.blur_px) / 2)
        start = JointState(
            found.xyz,
            found.photons.clamp(min=joint.bounds.photons),
            found.frame,
            level,
            blur_px=middle if joint.fit_blur else None,
            origin=torch.arange(len(found), device=found.frame.device),
        )
        return model, model.fit(start, likelihood).state

    def _excess(self, found: Localizations) -> Tensor:
        """How far the mean deviance under each spot is above 1, in standard deviations of noise."""
        spots = self.joint.whole(found.xyz).values.flatten(1).double()
        scatter = (2 * spots.square().sum(1)).sqrt() / spots.sum(1).clamp(min=1e-9)
        return (found.fit_quality.double() - 1) / scatter.clamp(min=1e-9)


def _table(psf: PSF) -> TabulatedPSF:
    if not isinstance(psf, TabulatedPSF):
        raise ValueError("dyes are fitted with tabulated PSFs")
    return psf


def _stacked(psfs: Sequence[PSF]) -> TabulatedPSF:
    first, *others = map(_table, psfs)
    return first.stacked(others)


@torch.no_grad()
def _most_alike(one: TabulatedPSF, two: TabulatedPSF) -> Tensor:
    """Depths at which one dye looks most like the other at each depth, every `_DEPTH_STEP_UM` from the first.

    By the correlation of their images on the optical axis.
    """
    low, high = one.z_range
    device = one.planes_array().device
    depths = torch.arange(round((high - low) / _DEPTH_STEP_UM) + 1, device=device) * _DEPTH_STEP_UM + low
    images = [psf(on_axis(depths)).values.flatten(1) for psf in (one, two)]
    first, second = (each / each.norm(dim=1, keepdim=True).clamp(min=1e-12) for each in images)
    return depths[(first @ second.mT).argmax(1)]


def _apart(state: JointState) -> Iterator[Tensor]:
    """Rows (M,) of a state, each once, in sets of which no two of a frame are neighbours (`APART_UM`)."""
    waiting = torch.arange(len(state), device=state.frame.device)
    reach = torch.full_like(state.photons, APART_UM)
    while len(waiting):
        order = waiting.to(state.photons)
        beaten = outdone(state.xyz[waiting, :2], state.frame[waiting], -order, reach[waiting])
        yield waiting[~beaten]
        waiting = waiting[beaten]
