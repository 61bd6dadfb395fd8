"""Files with false lengths, bombs, and files that are two things at once."""

import gzip
import io
import struct
import zlib

from PIL import Image


def _glb(text: bytes, *, length: int | None = None, whole: int | None = None) -> bytes:
    size = len(text) if length is None else length
    head = b"glTF" + struct.pack("<II", 2, 20 + len(text) if whole is None else whole)
    return head + struct.pack("<I", size) + b"JSON" + text


def _box(kind: bytes, body: bytes, size: int | None = None) -> bytes:
    return struct.pack(">I", 8 + len(body) if size is None else size) + kind + body


def _pixel_bomb(kind: str) -> bytes:
    """Return a picture of a few kilobytes that is a hundred megapixels."""
    data = io.BytesIO()
    Image.new("1" if kind == "PNG" else "P", (12_000, 12_000)).save(data, kind)
    return data.getvalue()


def _png(*chunks: tuple[bytes, bytes]) -> bytes:
    made = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(made)


def _jpeg(width: int, height: int) -> bytes:
    """Return a JPEG whose head says another size than its body has."""
    data = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 30, 30)).save(data, "JPEG")
    head, _, rest = data.getvalue().partition(b"\xff\xc0\x00\x11\x08")
    return head + b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", height, width) + rest[4:]


NESTED = b'{"asset": {"extras": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}"
FTYP = _box(b"ftyp", b"mp42\0\0\0\0")
WICKED = (
    _glb(b"{}", length=2**32 - 1),
    _glb(b"{}", whole=2**32 - 1),
    _glb(b'{"asset": {"extras": {"prompt": "/etc/passwd", "model": "../../x"}}}'),
    _glb(NESTED),
    _glb(b""),
    FTYP + _box(b"moov", b"", size=0),
    FTYP + _box(b"moov", b"", size=1) + b"\xff" * 8,
    FTYP + _box(b"moov", _box(b"udta", _box(b"meta", b"\0" * 4 + _box(b"ilst", b"", size=7)))),
    FTYP + _box(b"free", b"") * 20_000,
    _pixel_bomb("GIF"),
    _pixel_bomb("PNG"),
    b"GIF89a\xff\xff\xff\xff\xf7\0\0" + bytes(900),
    _png((b"IHDR", struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 6, 0, 0, 0)), (b"IEND", b"")),
    _png(
        (b"IHDR", struct.pack(">IIBBBBB", 64, 64, 16, 6, 0, 0, 1)), (b"IDAT", b"x"), (b"IEND", b"")
    ),
    _png(
        (b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 6, 0, 0, 0)),
        # A text and a profile that unpack to megabytes.
        (b"zTXt", b"a\0\0" + zlib.compress(bytes(8 << 20))),
        (b"iCCP", b"a\0\0" + zlib.compress(bytes(8 << 20))),
        (b"IDAT", zlib.compress(bytes(64 * 257))),
        (b"IEND", b""),
    ),
    _jpeg(65_535, 65_535),
    _jpeg(64, 640),
    _jpeg(64, 64)[:300],
    b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0\xff\xff\xff\xff\xff\xff" + bytes(40),
    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><svg>&b;</svg>',
    b"GIF89a/*\x01\0\x01\0\0\0\0,\0\0\0\0*/=1;alert(1)//" + b"PK\5\6" + bytes(18),
    b"PK\3\4\x14\0\0\0\x08\0" + bytes(8) + b"\x10\0\0\0\xff\xff\xff\x7f\1\0\0\0a" + bytes(16),
    gzip.compress(bytes(16 << 20)),
    b"\x1a\x45\xdf\xa3\x01\xff\xff\xff\xff\xff\xff\xff" + b"\x18\x53\x80\x67" + b"\xff" * 60,
    zlib.compress(b"x"),
)
"""Files with false lengths, bombs, and files that are two things at once."""
