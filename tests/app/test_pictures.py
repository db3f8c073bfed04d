from __future__ import annotations

import io

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from volok.app.pictures import attachment
from volok.chat.views import FileKind

MARKER = b"taken-at-home"


def encoded(kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((640, 400), 80).convert("RGB").save(out, kind, **options)
    return out.getvalue()


def jpeg_with_metadata() -> bytes:
    exif = Image.Exif()
    exif[0x010E] = MARKER.decode()
    exif[0x0112] = 6  # turned by a quarter
    return encoded("JPEG", exif=exif)


def png_with_metadata() -> bytes:
    info = PngInfo()
    info.add_text("Comment", MARKER.decode())
    return encoded("PNG", pnginfo=info)


@pytest.mark.parametrize(
    ("name", "media_type", "data"),
    [
        ("a.jpg", "image/jpeg", jpeg_with_metadata()),
        ("a.jpg", "image/jpeg", encoded("JPEG", comment=MARKER)),
        ("a.png", "image/png", png_with_metadata()),
        ("a.webp", "image/webp", encoded("WEBP", xmp=b"<x>" + MARKER + b"</x>")),
    ],
)
def test_metadata_stays_here(name: str, media_type: str, data: bytes) -> None:
    assert MARKER in data
    sent = attachment(name, media_type, data)
    assert sent.kind is FileKind.PICTURE
    assert MARKER not in sent.data
    assert sent.thumbnail is not None
    assert MARKER not in sent.thumbnail
    assert len(sent.thumbnail) <= 4096


def test_a_turned_picture_is_set_upright() -> None:
    sent = attachment("a.jpg", "image/jpeg", jpeg_with_metadata())
    assert (sent.width, sent.height) == (400, 640)
    with Image.open(io.BytesIO(sent.data)) as picture:
        assert picture.size == (400, 640)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_picture_without_metadata_goes_byte_for_byte(kind: str) -> None:
    data = encoded(kind)
    sent = attachment("a", f"image/{kind.lower()}", data)
    assert sent.kind is FileKind.PICTURE
    assert sent.data == data


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"no picture", encoded("PNG")[:200]])
def test_what_is_no_picture_goes_as_a_file(data: bytes) -> None:
    sent = attachment("a.png", "image/png", data)
    assert sent.kind is FileKind.FILE
    assert sent.data == data
