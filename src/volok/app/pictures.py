"""Pictures that are sent from the command line or by a bot: metadata removed, thumbnail made."""

from __future__ import annotations

import io
from dataclasses import replace

from PIL import Image, ImageOps, UnidentifiedImageError

from volok.chat.views import FileKind, Outgoing

_PICTURES = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP"}
_HARMLESS = {
    "background",
    "chromaticity",
    "dpi",
    "gamma",
    "icc_profile",
    "interlace",
    "jfif",
    "jfif_density",
    "jfif_unit",
    "jfif_version",
    "loop",
    "progression",
    "progressive",
    "srgb",
    "timestamp",
    "transparency",
}
_KEPT = {"icc_profile", "transparency"}
_MOST_PIXELS = 64_000_000
_THUMBNAIL_BYTES = 4096


def attachment(name: str, media_type: str, data: bytes) -> Outgoing:
    """A file as it is sent.

    A picture with metadata is encoded anew, so that the place and the camera that these name stay
    here; one without, and whatever cannot be read as a picture, goes byte for byte.
    """
    plain = Outgoing(name, media_type, data)
    if media_type not in _PICTURES:
        return plain
    try:
        with Image.open(io.BytesIO(data)) as opened:
            if opened.width * opened.height > _MOST_PIXELS or getattr(opened, "n_frames", 1) > 1:
                return plain
            bare = set(opened.info) <= _HARMLESS and not opened.getexif()
            picture = ImageOps.exif_transpose(opened)
        return replace(
            plain,
            kind=FileKind.PICTURE,
            data=data if bare else _encode(picture, _PICTURES[media_type]),
            width=picture.width,
            height=picture.height,
            thumbnail=_thumbnail(picture),
        )
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return plain


def _encode(picture: Image.Image, kind: str) -> bytes:
    out = io.BytesIO()
    bare = picture.copy()
    bare.info = {key: value for key, value in picture.info.items() if key in _KEPT}
    bare.save(out, kind, quality=90)
    return out.getvalue()


def _thumbnail(picture: Image.Image) -> bytes | None:
    small = picture.convert("RGB")
    for edge, quality in ((240, 50), (160, 40), (96, 30)):
        small.thumbnail((edge, edge))
        out = io.BytesIO()
        small.save(out, "WEBP", quality=quality)
        if out.tell() <= _THUMBNAIL_BYTES:
            return out.getvalue()
    return None
