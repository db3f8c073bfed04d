"""QR codes as pictures."""

from __future__ import annotations

import io

import segno
from starlette.responses import Response


def qr(text: str) -> Response:
    """An SVG of a QR code (ISO/IEC 18004), dark on light in every theme so that cameras read it."""
    picture = io.BytesIO()
    segno.make(text, error="m", boost_error=False).save(
        picture, kind="svg", border=3, dark="#10222b", light="#ffffff", omitsize=True, xmldecl=False
    )
    return Response(picture.getvalue(), media_type="image/svg+xml")
