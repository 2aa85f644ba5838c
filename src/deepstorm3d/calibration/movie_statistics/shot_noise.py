"""The distribution of pixel values that molecules at random places make, in closed form: shot noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["ShotNoise", "band_pass", "filtered"]

Complex = NDArray[np.complex128]
Floats = NDArray[np.float64]

# Number of brightnesses of a molecule at which ψ is computed; between them it is interpolated.
_BRIGHTNESSES = 32
# Largest over smallest of these brightnesses.
_RANGE = 400.0
# Nodes of the Gauss quadrature over a gamma distribution.
_NODES = 12
# Below this |N·G| four terms of the exponential series are right to 3·10⁻⁴.
_SMALL = 0.5


def band_pass(fine_px: float, coarse_px: float) -> Tensor:
    """Difference of two Gaussians of σ fine and coarse, (k, k) float64, of sum 0: no level passes it."""
    reach = math.ceil(3 * coarse_px)
    place = torch.arange(-reach, reach + 1, dtype=torch.float64)
    profiles = [torch.exp(-(place**2) / (2 * sigma**2)) for sigma in (fine_px, coarse_px)]
    fine, coarse = (torch.outer(each, each) / each.sum() ** 2 for each in profiles)
    difference = fine - coarse
    return difference - difference.mean()


def filtered(images: Tensor, kernel: Tensor) -> Tensor:
    """Whole convolution with a (k, k) kernel, real or complex: (n, h, w) → (n, h+k−1, w+k−1)."""
    size = [side + kernel.shape[-1] - 1 for side in images.shape[-2:]]
    if kernel.is_complex():
        return torch.fft.ifft2(torch.fft.fft2(images, s=size) * torch.fft.fft2(kernel, s=size))
    product = torch.fft.rfft2(images, s=size) * torch.fft.rfft2(kernel.to(images), s=size)
    return torch.fft.irfft2(product, s=size)


@dataclass(frozen=True)
class ShotNoise:
    """Log characteristic function of band-passed frames, linear in the density of molecules.

    With λ molecules per pixel at random places and depths, brightnesses N drawn from p(N), a level B and
    Poisson counts, the filtered pixel y = Σ_q h(q)·n(q) has
        log E[exp(iuy)] = λ ∫ p(N) ψ(u, N) dN + B·Σ_q (e^{iuh(q)} − 1) − u² v Σ_q h(q)²/2,
        ψ(u, N) = mean over depth of Σ_p [exp(N·G(p, u)) − 1],  G = PSF ∗ (e^{iuh} − 1),
    v the read variance: Campbell's theorem for the molecules (Rice, Bell Syst. Tech. J. 23:282, 1944), with the
    counting of photons inside.  An electron-multiplying camera makes of e^{iuh} the 1/(1 − iuh) of its gain.

    frequency: (U,) u, 1/photons;  log_brightness: (K,);  psi: (U, K) ψ/N;  level, variance: (U,) what a unit of
    background and of read variance add.
    """

    frequency: Floats
    log_brightness: Floats
    psi: Complex
    level: Complex
    variance: Floats

    @classmethod
    def of(
        cls, spots: Tensor, kernel: Tensor, frequency: Floats, brightest: float, *, multiplied: bool = False
    ) -> ShotNoise:
        """Tables for a PSF, a filter and frequencies.

        spots: (D, h, w) images of molecules at D depths, photon fractions;  kernel: (k, k);  brightest: photons
        up to which brightness is tabulated, from 1/400 of it on;  multiplied: electron-multiplying camera.
        """
        brightness = np.geomspace(brightest / _RANGE, brightest, _BRIGHTNESSES)
        psi = np.empty((len(frequency), _BRIGHTNESSES), np.complex128)
        level = np.empty(len(frequency), np.complex128)
        for row, u in enumerate(frequency):
            step = _counted(float(u) * kernel, multiplied)
            level[row] = complex(step.sum())
            change = filtered(spots.to(torch.complex64), step.to(torch.complex64)).flatten()
            psi[row] = _exponential_sums(change, brightness) / (len(spots) * brightness)
        variance = -(frequency**2) * float(kernel.square().sum()) / 2
        return cls(frequency, np.log(brightness), psi, level, variance)

    def log_characteristic(
        self, density: float, photons: float, spread: float, level: float, read_variance: float
    ) -> Complex:
        """(U,) for λ per pixel, gamma-distributed brightness of a mean and a relative spread, B and v."""
        from scipy.special import roots_genlaguerre

        shape = 1 / spread**2
        nodes, weights = roots_genlaguerre(_NODES, shape - 1)
        brightness = nodes * photons / shape
        place = np.log(brightness)
        of_one = np.stack(
            [
                np.interp(place, self.log_brightness, part.real)
                + 1j * np.interp(place, self.log_brightness, part.imag)
                for part in self.psi
            ]
        )
        molecules = of_one @ (weights / weights.sum() * brightness)
        return density * molecules + level * self.level + read_variance * self.variance


def _counted(phase: Tensor, multiplied: bool) -> Tensor:
    """E[exp(i·phase·electron)] − 1 of one photo-electron, exactly 1 or exponential after multiplication."""
    one = torch.ones_like(phase)
    return 1 / torch.complex(one, -phase) - 1 if multiplied else torch.polar(one, phase) - 1


def _exponential_sums(change: Tensor, brightness: Floats) -> Complex:
    """Σ_p (exp(N·G(p)) − 1) for each N, (K,): by its series where |N·G| is small."""
    size = change.abs()
    sums = np.empty(len(brightness), np.complex128)
    # From bright to dim ever more pixels are small; their power sums only grow.
    order = size.argsort(descending=True)
    ordered, size = change[order], size[order]
    powers = [ordered.to(torch.complex128).pow(k).flip(0).cumsum(0).flip(0) for k in (1, 2, 3, 4)]
    factorials = (1.0, 2.0, 6.0, 24.0)
    for column, photons in enumerate(brightness):
        large = int((size * photons > _SMALL).sum())
        exact = (torch.exp(float(photons) * ordered[:large]) - 1).to(torch.complex128).sum()
        series = 0j
        if large < len(ordered):
            series = sum(
                complex(power[large]) * photons ** (k + 1) / factorials[k] for k, power in enumerate(powers)
            )
        sums[column] = complex(exact) + series
    return sums
