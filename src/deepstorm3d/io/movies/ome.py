"""What the OME description of a TIFF file says of the images in it."""

from __future__ import annotations

import math
from xml.etree import ElementTree

__all__ = ["images_here", "ome_pixels", "planes_here"]


def ome_pixels(text: str) -> dict[str, str]:
    """Attributes of the first <Pixels> element; empty where there is none, or the text is no XML."""
    found = _all_pixels(_root(text))
    return dict(found[0].attrib) if found else {}


def images_here(text: str) -> int:
    """How many of the images of the description lie in its own file, wholly or in part.

    Their planes (<TiffData>) name the file that they are in by its UUID, or none where there is only one.
    """
    root = _root(text)
    own = {None} if root is None else {None, root.get("UUID")}
    return sum(bool(_files(pixels) & own) for pixels in _all_pixels(root))


def planes_here(text: str) -> dict[int, int]:
    """Of the first image, the number of each plane that is placed in this file, and its place there.

    Planes are counted as DimensionOrder says; a <TiffData> without IFD begins at place 0, and
    without PlaneCount it places one plane, or all where it has neither (OME-TIFF specification, 2016-06).
    """
    root = _root(text)
    own = {None} if root is None else {None, root.get("UUID")}
    found, places = _all_pixels(root), {}
    for part in found[0] if found else ():
        if part.tag.endswith("}TiffData") and _uuid(part) in own:
            first, place = _plane_number(part, found[0]), int(part.get("IFD", 0))
            most = math.prod(int(found[0].get(f"Size{axis}", 1)) for axis in "CTZ")
            count = int(part.get("PlaneCount", 1 if "IFD" in part.attrib else most))
            places |= {first + step: place + step for step in range(min(count, most))}
    return places


def _plane_number(part: ElementTree.Element, pixels: ElementTree.Element) -> int:
    """Number of the first plane of a <TiffData> element, by its FirstZ, FirstC and FirstT."""
    number, each = 0, 1
    for axis in pixels.get("DimensionOrder", "XYZCT")[2:]:
        number += each * int(part.get(f"First{axis}", 0))
        each *= int(pixels.get(f"Size{axis}", 1))
    return number


def _uuid(plane: ElementTree.Element) -> str | None:
    """UUID of the file that a <TiffData> element names; None where it names none."""
    return next((part.text for part in plane if part.tag.endswith("}UUID")), None)


def _root(text: str) -> ElementTree.Element | None:
    try:
        return ElementTree.fromstring(text.encode())
    except ElementTree.ParseError:
        return None


def _all_pixels(root: ElementTree.Element | None) -> list[ElementTree.Element]:
    return [] if root is None else [part for part in root.iter() if part.tag.endswith("}Pixels")]


def _files(pixels: ElementTree.Element) -> set[str | None]:
    """UUID of each file that holds planes of an image; None where they name no file."""
    planes = [part for part in pixels if part.tag.endswith("}TiffData")]
    return {_uuid(plane) for plane in planes}
