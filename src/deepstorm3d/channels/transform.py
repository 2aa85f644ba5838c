"""Where a position of the first channel lies in the second: an affine or polynomial map of x and y."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..errors import InputError
from .polynomials import HIGHEST_DEGREE, degree_of, gradients, terms, terms_of_degree

__all__ = ["Transform"]

# Newton steps of the inverse at most, and the distance at which it has arrived, µm.
_STEPS = 50
_ARRIVED_UM = 1e-12
# A position that Newton's steps cannot bring nearer than this has no place in the first channel, µm.
_LOST_UM = 1e-9


@dataclass(frozen=True)
class Transform:
    """A map from the first channel's µm to the second channel's own µm: x' = Σ c_k · uⁱ vʲ, with u, v the
    position from `centre_um`, over `scale_um`.

    Both channels measure from the centre of the first pixel of their own camera (or of their half of it). All
    is computed in double precision, and returned so.

    Parameters
    ----------
    coefficients : (2, K) tensor
        Of x' and of y', µm, in the order 1; u, v; u², uv, v²; u³, u²v, uv², v³. K is 3 (affine), 6 or 10.
    centre_um : (2,) tensor
        Where u = v = 0, in the first channel.
    scale_um : float
        About half the width of the field, so that the coefficients of all powers are of one size.

    Examples
    --------
    >>> import torch, deepstorm3d as ds
    >>> half = ds.Transform.affine(torch.tensor([[1.0, 0.0], [0.0, -1.0]]), torch.tensor([0.5, 20.0]))
    >>> half.apply(torch.tensor([[3.0, 4.0]]))
    tensor([[ 3.5000, 16.0000]], dtype=torch.float64)
    >>> half.mirrored
    True
    """

    coefficients: Tensor
    centre_um: Tensor
    scale_um: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "coefficients", self.coefficients.detach().to(torch.float64))
        object.__setattr__(self, "centre_um", self.centre_um.detach().to(self.coefficients))
        object.__setattr__(self, "scale_um", float(self.scale_um))
        if self.coefficients.ndim != 2 or len(self.coefficients) != 2 or self.centre_um.shape != (2,):
            raise ValueError(
                f"coefficients must be (2, K) and the centre (2,), got {tuple(self.coefficients.shape)} and "
                f"{tuple(self.centre_um.shape)}"
            )
        degree_of(self.coefficients.shape[1])
        finite = torch.isfinite(self.coefficients).all() and torch.isfinite(self.centre_um).all()
        if not finite or not (math.isfinite(self.scale_um) and self.scale_um > 0):
            raise ValueError("a transform needs finite coefficients, a finite centre and a scale above 0")

    def __repr__(self) -> str:
        """One line: degree, rotation, scale, mirrored or not."""
        name = {1: "affine", 2: "second degree", 3: "third degree"}[self.degree]
        side = ", mirrored" if self.mirrored else ""
        return f"Transform({name}, {self.rotation_degrees:.3f}°, scale {self.magnification:.5f}{side})"

    @classmethod
    def identity(cls) -> Transform:
        """Every position stays where it is."""
        return cls.affine(torch.eye(2), torch.zeros(2))

    @classmethod
    def affine(cls, matrix: Tensor, offset_um: Tensor) -> Transform:
        """matrix · (x, y) + offset.

        Parameters
        ----------
        matrix : (2, 2) tensor
        offset_um : (2,) tensor
        """
        matrix = matrix.to(torch.float64)
        joined = torch.cat([offset_um.to(matrix)[:, None], matrix], dim=1)
        return cls(joined, torch.zeros(2, dtype=torch.float64, device=matrix.device))

    @property
    def degree(self) -> int:
        """1 (affine), 2 or 3."""
        return degree_of(self.coefficients.shape[1])

    @property
    def matrix(self) -> Tensor:
        """The linear part at the centre, (2, 2)."""
        return self.coefficients[:, 1:3] / self.scale_um

    @property
    def mirrored(self) -> bool:
        """Whether the second channel shows the first as a mirror does."""
        return bool(torch.linalg.det(self.matrix) < 0)

    @property
    def rotation_degrees(self) -> float:
        """How far the first channel is turned at the centre, from x towards y; a mirror turns x round first."""
        a, b = self._similarity()
        return math.degrees(math.atan2(b, a))

    @property
    def magnification(self) -> float:
        """How much longer a distance is in the second channel, at the centre, all directions alike."""
        return math.hypot(*self._similarity())

    def _similarity(self) -> tuple[float, float]:
        """Scale times cosine and sine of the rotation nearest to the linear part, its mirror taken out."""
        m = self.matrix.clone()
        if self.mirrored:
            m[:, 0] = -m[:, 0]
        return float(m[0, 0] + m[1, 1]) / 2, float(m[1, 0] - m[0, 1]) / 2

    def counted_from(self, first_um: Tensor, second_um: Tensor) -> Transform:
        """The same map between parts of the two channels, whose positions count from their own first pixels.

        Parameters
        ----------
        first_um, second_um : (2,) tensor
            Where these pixels lie in the channels, µm.

        Returns
        -------
        Transform
        """
        coefficients = self.coefficients.clone()
        coefficients[:, 0] -= second_um.to(coefficients)
        return replace(self, coefficients=coefficients, centre_um=self.centre_um - first_um.to(coefficients))

    def apply(self, xy: Tensor) -> Tensor:
        """Positions in the second channel.

        Parameters
        ----------
        xy : (N, 2) tensor
            In the first channel, µm.

        Returns
        -------
        (N, 2) float64 tensor
            µm.
        """
        return terms(self._local(xy), self.degree) @ self.coefficients.T.to(xy.device)

    def jacobian(self, xy: Tensor) -> Tensor:
        """Derivatives of the position in the second channel by that in the first.

        Parameters
        ----------
        xy : (N, 2) tensor
            In the first channel, µm.

        Returns
        -------
        (N, 2, 2) float64 tensor
            ``[n, i, j]`` is dx'_i / dx_j.
        """
        slopes = gradients(self._local(xy), self.degree) / self.scale_um
        return torch.einsum("ik,nkj->nij", self.coefficients.to(xy.device), slopes)

    def inverse(self, xy: Tensor) -> Tensor:
        """Positions in the first channel, by Newton's steps from the affine part.

        Parameters
        ----------
        xy : (N, 2) tensor
            In the second channel, µm.

        Returns
        -------
        (N, 2) float64 tensor
            µm; `apply` takes them to `xy` within 1e-6 nm.

        Raises
        ------
        InputError
            Where the transform takes no place near the field to some of the positions.
        """
        found, far = self.inverse_where(xy)
        if bool(far.any()):
            at = xy[far][0].tolist()
            raise InputError(
                f"the transform has no inverse at {int(far.sum())} of {len(xy)} positions, such as "
                f"({at[0]:.2f}, {at[1]:.2f}) µm of the second channel",
                "they lie far outside of the field that it was found in: leave them out",
            )
        return found

    def inverse_where(self, xy: Tensor) -> tuple[Tensor, Tensor]:
        """As `inverse`, and at which of the N positions there is none, (N,) bool, in place of an error."""
        target = xy.to(torch.float64)
        centre, matrix = self.centre_um.to(xy.device), self.matrix.to(xy.device)
        if not len(target):
            return target.clone(), torch.zeros(0, dtype=torch.bool, device=target.device)
        if not abs(float(torch.linalg.det(matrix))) > 0:
            raise InputError("the transform takes all positions to one line, so there is no way back")
        middle = self.coefficients[:, 0].to(xy.device)
        found = centre + torch.linalg.solve(matrix, (target - middle).T).T
        off = self.apply(found) - target
        for _ in range(_STEPS):
            if float(off.abs().max()) <= _ARRIVED_UM:
                break
            step = torch.linalg.lstsq(self.jacobian(found), off[..., None]).solution[..., 0]
            trial = found - step
            left = self.apply(trial) - target
            better = left.norm(dim=1) < off.norm(dim=1)
            if not bool(better.any()):
                break
            found = torch.where(better[:, None], trial, found)
            off = torch.where(better[:, None], left, off)
        return found, ~(off.norm(dim=1) <= _LOST_UM)

    def then(self, following: Transform) -> Transform:
        """This transform and another one after it, as one: exact, not fitted.

        A crop, a mirror or the half of a camera is an affine transform before or after.

        Parameters
        ----------
        following : Transform
            Takes what this one returns.

        Raises
        ------
        ValueError
            Where the degrees multiplied exceed 3.
        """
        degree = self.degree * following.degree
        if degree > HIGHEST_DEGREE:
            raise ValueError(f"degrees {self.degree} and {following.degree} make {degree}; 3 is the most")
        # A polynomial is known from its values on a grid that no other one of its degree shares.
        knots = torch.linspace(-1, 1, HIGHEST_DEGREE + 1, dtype=torch.float64, device=self.coefficients.device)
        uv = torch.cartesian_prod(knots, knots)
        centre, scale = self.centre_um, self.scale_um
        if self.degree == 1 < following.degree and self.magnification > 0:
            # An affine transform has no place of its own: the other one's is taken.
            centre = self.inverse(following.centre_um[None])[0]
            scale = following.scale_um / self.magnification
        values = following.apply(self.apply(centre + scale * uv))
        solved = torch.linalg.lstsq(terms(uv, degree), values).solution
        return Transform(solved.T.contiguous(), centre, scale)

    def raised(self, degree: int) -> Transform:
        """The same map written as a polynomial of a higher degree.

        Parameters
        ----------
        degree : int
            At least its own.
        """
        more = terms_of_degree(degree) - self.coefficients.shape[1]
        if more < 0:
            raise ValueError(f"a transform of degree {self.degree} cannot be written as one of degree {degree}")
        return Transform(torch.nn.functional.pad(self.coefficients, (0, more)), self.centre_um, self.scale_um)

    def _local(self, xy: Tensor) -> Tensor:
        """u, v of positions."""
        if xy.ndim != 2 or xy.shape[1] != 2:
            raise ValueError(f"positions must be (N, 2), got {tuple(xy.shape)}")
        return (xy.to(torch.float64) - self.centre_um.to(xy.device)) / self.scale_um
