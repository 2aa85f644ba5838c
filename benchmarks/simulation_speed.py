"""How fast emitters are drawn, and how exactly: plain FFT, batched FFT, exact PSF, tabulated PSF.

Telomere set-up, the built-in Tetrapod, blur 1 px, frames of 121×121 pixels, expected photons without
noise. In one run, in turns:

  a  plain: one padded 329×329 FFT for each emitter in NumPy (complex128, a Python loop), cropped to the
     frame and blurred, as the published code does. NumPy's FFT uses one thread whatever --threads says;
  b  the same FFT for many emitters at a time in torch, float32;
  c  our exact PSF (matrix Fourier transform onto the patch);
  d  our tabulated PSF.

Errors are against the exact PSF in double precision on 121×121 pixels: the greatest difference inside
the way's own patch over the peak; the bias that the difference would cause in a fit (one Gauss-Newton
step of a Poisson-weighted fit of position, photons and background; 30,000 photons over 150), rms and
worst of the three axes; the fraction of the light that the patch holds at the least.
The FFT fixes the camera pixel at λf/(329 p_m) = 11.018 µm instead of 11: that is its error, for an
emitter in the middle of the frame as measured here; towards the border it also moves the image (7 nm at 40 px).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from deepstorm3d.emitters import Emitters
from deepstorm3d.experiment.optics import experiment_mask
from deepstorm3d.experiment.presets import preset
from deepstorm3d.field import Field
from deepstorm3d.jobs.simulate import BLOCK_PIXELS
from deepstorm3d.optics.computed import build_psf
from deepstorm3d.optics.scalar import ScalarPSF
from deepstorm3d.simulation.simulator import Simulator
from harness import arguments_of, interval, report, take_turns

SIDE, GRID, BLUR_PX, PHOTONS, BACKGROUND = 121, 329, 1.0, 30_000.0, 150.0
EXPERIMENT = preset("telomeres").with_(psf=preset("telomeres").psf.with_(blur_px=BLUR_PX))
OPTICS = EXPERIMENT.microscope
Draw = Callable[[Emitters, int], Tensor]


def pupil_plane() -> dict[str, NDArray[np.float64]]:
    """Mask plane on 329×329 samples of 24 µm: what the field of an emitter is made of."""
    axis = (np.arange(GRID) - (GRID - 1) / 2) * OPTICS.mask_pitch
    xi, eta = np.meshgrid(axis, axis)
    rho = np.hypot(xi, eta) * 2 / OPTICS.pupil_diameter
    sin_i, sin_s = OPTICS.na / OPTICS.n_immersion * rho, OPTICS.na / OPTICS.n_sample * rho
    support = (rho < 1) & (sin_s < 1)
    k = 2 * np.pi / OPTICS.wavelength
    kz_sample = k * OPTICS.n_sample * np.sqrt(np.where(support, 1 - sin_s**2, 0))
    kz_immersion = k * OPTICS.n_immersion * np.sqrt(np.where(support, 1 - sin_i**2, 0))
    mask = experiment_mask(EXPERIMENT)().double().numpy()
    edge = (GRID - len(mask)) // 2
    phase = np.pad(mask, edge) - kz_immersion * OPTICS.focus
    tilt = 2 * np.pi * OPTICS.magnification / (OPTICS.wavelength * OPTICS.focal_length)
    return {"xi": tilt * xi, "eta": tilt * eta, "support": support * 1.0, "kz": kz_sample, "phase": phase}


def plain_fft(plane: dict[str, NDArray[np.float64]]) -> Draw:
    """Way a."""
    middle, first = (SIDE - 1) / 2 * OPTICS.pixel_um, (GRID - SIDE) // 2
    light = plane["support"].sum()

    def draw(emitters: Emitters, frames: int) -> Tensor:
        out = np.zeros((frames, SIDE, SIDE))
        rows = zip(emitters.xyz.double().numpy(), emitters.photons.numpy(), emitters.frame.numpy(), strict=True)
        for (x, y, z), photons, frame in rows:
            tilt = (x - middle) * plane["xi"] + (y - middle) * plane["eta"]
            field = plane["support"] * np.exp(1j * (plane["phase"] + plane["kz"] * z + tilt))
            image = np.abs(np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(field)))) ** 2 / (light * GRID**2)
            crop = image[first : first + SIDE, first : first + SIDE]
            out[frame] += photons * gaussian_filter(crop, BLUR_PX, mode="constant")
        return torch.from_numpy(out)

    return draw


def batched_fft(plane: dict[str, NDArray[np.float64]], device: str, chunk: int = 16) -> Draw:
    """Way b."""
    xi, eta, support, kz, phase = (
        torch.fft.ifftshift(torch.from_numpy(plane[name])).float().to(device)
        for name in ("xi", "eta", "support", "kz", "phase")
    )
    middle, first = (SIDE - 1) / 2 * OPTICS.pixel_um, (GRID - SIDE) // 2
    taps = torch.exp(-0.5 * (torch.arange(-4, 5, device=device) / BLUR_PX) ** 2)
    taps = (taps / taps.sum()).view(1, 1, 1, 9)
    light = support.sum()

    def draw(emitters: Emitters, frames: int) -> Tensor:
        out = torch.zeros(frames, SIDE, SIDE, device=device)
        for rows in torch.arange(len(emitters), device=device).split(chunk):
            x, y, z = emitters.xyz[rows, :, None, None].unbind(1)
            angle = phase + kz * z + (x - middle) * xi + (y - middle) * eta
            image = torch.fft.fft2(torch.polar(support.expand_as(angle), angle)).abs().square()
            image = torch.fft.fftshift(image, (1, 2))[:, None] / (light * GRID**2)
            crop = image[:, :, first : first + SIDE, first : first + SIDE]
            crop = torch.nn.functional.conv2d(crop, taps, padding=(0, 4))
            crop = torch.nn.functional.conv2d(crop, taps.mT, padding=(4, 0))[:, 0]
            out.index_add_(0, emitters.frame[rows], crop * emitters.photons[rows, None, None])
        return out

    return draw


def simulator(patch_px: int, device: str, *, tabulated: bool) -> Draw:
    """Ways c and d, as many frames at a time as `deepstorm3d simulate` draws."""
    spec, mask = EXPERIMENT.psf.with_(patch_px=patch_px), experiment_mask(EXPERIMENT)
    blur = (BLUR_PX, BLUR_PX)
    psf = spec.tabulate(OPTICS, mask, EXPERIMENT.z_um, blur) if tabulated else build_psf(spec, OPTICS, mask)
    image_model = Simulator(psf, EXPERIMENT.camera, Field(SIDE, SIDE, OPTICS.pixel_um)).to(device)

    block = BLOCK_PIXELS // (SIDE + 2 * patch_px) ** 2

    def draw(emitters: Emitters, frames: int) -> Tensor:
        out = torch.zeros(frames, SIDE, SIDE, device=device)
        for start, background in enumerate(out.split(block)):
            here = emitters.select(emitters.frame // block == start).shift(frames=-start * block)
            background.copy_(image_model.expected(here, background))
        return out

    return draw


def some_emitters(number: int, per_frame: int, device: str, *, spread_px: float = 81.0) -> tuple[Emitters, int]:
    """Emitters in the inner `spread_px` pixels, over the depth range; and the number of frames."""
    generator = torch.Generator().manual_seed(number)
    place = (torch.rand(number, 3, generator=generator) - 0.5) * torch.tensor([spread_px, spread_px, 0.0])
    xyz = (place + (SIDE - 1) / 2) * OPTICS.pixel_um
    low, high = EXPERIMENT.z_um
    xyz[:, 2] = low + (high - low) * torch.rand(number, generator=generator)
    rows = torch.arange(number)
    table = Emitters(xyz=xyz, frame=rows // per_frame, photons=torch.full((number,), PHOTONS), id=rows)
    return table.to(device), -(-number // per_frame)


def errors(draw: Draw, patch_px: int, number: int, device: str) -> dict[str, float]:
    """Difference from the exact PSF in double precision, for single emitters in the middle of a frame."""
    emitters, frames = some_emitters(number, 1, device, spread_px=1.0)
    emitters.xyz[:, 2] = torch.linspace(*EXPERIMENT.z_um, number)
    drawn = draw(emitters, frames).double().cpu() / PHOTONS
    exact = ScalarPSF(OPTICS, experiment_mask(EXPERIMENT), patch_px=SIDE, blur_px=BLUR_PX)
    with torch.no_grad():
        patches, slopes = exact.derivatives(emitters.xyz.cpu().double())
    edge = (SIDE - patch_px) // 2
    # A patch lies on whole pixels: its emitter is within half a pixel of the middle of the frame.
    inner = (slice(None), slice(edge, SIDE - edge), slice(edge, SIDE - edge))
    truth, difference = patches.values[inner], (patches.values - drawn)[inner]
    shape, level = truth[:, None], torch.ones_like(truth[:, None])
    jacobian = torch.cat([PHOTONS * slopes[:, :, inner[1], inner[2]], shape, level], 1).flatten(2)
    mean = (PHOTONS * truth + BACKGROUND).flatten(1)[:, None]
    information = (jacobian / mean) @ jacobian.mT
    push = ((jacobian / mean) @ (PHOTONS * difference).flatten(1)[:, :, None])[..., 0]
    scale = information.diagonal(dim1=1, dim2=2).rsqrt()
    bias = scale * torch.linalg.solve(information * scale[:, :, None] * scale[:, None, :], scale * push)
    bias_nm = 1000 * bias[:, :3]
    return {
        "error % of peak": 100 * float((difference.abs().amax((1, 2)) / truth.amax((1, 2))).max()),
        "bias rms nm": float(bias_nm.square().mean(0).sqrt().max()),
        "bias worst nm": float(bias_nm.abs().max()),
        "light held, least": float(drawn.sum((1, 2)).min()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--patches", type=int, nargs="+", default=[61, 95])
    arguments = arguments_of(parser)
    quick, device = arguments.quick, arguments.device
    rounds, tested = (2, 4) if quick else (arguments.rounds, 40)
    plane = pupil_plane()
    # Each way gets work for about half a second; frames of 35 emitters.
    ways: dict[str, tuple[Draw, int, int]] = {
        "a plain FFT (NumPy)": (plain_fft(plane), SIDE, 4 if quick else 35),
        "b batched FFT (float32)": (batched_fft(plane, device), SIDE, 16 if quick else 70),
    }
    for patch_px in arguments.patches:
        exact, table = (simulator(patch_px, device, tabulated=tabulated) for tabulated in (False, True))
        ways[f"c exact, patch {patch_px}"] = exact, patch_px, 35 if quick else 350
        ways[f"d tabulated, patch {patch_px}"] = table, patch_px, 350 if quick else 7000

    def turn(draw: Draw, number: int) -> Callable[[], int]:
        # The plain way works on the processor, wherever the others do.
        on_processor = draw is ways["a plain FFT (NumPy)"][0]
        emitters, frames = some_emitters(number, 35, "cpu" if on_processor else device)

        def work() -> int:
            draw(emitters, frames)
            return number

        return work

    with torch.no_grad():
        work = {name: turn(draw, number) for name, (draw, _, number) in ways.items()}
        rates = take_turns(work, rounds, device)
        accuracy = {
            name: errors(draw, patch_px, tested, "cpu" if name.startswith("a") else device)
            for name, (draw, patch_px, _) in ways.items()
        }
    plain, batched, *_ = rates.values()
    rows = [
        {
            "way": name,
            "emitters/s": interval(values),
            "times a": interval([v / p for v, p in zip(values, plain, strict=True)]),
            "times b": interval([v / p for v, p in zip(values, batched, strict=True)]),
            **accuracy[name],
        }
        for name, values in rates.items()
    ]
    report("Simulation: emitters per second in 121×121 frames", rows, arguments)


if __name__ == "__main__":
    main()
