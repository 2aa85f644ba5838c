"""What stands above the rows of a table: pixel size, frames, image shape and where the rows come from."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...emitters import Emitters, Localizations
from ...errors import InputError

__all__ = ["FRAME_BASE_NOTE", "NOMINAL_PSF_SIGMA_PX", "TableHeader", "refuse_other_settings"]

NOMINAL_PSF_SIGMA_PX = 1.0
"""Written where a format wants the width of a Gaussian spot: an engineered PSF has none."""

FRAME_BASE_NOTE = (
    "frames from 0; x = column, y = row; z in nm from the coverslip into the sample, upward positive"
)

# What may be another where an interrupted run goes on: it changes no row, or it changes while a movie grows
# (the faults found in its pixels).
_MAY_DIFFER = {"program", "command", "frames", "block_frames", "pixels", "over_frames", "given_up"}
_SHOWN = 3  # differing settings that an error names
_HASH = re.compile(r"[0-9a-f]{64}")  # SHA-256, which an error names by its first digits
_HASH_SHOWN = 12  # of these digits


@dataclass(frozen=True)
class TableHeader:
    """The recording that a table belongs to.

    pixel_um: object pixel, µm;  frames: in the movie;  shape: (height, width) px of a frame;
    provenance: how the rows were made (experiment, model, options), anything that JSON can hold;
    notes: what was seen while the table was read that the user should know (rows left out, …);
    guessed: the file does not describe its recording: frames and shape are the smallest that hold its rows.
    """

    pixel_um: float
    frames: int
    shape: tuple[int, int]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    guessed: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.pixel_um) and self.pixel_um > 0):
            raise ValueError(f"pixel_um must be a positive number of µm, got {self.pixel_um}")
        if self.frames < 0 or min(self.shape) < 1:
            raise ValueError(f"frames and shape must be positive, got {self.frames} and {self.shape}")

    @property
    def pixel_nm(self) -> float:
        """The pixel in nm, free of the last binary digits (110.0, not 110.00000000000001)."""
        return round(float(self.pixel_um) * 1000, 6)

    @property
    def settings(self) -> dict[str, Any]:
        """What of the provenance makes the rows what they are, as JSON gives it back."""
        made = {key: value for key, value in self.provenance.items() if key not in _MAY_DIFFER}
        if "frames" in self.provenance:
            made["first frame"] = self.provenance["frames"][0]
        return dict(json.loads(json.dumps(made, default=str)))

    @classmethod
    def around(
        cls, table: Localizations | Emitters, pixel_um: float, notes: tuple[str, ...] = ()
    ) -> TableHeader:
        """The smallest recording that holds a table whose file does not describe one."""
        if not len(table):
            return cls(pixel_um, 0, (1, 1), notes=notes, guessed=True)
        x, y, _ = (table.xyz.amax(dim=0) / pixel_um).tolist()
        shape = max(0, round(y)) + 1, max(0, round(x)) + 1
        return cls(pixel_um, int(table.frame.max()) + 1, shape, notes=notes, guessed=True)


def refuse_other_settings(path: Path, begun: Mapping[str, Any] | None, header: TableHeader) -> None:
    """Raise InputError where the rows to come would be made otherwise than those of the part `path`.

    begun: its `TableHeader.settings`, None: of an earlier version, which did not keep them.
    What only one of both has is no difference: another version of the program may say more.
    """
    differing = list(_differences(begun or {}, header.settings))
    if not differing:
        return
    more = f" and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
    raise InputError(
        f"{path} was begun with other settings: {'; '.join(differing[:_SHOWN])}{more}",
        "go on with the movie, model and settings of the interrupted run, or start again (`overwrite=True`)",
    )


def _differences(begun: Any, now: Any, name: str = "") -> Iterator[str]:
    """Each setting that differs, with its value then and now."""
    if isinstance(begun, Mapping) and isinstance(now, Mapping):
        for key in begun:
            if key in now:
                yield from _differences(begun[key], now[key], f"{name}.{key}" if name else key)
    elif isinstance(begun, list) and isinstance(now, list) and len(begun) == len(now):
        for number, (old, new) in enumerate(zip(begun, now, strict=True), 1):
            yield from _differences(old, new, f"{name} {number}")
    elif not _alike(begun, now):
        yield f"{name} was {_shown(begun)}, now {_shown(now)}"


def _shown(value: Any) -> str:
    """A setting as an error names it."""
    return f"{value[:_HASH_SHOWN]}…" if isinstance(value, str) and _HASH.fullmatch(value) else str(value)


def _alike(begun: Any, now: Any) -> bool:
    if isinstance(begun, float) and isinstance(now, (int, float)):
        return math.isclose(begun, now, rel_tol=1e-6) or (math.isnan(begun) and math.isnan(now))
    if isinstance(begun, str) and isinstance(now, str) and "" in (begun, now):
        # What was read from no file has no hash to compare.
        return begun == now or bool(_HASH.fullmatch(begun + now))
    return bool(begun == now)
