"""How far the images of a further channel lie from where the first one and the transform put them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .covariance import Landscape
from .shared_information import AT_LEAST_KNOWN, shared_information
from .ties import chi_square_point

__all__ = ["Mismatch", "mismatch_of"]


@dataclass(frozen=True)
class Mismatch:
    """Score tests of the ties between the first channel and a further one, added over molecules.

    pull: (3,) and stiffness: (3, 3) float64, of the log-likelihood by a common shift of all images of the
    further channel, in the first one's µm;  compared: molecules with light in both;  apart: those of them that
    do not fit one place.
    """

    pull: Tensor
    stiffness: Tensor
    compared: int
    apart: int

    @classmethod
    def nothing(cls) -> Mismatch:
        """Without any molecule."""
        return cls(torch.zeros(3, dtype=torch.float64), torch.zeros(3, 3, dtype=torch.float64), 0, 0)

    def __add__(self, other: Mismatch) -> Mismatch:
        return Mismatch(
            self.pull + other.pull,
            self.stiffness + other.stiffness,
            self.compared + other.compared,
            self.apart + other.apart,
        )

    @property
    def shift_um(self) -> tuple[Tensor, Tensor]:
        """The shift to which the images pull, and its standard error, (3,) µm each.

        To first order: it is too small where it is as large as the spots.
        """
        covariance = torch.linalg.inv(self.stiffness + AT_LEAST_KNOWN * torch.eye(3).double())
        return covariance @ self.pull, covariance.diagonal().sqrt()


def mismatch_of(
    land: Landscape, channel: int, chance: float, excess_um: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> Mismatch:
    """Of one frame at its fitted state.

    channel: number of the further one;  chance: that a molecule at one place is counted as apart;
    excess_um: on x, y, z, by which the places of one molecule differ beyond their σ (`FurtherChannel`).
    """
    slack = torch.tensor(excess_um, dtype=torch.float64).square().diag()
    sites, total = land.sites, Mismatch.nothing()
    shared, most = shared_information(land), chi_square_point(chance, 3)
    both = sites.seen()[:, [0, channel]].all(1)
    for site in both.nonzero()[:, 0].tolist():
        looks, pulls, information = shared.of_site(site)
        look = int((sites.image[looks] == channel).nonzero()[0, 0])
        pull, stiff = pulls[look], information[look, look]
        variance = torch.linalg.inv_ex(stiff + AT_LEAST_KNOWN * torch.eye(3).double())[0]
        shift = variance @ pull
        gain = shift @ torch.linalg.solve_ex(variance + slack, shift)[0]
        total += Mismatch(pull, stiff, 1, int(float(gain) > most))
    return total
