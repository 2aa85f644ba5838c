"""Density, brightness and background of a movie that no one has localized yet, from its pixel values alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...brief import Brief
from ...errors import InputError
from .shot_noise import ShotNoise, band_pass, filtered

__all__ = ["Light", "LightModel", "measure_light", "refuse_small"]

Floats = NDArray[np.float64]
Complex = NDArray[np.complex128]

# σ of the filters' Gaussians, px: the finest detail of a spot, and its larger parts.
_BANDS = ((1.0, 3.0), (2.0, 6.0))
_FREQUENCIES = 10
# Least side of what the filters look at, beyond their border.
_LEAST_MIDDLE_PX = 16
# Smallest modulus at which a characteristic function is used; below, its logarithm is dominated by noise.
_LEAST = 0.25
# Largest modulus at which it is used.
_MOST = 0.995
# Relative error of the model itself: no point of the curve is trusted further.
_MODEL_ERROR = 0.01
_BOOTSTRAPS = 24
_SPREADS = (0.1, 1.4)


@dataclass(frozen=True, repr=False)
class Light(Brief):
    """What the frames hold.

    density: molecules per pixel;  photons: mean of a molecule in a frame;  spread: standard deviation of that,
    relative;  background: mean level, photons per pixel;  sigma: one relative σ of density and photons, σ of
    spread, and of background in photons, by resampling frames;  misfit: rms residual of the curve, relative;
    activity: (B,) variance of the band-passed light of each frame, which rises with its density.
    """

    density: float
    photons: float
    spread: float
    background: float
    sigma: tuple[float, float, float, float]
    misfit: float
    activity: Floats


@dataclass(frozen=True)
class LightModel:
    """What is known before: how molecules look and how the camera counts.

    spots: (D, h, w) images of molecules at depths spread evenly over their range, photon fractions;
    read_variance: photons², beside the counting;  counted: whether the background has Poisson noise of its own
    (False: minimum-subtracted frames);  multiplied: electron-multiplying camera;  border_px: of the frame that
    is free of molecules.
    """

    spots: Tensor
    read_variance: float
    counted: bool = True
    multiplied: bool = False
    border_px: int = 0

    @property
    def encircled_energy(self) -> float:
        """Mean share of a molecule's light on its image."""
        return float(self.spots.sum((1, 2)).mean())


@dataclass(frozen=True)
class _Curve:
    """Log characteristic function of each frame, (B, U), and the model of it."""

    frames: Complex
    model: ShotNoise


def measure_light(photons: Tensor, model: LightModel) -> Light:
    """Fit density, brightness, its spread and the background to the frames' distribution of band-passed values.

    photons: (B, H, W) frames, photons.  The density may differ from frame to frame: the logarithm is taken in
    each and averaged, which is linear in it.  Of a few frames the logarithm is biased by its own noise; half
    frames have twice that bias, which is taken off (Quenouille 1956).
    Raises InputError where the frames are too small for the filters, or hold nothing but noise.
    """
    refuse_small((photons.shape[1], photons.shape[2]), model.border_px)
    bands = [_band(photons, model, *band) for band in _BANDS]
    border = _border_px(model.border_px)
    level = float(photons[:, border : photons.shape[1] - border, border : photons.shape[2] - border].mean())
    activity = bands[0][1]
    curves = [curve for curve, _ in bands]
    best, misfit = _fit(curves, np.arange(len(photons)), level, model)
    generator = np.random.default_rng(0)
    again = np.array(
        [
            _fit(curves, generator.integers(len(photons), size=len(photons)), level, model, start=best)[0]
            for _ in range(_BOOTSTRAPS if len(photons) > 3 else 0)
        ]
    ).reshape(-1, 3)
    every = np.exp(np.concatenate([best[None], again]))
    background = level - every[:, 0] * every[:, 1] * model.encircled_energy
    sigma = (
        np.array([*(every[1:, :2].std(0) / every[0, :2]), every[1:, 2].std(), background[1:].std()])
        if len(again)
        else np.full(4, np.nan)
    )
    density, mean, spread = every[0].tolist()
    return Light(density, mean, spread, float(background[0]), tuple(sigma.tolist()), misfit, activity)


def refuse_small(size: tuple[int, int], border_px: int = 0) -> None:
    """Raise InputError where frames of a height and width, px, are too small for the filters.

    border_px: that has fewer molecules than the rest (`LightModel`).
    """
    border = _border_px(border_px)
    if min(size) < 2 * border + _LEAST_MIDDLE_PX:
        raise InputError(
            f"frames of {size[1]} × {size[0]} px are too small to estimate from with a border of {border} px: "
            f"at least {2 * border + _LEAST_MIDDLE_PX} px are needed",
            "take a larger region",
        )


def _border_px(border_px: int) -> int:
    """Border that the wider filter does not look at."""
    return max(border_px, band_pass(*_BANDS[-1]).shape[0] // 2)


def _band(photons: Tensor, model: LightModel, fine: float, coarse: float) -> tuple[_Curve, Floats]:
    """The curve of one filter, and the variance of each filtered frame (B,)."""
    kernel = band_pass(fine, coarse)
    reach = kernel.shape[0] // 2
    border = max(model.border_px, reach)
    whole = filtered(photons, kernel)
    values = whole[:, reach + border : -reach - border, reach + border : -reach - border]
    values = values - values.mean()
    deviation = float(values.std())
    if not deviation > 0:
        raise InputError("all pixels of these frames have the same value; there is nothing to estimate")
    candidates = np.geomspace(0.05, 4.0, 3 * _FREQUENCIES) / deviation
    sizes = np.array([abs(_characteristic(values, u)).mean() for u in candidates])
    usable = candidates[(sizes > _LEAST) & (sizes < _MOST)]
    if not len(usable):
        raise InputError(
            "these frames hold nothing that could be told from noise or from a few hot pixels",
            "give more frames, or a region with molecules (`roi`)",
        )
    frequency = np.geomspace(usable.min(), usable.max(), _FREQUENCIES)
    peaks = filtered(model.spots.double(), kernel).amax((1, 2)).median()
    extreme = values.flatten()[:: max(1, values.numel() // 1_000_000)].quantile(0.9999)
    table = ShotNoise.of(
        model.spots, kernel, frequency, 4 * float(extreme / peaks), multiplied=model.multiplied
    )
    frames = np.stack([_log_characteristic(values, u) for u in frequency], axis=1)
    return _Curve(frames, table), values.double().var((1, 2)).numpy()


def _characteristic(values: Tensor, frequency: float) -> Complex:
    """E[exp(iuy)] of each frame, (B,)."""
    turned = float(frequency) * values
    return (turned.cos().mean((1, 2)).double() + 1j * turned.sin().mean((1, 2)).double()).numpy()


def _log_characteristic(values: Tensor, frequency: float) -> Complex:
    """The logarithm of it, less the bias that few independent pixels give it: (B,)."""
    rows, columns = (side // 2 for side in values.shape[1:])
    halves = (values[:, :rows], values[:, rows:], values[:, :, :columns], values[:, :, columns:])
    apart = np.mean([np.log(_characteristic(half, frequency)) for half in halves], axis=0)
    return 2 * np.log(_characteristic(values, frequency)) - apart


def _fit(
    curves: list[_Curve], rows: NDArray[np.int64], level: float, model: LightModel, start: Floats | None = None
) -> tuple[Floats, float]:
    """Logarithms of density, photons and spread (3,), and the relative rms residual."""
    from scipy.optimize import least_squares

    measured = _split(np.concatenate([curve.frames[rows].mean(0) for curve in curves]))
    chosen = np.concatenate([curve.frames for curve in curves], axis=1)
    scatter = np.concatenate([chosen.real.std(0), chosen.imag.std(0)]) / len(rows) ** 0.5
    size = np.abs(measured)
    noise = np.hypot(scatter, _MODEL_ERROR * np.maximum(size, size.mean() / 10))

    def predicted(values: Floats) -> Floats:
        density, photons, spread = np.exp(values)
        rest = max(level - density * photons * model.encircled_energy, 0.0) if model.counted else 0.0
        return _split(
            np.concatenate(
                [
                    curve.model.log_characteristic(density, photons, spread, rest, model.read_variance)
                    for curve in curves
                ]
            )
        )

    tops = [curve.model.log_brightness[-1] for curve in curves]
    bottoms = [curve.model.log_brightness[0] for curve in curves]
    bounds = (
        np.array([np.log(1e-8), max(bottoms), np.log(_SPREADS[0])]),
        np.array([0.0, min(tops), np.log(_SPREADS[1])]),
    )
    middle = bounds[1][1] - np.log(4.0)
    starts = (
        [start]
        if start is not None
        else [
            np.array([np.log(max(level, 1e-3) * 0.4) - bright, bright, np.log(spread)])
            for bright in (middle, middle - 1.2, middle - 2.4)
            for spread in (0.25, 0.6)
        ]
    )
    fits = [
        least_squares(
            lambda v: (predicted(v) - measured) / noise,
            np.clip(each, bounds[0] + 1e-6, bounds[1] - 1e-6),
            bounds=bounds,
        )
        for each in starts
    ]
    best = min(fits, key=lambda fit: fit.cost)
    residual = predicted(best.x) - measured
    return best.x, float(np.sqrt(np.square(residual).sum() / np.square(measured).sum()))


def _split(values: Complex) -> Floats:
    return np.concatenate([values.real, values.imag])
