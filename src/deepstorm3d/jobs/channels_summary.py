"""What a run over two channels found, and what a user of its list should know."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..fitting.sites.channels import FoundInChannels
from ..fitting.sites.mismatch import Mismatch
from ..localizing.depth_ends import DepthEnds
from ..localizing.over_frames import Decision

__all__ = ["ChannelsSummary"]

# Share of the molecules of both channels that do not fit one position from which on it is told …
_SPLIT_SHARE = 0.2
_SPLIT_LEAST = 10  # … and their number
# Mean deviance of a channel's pixels from which on it is told.
_MISFIT = 1.3
# Shift between the channels from which on it is told, lateral and axial, µm, if it is also …
_SHIFT_UM = (0.02, 0.02, 0.06)
_SURE = 5.0  # … so many of its standard errors.
# Light of a channel below which it is told, as a fraction of what the model expects there …
_DARK = 0.3
_DARK_ROWS = 10  # … from so many molecules on.
# Difference of the measured share of the light from the one taken as known from which on it is told.
_OTHER_SHARE = 0.03


@dataclass
class ChannelsSummary:
    """Figures of a run over two channels; complete: whether it reached the last frame (else it can be resumed).

    alone: rows of each channel alone, empty where a network saw both;  rows: of both;  together, filled, split,
    removed, mismatch: see `FoundInChannels`;  photons: of all rows in each channel;
    earlier, earlier_rows: frames done and rows written before the run was resumed, which the figures of both
    leave out;  over_frames: whether the list is fitted over frames, None: not decided yet;
    refitted: rows of the list after the fit over frames, None: there was none;
    misfit: mean deviance of the pixels of each channel;  transform: file beside the list with the transform
    that was found, None: it was given;  share: of the light that the model expects in the second
    channel, None: any;  share_known: the fit took it as that of every molecule;  ends: rows at the ends of the
    depths, of the list over frames where there is one.
    """

    frames: int = 0
    earlier: int = 0
    earlier_rows: int = 0
    alone: tuple[int, ...] = ()
    rows: int = 0
    together: int = 0
    filled: int = 0
    split: int = 0
    removed: int = 0
    misfit: tuple[float, float] = (0.0, 0.0)
    mismatch: Mismatch = field(default_factory=Mismatch.nothing)
    photons: tuple[float, float] = (0.0, 0.0)
    share: float | None = None
    share_known: bool = False
    over_frames: Decision | None = None
    refitted: int | None = None
    complete: bool = False
    transform: Path | None = None
    warnings: list[str] = field(default_factory=list)
    ends: DepthEnds = field(default_factory=DepthEnds)

    def add(self, found: FoundInChannels) -> None:
        """Add the figures of one more block."""
        frames, (one, other) = len(found.misfit), found.misfit.double().sum(0).tolist()
        before, after = self.frames, self.frames + frames
        self.misfit = (
            (self.misfit[0] * before + one) / after,
            (self.misfit[1] * before + other) / after,
        )
        self.frames = after
        self.rows += len(found.localizations)
        self.together += found.together
        self.filled += found.filled
        self.split += found.split
        self.removed += found.removed
        self.mismatch = sum(found.mismatch, self.mismatch)
        rows = found.localizations
        self.ends.add(rows)
        if rows.share is not None:
            second = float((rows.photons * rows.share).sum())
            self.photons = (
                self.photons[0] + float(rows.photons.sum()) - second,
                self.photons[1] + second,
            )

    def doubts(self) -> list[str]:
        """What a user of the list should know."""
        told = []
        both = self.together + self.split
        if self.split >= _SPLIT_LEAST and self.split > _SPLIT_SHARE * both:
            told.append(
                f"{self.split} of {both} molecules that both channels show within 3 σ do not fit one position: "
                "the transform is less exact than the molecules, or a model's PSF is not that of its channel; "
                "register on this recording (leave the transform out), and look at single frames (`regenerate`)"
            )
        for name, misfit in zip(("first", "second"), self.misfit, strict=True):
            if misfit > _MISFIT:
                told.append(
                    f"the {name} channel is not explained by the molecules of both: its pixels have a mean "
                    f"deviance of {misfit:.2f} (noise alone: 1)"
                )
        return [*told, *self._shifted(), *(self._dark() or self._other_share()), *self.ends.warnings()]

    def _shifted(self) -> list[str]:
        """That the second channel shows the molecules elsewhere."""
        tie = self.mismatch
        shift, sigma = tie.shift_um
        known = shift.new_tensor(_SHIFT_UM)
        many = tie.apart >= _SPLIT_LEAST and tie.apart > _SPLIT_SHARE * tie.compared
        if not many and not bool(((shift.abs() > known) & (shift.abs() > _SURE * sigma)).any()):
            return []
        x, y, z = (1000 * shift).tolist()
        return [
            f"{tie.apart} of {tie.compared} molecules do not lie at one place in both channels: the images of "
            f"the second one pull by x {x:+.0f}, y {y:+.0f}, z {z:+.0f} nm away from where the transform puts "
            "them; it is of another recording, or a channel's PSF is not the model's: register on this "
            "recording (`register`)"
        ]

    def _dark(self) -> list[str]:
        """That a channel has less light than the model expects."""
        total = sum(self.photons)
        if self.share is None or self.rows < _DARK_ROWS or total <= 0:
            return []
        expected = 1 - self.share, self.share
        return [
            f"the {name} channel has {100 * light / total:.1f} % of the molecules' light, the model was "
            f"trained for {100 * share:.0f} %: is it dark, are the movies in the other order, or are its "
            "camera's baseline and gain wrong (`camera`)?"
            for name, light, share in zip(("first", "second"), self.photons, expected, strict=True)
            if light < _DARK * share * total
        ]

    def _other_share(self) -> list[str]:
        """That the light is not divided as the fit took it to be."""
        total = sum(self.photons)
        if not self.share_known or self.share is None or self.rows < _DARK_ROWS or total <= 0:
            return []
        measured = self.photons[1] / total
        if abs(measured - self.share) < _OTHER_SHARE:
            return []
        return [
            f"the second channel has {100 * measured:.1f} % of the molecules' light, and the fit took it to be "
            f"{100 * self.share:.1f} % for every molecule (light_known in the experiment): photons are wrong "
            "by some of that, and depths may be; leave the shares free (`light_known=False`), or train a model "
            "for this share"
        ]
