"""Which image model explains a real frame: scalar or vectorial? The telomere snapshot with the learned mask.

Each model explains the snapshot as in `mask_orientation.py`: a greedy matching pursuit places the same number
of molecules on nine tenths of the pixels, the other tenth, withheld, is scored. Blur and nominal focal plane,
which the published set-up states for the scalar model, are tried for each model; a row gives the best of them.

One frame, one objective, molecules of unknown rotation: it tells about this microscope, not about the models.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

from deepstorm3d.io import read_mask
from deepstorm3d.optics.computed import ComputedPSFSpec
from deepstorm3d.optics.masks import PixelMask
from deepstorm3d.optics.microscope import Microscope
from deepstorm3d.optics.scalar import ScalarPSFSpec
from deepstorm3d.optics.vectorial import VectorialPSFSpec
from harness import arguments_of, interval, report
from mask_orientation import DATA, DEPTHS_UM, PATCH_PX, judge, pursue, take_snapshot

MODELS: dict[str, ComputedPSFSpec] = {
    "scalar": ScalarPSFSpec(),
    "scalar, aplanatic amplitude": ScalarPSFSpec(apodized=True),
    "vectorial": VectorialPSFSpec(),
    "vectorial, no supercritical light": VectorialPSFSpec(supercritical=False),
    "vectorial, polarizer x": VectorialPSFSpec(polarizer="x"),
    "vectorial, polarizer y": VectorialPSFSpec(polarizer="y"),
}


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frame", type=Path, default=DATA / "telomeres_learned_1.tif")
    parser.add_argument("--mask", type=Path, default=DATA / "mask_learned.mat")
    parser.add_argument("--picks", type=int, default=40, help="molecules for every model")
    parser.add_argument("--seeds", type=int, default=3, help="choices of withheld pixels")
    parser.add_argument("--focus", type=float, nargs="+", default=[4.25, 4.5, 4.75], help="µm")
    parser.add_argument("--blur", type=float, nargs="+", default=[1.0, 1.3, 1.6], help="px")
    arguments = arguments_of(parser)
    phase = torch.from_numpy(read_mask(arguments.mask))
    snapshots = [take_snapshot(arguments.frame, seed) for seed in range(arguments.seeds)]
    rows = []
    for name, model in MODELS.items():
        tried: list[dict[str, Any]] = []
        for focus in arguments.focus:
            for blur in arguments.blur:
                spec = model.with_(patch_px=PATCH_PX, blur_px=blur, pupil_oversampling=2)
                psf = spec.tabulate(Microscope(focus=focus), PixelMask(phase), DEPTHS_UM, (blur, blur))
                scores = [judge(pursue(psf, each, arguments.picks).model[0], each) for each in snapshots]
                residuals = [score.residual for score in scores]
                correlation = sum(score.correlation for score in scores) / len(scores)
                tried.append(
                    {
                        "model": name,
                        "focus µm": focus,
                        "blur px": blur,
                        "residual²/variance": interval(residuals),
                        "correlation": correlation,
                    }
                )
        rows.append(min(tried, key=lambda row: row["residual²/variance"][0]))
        print(rows[-1], flush=True)
    report("Real frame, scalar and vectorial", rows, arguments)


if __name__ == "__main__":
    main()
