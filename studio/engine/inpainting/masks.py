"""The two masks of inpainting, both made from the painted one: what the model may change, and what of it is put back.

All are arrays (h, w) of float32 in 0..1 at the size of the picture. Depends on no model.
"""

import numpy as np
from PIL import Image, ImageFilter

Mask = np.ndarray
FULL = 0.25  # from this much of change on, the model's picture is put back whole
DARK, BRIGHT = 8 / 255, 247 / 255  # a mask between these is grey


def changed_by_model(painted: Mask, grow: int, feather: int) -> Mask:
    """What the model may change: the painted mask, grown by `grow` pixels and faded over `feather`."""
    return blurred(grown(painted, grow), feather)


def put_back(painted: Mask, change: Mask, reach: int) -> Mask:
    """What of the model's picture is blended into the source: the painted mask whole, fading to nothing within the `reach`
    pixels around it that the model changed as well."""
    whole = np.minimum(painted / FULL, 1.0)
    soft = blurred(grown(whole, (reach + 1) // 2), reach)
    return np.where(change > 0, np.maximum(soft, whole), 0.0).astype(np.float32)


def is_soft(mask: Mask) -> bool:
    """Whether some of it is grey, beyond the one or two pixels at the edge of a painted line."""
    image = _image(mask)
    darkest = np.asarray(image.filter(ImageFilter.MinFilter(3)), dtype=np.float32) / 255
    brightest = np.asarray(image.filter(ImageFilter.MaxFilter(3)), dtype=np.float32) / 255
    return bool(((darkest > DARK) & (brightest < BRIGHT)).any())


def hardened(mask: Mask) -> Mask:
    return (mask >= 0.5).astype(np.float32)


def grown(mask: Mask, pixels: int) -> Mask:
    """Each pixel the brightest within `pixels` of it, in a square."""
    for axis in (0, 1):
        mask = _brightest(mask, pixels, axis)
    return mask


def _brightest(mask: Mask, pixels: int, axis: int) -> Mask:
    """The maximum over 2 * pixels + 1 places along an axis, by windows that double in length."""
    pixels = min(pixels, mask.shape[axis] - 1)
    if pixels <= 0:
        return mask
    mask = np.moveaxis(mask, axis, 0)
    padded = np.pad(mask, [(pixels, pixels), (0, 0)])
    length, wanted = 1, 2 * pixels + 1
    while length < wanted:
        step = min(length, wanted - length)
        padded = np.maximum(padded[: len(padded) - step], padded[step:])
        length += step
    return np.moveaxis(padded, 0, axis)


def blurred(mask: Mask, pixels: int) -> Mask:
    """Faded over about `pixels` on the whole, half of them on either side of an edge; nothing further away changes."""
    if pixels <= 0:
        return mask
    soft = _image(mask).filter(ImageFilter.GaussianBlur(pixels / 4))  # four standard deviations are the whole edge
    return np.asarray(soft, dtype=np.float32) / 255


def as_array(mask: Image.Image) -> Mask:
    return np.asarray(mask.convert("L"), dtype=np.float32) / 255


def _image(mask: Mask) -> Image.Image:
    return Image.fromarray(np.rint(mask * 255).astype(np.uint8))
