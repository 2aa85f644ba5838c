"""The joint Fisher information of all molecules of a frame and its background, and the Cramér-Rao bounds."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from . import compiled
from .lapack import of_each
from .linear import LinearImage
from .matrices import Order, fisher_matrices

__all__ = ["joint_bounds", "joint_covariances"]

_TILE_PX = (
    128  # side of the squares in which a frame is processed, px; each uses only the molecules that reach it
)


def joint_bounds(image: LinearImage, information: Tensor) -> tuple[Tensor, Tensor]:
    """Cramér-Rao bounds of all molecules fitted together with their background.

    image: linear around the state;  information: (B, H, W) of the pixels (`Likelihood.information`).
    Returns σ (N, p) of x, y, z (µm), photons (, blur), and (N,) σ of the background at each molecule's
    centre.
    σ_i² = (F⁻¹)_ii with F_ij = Σ (∂μ/∂θ_i)(∂μ/∂θ_j)·information (Ober, Ram & Ward 2004).
    """
    if image.is_compiled:
        found = compiled.bounds(image, information)
        if found is not None:
            return found[0].to(information), found[1].to(information)
    shape = (len(information), *image.background.shape)
    order = Order.of(image.frame, image.jacobian.shape[1], information.new_empty(shape))
    if order.is_small(information[0].numel() if len(information) else 0):
        return _bounds_together(image, information, order)
    sigma = torch.zeros(image.jacobian.shape[:2], device=information.device, dtype=torch.float64)
    level = torch.zeros(len(sigma), device=information.device, dtype=torch.float64)
    for frame, covariance in joint_covariances(image, information):
        rows = (image.frame == frame).nonzero()[:, 0]
        variances = covariance.diagonal().clamp(min=0)
        unknowns = len(rows) * sigma.shape[1]
        sigma[rows] = variances[:unknowns].view(len(rows), sigma.shape[1]).sqrt()
        weights = image.background.at(image.assembly.middle[rows], image.frame[rows]).flatten(1).double()
        spread = ((weights @ covariance[unknowns:, unknowns:]) * weights).sum(1)
        level[rows] = spread.clamp(min=0).sqrt()
    return sigma.to(information), level.to(information)


def _bounds_together(image: LinearImage, information: Tensor, order: Order) -> tuple[Tensor, Tensor]:
    """`joint_bounds` by the inverses of all frames at a time."""
    covariance = _inverse(fisher_matrices(image, information, order).double())
    variance = covariance.diagonal(dim1=1, dim2=2)[:, : order.molecules].reshape(-1, order.each)[order.slot]
    sigma = variance.clamp(min=0).sqrt().to(information)
    weights = image.background.at(image.assembly.middle, image.frame).flatten(1).double()
    placed = order.places(weights[:, None])
    smooth = covariance[:, order.molecules :, order.molecules :]
    level = ((placed @ smooth) * placed).sum(2).reshape(-1)[order.slot]
    return sigma, level.clamp(min=0).sqrt().to(information)


def joint_covariances(image: LinearImage, information: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield each frame's number and the inverse of its Fisher matrix, float64.

    Order of the rows: the frame's molecules with p unknowns each, then the background's coefficients.
    """
    weighted = image.jacobian * image.assembly.cut(information).flatten(1)[:, None]
    crossing = image.background_cross(weighted)
    gram = image.background.weighted_gram(information)
    del weighted
    for frame in range(len(information)):
        rows = (image.frame == frame).nonzero()[:, 0]
        cross = crossing[rows].flatten(0, 1)
        own, smooth = cross.shape
        # In double precision at once, and scaled in its place: in a large frame it is the largest array.
        matrix = torch.empty(own + smooth, own + smooth, dtype=torch.float64, device=cross.device)
        matrix[:own, :own] = _between_molecules(image, information[frame], rows)
        matrix[:own, own:], matrix[own:, :own], matrix[own:, own:] = cross, cross.mT, gram[frame]
        yield frame, _inverse(matrix)
        del matrix


def _between_molecules(image: LinearImage, information: Tensor, rows: Tensor) -> Tensor:
    """Information about the molecules `rows` of one frame (H, W): (n·p, n·p)."""
    unknowns = image.jacobian.shape[1]
    total = information.new_zeros(len(rows), unknowns, len(rows), unknowns)
    height, width = information.shape
    for top in range(0, height, _TILE_PX):
        for left in range(0, width, _TILE_PX):
            box = (top, min(top + _TILE_PX, height), left, min(left + _TILE_PX, width))
            near = image.assembly.reaching(rows, box).nonzero()[:, 0]
            if not len(near):
                continue
            dense = image.assembly.dense(image.jacobian[rows[near]], rows[near], box)
            pixels = information[box[0] : box[1], box[2] : box[3]].reshape(-1)
            product = (dense * pixels) @ dense.mT
            part = product.view(len(near), unknowns, len(near), unknowns)
            total[near[:, None, None, None], torch.arange(unknowns, device=near.device)[:, None, None],
                  near[:, None], torch.arange(unknowns, device=near.device)] += part  # fmt: skip
    return total.view(len(rows) * unknowns, len(rows) * unknowns)


def _inverse(matrix: Tensor) -> Tensor:
    """Inverse of information matrices (…, n, n), scaled to a unit diagonal first, in their place.

    The ridge gives a molecule without any signal (outside its frame) a large, finite variance.
    """
    diagonal = matrix.diagonal(dim1=-2, dim2=-1).clamp(min=1e-20)
    scale = diagonal.rsqrt()
    unit = matrix.mul_(scale[..., :, None]).mul_(scale[..., None, :])
    unit.diagonal(dim1=-2, dim2=-1).add_(1e-7)
    inverse = of_each(lambda each: torch.linalg.inv_ex(each).inverse, unit)
    return inverse.mul_(scale[..., :, None]).mul_(scale[..., None, :])
