"""The form for localizing a movie, and the command line that it stands for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self, get_args

from ...cli.options import frame_range, region
from ...errors import InputError
from ...io.movies import open_movie
from ...io.parts import part_path
from ...io.tables.formats import format_to_write
from ...localizing.catalogue import built_in_models
from ..folder import Folder
from ..movie.explained import Question
from ..movie.same import camera_pairs, model_name
from .output import refuse_taken

__all__ = ["SPLITS", "LocalizeForm", "Split"]

Split = Literal["none", "left-right", "left-right,mirrored", "top-bottom", "top-bottom,mirrored"]
SPLITS: tuple[Split, ...] = get_args(Split)
"""How two channels lie in the frames of one camera."""


@dataclass(frozen=True)
class LocalizeForm:
    """What the user has entered; the names and meanings are those of the command's options.

    threshold, pixel_nm: None: the model's, the file's;  camera: ``key=value`` with commas;  device: "": the
    program chooses;  second, split: a second channel, in a movie of its own or in the halves of the frames;
    second_model: its model, "": the first one for both;  transform: to it, "": found.
    """

    movie: str = ""
    model: str = ""
    out: str = "found.hdf5"
    frames: str = ""
    roi: str = ""
    threshold: float | None = None
    refine: bool = True
    separate: bool = False
    camera: str = ""
    mask: str = ""
    flip: Literal["none", "horizontal", "vertical", "both"] = "none"
    transpose: bool = False
    subtract: Literal["none", "minimum", "median"] = "none"
    pixel_nm: float | None = None
    device: str = ""
    overwrite: bool = False
    second: str = ""
    second_model: str = ""
    split: Split = "none"
    transform: str = ""

    @property
    def two_channels(self) -> bool:
        """Whether both channels of a recording are localized together."""
        return bool(self.second.strip()) or self.split != "none"

    def changed(self, **values: object) -> Self:
        """The form with other entries."""
        return replace(self, **values)  # pyright: ignore[reportArgumentType]

    def taken_from(self, asked: Question, folder: Folder) -> Self:
        """The form with what the panel "Movie" shows.  Raises InputError where no movie is open there."""
        if asked.movie is None:
            raise InputError("no movie is open in the panel Movie")
        prepared, pixel = asked.prepared, asked.pixel_um
        return replace(
            self,
            movie=folder.shown(asked.movie),
            model=model_name(asked.model, folder),
            roi="" if asked.roi is None else ",".join(map(str, asked.roi)),
            threshold=asked.threshold,
            refine=asked.refine,
            camera=", ".join(f"{key}={value}" for key, value in asked.camera),
            mask="" if asked.mask is None else folder.shown(asked.mask),
            flip=prepared.flip,
            transpose=prepared.transpose,
            subtract=prepared.subtract,
            pixel_nm=None if pixel is None else 1000 * pixel,
            second="" if asked.second is None else folder.shown(asked.second),
            second_model=model_name(asked.second_model, folder) if asked.has_two else "",
            split=asked.split or "none",
            transform="" if asked.transform is None or not asked.has_two else folder.shown(asked.transform),
        )

    def arguments(self, folder: Folder) -> tuple[str, ...]:
        """The command line, without the program's name.  Raises InputError where it is not complete."""
        movie = folder.shown(folder.existing(self.movie))
        words = ["localize", movie, *self._of_both(folder)]
        words += ["--model", self._model(folder, self.model)]
        if self.two_channels and self.second_model.strip():
            words += ["--model", self._model(folder, self.second_model)]
        words += ["--out", folder.shown(self._out(folder))]
        if self.mask:
            words += ["--mask", folder.shown(folder.existing(self.mask))]
        for key, value in camera_pairs(self.camera):
            words += ["--camera", f"{key}={value}"]
        given = (
            ("--threshold", None if self.threshold is None else f"{self.threshold:g}"),
            ("--frames", self.frames.replace(" ", "")),
            ("--roi", self.roi.replace(" ", "")),
            ("--flip", self.flip if self.flip != "none" else ""),
            ("--subtract", self.subtract if self.subtract != "none" else ""),
            ("--pixel-nm", None if self.pixel_nm is None else f"{self.pixel_nm:g}"),
            ("--device", self.device),
        )
        for flag, text in given:
            words += [flag, text] if text else []
        switches = (
            ("--no-refine", not self.refine),
            ("--separate", self.separate),
            ("--transpose", self.transpose),
            ("--overwrite", self.overwrite),
        )
        return (*words, *(flag for flag, on in switches if on))

    def check(self, folder: Folder) -> None:
        """Raise InputError for what the command would refuse at once."""
        self.arguments(folder)
        frame_range(self.frames or None)
        region(self.roi or None)
        out = self._out(folder)
        if format_to_write(out, None).grow is None:
            raise InputError(f"{out.name}: the list must be .hdf5 or .csv")
        refuse_taken(out, folder, overwrite=self.overwrite)
        if part_path(out).exists() and not self.overwrite:
            raise InputError(
                f"{folder.shown(part_path(out))} holds an interrupted run",
                "resume it in the list, choose another name, or tick 'replace files that exist'",
            )
        open_movie(folder.existing(self.movie)).close()
        if self.second.strip():
            open_movie(folder.existing(self.second)).close()

    def _of_both(self, folder: Folder) -> list[str]:
        """What is said of two channels; raises InputError where it contradicts itself."""
        if not self.two_channels:
            if self.second_model.strip() or self.transform.strip():
                raise InputError(
                    "a second model or a transform is for two channels",
                    "choose the movie of the second one, or how the halves of the frames lie",
                )
            return []
        if self.second.strip() and self.split != "none":
            raise InputError(
                "the second channel has a movie of its own, or is in the halves of the first: not both"
            )
        if self.roi.strip():
            raise InputError(
                "a region is for one channel: the second one would need its own", "crop the movies"
            )
        words = [folder.shown(folder.existing(self.second))] if self.second.strip() else ["--split", self.split]
        if self.transform.strip():
            words += ["--transform", folder.shown(folder.existing(self.transform))]
        return words

    def _model(self, folder: Folder, name: str) -> str:
        name = name.strip()
        if not name:
            raise InputError("choose a model: a file that train wrote, or a built-in one")
        return name if name in built_in_models() else folder.shown(folder.existing(name))

    def _out(self, folder: Folder) -> Path:
        if not self.out.strip():
            raise InputError("give the list a file name, ending in .hdf5 or .csv")
        out = folder.path(self.out)
        return out if out.suffix else out.with_suffix(".hdf5")
