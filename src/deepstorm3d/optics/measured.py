"""A measured PSF: planes from beads, and the spline through them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePath
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..psf_volume import PSFVolume
from ..spec import quantity
from .blur import gaussian_radius
from .microscope import Microscope
from .psf import Images, Patches, device_of, on_axis, patch_corner
from .psf_spec import PSFFiles, PSFSpec
from .tabulated import TabulatedPSF

__all__ = ["MeasuredPSFSpec", "check_volume", "sample_volume", "spline_psf", "widest_patch_px"]

# Largest relative difference of pixel sizes that count as equal: over a patch of 60 px it shifts images by 0.15
# px.
_PIXEL_TOLERANCE = 0.005
_DEPTH_TOLERANCE = 0.01  # rounding error allowed for depths in files, as a fraction of a step
_MOST_LIGHT = 1.1  # largest sum of a plane, as a fraction of a molecule's light; it is above 1 because of noise


class _OnPlanes(nn.Module):
    """Images of molecules at pixel centres from the plane nearest to their depth, as a table needs them.

    Beyond the ends the planes are extrapolated by reflection through the end point, so that the spline keeps
    its slope there.  own_px: blur that the planes already contain; for a larger blur the difference of the
    variances is added.
    """

    _planes: Tensor

    def __init__(self, volume: PSFVolume, own_px: float) -> None:
        super().__init__()
        self.volume, self.own_px = volume, own_px
        self.register_buffer("_planes", volume.values, persistent=False)

    @property
    def pixel_um(self) -> float:
        return self.volume.pixel_um

    @property
    def patch_px(self) -> int:
        return self._planes.shape[2]

    def forward(self, xyz: Tensor, blur_px: Tensor | None = None) -> Patches:
        corner, _ = patch_corner(xyz, self.pixel_um, self.patch_px)
        planes, last = self._planes.to(xyz), len(self._planes) - 1
        number = ((xyz[:, 2] - self.volume.z_um) / self.volume.step_um).round().long()
        end = number.clamp(0, last)
        mirrored = (2 * end - number).clamp(0, last)
        values = planes[end] + torch.where((end == number)[:, None, None], 0.0, planes[end] - planes[mirrored])
        if blur_px is not None:
            values = _blurred(values, (blur_px.square() - self.own_px**2).clamp(min=0))
        return Patches(values, corner, values.sum((1, 2)))


def _blurred(images: Tensor, variance: Tensor) -> Tensor:
    """Blur images (N, h, h) by Gaussians of variances (N,) px² in Fourier space, with replicated borders.

    A sampled Gaussian of small variance would add less than its variance.
    """
    most = math.sqrt(float(variance.max())) if len(variance) else 0.0
    # Differences of blurs at the level of rounding errors count as no blur.
    if most < 1e-3:
        return images
    side, border = images.shape[-1], gaussian_radius(most)
    wide = torch.nn.functional.pad(images[:, None], [border] * 4, mode="replicate")[:, 0]
    size = wide.shape[-1]
    down = torch.fft.fftfreq(size, dtype=wide.dtype, device=wide.device)[:, None]
    across = torch.fft.rfftfreq(size, dtype=wide.dtype, device=wide.device)
    damped = torch.exp(-2 * math.pi**2 * variance.to(wide)[:, None, None] * (down.square() + across.square()))
    back = torch.fft.irfft2(torch.fft.rfft2(wide) * damped, s=(size, size))
    return back[:, border : border + side, border : border + side]


def spline_psf(
    volume: PSFVolume,
    blur_px: float = 1.0,
    *,
    blur_range: tuple[float, float] | None = None,
    patch_px: int | None = None,
) -> TabulatedPSF:
    """The cubic spline through the planes, with the interface of every other PSF.

    blur_px: σ that the planes already contain, the smallest possible blur;  blur_range: smallest and largest
    total blur;  patch_px: side, odd; None: the largest possible (`widest_patch_px`).
    Raises InputError for a wider patch.
    """
    widest = widest_patch_px(volume)
    side = widest if patch_px is None else patch_px
    if side > widest:
        raise InputError(_too_wide(side, volume))
    cut = (widest - side) // 2
    inner = volume.values[:, cut : len(volume.values[0]) - cut, cut : len(volume.values[0]) - cut]
    narrow = PSFVolume(inner, volume.pixel_um, volume.z_um, volume.step_um)
    # With a slightly larger step than that of the planes, the table uses exactly these planes.
    step = volume.step_um * (1 + 1e-6)
    blurs = (blur_px, blur_px) if blur_range is None else blur_range
    return TabulatedPSF(_OnPlanes(narrow, blur_px), volume.range_um, z_step=step, blur_range=blurs)


def widest_patch_px(volume: PSFVolume) -> int:
    """Largest side of a patch of the spline through the planes, px."""
    return volume.values.shape[2] - 2 * TabulatedPSF.margin_px


def check_volume(volume: PSFVolume, pixel_um: float, z_um: tuple[float, float], patch_px: int) -> None:
    """Raise InputError if planes have another pixel size, do not cover the depths, or are too narrow.

    pixel_um: of the microscope;  z_um: depth range of the molecules;  patch_px: side of their images.
    """
    if abs(volume.pixel_um / pixel_um - 1) > _PIXEL_TOLERANCE:
        raise InputError(
            f"the measured PSF has pixels of {1000 * volume.pixel_um:.2f} nm, the microscope of "
            f"{1000 * pixel_um:.2f} nm: correct microscope.camera_pitch or microscope.magnification, or "
            "measure the PSF with this camera"
        )
    (first, last), (low, high) = volume.range_um, z_um
    slack = _DEPTH_TOLERANCE * volume.step_um
    if low < first - slack or high > last + slack:
        raise InputError(
            f"the scenes have molecules from {low:g} to {high:g} µm, the measured PSF has planes from "
            f"{first:.4g} to {last:.4g} µm only: narrow emitters.z_um of the scenes, or measure more depth"
        )
    if patch_px > widest_patch_px(volume):
        raise InputError(_too_wide(patch_px, volume))
    most = float(volume.values.sum((1, 2)).max())
    if not 0 < most <= _MOST_LIGHT:
        raise InputError(
            f"the fullest plane of the measured PSF sums to {most:.4g}: the planes must be fractions of a "
            "molecule's light, at most 1 in each; divide them all by one number"
        )


def _too_wide(patch_px: int, volume: PSFVolume) -> str:
    widest = widest_patch_px(volume)
    return (
        f"psf.patch_px is {patch_px}, but planes of {volume.values.shape[2]} px allow patches of {widest} px "
        f"at most (the spline takes {TabulatedPSF.margin_px} px at each border): set psf.patch_px to {widest}, "
        "or measure with larger images (`side_px`)"
    )


@torch.no_grad()
def sample_volume(psf: Images, z_um: tuple[float, float], step_um: float) -> PSFVolume:
    """Sample a PSF, with its own blur, in planes over a depth range that includes both ends.

    The step is adjusted to the range.  The planes are on the device of the PSF.
    Raises InputError for an empty range.
    """
    low, high = z_um
    if not (high > low and step_um > 0):
        raise InputError(f"a depth range of {low:g} to {high:g} µm in steps of {step_um:g} µm holds no planes")
    planes = max(4, math.ceil((high - low) / step_um - 1e-6) + 1)
    z = torch.linspace(low, high, planes, dtype=torch.float64, device=device_of(psf))
    xyz = on_axis(z)
    return PSFVolume(psf(xyz).values.float(), psf.pixel_um, low, (high - low) / (planes - 1))


class MeasuredPSFSpec(PSFSpec):
    """Planes from beads and the spline through them, from `measure-psf` or another program's file.

    It has no mask. Its aberrations are in the planes and equal everywhere in the field.
    """

    patch_limit: ClassVar[str] = "the measured planes (measure a PSF with a larger side)"

    kind: Literal["measured"] = "measured"
    path: str = quantity(
        "",
        "",
        "file of the planes (.tif, .hdf5, .h5, .mat); empty when only its hash is known",
        label="File of the planes",
    )
    sha256: str = quantity("", "", "hash of the planes (depths, shape and float32 values)", label="SHA-256")

    def images(
        self,
        microscope: Microscope,
        source: PSFVolume,
        *,
        patch_px: int | None = None,
        blur_px: tuple[float, float] | None = None,
    ) -> TabulatedPSF:
        """The spline through the planes; by default with the largest possible patch."""
        return spline_psf(source, self.blur_px, blur_range=blur_px, patch_px=patch_px)

    def tabulate(
        self,
        microscope: Microscope,
        source: PSFVolume,
        z_um: tuple[float, float],
        blur_px: tuple[float, float],
        *,
        finer: bool = False,
    ) -> TabulatedPSF:
        """The same spline: one sample per pixel, all depths of the planes, no blur below the record's."""
        return self.images(microscope, source, patch_px=self.patch_px, blur_px=blur_px)

    def source(self, files: PSFFiles, microscope: Microscope, z_um: tuple[float, float]) -> PSFVolume:
        """The planes; raises InputError if their hash is another one, or if they do not fit."""
        planes = files.planes(self.path)
        if self.sha256 and planes.sha256 != self.sha256:
            raise InputError(
                f"{self.path or 'this'} is not the measured PSF of this experiment: its SHA-256 is "
                f"{planes.sha256[:12]}…, expected {self.sha256[:12]}… (psf.sha256)",
                "where another PSF is meant, clear psf.sha256 in the experiment; else name the file of that "
                "one (psf.path)",
            )
        check_volume(planes, microscope.pixel_um, z_um, self.patch_px)
        # A small remaining difference of the pixel sizes is only rounding, so that of the microscope is used.
        return replace(planes, pixel_um=microscope.pixel_um)

    def check_scenes(self, z_um: tuple[float, float], blur_px: tuple[float, float]) -> None:
        """Raise ValueError for molecules with less blur than the planes."""
        if blur_px[0] < self.blur_px:
            raise ValueError(
                f"emitters.blur_px of a scene begins at {blur_px[0]:g} px, but a measured PSF holds "
                f"{self.blur_px:g} px already (psf.blur_px): begin there, or leave it out (null)"
            )

    def check_fit(
        self,
        microscope: Microscope,
        source: PSFVolume,
        z_um: tuple[float, float],
        blur_px: tuple[float, float],
    ) -> None:
        """Raise InputError if planes, depths and patch do not fit together."""
        self.tabulate(microscope, source, z_um, blur_px)

    def depths_um(self, source: PSFVolume) -> tuple[float, float]:
        """Depth of the first and of the last plane, µm."""
        return source.range_um

    @property
    def least_blur_px(self) -> float:
        """The blur of the planes, which cannot be sharpened, px."""
        return self.blur_px

    def widest_patch_px(self, microscope: Microscope, source: PSFVolume) -> int:
        """Largest side of a patch of the spline through the planes, px."""
        return widest_patch_px(source)

    def compact_patch_px(
        self,
        microscope: Microscope,
        source: PSFVolume,
        z_um: tuple[float, float],
        *,
        light: float,
        most_px: int,
    ) -> int:
        """The whole measured patch, px."""
        return widest_patch_px(source)

    @property
    def file_name(self) -> str:
        """Name of the file of the planes."""
        return PurePath(self.path).name

    def renamed(self, rename: Callable[[str], str], source: PSFVolume | None = None) -> Self:
        """The record with another path, and with the hash of the planes if they are given."""
        path = rename(self.path)
        return self.with_(path=path) if source is None else self.with_(path=path, sha256=source.sha256)

    def planes(self, source: PSFVolume) -> PSFVolume:
        """The planes, which every model file must contain."""
        return source
