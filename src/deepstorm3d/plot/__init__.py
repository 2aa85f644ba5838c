"""Pictures for notebooks and for the commands: one function each, which returns a matplotlib figure.

Each takes the object to show (a list, a frame, a mask, the result of a calibration) and draws it without
pyplot. A notebook displays the figure; `save_figure(figure, path)` or ``figure.savefig(path)`` writes it. A
module is loaded when one of its names is used, and matplotlib when a picture is drawn.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .correlations import resolution
    from .drift_curve import drift
    from .frame_overlay import overlay
    from .learning_curve import learning
    from .list_quality import quality
    from .masks_compared import mask_comparison
    from .panels import save_figure
    from .phase_mask import mask, mask_with_psf
    from .pixel_values import histogram
    from .position_bounds import limit
    from .psf_planes import psf
    from .psf_surfaces import psf_surfaces
    from .renderings import beside, rendering, section
    from .trajectories import tracks
    from .truth_scatter import comparison

__all__ = [
    "beside",
    "comparison",
    "drift",
    "histogram",
    "learning",
    "limit",
    "mask",
    "mask_comparison",
    "mask_with_psf",
    "overlay",
    "psf",
    "psf_surfaces",
    "quality",
    "rendering",
    "resolution",
    "save_figure",
    "section",
    "tracks",
]

# The module of each public name.
_WHERE = {
    "beside": ".renderings",
    "comparison": ".truth_scatter",
    "drift": ".drift_curve",
    "histogram": ".pixel_values",
    "learning": ".learning_curve",
    "limit": ".position_bounds",
    "mask": ".phase_mask",
    "mask_comparison": ".masks_compared",
    "mask_with_psf": ".phase_mask",
    "overlay": ".frame_overlay",
    "psf": ".psf_planes",
    "psf_surfaces": ".psf_surfaces",
    "quality": ".list_quality",
    "rendering": ".renderings",
    "resolution": ".correlations",
    "save_figure": ".panels",
    "section": ".renderings",
    "tracks": ".trajectories",
}


def __getattr__(name: str) -> Any:
    """The function of that name, from its module (PEP 562)."""
    if name not in _WHERE:
        raise AttributeError(f"deepstorm3d.plot has no picture '{name}'; there are: {', '.join(__all__)}")
    function = getattr(import_module(_WHERE[name], __name__), name)
    globals()[name] = function
    return function


def __dir__() -> list[str]:
    return sorted(__all__)
