"""A second mask, for a fit behind the network: from the learned one on, by the joint bound of a crowd.

Two ways, at 35 molecules in a frame of the telomere set-up: `second` by that bound alone, and `both` by its
logarithm beside the loss of a network that begins as the one trained for the learned mask. From another mask
(`--start`), that network is first taught it. 40 minutes of a core; stopped and started again, it goes on.
`masks_at_full_size.py` judges them beside the others.

    nice python benchmarks/second_mask.py FOLDER
    nice python benchmarks/second_mask.py FOLDER --only both --start tetrapod.mask.npy
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
from deepstorm3d.jobs.train import train_model
from deepstorm3d.optics.masks import FileMask
from deepstorm3d.training.runs import DesignRun, Run
from masks_at_full_size import CROWD_PER_UM2, FISHER_STEPS, Printed, experiment

LEARNED = Path(__file__).parent / "models" / "learned" / "mask.npy"
STEPS_OF_BOTH = 1500
STEPS_TO_LEARN_A_MASK = 600


def through(whole: Experiment, mask: Path) -> Experiment:
    """The experiment with the mask of a file."""
    return whole.with_(mask=FileMask(path=str(mask), sha256=mask_sha256(read_mask(mask))))


def begun(whole: Experiment, rate: float, weight: float, start: Path = LEARNED) -> Experiment:
    """The design that begins with a mask, the learned one unless another is given.

    rate: highest change of a phase in a step, rad;  weight: of the bound beside a network's loss.
    """
    design = whole.design.with_(
        learning_rate=rate,
        fisher_steps=FISHER_STEPS["crowd"],
        fisher_density=CROWD_PER_UM2,
        bound_weight=weight,
        spread=1.0,
    )
    return through(whole.with_(design=design), start)


def network_for(start: Path, folder: Path, seed: int) -> str | Path:
    """The network that a design from this mask begins with: that of the learned mask, taught any other."""
    if start == LEARNED:
        return "learned"
    out = folder / "begin.pt"
    unfinished = Run(out).checkpoint.exists()
    if not out.exists() or unfinished:
        whole = through(experiment(STEPS_TO_LEARN_A_MASK).with_(seed=seed), start)
        train_model(whole, out, start=Start(resume=unfinished, model="learned"), watch=Printed())
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=["second", "both"], default=["second", "both"])
    parser.add_argument("--weight", type=float, default=1.0, help="of the bound in `both`")
    parser.add_argument(
        "--start", type=Path, default=LEARNED, metavar="MASK", help="(default: the learned mask)"
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.only:
        out = arguments.folder / f"{name}.npy"
        unfinished = DesignRun(out).checkpoint.exists()
        if out.exists() and not unfinished:
            continue
        if name == "second":
            alone = begun(preset("telomeres").with_(seed=arguments.seed), 0.05, 0.0, arguments.start)
            print(design_by_fisher(alone, out, resume=unfinished), flush=True)
        else:
            whole = experiment(STEPS_OF_BOTH).with_(seed=arguments.seed)
            model = None if unfinished else network_for(arguments.start, arguments.folder, arguments.seed)
            both = begun(whole, 0.02, arguments.weight, arguments.start)
            design_mask(both, out, start=Start(resume=unfinished, model=model), watch=Printed())


if __name__ == "__main__":
    main()
