"""What every camera answers: counts of light, light of counts, its noise, and what a movie can tell of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor

from ..chip import Maps, Region
from ..noise import Noise
from ..spec import Spec

__all__ = ["CameraSpec", "ReadOut"]


class ReadOut(NamedTuple):
    """How electrons become counts, None where it differs from pixel to pixel or from frame to frame.

    gain: counts per electron that is read out;  baseline: count without light;  read_noise: electrons rms.
    """

    gain: float | None
    baseline: float | None
    read_noise: float | None


class CameraSpec(Spec):
    """One kind of camera.

    A kind gives its name (`kind`), `saturation`, `expose`, `to_photons` and `pixel_noise`. All else is answered
    here for a camera that counts photons and has nothing else to say; a kind overrides what differs.
    """

    kind: Any
    if TYPE_CHECKING:
        # A field of each kind, where its file has it.
        saturation: float

    unit: ClassVar[str] = "photons"
    """What `to_photons` gives, for axes of pictures."""
    is_calibrated: ClassVar[bool] = True
    """Whether the light of a pixel tells its noise. It does not where a level was subtracted from frames."""
    counts_photons: ClassVar[bool] = False
    """Whether one count is one photon, without any gain, baseline or read noise."""
    neutral: ClassVar[Mapping[str, float]] = {}
    """Values that add no count, scale nothing and make no noise: taken where a model's camera becomes one of
    this kind and nobody says them."""
    required: ClassVar[tuple[str, ...]] = ()
    """Values for which nothing is neutral: somebody must say them then."""
    own_keys: ClassVar[frozenset[str]] = frozenset()
    """Values that tell this kind from simpler ones: who names one of them means a camera of this kind."""

    @classmethod
    def __pydantic_init_subclass__(cls, **keywords: Any) -> None:
        """Refuse a kind that does not say when its pixels are full, before anything asks for it."""
        super().__pydantic_init_subclass__(**keywords)
        if "saturation" not in cls.model_fields:
            raise TypeError(
                f"the camera {cls.__name__} needs a field saturation, the count at which a pixel is full "
                '(infinite: never), such as saturation: float = quantity(math.inf, "counts", "full pixel")'
            )

    def expose(self, expected: Tensor, generator: torch.Generator, maps: Maps | None = None) -> Tensor:
        """Counts for expected photons; both (B, H, W).

        maps: what `load_maps` returned for these pixels; read from the files where left out.
        """
        raise NotImplementedError(f"a camera of kind {self.kind} needs expose()")

    def to_photons(self, counts: Tensor, maps: Maps | None = None) -> Tensor:
        """Photons that the counts stand for; both (B, H, W); not clipped at 0."""
        raise NotImplementedError(f"a camera of kind {self.kind} needs to_photons()")

    def pixel_noise(self, maps: Maps | None = None) -> Noise:
        """Noise of the frames that `to_photons` gives: for each pixel where a map of the read noise is known.

        maps: what `load_maps` returned; read from the files where left out.
        """
        raise NotImplementedError(f"a camera of kind {self.kind} needs pixel_noise()")

    def maps_named(self) -> dict[str, str]:
        """Files with one value for each pixel, by the name of the value; {} where the camera has none."""
        return {}

    def load_maps(self) -> dict[str, Tensor]:
        """The values of these files (H, W) float32 by name, for the pixels that the frames show.

        Raises InputError where a file is missing, is no .npy of two dimensions, holds a value that makes no
        sense, two maps differ in size, or the region is not inside them.
        """
        return {}

    @property
    def chip_region(self) -> Region | None:
        """Of the maps that the frames show, where it is named: x0, y0, x1, y1 in pixels."""
        return None

    @property
    def multiplication(self) -> float:
        """Electrons that are read out for each photo-electron: above 1 with a multiplying register."""
        return 1.0

    @property
    def read_out(self) -> ReadOut:
        """How electrons become counts; a camera that counts photons has gain 1 and nothing else."""
        return ReadOut(1.0, 0.0, 0.0)

    @property
    def remaining_level(self) -> tuple[float, float]:
        """Photons per pixel that `to_photons` leaves in without any light: least and greatest over frames."""
        return 0.0, 0.0

    @property
    def dark_variance(self) -> float:
        """Variance of a pixel without light, mean over the field, photons²."""
        return self.pixel_noise().mean_read_variance

    def with_remaining_level(self, low: float, high: float) -> Self:
        """The camera whose frames keep such a level; itself where none remains."""
        return self

    def with_noise_over_field(self, low: float, high: float) -> Self:
        """The camera whose noise differs over the field, rms in photons; itself where light tells the noise."""
        return self

    def with_read_out(self, measured: ReadOut) -> CameraSpec | None:
        """The camera that converts electrons as was measured, of another kind where this one cannot.

        None where no movie can tell the values of such a camera.
        """
        return None
