"""Arrays on their way to the browser: plain little-endian bytes, their size and type in headers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.responses import PlainTextResponse, Response

from ..errors import InputError

__all__ = ["array_response"]

# Types that the browser has an array for, by NumPy's name.
_AS_THEY_ARE = {"uint8", "uint16", "float32"}


def array_response(made: Callable[[], NDArray[Any] | None]) -> Response:
    """An image (h, w) as bytes, row by row, with its width, height and type in headers.

    made: gives the image, or None where there is none (status 404); an InputError of it is told in words
    (status 422).  Types other than uint8, uint16 and float32 become float32.
    """
    try:
        values = made()
    except (InputError, OSError) as error:
        return PlainTextResponse(str(error), status_code=422)
    if values is None:
        return PlainTextResponse("there is nothing to show yet", status_code=404)
    kind = values.dtype.name if values.dtype.name in _AS_THEY_ARE else "float32"
    little = np.ascontiguousarray(values, dtype=np.dtype(kind).newbyteorder("<"))
    height, width = little.shape
    headers = {"X-Width": str(width), "X-Height": str(height), "X-Type": kind, "Cache-Control": "no-store"}
    return Response(little.tobytes(), media_type="application/octet-stream", headers=headers)
