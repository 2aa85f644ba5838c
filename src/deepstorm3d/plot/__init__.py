"""Pictures for notebooks and for the commands: one function each, which returns a matplotlib figure.

Each takes the object to show (a list, a frame, a mask, the result of a calibration) and draws it without
pyplot. A notebook displays the figure; `save_figure(figure, path)` or ``figure.savefig(path)`` writes it. The
picture of a calibration stands beside it, in `deepstorm3d.calibration`; this is the list of all. A module is
loaded when one of its names is used, and matplotlib when a picture is drawn.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..calibration.axial_scan.figure import axial_scan
    from ..calibration.camera_maps.figure import camera_maps
    from ..calibration.movie_statistics.figure import estimate
    from ..calibration.phase_retrieval.field_figure import field_dependence
    from ..calibration.phase_retrieval.figure import retrieval
    from ..calibration.registration.figure import registration
    from .correlations import resolution
    from .drift_curve import drift
    from .dye_shares import dyes
    from .frame_overlay import overlay
    from .frames_beside import channel_overlays
    from .frames_histogram import molecule_durations
    from .known_masks import recommendation
    from .learning_curve import learning
    from .list_quality import quality
    from .masks_compared import mask_comparison
    from .panels import save_figure
    from .phase_mask import mask, mask_with_psf
    from .pixel_values import histogram
    from .position_bounds import limit
    from .psf_planes import psf
    from .psf_shapes import psf_surfaces
    from .renderings import beside, rendering, section
    from .share_histogram import shares
    from .trajectories import tracks
    from .truth_scatter import comparison

__all__ = [
    "axial_scan",
    "beside",
    "camera_maps",
    "channel_overlays",
    "comparison",
    "drift",
    "dyes",
    "estimate",
    "field_dependence",
    "histogram",
    "learning",
    "limit",
    "mask",
    "mask_comparison",
    "mask_with_psf",
    "molecule_durations",
    "overlay",
    "psf",
    "psf_surfaces",
    "quality",
    "recommendation",
    "registration",
    "rendering",
    "resolution",
    "retrieval",
    "save_figure",
    "section",
    "shares",
    "tracks",
]

# The module of each public name.
_WHERE = {
    "axial_scan": "..calibration.axial_scan.figure",
    "beside": ".renderings",
    "camera_maps": "..calibration.camera_maps.figure",
    "channel_overlays": ".frames_beside",
    "comparison": ".truth_scatter",
    "drift": ".drift_curve",
    "dyes": ".dye_shares",
    "estimate": "..calibration.movie_statistics.figure",
    "field_dependence": "..calibration.phase_retrieval.field_figure",
    "histogram": ".pixel_values",
    "learning": ".learning_curve",
    "limit": ".position_bounds",
    "mask": ".phase_mask",
    "mask_comparison": ".masks_compared",
    "mask_with_psf": ".phase_mask",
    "molecule_durations": ".frames_histogram",
    "overlay": ".frame_overlay",
    "psf": ".psf_planes",
    "psf_surfaces": ".psf_shapes",
    "quality": ".list_quality",
    "recommendation": ".known_masks",
    "registration": "..calibration.registration.figure",
    "rendering": ".renderings",
    "resolution": ".correlations",
    "retrieval": "..calibration.phase_retrieval.figure",
    "save_figure": ".panels",
    "section": ".renderings",
    "shares": ".share_histogram",
    "tracks": ".trajectories",
}


def __getattr__(name: str) -> Any:
    """The function of that name, from its module (PEP 562)."""
    if name not in _WHERE:
        raise AttributeError(f"deepstorm3d.plot has no picture '{name}'; there are: {', '.join(__all__)}")
    from ..front_door import public

    function = public(getattr(import_module(_WHERE[name], __name__), name))
    globals()[name] = function
    return function


def __dir__() -> list[str]:
    return sorted(__all__)
