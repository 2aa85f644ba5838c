"""Phase retrieval from beads: Zernike polynomials first, then the whole phase, on ever finer pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ...brief import Brief
from ...errors import InputError
from ...optics.computed import ComputedPSFSpec, build_psf
from ...optics.field_aberrations import FieldSpec
from ...optics.masks import PhaseMask, PixelMask
from ...optics.microscope import Microscope
from ...watch import SILENT, Part, Watcher
from ..beads.images import BeadImages, BeadState, first_state
from .bead_model import FocusedPSF
from .coarse_model import CoarseModel
from .cold_start import cold_start
from .degeneracies import defocus_phase, without_tilt
from .first_check import look_at_poses
from .image_selection import by_brightness, evenly, within_reach
from .initial_guess import FirstLook, look_for_focus
from .phase_correction import CorrectedMask, CorrectedPSF, Correction, binned_microscope, binned_phase
from .phase_fit import PhaseFit
from .position_fit import Unknowns, fit_positions
from .residuals import misfit, outliers
from .rounds import Steps, continued, settled
from .starting_phases import Start, families, turned_designs

__all__ = ["Retrieved", "Retriever", "largest_side"]

# Margin around an image for a bead that drifts, px on each side.
_DRIFT_PX = 4
# Images of the first, coarse fit.
_FEW = 30
# Most images of a fit.
_MANY = 330
# Beads that are tried for the coarse fit.
_TRIED_BEADS = 3
# Beads that the coarse fit uses.
_FEW_BEADS = 2
# Largest deviance of a bead for the coarse fit, relative to that of the best bead.
_WORSE = 2.5
# Rounds of the polynomials, and iterations of L-BFGS in each.
_POLYNOMIAL = (6, 10)
# Rounds of the free phase on coarse pixels, and iterations of L-BFGS in each.
_FREE = (3, 12)
# Rounds of the free phase on the mask's pixels, and iterations of L-BFGS in each.
_FINE = (3, 8)
# Unexplained fraction of the light after the first round above which restarts from other phases are tried.
_POOR = 0.12
# Weight of the penalty on squared second differences of neighbouring knots, per rad².
_ROUGHNESS = 3.0


@dataclass(frozen=True, repr=False)
class Retrieved(Brief):
    """Result of a retrieval.

    phase: (h, w) rad on the mask's pixels;  transmission: of the PSF's spec, as given unless the amplitude was
    fitted;  field: of the spec, as given;  psf: with all three;  state: of all images;
    used: (N,) images that the phase was fitted to;  bad: (N,) outliers, with much larger residuals than the
    others (if there are very many good images, not all are used);  first: agreement of the design;  tried:
    number of restarts;  deviance: per pixel over its expectation, of the images used.
    """

    phase: Tensor
    transmission: dict[int, float]
    field: FieldSpec
    psf: FocusedPSF
    state: BeadState
    used: Tensor
    bad: Tensor
    first: FirstLook
    tried: int
    deviance: float


class _Roughness(nn.Module):
    def __init__(self, correction: Correction) -> None:
        super().__init__()
        self.correction = correction

    def forward(self) -> Tensor:
        return _ROUGHNESS * self.correction.roughness()


@dataclass(frozen=True)
class Retriever:
    """Finds the phase that explains images of beads best (Hanser et al. 2004; Petrov et al. 2017).

    spec: of the PSF (its sampling, amplitude and field dependence);  microscope: the set-up;
    design: the mask as designed, the initial guess;  z_um: depth of the beads (in addition to the nominal one
    where that varies), which is fixed, because a free depth is degenerate with a defocus of the phase;
    blur_px: initial guess;  order: highest radial order of the polynomials;  amplitude: also fit the light
    distribution over the pupil;  positions: also fit the positions of the slices, except their zero.
    """

    spec: ComputedPSFSpec
    microscope: Microscope
    design: PhaseMask
    z_um: float
    blur_px: float = 1.0
    order: int = 8
    amplitude: bool = False
    positions: bool = False

    def __call__(self, images: BeadImages, *, watch: Watcher = SILENT) -> Retrieved:
        """Images of one or several beads; about 200 take a minute on two cores.

        Raises InputError where patch and mask sampling do not fit.
        """
        steps = Steps(watch, _POLYNOMIAL[0] + _FREE[0] + _FINE[0])
        base = self.design().detach().double()
        first, images = self._which_way(base, images, steps)
        look = first.stretched if self.positions and first.stretched else first
        base = base + look.offset_um * defocus_phase(self.microscope, base.shape[1], images.moves)
        state = first_state(images, self.z_um, self.blur_px)
        state = replace(state, xy=state.xy + look.shift_px * self.microscope.pixel_um)
        if self.positions:
            state = replace(state, offset_um=(look.stretch - 1) * images.nominal_um())
        return self._stages(images, state, base, first, steps)

    def _which_way(self, base: Tensor, images: BeadImages, steps: Steps) -> tuple[FirstLook, BeadImages]:
        """Agreement of the design; and the images, reversed where only this explains them."""
        few = images.select(evenly(images, by_brightness(images)[:1], _FEW))
        first = self._look(base, few, steps)
        if not first.doubtful:
            return first, images
        steps.tell("turning the design")
        model = CoarseModel(self.microscope, few, self.z_um, self.blur_px)
        poses = look_at_poses(model, few, model.coarse(base))
        if not poses.clearly_backwards:
            return replace(first, poses=poses), images
        first = self._look(base, few.reversed(), steps)
        return replace(first, poses=poses, backwards=True), images.reversed()

    def _look(self, base: Tensor, images: BeadImages, steps: Steps) -> FirstLook:
        steps.tell("looking for the focus")
        factor = self._factor(images.side)
        mask = CorrectedMask(*self._coarse(base, factor), self._correction(images.side))
        psf = build_psf(self.spec, binned_microscope(self.microscope, factor), mask, patch_px=images.side)
        return look_for_focus(psf, images, self.z_um, self.blur_px)

    def _stages(
        self, images: BeadImages, state: BeadState, base: Tensor, first: FirstLook, steps: Steps
    ) -> Retrieved:
        side, factor = images.side, self._factor(images.side)
        correction = self._correction(side)
        quick = self._psf(base, factor, correction, side)
        few = evenly(images, self._sound_beads(quick, correction, images, state, steps), _FEW)
        fit = PhaseFit(quick, images.select(few), state.select(few))
        tried, rounds = 0, _POLYNOMIAL[0] - 1
        sharp = Unknowns(positions=self.positions, blur=False)
        self._round(fit, [correction.coefficients], _POLYNOMIAL[1], sharp, steps, "polynomials")
        # Measured noise may hide what a wrong phase leaves: the first look at the design decides as well.
        if first.doubtful or misfit(fit.psf, fit.images, fit.state).share > _POOR:
            base, tried = self._from_afar(fit, base, correction, steps)
            quick, rounds = self._psf(base, factor, correction, side), 1
            fit = PhaseFit(quick, fit.images, fit.state)
        light = (correction.transmission,) if self.amplitude else ()
        together = Unknowns(positions=self.positions, polynomials=(correction.shapes, *light))
        for _ in range(rounds):
            self._round(fit, [correction.coefficients], _POLYNOMIAL[1], together, steps, "polynomials")
        state = continued(state, fit.state, images, few)
        state = self._placed(quick, images, state)
        bad = outliers(misfit(quick, images, state), images)
        used = within_reach(images, bad, _MANY)
        everything = [correction.coefficients, correction.knots]
        for factor_now, (rounds, iterations), name in ((factor, _FREE, "phase"), (1, _FINE, "finest phase")):
            psf = quick if factor_now == factor else self._psf(base, 1, correction, side)
            fit = PhaseFit(psf, images.select(used), state.select(used))
            for _ in range(rounds):
                self._round(fit, everything, iterations, together, steps, name, _Roughness(correction))
            state = state.with_part(fit.state, used)
        phase, state = self._without_tilt(state, base, correction)
        light = correction.light or self.spec.transmission
        psf, state, deviance = self._settled(phase, light, images, state, used)
        return Retrieved(phase, light, self.spec.field, psf, state, used, bad, first, tried, deviance)

    def _from_afar(
        self, fit: PhaseFit, base: Tensor, correction: Correction, steps: Steps
    ) -> tuple[Tensor, int]:
        """The phase (K, K) of a search with many restarts, and their number; updates the state of the fit."""
        images, pixels = fit.images, base.shape[1]
        where = images.position_um + fit.state.offset_um[images.plane]
        model = CoarseModel(self.microscope, images, self.z_um, self.blur_px)
        with torch.no_grad():
            here = model.coarse(CorrectedMask(base, self.microscope.mask_pitch, correction)().detach())
        flat, *others = families(model.microscope)
        design = turned_designs(model.coarse(self.design().detach()), model.support)
        starts = [Start("the design", "the design and its polynomials", here), flat, *design, *others]
        # The search reports its own progress, because the number of restarts is not part of the counted rounds.
        watch = Part(steps.watch, steps.count, 0, steps.total)
        found = cold_start(model, replace(images, position_um=where), starts, watch=watch)
        with torch.no_grad():
            correction.coefficients.zero_()
        fit.state = replace(fit.state, xy=found.shift_um, blur_px=fit.state.blur_px.new_tensor(self.blur_px))
        return model.fine(found.phase, pixels), len(starts)

    def _sound_beads(
        self,
        psf: FocusedPSF,
        correction: Correction,
        images: BeadImages,
        state: BeadState,
        steps: Steps,
    ) -> list[int]:
        """Beads for the first fit: the brightest ones that polynomials explain; a doublet would mislead it."""
        if images.beads == 1:
            return [0]
        shares: dict[int, float] = {}
        for bead in by_brightness(images)[:_TRIED_BEADS]:
            steps.tell(f"polynomials, bead {bead + 1} alone")
            rows = evenly(images, [bead], _FEW // 2)
            fit = PhaseFit(psf, images.select(rows), state.select(rows))
            for _ in range(2):
                fit.run([correction.coefficients], _POLYNOMIAL[1])
                fit.state = fit_positions(psf, fit.images, fit.state, Unknowns(depths=False))
            shares[bead] = misfit(psf, fit.images, fit.state).share
            with torch.no_grad():
                correction.coefficients.zero_()
        least = max(min(shares.values()), 0.0)
        return [bead for bead, share in shares.items() if share <= _WORSE * least + 0.02][:_FEW_BEADS]

    def _round(
        self,
        fit: PhaseFit,
        parameters: list[nn.Parameter],
        iterations: int,
        unknowns: Unknowns,
        steps: Steps,
        name: str,
        penalty: nn.Module | None = None,
    ) -> None:
        before = fit.run(parameters, iterations, penalty)
        loss = settled(fit, unknowns, before)
        pixels = float(fit.images.likelihood.pixels.sum())
        steps.done(f"{name}, deviance {2 * loss / max(pixels, 1.0):.3f} per pixel")

    def _without_tilt(self, state: BeadState, base: Tensor, correction: Correction) -> tuple[Tensor, BeadState]:
        """The corrected phase without tilts beyond the design's, which move to the beads' positions."""
        design = self.design().detach().double()
        with torch.no_grad():
            phase = CorrectedMask(base, self.microscope.mask_pitch, correction)().detach()
        phase, shift = without_tilt(phase, design, self.microscope)
        return phase, replace(state, xy=state.xy + shift)

    def _settled(
        self, phase: Tensor, light: dict[int, float], images: BeadImages, state: BeadState, used: Tensor
    ) -> tuple[FocusedPSF, BeadState, float]:
        """The PSF of a phase and amplitude, all images fitted with it, and the deviance of those used."""
        spec = self.spec.with_(transmission=light)
        psf = build_psf(spec, self.microscope, PixelMask(phase), patch_px=images.side + 2 * _DRIFT_PX)
        for _ in range(2):
            state = fit_positions(psf, images, state, Unknowns(depths=False, blur=False))
        return psf, state, misfit(psf, images.select(used), state.select(used)).deviance

    def _correction(self, side: int) -> Correction:
        count = (self.order + 1) * (self.order + 2) // 2
        light = self.microscope.wavelength * self.microscope.focal_length
        spacing = max(self.microscope.mask_pitch, light / (2 * side * self.microscope.camera_pitch))
        return Correction(self.microscope, list(range(2, count + 1)), spacing)

    def _factor(self, side: int) -> int:
        """Binning of mask pixels in the first fits: the largest without wrapping of the image, at most 2."""
        return 2 if 2 * (side + 2 * _DRIFT_PX) <= self.microscope.image_period_px / 2 else 1

    def _coarse(self, base: Tensor, factor: int) -> tuple[Tensor, float]:
        return binned_phase(base, self.microscope, factor), self.microscope.mask_pitch * factor

    def _psf(self, base: Tensor, factor: int, correction: Correction, side: int) -> FocusedPSF:
        mask = CorrectedMask(*self._coarse(base, factor), correction)
        microscope = binned_microscope(self.microscope, factor)
        return CorrectedPSF(self.spec, microscope, mask, side + 2 * _DRIFT_PX)

    def _placed(self, psf: FocusedPSF, images: BeadImages, state: BeadState) -> BeadState:
        """Light and positions of all images, with the present phase and blur."""
        with torch.no_grad():
            fit = PhaseFit(psf, images, state)
            fit.loss()
        state = fit.state
        for turn in range(4):
            unknowns = Unknowns(depths=turn > 1, positions=self.positions, blur=False)
            state = fit_positions(psf, images, state, unknowns)
        return state


def largest_side(microscope: Microscope, spec: ComputedPSFSpec) -> int:
    """Side of the largest image of a bead that the mask's sampling allows, px, odd."""
    side = int(microscope.image_period_px * spec.pupil_oversampling / 2) - 2 * _DRIFT_PX
    side -= 1 - side % 2
    if side < 11:
        raise InputError(
            f"the image of this mask repeats after {microscope.image_period_px:.0f} px: too few to retrieve "
            "a phase",
            "set psf.pupil_oversampling=2 or correct mask_pitch",
        )
    return side
