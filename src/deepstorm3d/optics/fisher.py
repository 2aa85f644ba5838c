"""Fisher information and the Cramér-Rao lower bound of position, photons and background."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from .assembly import Assembly
from .psf import PSF

__all__ = [
    "covariance_of_images",
    "crlb",
    "crlb_of_images",
    "emitter_information",
    "fisher_information",
    "joint_crlb",
    "joint_emitter_information",
    "joint_position_information",
    "position_bounds",
    "position_information",
    "without_nuisance",
]


def fisher_information(
    psf: PSF, xyz: Tensor, photons: Tensor, background: Tensor, blur_px: Tensor | None = None
) -> Tensor:
    """Fisher information of a Poisson image about one emitter's x, y, z, photons and background.

    xyz: (N, 3) µm;  photons, background: (N,) (background in photons per pixel, > 0);
    returns (N, 5, 5) in the order x, y, z (per µm), photons, background.
    F_ij = Σ_pixels (∂μ/∂θ_i)(∂μ/∂θ_j)/μ with μ = photons·psf + background
    (Ober, Ram & Ward 2004; Shechtman et al. 2014).
    """
    patches, slopes = psf.derivatives(xyz, blur_px)
    return _information_of_images(patches.values, slopes, photons, background)


def _information_of_images(values: Tensor, slopes: Tensor, photons: Tensor, background: Tensor) -> Tensor:
    mean = photons[:, None, None] * values + background[:, None, None]
    jacobian = torch.cat(
        [photons[:, None, None, None] * slopes, values[:, None], torch.ones_like(values)[:, None]], 1
    ).flatten(2)
    return (jacobian / mean.flatten(1)[:, None]) @ jacobian.mT


def crlb(psf: PSF, xyz: Tensor, photons: Tensor, background: Tensor, blur_px: Tensor | None = None) -> Tensor:
    """Cramér-Rao bound: smallest standard deviation of any unbiased estimator for a single emitter.

    Arguments as in `fisher_information`; returns (N, 5): σ of x, y, z (µm), photons, background.
    """
    patches, slopes = psf.derivatives(xyz, blur_px)
    return crlb_of_images(patches.values, slopes, photons, background)


def crlb_of_images(values: Tensor, slopes: Tensor, photons: Tensor, background: Tensor) -> Tensor:
    """`crlb` from the images (N, h, w) of one photon, and their derivatives (N, 3, h, w) per µm."""
    correlation, scale = _to_unit_diagonal(_information_of_images(values, slopes, photons, background))
    # The small ridge keeps the bound finite, but large, for parameters without information (no photons).
    ridge = 1e-9 * torch.eye(5, dtype=values.dtype, device=values.device)
    inverse = torch.linalg.inv(correlation + ridge)
    return (inverse.diagonal(dim1=-2, dim2=-1).clamp(min=0)).sqrt() * scale


def joint_crlb(
    psf: PSF,
    xyz: Tensor,
    photons: Tensor,
    frame: Tensor,
    background: Tensor,
    size: tuple[int, int],
    blur_px: Tensor | None = None,
) -> Tensor:
    """Cramér-Rao bound for overlapping molecules: all of a frame and its background estimated together.

    xyz: (N, 3) µm;  photons, frame: (N,);  background: (B,) photons per pixel, > 0;  size: (H, W) of the
    frames;  returns (N, 4): σ of x, y, z (µm), photons.  Differentiable with respect to the PSF's parameters.
    """
    sigma = []
    for rows, information in _of_frames(psf, xyz, photons, frame, background, size, blur_px):
        unit, scale = _to_unit_diagonal(information)
        # The ridge keeps the bound of a molecule without signal finite.
        unit = unit + 1e-7 * torch.eye(len(scale)).to(information)
        variances = torch.linalg.inv(unit).diagonal() * scale.square()
        sigma.append(variances[:-1].clamp(min=1e-20).sqrt().view(len(rows), 4))
    order = torch.argsort(torch.argsort(frame, stable=True), stable=True)
    return torch.cat(sigma)[order] if sigma else xyz.new_zeros(0, 4)


def _of_frames(
    psf: PSF,
    xyz: Tensor,
    photons: Tensor,
    frame: Tensor,
    background: Tensor,
    size: tuple[int, int],
    blur_px: Tensor | None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows of each frame, and its Fisher matrix: x, y, z, photons of each of them, then the background."""
    patches, slopes = psf.derivatives(xyz, blur_px)
    bright = photons[:, None, None]
    shape = (len(background), *size)
    places = Assembly(patches.corner, frame, (patches.values.shape[1], patches.values.shape[2]), shape)
    mean = places.add(places.inside(patches.values * bright)) + background[:, None, None]
    jacobian = torch.cat([bright[:, None] * slopes, patches.values[:, None]], 1).flatten(2)
    for number, image in enumerate(mean):
        rows = (frame == number).nonzero()[:, 0]
        dense = places.dense(jacobian[rows], rows, (0, size[0], 0, size[1]))
        dense = torch.cat([dense, torch.ones_like(image).view(1, -1)])
        yield rows, (dense / image.flatten()) @ dense.mT


def covariance_of_images(information: Tensor) -> Tensor:
    """Cramér-Rao bound of one emitter that C images show, each with photons and background of its own.

    information: (N, C, 5, 5) of each image (`fisher_information`) about x, y, z in common coordinates, and its
    own photons and background; all zeros where an image does not show the emitter.
    Returns (N, 3 + 2·C, 3 + 2·C), float64: the covariance of x, y, z (µm²), then photons and background of each
    image, 0 in the rows of an image that does not show it.
    """
    emitters, images = information.shape[:2]
    whole = information.new_zeros(emitters, 3 + 2 * images, 3 + 2 * images, dtype=torch.float64)
    for number in range(images):
        index = torch.tensor([0, 1, 2, 3 + 2 * number, 4 + 2 * number], device=information.device)
        whole[:, index[:, None], index] += information[:, number].double()
    known = whole.diagonal(dim1=1, dim2=2) > 0
    unit, scale = _to_unit_diagonal(whole)
    unit = unit + torch.diag_embed(torch.where(known, 1e-9, 1.0).to(unit))
    scale = torch.where(known, scale, 0.0)
    return torch.linalg.inv(unit) * scale[..., :, None] * scale[..., None, :]


def position_information(
    psf: PSF, xyz: Tensor, photons: Tensor, background: Tensor, blur_px: Tensor | None = None
) -> Tensor:
    """Information about the position of one emitter whose photons and background are unknown, too.

    Arguments as in `fisher_information`;  returns (N, 3, 3) per µm², float64. Those of independent images
    (channels) of one emitter, each with photons and background of its own, add: F_xx − F_xn F_nn⁻¹ F_nx, with n
    photons and background (the Schur complement).
    """
    return without_nuisance(fisher_information(psf, xyz, photons, background, blur_px), 3)


def emitter_information(psf: PSF, xyz: Tensor, photons: Tensor, background: Tensor) -> Tensor:
    """Information about the position and the photons of one emitter, in this order, (N, 4, 4) float64.

    Its background is unknown. Those of channels that have known shares of its light add, and the photons are
    eliminated then (`without_nuisance`).
    """
    return without_nuisance(fisher_information(psf, xyz, photons, background), 4)


def joint_position_information(
    psf: PSF,
    xyz: Tensor,
    photons: Tensor,
    frame: Tensor,
    background: Tensor,
    size: tuple[int, int],
    blur_px: Tensor | None = None,
) -> list[tuple[Tensor, Tensor]]:
    """The same for overlapping molecules; arguments as in `joint_crlb`.

    Returns, for each frame, its rows (n,) and the information (3n, 3n) per µm² about x, y, z of the first row,
    of the second and so on, where all their photons and the background are unknown.
    """
    frames = _positions_first(psf, xyz, photons, frame, background, size, blur_px)
    return [(rows, without_nuisance(whole, 3 * len(rows))) for rows, whole in frames]


def joint_emitter_information(
    psf: PSF, xyz: Tensor, photons: Tensor, frame: Tensor, background: Tensor, size: tuple[int, int]
) -> list[tuple[Tensor, Tensor]]:
    """The same with the photons: (4n, 4n) about all positions, then all photons (`emitter_information`)."""
    frames = _positions_first(psf, xyz, photons, frame, background, size, None)
    return [(rows, without_nuisance(whole, 4 * len(rows))) for rows, whole in frames]


def _positions_first(
    psf: PSF,
    xyz: Tensor,
    photons: Tensor,
    frame: Tensor,
    background: Tensor,
    size: tuple[int, int],
    blur_px: Tensor | None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """The rows of each frame, and the information about their positions, their photons, the background."""
    for rows, whole in _of_frames(psf, xyz, photons, frame, background, size, blur_px):
        count = len(rows)
        index = torch.arange(4 * count, device=xyz.device).view(count, 4)
        light = torch.cat([index[:, 3], index.new_tensor([4 * count])])
        order = torch.cat([index[:, :3].reshape(-1), light])
        yield rows, whole[order][:, order]


def position_bounds(information: Tensor) -> Tensor:
    """Cramér-Rao bounds from information about positions: (…, k, k) per µm², returns σ (…, k) µm."""
    unit, scale = _to_unit_diagonal(information)
    ridge = 1e-9 * torch.eye(unit.shape[-1], dtype=unit.dtype, device=unit.device)
    return torch.linalg.inv(unit + ridge).diagonal(dim1=-2, dim2=-1).clamp(min=1e-20).sqrt() * scale


def without_nuisance(information: Tensor, kept: int) -> Tensor:
    """Information (…, k, k) about the first `kept` unknowns where the others are unknown: Schur complement."""
    unit, scale = _to_unit_diagonal(information.double())
    own, across, other = unit[..., :kept, :kept], unit[..., :kept, kept:], unit[..., kept:, kept:]
    # The small ridge keeps it finite where a molecule sends no light into this image.
    ridge = 1e-9 * torch.eye(other.shape[-1], dtype=unit.dtype, device=unit.device)
    left = own - across @ torch.linalg.solve(other + ridge, across.mT)
    return left / (scale[..., :kept, None] * scale[..., None, :kept])


def _to_unit_diagonal(information: Tensor) -> tuple[Tensor, Tensor]:
    """Matrices (…, k, k) scaled to a unit diagonal, and the scale (…, k) of each unknown.

    Photons and µm differ by ten orders of magnitude, which an inverse in single precision does not bear.
    """
    scale = information.diagonal(dim1=-2, dim2=-1).clamp(min=1e-30).rsqrt()
    return information * scale[..., :, None] * scale[..., None, :], scale
