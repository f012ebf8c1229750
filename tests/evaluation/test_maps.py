"""How well a picture keeps to a map is 1 for the picture of the map itself, and less the more it differs."""

import numpy as np
import pytest

from studio.evaluation.maps import edge_f1, nearest, region_iou


def square(x: int) -> np.ndarray:
    picture = np.full((64, 64, 3), (20, 60, 200), np.uint8)
    picture[16:40, x : x + 24] = (240, 220, 40)
    return picture


def outline(x: int) -> np.ndarray:
    edges = np.zeros((64, 64), np.uint8)
    edges[16:40, [x, x + 23]] = 255
    edges[[16, 39], x : x + 24] = 255
    return edges


def test_edges_count_as_found_within_two_pixels():
    found = [edge_f1(square(x), outline(16)) for x in (16, 18, 24, 40)]
    assert found[0] > 0.98
    assert found[1] > 0.9
    assert found[0] >= found[1] > found[2] > found[3]
    flat = np.zeros((64, 64, 3), np.uint8)
    assert edge_f1(flat, outline(16)) == 0
    assert edge_f1(flat, np.zeros((64, 64), np.uint8)) == 1


def test_regions_overlap_as_far_as_they_are_the_same():
    palettes = [np.array([(20, 60, 200)]), np.array([(240, 220, 40)])]
    wanted = nearest(square(16), palettes)
    assert region_iou(wanted, wanted, [1]) == 1
    assert region_iou(nearest(square(28), palettes), wanted, [1]) == pytest.approx(1 / 3, abs=0.02)
