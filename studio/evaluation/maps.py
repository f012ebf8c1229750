"""How well a picture keeps to a map: F1 of its edges within some pixels, and overlap of regions (IoU).

Functions of pictures and maps; independent of models and of how maps are made.
"""

from collections.abc import Sequence

import cv2
import numpy as np

LOW, HIGH = 30, 90  # Canny's two thresholds


def edges_of(picture: np.ndarray) -> np.ndarray:
    """Edges of a picture [H, W, 3] uint8 by Canny (1986) on each channel, [H, W] bool."""
    smooth = cv2.GaussianBlur(picture, (0, 0), 0.8)
    return np.any([cv2.Canny(np.ascontiguousarray(smooth[..., c]), LOW, HIGH) > 0 for c in range(3)], axis=0)


def edge_f1(picture: np.ndarray, edges: np.ndarray, within: int = 2) -> float:
    """F1 of the picture's edges and a map's [H, W], where an edge counts as found within so many pixels."""
    mine, wanted = edges_of(picture), edges > 0
    if not mine.any() or not wanted.any():
        return float(mine.any() == wanted.any())
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * within + 1, 2 * within + 1))
    near_mine, near_wanted = (cv2.dilate(x.astype(np.uint8), kernel) > 0 for x in (mine, wanted))
    precision, recall = near_wanted[mine].mean(), near_mine[wanted].mean()
    return float(2 * precision * recall / max(precision + recall, 1e-9))


def nearest(picture: np.ndarray, palettes: Sequence[np.ndarray]) -> np.ndarray:
    """For each pixel, the number of the palette [k, 3] that has the nearest colour, [H, W]; specks are smoothed away."""
    pixels = picture.reshape(-1, 1, 3).astype(np.float32)
    far = [((pixels - palette[None].astype(np.float32)) ** 2).sum(2).min(1) for palette in palettes]
    labels = np.argmin(far, axis=0).astype(np.uint8).reshape(picture.shape[:2])
    return cv2.medianBlur(labels, 5)


def region_iou(labels: np.ndarray, wanted: np.ndarray, kinds: Sequence[int]) -> float:
    """Mean over `kinds` of the overlap of a label's region with the map's: intersection over union."""
    overlaps = []
    for kind in kinds:
        a, b = labels == kind, wanted == kind
        overlaps.append((a & b).sum() / max(1, (a | b).sum()))
    return float(np.mean(overlaps))
