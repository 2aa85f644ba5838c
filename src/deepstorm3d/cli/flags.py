"""The command line's options in the place of Python's arguments, in all that the program says.

Below the command line a sentence names an argument or a function as Python knows it, in backticks: "give the
pixel size (`pixel_um`)". Here it becomes "give the pixel size (--pixel-nm)".
"""

from __future__ import annotations

import re

__all__ = ["FLAGS", "with_flags"]

FLAGS = {
    "MeasuredImage.pixel_nm": "--beside-pixel-nm",
    "amplitude=True": "--amplitude",
    "axial_range": "--axial-range",
    "bead_um": "--bead-nm",
    "bead_z_um": "--bead-z-um",
    "beads_at": "--beads-at",
    "blur_um": "--blur NM",
    "box": "--x, --y and --z A:B",
    "beads=True": "--beads",
    "background": "--background",
    "baseline": "--baseline",
    "bright": "--bright",
    "by": "--by",
    "camera": "--camera",
    "camera_maps": "deepstorm3d camera-maps",
    "chip_px": "--chip-px",
    "cluster": "--cluster",
    "compare_masks": "deepstorm3d compare-psf",
    "config": "deepstorm3d config --preset NAME --out FILE",
    "convert": "convert LIST OUT.hdf5 --pixel-nm NM",
    "dark": "--dark",
    "degree": "--degree",
    "defects": "--defects",
    "density": "--density",
    "depth_um": "--depth",
    "design_mask": "deepstorm3d design-psf",
    "device": "--device",
    "Drift.apply": "drift --apply CURVE.csv",
    "dyes": "deepstorm3d dyes",
    "estimate": "deepstorm3d estimate",
    "exposure": "--exposure",
    "filter": "filter",
    "first_focus_um": "--first-focus-um",
    "first_um": "--first-um",
    "follow_s": "--follow",
    "frames": "--frames",
    "frames_per_segment": "--frames-per-segment",
    "frames_per_slice": "--frames-per-slice",
    "from_model": "--from",
    "gain": "--gain",
    "gap": "--gap",
    "histogram": "--method histogram",
    "interval": "--interval",
    "least": "--least",
    "levels": "--levels",
    "light_known=False": "--light-free",
    "mask": "--mask",
    "measure_psf": "deepstorm3d measure-psf",
    "method": "--method",
    "min_photons": "--min-photons",
    "method=proposals": "--no-refine",
    "mirror": "--mirror",
    "na": "--na",
    "out": "--out",
    "over_frames=False": "--separate",
    "over_frames=True": "--over-frames",
    "overwrite=True": "--overwrite",
    "partial=True": "--partial",
    "photons": "--photons",
    "pixel_nm": "--pixel-nm",
    "pixel_um": "--pixel-nm",
    "positions": "--positions",
    "fit_positions=True": "--fit-positions",
    "preview": "--preview 3",
    "radius_nm": "--radius-nm",
    "range_nm": "--range",
    "regenerate": "deepstorm3d regenerate",
    "register": "deepstorm3d register",
    "resume": "--resume",
    "resume=True": "--resume",
    "roi": "--roi",
    "segments": "--segments",
    "shape": "--size",
    "side_px": "--side-px",
    "split": "--split",
    "step_um": "--step-um",
    "tolerance_nm": "--tolerance-nm",
    "transform": "--transform",
    "store_mask=False": "--no-store-mask",
    "wavelength_nm": "--wavelength-nm",
    "with_mask": "config --mask FILE",
}
"""By arguments and functions as sentences name them."""

_NAMED = re.compile(r"`([^`\s]+)`")


def with_flags(text: str) -> str:
    """A sentence for the command line: ``(`roi`)`` becomes ``(--roi)``, ```levels=8``` ``--levels 8``.

    A setting of the experiment, ```psf.kind=scalar```, becomes ``--set psf.kind=scalar``; other words in
    backticks stay as they are.
    """
    return _NAMED.sub(lambda named: _flag(named[1]), text)


def _flag(token: str) -> str:
    if token in FLAGS:
        return FLAGS[token]
    name, equals, value = token.partition("=")
    if equals and "." in name:
        return f"--set {token}"
    return f"{FLAGS[name]} {value}" if equals and name in FLAGS else f"`{token}`"
