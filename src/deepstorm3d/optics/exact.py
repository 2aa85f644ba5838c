"""Exact point spread functions: fields propagate from the pupil through the mask onto a patch of pixels."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..errors import InputError
from .blur import gaussian_blur_valid, gaussian_radius
from .field_aberrations import FieldSpec
from .mask_shift import footprint_um
from .masks import PhaseMask
from .microscope import Microscope
from .psf import Patches, device_of, patch_corner
from .pupil import Pupil, fit_to_pupil
from .zernike import zernike_basis

__all__ = ["ExactPSF"]

# Smallest depth for the exponential decay of supercritical light, µm; below it the factor is constant. A
# table's spline needs a smooth function around z = 0, but farther into the glass the exponential would become
# too large.
_HIGHEST_UM = -0.5


class ExactPSF(nn.Module):
    """Image of a point source from one or several fields in the pupil that do not interfere.

    Each field E_c is multiplied by the phase exp(iφ) of the mask, exp(i k_s z cosθ_s) of the depth (a decay if
    cosθ_s is imaginary), exp(−i k_i NFP cosθ_i) of the focus and exp(2πi M (xξ + yη)/(λf)) of the lateral
    position. The camera records (p_m p_c/(λf))² Σ_c |Fourier transform of E_c|² / Σ|E|² at its pixel centres,
    which sums to 1 over the plane at every depth. Nehme et al. 2020, Methods; matrix Fourier transform: Soummer
    et al. 2007.

    pupil: its samples;  fields: (K, C, K) for η, field, ξ, real or complex, in any unit;
    across: aberrations that change across the field of view;  other arguments as in the subclasses `ScalarPSF`
    and `VectorialPSF`. The device is that of the mask.
    Attribute `chunk`: emitters computed at once, which bounds the memory; it may be set on an object.

    Raises InputError if the image of the sampled mask repeats within the patch (sampling of the mask too
    coarse), if the patch is even, and if the mask does not cover the aperture.
    """

    chunk: int = 32
    _axis: Tensor
    _fields: Tensor
    _kz: Tensor
    _kz_immersion: Tensor
    _decay: Tensor | None
    _ring_decay: Tensor
    _ring_light: Tensor
    _modes: Tensor
    _gradients: Tensor

    def __init__(
        self,
        microscope: Microscope,
        mask: PhaseMask,
        pupil: Pupil,
        fields: Tensor,
        *,
        patch_px: int,
        blur_px: float,
        across: FieldSpec | None = None,
    ) -> None:
        super().__init__()
        if patch_px < 1 or patch_px % 2 == 0:
            odd = max(1, patch_px + 1)
            raise InputError(f"a patch of {patch_px} px has no middle pixel; use {odd} px")
        _refuse_folding(microscope, patch_px, pupil.oversampling)
        # A mask of the wrong size is an error already here, not at the first image.
        fit_to_pupil(mask().detach(), microscope, radius=pupil.radius)
        self.microscope, self.mask = microscope, mask
        self.patch_px, self.blur_px = patch_px, blur_px
        self.oversampling, self._radius = pupil.oversampling, pupil.radius
        # Phase of the transform per µm in the mask plane and camera pixel, rad: 2π p_c/(λf).
        lambda_f = microscope.wavelength * microscope.focal_length
        self._frequency = 2 * torch.pi * microscope.camera_pitch / lambda_f
        light = fields.abs().square().sum(1)
        fields = fields * (pupil.pitch * microscope.camera_pitch / lambda_f / light.sum().sqrt())
        # Stored as pairs of real numbers, because casting a module to single precision drops imaginary parts.
        values = torch.view_as_real(fields) if fields.is_complex() else fields
        self.register_buffer("_fields", values, persistent=False)
        self.register_buffer("_axis", pupil.axis, persistent=False)
        self.register_buffer("_kz", pupil.kz_sample, persistent=False)
        self.register_buffer("_kz_immersion", pupil.kz_immersion, persistent=False)
        ring = pupil.decay > 0
        self.register_buffer("_decay", pupil.decay if bool(ring.any()) else None, persistent=False)
        self.register_buffer("_ring_decay", pupil.decay[ring], persistent=False)
        self.register_buffer("_ring_light", light[ring] / light.sum(), persistent=False)
        self.across = FieldSpec() if across is None else across
        rises = self.across.rises
        radius = microscope.aperture_radius
        self.register_buffer("_modes", zernike_basis(list(rises), pupil.axis, radius), persistent=False)
        table = torch.tensor(list(rises.values()), dtype=torch.float64).reshape(-1, 2)
        self.register_buffer("_gradients", table, persistent=False)
        self.to(device_of(mask))

    @property
    def pixel_um(self) -> float:
        """Camera pixel in the sample, µm."""
        return self.microscope.pixel_um

    @property
    def pupil_samples(self) -> int:
        """Number of complex values of one molecule's field in the pupil: samples times fields."""
        return self._kz.numel() * self._fields.shape[1]

    def forward(
        self,
        xyz: Tensor,
        blur_px: Tensor | None = None,
        *,
        focus_um: Tensor | None = None,
        place: Tensor | None = None,
    ) -> Patches:
        """xyz: (N, 3) µm;  blur_px: (N,) px or None;  returns N patches, in the precision of xyz.

        focus_um: (N,) nominal focal plane of each image, for example of a z-stack with a moving objective;
        None: the microscope's.  place: (N, 2) field position, across and down from the middle, −½ to ½, for
        aberrations that change across the field or a mask off the pupil plane; None: the middle. It is a
        separate argument because xyz may be measured from any origin.
        """
        patches, _ = self._in_chunks(xyz, blur_px, focus_um, place, with_derivatives=False)
        return patches

    def derivatives(
        self, xyz: Tensor, blur_px: Tensor | None = None, *, in_blur: bool = False
    ) -> tuple[Patches, Tensor]:
        """The patches, and their exact derivatives with respect to x, y, z: (N, 3, h, w), per µm.

        in_blur: add the derivative with respect to the blur, per px (a central difference over 0.02 px).

        The field is differentiated before the transform: dE/dx = 2πi M ξ/(λf)·E, dE/dz = i k_s cosθ_s·E,
        and dI = 2 Re(Ē* dĒ).
        """
        patches, slopes = self._in_chunks(xyz, blur_px, None, None, with_derivatives=True)
        if in_blur:
            blur = torch.full_like(xyz[:, 0], self.blur_px) if blur_px is None else blur_px
            sharper, softer = (self(xyz, (blur + side).clamp(min=0)).values for side in (-0.01, 0.01))
            slopes = torch.cat([slopes, ((softer - sharper) / 0.02)[:, None]], 1)
        return patches, slopes

    def _in_chunks(
        self,
        xyz: Tensor,
        blur_px: Tensor | None,
        focus_um: Tensor | None,
        place: Tensor | None,
        *,
        with_derivatives: bool,
    ) -> tuple[Patches, Tensor]:
        blur = torch.full_like(xyz[:, 0], self.blur_px) if blur_px is None else blur_px
        corner, offset = patch_corner(xyz, self.pixel_um, self.patch_px)
        pupil, which = self._fields_at(place, xyz)
        margin = gaussian_radius(float(blur.detach().max()) if len(blur) else 0.0)
        intensity = partial(self._intensity, margin=margin, with_derivatives=with_derivatives)
        if pupil.requires_grad and torch.is_grad_enabled():
            # A trainable mask: storing the fields of all molecules for the gradient would fill the memory
            # (telomeres: 8 MB each), so the fields of a chunk are computed again in the backward pass.
            intensity = partial(checkpoint, intensity, use_reentrant=False)
        travel = None if focus_um is None else focus_um - self.microscope.focus
        waves = (
            None if place is None or not len(self._gradients) else place.to(xyz) @ self._gradients.to(xyz).mT
        )
        images = [
            intensity(
                pupil if which is None else pupil[which[rows]],
                offset[rows],
                xyz[rows, 2],
                None if travel is None else travel[rows],
                None if waves is None else waves[rows],
            )
            for rows in torch.arange(len(xyz), device=xyz.device).split(self.chunk)
        ]
        side = self.patch_px + 2 * margin
        layers = 4 if with_derivatives else 1
        stack = torch.cat(images) if images else xyz.new_zeros(0, layers, side, side)
        stack = gaussian_blur_valid(stack, blur, margin)
        values = stack[:, 0]
        return Patches(values, corner, values.sum((-2, -1))), stack[:, 1:]

    def _fields_at(self, place: Tensor | None, xyz: Tensor) -> tuple[Tensor, Tensor | None]:
        """Fields of the middle (K, C, K); or of P field positions (P, K, C, K), with their indices (N,)."""
        if place is None or self.across.mask_offset == 0 or not len(xyz):
            return self._in_focus_field(xyz.dtype), None
        places, which = torch.unique(place.detach().double(), dim=0, return_inverse=True)
        shifts = footprint_um(self.across, self.microscope, places).tolist()
        return torch.stack([self._in_focus_field(xyz.dtype, (x, y)) for x, y in shifts]), which

    def _in_focus_field(self, dtype: torch.dtype, shift_um: tuple[float, float] = (0.0, 0.0)) -> Tensor:
        """Fields of a molecule at z = 0, with unit total intensity, shifted on the mask: (K, C, K)."""
        mask = self.mask.crossed_at(shift_um, self.microscope)
        phase = fit_to_pupil(mask, self.microscope, oversampling=self.oversampling, radius=self._radius)
        angle = (phase.double() - self._kz_immersion.double() * self.microscope.focus)[:, None]
        values = self._fields.double()
        if values.dim() == 4:
            field = torch.view_as_complex(values) * torch.polar(torch.ones_like(angle), angle)
        else:
            field = torch.polar(values, angle)
        return field.to(torch.complex128 if dtype == torch.float64 else torch.complex64)

    def _light(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Detected light relative to z = 0, and its derivative per µm: (N,) each."""
        decay, light = 2 * self._ring_decay.to(z.dtype), self._ring_light.to(z.dtype)
        left = light * torch.exp(-decay * z.clamp(min=_HIGHEST_UM)[:, None])
        return 1 - light.sum() + left.sum(1), -(left @ decay) * (z >= _HIGHEST_UM)

    def _intensity(
        self,
        pupil: Tensor,
        offset: Tensor,
        z: Tensor,
        travel: Tensor | None,
        waves: Tensor | None,
        margin: int,
        with_derivatives: bool,
    ) -> Tensor:
        """Intensity on the patch widened by `margin`, and its derivatives: (n, 1 or 4, side, side).

        travel: (n,) µm, movement of the objective from the microscope's nominal focal plane, or None;
        waves: (n, P) rad, Zernike coefficients at each field position, or None.
        """
        axis, rate = self._axis.to(z.dtype), 1j * self._kz.to(z.dtype)
        field = pupil * self._propagation(z, travel, waves)[:, :, None]
        half = self.patch_px // 2 + margin
        pixels = torch.arange(-half, half + 1, dtype=z.dtype, device=z.device)
        # Rows of these matrices are camera pixels, columns mask samples; the emitter's offset shifts the rows.
        angle = -self._frequency * axis * (pixels[:, None] - offset[:, :, None, None])
        to_columns, to_rows = torch.polar(torch.ones_like(angle), angle).unbind(1)
        rows_done = _onto_rows(to_rows, field)
        image = _onto_columns(rows_done, to_columns)
        intensity = (image.real.square() + image.imag.square()).sum(2)
        light = None if self._decay is None else self._light(z)
        if not with_derivatives:
            return (intensity if light is None else intensity / light[0][:, None, None])[:, None]
        tilt = 1j * self._frequency / self.pixel_um * axis
        along_x = _onto_columns(rows_done, to_columns * tilt)
        along_y = _onto_columns(_onto_rows(to_rows * tilt, field), to_columns)
        if self._decay is not None:
            rate = rate - self._decay.to(z.dtype) * (z >= _HIGHEST_UM)[:, None, None]
        along_z = _onto_columns(_onto_rows(to_rows, field * rate.unsqueeze(-2)), to_columns)
        slopes = [(2 * (image.conj() * d).real).sum(2) for d in (along_x, along_y, along_z)]
        stack = torch.stack([intensity, *slopes], 1)
        if light is None:
            return stack
        relative, change = (part[:, None, None, None] for part in light)
        stack = stack / relative
        return stack - torch.nn.functional.pad(stack[:, :1] * (change / relative), (0, 0, 0, 0, 3, 0))

    def _propagation(self, z: Tensor, travel: Tensor | None, waves: Tensor | None) -> Tensor:
        """Factor of the fields for depth, objective movement and field position: (n, K, K) complex."""
        defocus = self._kz.to(z.dtype) * z[:, None, None]
        if waves is not None:
            defocus = defocus + torch.einsum("np,phw->nhw", waves, self._modes.to(z.dtype))
        if travel is not None:
            defocus = defocus - self._kz_immersion.to(z.dtype) * travel[:, None, None]
        if self._decay is None:
            return torch.polar(torch.ones_like(defocus), defocus)
        depth = z.clamp(min=_HIGHEST_UM)[:, None, None]
        return torch.polar(torch.exp(-self._decay.to(z.dtype) * depth), defocus)


def _onto_rows(to_rows: Tensor, field: Tensor) -> Tensor:
    """The transform along η: (n, p, K) times (n, K, C, K) gives (n, p, C, K); all fields in one product."""
    return (to_rows @ field.flatten(2)).unflatten(2, field.shape[2:])


def _onto_columns(rows: Tensor, to_columns: Tensor) -> Tensor:
    """The transform along ξ: (n, p, C, K) times (n, p, K) gives (n, p, C, p)."""
    return (rows.flatten(1, 2) @ to_columns.mT).unflatten(1, rows.shape[1:3])


def _refuse_folding(microscope: Microscope, patch_px: int, oversampling: int) -> None:
    """Raise InputError if the image of the sampled mask repeats within patch and PSF."""
    period = microscope.image_period_px * oversampling
    if 2 * patch_px > period:
        largest = 2 * int((period / 2 - 1) / 2) + 1
        enough = math.ceil(2 * patch_px / microscope.image_period_px)
        raise InputError(
            f"a patch of {patch_px} px and a PSF of that extent do not fit into the {period:.0f} px after "
            f"which the image of this mask repeats; use a patch of at most {largest} px "
            f"or pupil oversampling {enough}"
        )
