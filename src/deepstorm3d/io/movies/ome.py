"""What the OME description of a TIFF file says of the images in it."""

from __future__ import annotations

from xml.etree import ElementTree

__all__ = ["images_here", "ome_pixels"]


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
    named = [next((part.text for part in plane if part.tag.endswith("}UUID")), None) for plane in planes]
    return set(named)
