"""Points of the plane as a picture, drawn by Pillow."""

import numpy as np
from PIL import Image, ImageDraw

SIDE = 256
REACH = 2.4  # the picture shows [-REACH, REACH]^2
FINE = 4  # drawn that much larger, then reduced
PAPER = (252, 251, 249)
INKS = ("#3b5bdb", "#e8590c", "#2b8a3e", "#9c36b5", "#c2255c", "#0b7285", "#846300", "#495057")  # by class


def scatter(points: np.ndarray, labels: np.ndarray) -> Image.Image:
    """Points [n, 2], y upwards, each in the ink of its class [n]."""
    side, radius = SIDE * FINE, 1.1 * FINE
    picture = Image.new("RGB", (side, side), PAPER)
    pen = ImageDraw.Draw(picture, "RGBA")
    places = (points * (1, -1) / REACH + 1) * (side / 2)
    for (x, y), label in zip(places[np.isfinite(places).all(axis=1)], labels, strict=False):
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=f"{INKS[label % len(INKS)]}90")
    return picture.resize((SIDE, SIDE), Image.Resampling.BOX)
