"""A second mask, for a fit behind the network: from the learned one on, by the joint bound of a crowd.

Two ways, at 35 molecules in a frame of the telomere set-up: `second` by that bound alone, and `both` by its
logarithm beside the loss of a network that begins as the one trained for the learned mask. 40 minutes of a
core; stopped and started again, it goes on. `masks_at_full_size.py` judges them beside the others.

    nice python benchmarks/second_mask.py FOLDER
    python benchmarks/masks_at_full_size.py FOLDER second=FOLDER/second.npy both=FOLDER/both.npy
"""

from __future__ import annotations

import argparse
from pathlib import Path

from deepstorm3d.experiment.experiment import Experiment
from deepstorm3d.experiment.presets import preset
from deepstorm3d.io.masks import mask_sha256, read_mask
from deepstorm3d.jobs.design_psf import design_mask
from deepstorm3d.jobs.fisher_design import design_by_fisher
from deepstorm3d.jobs.start_of_training import Start
from deepstorm3d.optics.masks import FileMask
from deepstorm3d.training.runs import DesignRun
from masks_at_full_size import CROWD_PER_UM2, FISHER_STEPS, Printed, experiment

LEARNED = Path(__file__).parent / "models" / "learned" / "mask.npy"
STEPS_OF_BOTH = 1500


def begun(whole: Experiment, rate: float, weight: float) -> Experiment:
    """The design that begins with the learned mask.

    rate: highest change of a phase in a step, rad;  weight: of the bound beside a network's loss.
    """
    start = FileMask(path=str(LEARNED), sha256=mask_sha256(read_mask(LEARNED)))
    design = whole.design.with_(
        learning_rate=rate,
        fisher_steps=FISHER_STEPS["crowd"],
        fisher_density=CROWD_PER_UM2,
        bound_weight=weight,
        spread=1.0,
    )
    return whole.with_(mask=start, design=design)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=["second", "both"], default=["second", "both"])
    parser.add_argument("--weight", type=float, default=1.0, help="of the bound in `both`")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.only:
        out = arguments.folder / f"{name}.npy"
        unfinished = DesignRun(out).checkpoint.exists()
        if out.exists() and not unfinished:
            continue
        if name == "second":
            print(design_by_fisher(begun(preset("telomeres"), 0.05, 0.0), out, resume=unfinished), flush=True)
        else:
            start = Start(resume=unfinished, model=None if unfinished else "learned")
            design_mask(
                begun(experiment(STEPS_OF_BOTH), 0.02, arguments.weight), out, start=start, watch=Printed()
            )


if __name__ == "__main__":
    main()
