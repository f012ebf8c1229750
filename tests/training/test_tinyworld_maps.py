"""The maps are exact: they agree with the drawn picture and with each other."""

import numpy as np
import pytest

from studio.training.datasets.tinyworld import TinyWorld, maps, render_array, vocabulary
from studio.training.datasets.tinyworld.grounds import paint_ground

SCENES = [TinyWorld(32, seed=2).scene(i) for i in range(40)]


@pytest.mark.parametrize("scene", SCENES[:20])
def test_segmentation_is_where_the_picture_differs_from_its_ground(scene):
    picture = render_array(scene, 256).astype(int)
    bare = paint_ground(scene.ground, 256).astype(int)
    changed = np.abs(picture - bare).max(2) > 70
    inside = maps(scene, 256).segmentation > 0
    outside_edges = maps(scene, 256).edges == 0
    assert (changed & ~inside & outside_edges).mean() < 0.004
    assert changed[inside].mean() > 0.6


@pytest.mark.parametrize("scene", SCENES)
def test_boxes_hold_the_segments_and_labels_name_the_kinds(scene):
    exact = maps(scene, 128)
    assert [b.kind for b in exact.boxes] == [o.kind for o in scene.objects]
    labels = {1 + vocabulary.KINDS.index(o.kind) for o in scene.objects}
    assert set(np.unique(exact.segmentation)) == labels | {0}
    for box in exact.boxes:
        if sum(b.kind == box.kind for b in exact.boxes) > 1:
            continue
        rows, columns = np.nonzero(exact.segmentation == 1 + vocabulary.KINDS.index(box.kind))
        assert abs(columns.min() - box.x0) < 2
        assert abs(columns.max() + 1 - box.x1) < 2
        assert abs(rows.min() - box.y0) < 2
        assert abs(rows.max() + 1 - box.y1) < 2


@pytest.mark.parametrize("scene", SCENES[:20])
def test_objects_are_nearer_than_their_ground_and_lower_ones_nearest(scene):
    exact = maps(scene, 128)
    here = exact.segmentation > 0
    assert exact.depth[here].min() > 255 * 0.6
    around = exact.depth[~here]
    assert np.median(around) < exact.depth[here].min()
    lowest = max(scene.objects, key=lambda o: o.y)
    label = 1 + vocabulary.KINDS.index(lowest.kind)
    assert exact.depth[exact.segmentation == label].max() == exact.depth.max()


def test_edges_run_along_the_borders_of_the_segments():
    for scene in SCENES:
        exact = maps(scene, 128)
        border = np.zeros((128, 128), bool)
        border[1:] |= exact.segmentation[1:] != exact.segmentation[:-1]
        border[:, 1:] |= exact.segmentation[:, 1:] != exact.segmentation[:, :-1]
        assert (exact.edges[border] > 0).mean() > 0.9
        assert set(np.unique(exact.edges)) == {0, 255}


def test_the_maps_of_another_size_are_the_same_maps():
    small, large = maps(SCENES[0], 64), maps(SCENES[0], 256)
    agreement = (small.segmentation == large.segmentation[2::4, 2::4]).mean()
    assert agreement > 0.985
    assert large.boxes[0].x0 == pytest.approx(4 * small.boxes[0].x0)
