"""Compute the built-in Tetrapod: the Zernike mask of least mean CRLB over 4 µm (Shechtman et al. 2014).

Minimises the mean over 41 depths of σx + σy + σz for 30,000 photons over 150 photons of background,
blur 1 px, in the telomere set-up. A coarse scan over primary and secondary astigmatism finds the
basin; L-BFGS over all Zernike modes with the symmetry of the rectangle finishes.
Writes src/deepstorm3d/optics/tetrapod.json. About ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor

from deepstorm3d.optics.fisher import crlb
from deepstorm3d.optics.masks import ZernikePhase
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.optics.scalar import ScalarPSF
from deepstorm3d.optics.zernike import noll_to_nm

PHOTONS, BACKGROUND, BLUR_PX = 30_000.0, 150.0, 1.0
Z_RANGE, DEPTHS = (2.0, 6.0), 41
OUT = Path(__file__).parents[1] / "src/deepstorm3d/optics/tetrapod.json"


def bounds(mask: ZernikePhase, patch_px: int = 61) -> Tensor:
    """CRLB at the 41 depths: (41, 5), µm, photons."""
    psf = ScalarPSF(Microscope(), mask, patch_px=patch_px, blur_px=BLUR_PX)
    xyz = torch.zeros(DEPTHS, 3, dtype=torch.float64)
    xyz[:, 2] = torch.linspace(*Z_RANGE, DEPTHS)
    level = torch.ones(DEPTHS, dtype=torch.float64)
    return crlb(psf, xyz, PHOTONS * level, BACKGROUND * level)


def criterion(mask: ZernikePhase) -> Tensor:
    """Mean over depth of σx + σy + σz, nm."""
    return 1000 * bounds(mask)[:, :3].sum(1).mean()


def modes(order: int) -> list[int]:
    """Noll indices of cosine modes with even m, from defocus up: symmetric under both mirrors."""
    indices = range(4, (order + 1) * (order + 2) // 2 + 1)
    return [j for j in indices if noll_to_nm(j)[1] >= 0 and noll_to_nm(j)[1] % 2 == 0]


def start(indices: list[int]) -> Tensor:
    """Best of a scan over defocus (4), astigmatism (6) and secondary astigmatism (12)."""
    best, found = float("inf"), torch.zeros(len(indices), dtype=torch.float64)
    for primary in torch.arange(0.5, 3.6, 0.5).tolist():
        for secondary in torch.arange(-2.0, 2.1, 0.5).tolist():
            values = torch.zeros(len(indices), dtype=torch.float64)
            values[indices.index(6)], values[indices.index(12)] = primary, secondary
            with torch.no_grad():
                value = criterion(ZernikePhase(Microscope(), indices, values)).item()
            if value < best:
                best, found = value, values
                print(
                    f"start: astigmatism {primary:+.1f}, secondary {secondary:+.1f} rad: {value:.3f} nm",
                    flush=True,
                )
    return found


def optimise(indices: list[int], values: Tensor, iterations: int) -> ZernikePhase:
    """L-BFGS from the start."""
    mask = ZernikePhase(Microscope(), indices, values, learn=True)
    optimiser = torch.optim.LBFGS(
        mask.parameters(), lr=1.0, max_iter=iterations, line_search_fn="strong_wolfe", tolerance_change=1e-6
    )
    calls = 0

    def closure() -> Tensor:
        nonlocal calls
        optimiser.zero_grad()
        loss = criterion(mask)
        loss.backward()
        calls += 1
        if calls % 10 == 0:
            print(f"call {calls}: {loss.item():.4f} nm", flush=True)
        return loss

    optimiser.step(closure)
    return mask


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--order", type=int, default=8, help="highest radial order of the Zernike modes")
    parser.add_argument("--iterations", type=int, default=100)
    arguments = parser.parse_args()
    indices = modes(arguments.order)
    mask = optimise(indices, start(indices), arguments.iterations)
    with torch.no_grad():
        sigma = 1000 * bounds(mask, 121)[:, :3]
    rms = sigma.square().mean(0).sqrt().tolist()
    record = {
        "made_by": "benchmarks/design_tetrapod.py",
        "criterion": "mean over 41 depths, 2 to 6 µm, of CRLB σx + σy + σz; 30,000 photons, "
        "150 background, blur 1 px",
        "crlb_rms_nm": [round(value, 3) for value in rms],
        "coefficients": dict(zip(map(str, indices), mask.coefficients.tolist(), strict=True)),
    }
    OUT.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"σx, σy, σz rms over depth: {rms} nm; mean sum {sigma.sum(1).mean():.3f} nm -> {OUT.name}")


if __name__ == "__main__":
    main()
