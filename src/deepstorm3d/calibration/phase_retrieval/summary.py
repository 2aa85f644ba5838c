"""What a mask retrieval found, in lines for the user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...optics.zernike import NAMES
from .figures_of_merit import agreement

if TYPE_CHECKING:
    from .field_aberrations import FieldAberrations
    from .retrieval import Retrieval

__all__ = ["summary_lines"]

# Fraction of their light that beads must lose over a stack to be worth a line.
_FADED = 0.1


def summary_lines(retrieval: Retrieval) -> list[str]:
    """How well the beads are explained, what the phase has over the design, and how well it localizes them."""
    f = retrieval.figures
    bound = f"scatter {f['z_scatter_over_bound']:.2f} × the bound of {f['z_bound_nm']:.1f} nm; "
    lines = [
        f"{f['beads']} beads, {f['images_used']} of {f['images']} images: {agreement(f)}",
        f"phase over the design: {f['phase_over_design_rad_rms']:.2f} rad rms "
        f"({f['phase_over_design_nm_rms']:.0f} nm) without defocus; defocus as a change of focus: "
        f"{f['defocus_over_design_um']:+.3f} µm",
        f"each slice localized: z {f['z_bias_nm']:.1f} nm off on average"
        f"{'; ' if f['noise'] == 'none' else ', ' + bound}"
        f"blur of a bead {f['bead_blur_px']:.2f} px, "
        f"of a point {f['point_blur_px']:.2f} px; {f['seconds']:.0f} s",
    ]
    if f["light_falls_by"] > _FADED:
        lines.append(
            f"the beads lost {100 * f['light_falls_by']:.0f} % of their light from the first slice to the last"
        )
    if f["steps_uneven_um_rms"] > 0:
        lines.append(
            f"steps {f['steps_over_said']:.4f} times as long as said; slices "
            f"{1000 * f['steps_uneven_um_rms']:.1f} nm rms from even ones"
        )
    if retrieval.field is not None:
        lines.append(_over_field(retrieval.field))
        across = retrieval.experiment.psf.across
        if across.rises:
            lines.append(
                f"psf.field of the experiment: {len(across.rises)} polynomials that rise, "
                f"{retrieval.field.planes_rad:.3f} rad rms over the field; they leave "
                f"{retrieval.field.left_rad:.3f} rad from bead to bead"
            )
    return lines


def _over_field(field: FieldAberrations) -> str:
    k = int(field.plane[1:].square().sum(0).argmax())
    across, down = field.plane[1:, k].tolist()
    return (
        f"across the field {len(field.beads)} beads differ by {field.scatter_rad:.3f} rad rms (χ² of no "
        f"difference {field.excess:.1f}); most in {NAMES[field.indices[k]]}, {across:+.2f} rad from left to "
        f"right, {down:+.2f} from top to bottom"
    )
