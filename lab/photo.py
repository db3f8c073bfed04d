"""A picture to send that has the size asked for."""

from __future__ import annotations

from io import BytesIO
from random import Random

from PIL import Image


def photo(size: int, seed: int) -> bytes:
    """A JPEG of noise, of at least `size` bytes: noise does not shrink when it is sent."""
    if not size:
        return b""
    side = 64
    while True:
        noise = Random(seed).randbytes(side * side * 3)
        made = BytesIO()
        Image.frombytes("RGB", (side, side), noise).save(made, "JPEG", quality=95)
        if made.tell() >= size:
            return made.getvalue()
        side += side // 8
