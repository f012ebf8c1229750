"""A text hidden in the lowest bits of a picture's pixels: of alpha, or of red, green and blue, column by column.

As NovelAI and A1111's extension "stealth pnginfo" write it: fifteen bytes of signature, 32 bits that give the length in
bits, and the text, compressed by gzip where the signature ends in "comp". Decodes pixels, after the header was judged.
"""

import io
import struct
import zlib

from PIL import Image

from studio.core.pictures import FORMATS, decoding, read_header
from studio.metadata.containers import MAX_TEXT, decoded, inflated, is_jpeg

_MODES = {"RGBA": ("A", b"stealth_pnginfo", b"stealth_pngcomp"), "RGB": ("RGB", b"stealth_rgbinfo", b"stealth_rgbcomp")}
_HEAD = 15 + 4  # bytes: signature and length
_BITS = bytes(ord("0") + (value & 1) for value in range(256))
_GZIP = 16 + zlib.MAX_WBITS


def read(data: bytes) -> str | None:
    """The hidden text; None if there is none. Raises InvalidRequest for what is no picture."""
    if is_jpeg(data):
        return None  # its pixels do not keep what was hidden in them
    header = read_header(data)
    try:
        with decoding.taking(header.width, header.height), Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            bands = (
                {name: picture.convert("RGBA") for name in _MODES} if "A" in picture.getbands() else {"RGB": picture}
            )
            for mode, pixels in bands.items():
                channel, plain, packed = _MODES[mode]
                text = _hidden(_columns(pixels, channel), plain, packed)
                if text is not None:
                    return text
    except Exception:  # Pillow's decoders raise nearly anything on damaged data
        pass
    return None


def _columns(picture: Image.Image, channel: str) -> bytes:
    """The samples from top to bottom and left to right."""
    taken = picture.getchannel("A") if channel == "A" else picture.convert("RGB")
    return taken.transpose(Image.Transpose.TRANSPOSE).tobytes()


def _hidden(samples: bytes, plain: bytes, packed: bytes) -> str | None:
    head = _bytes(samples, 0, _HEAD)
    signature, length = head[:15], struct.unpack(">I", head[15:])[0] // 8 if len(head) == _HEAD else 0
    if signature not in (plain, packed) or not 0 < length <= MAX_TEXT:
        return None
    body = _bytes(samples, _HEAD, length)
    text = inflated(body, _GZIP) if signature == packed else body
    return None if text is None else decoded(text)


def _bytes(samples: bytes, start: int, number: int) -> bytes:
    """`number` bytes of the lowest bits from byte `start` on, the highest bit first; fewer where they end."""
    bits = samples[8 * start : 8 * (start + number)].translate(_BITS)
    whole = len(bits) // 8
    return int(bits[: 8 * whole] or b"0", 2).to_bytes(max(whole, 1), "big")[:whole]
