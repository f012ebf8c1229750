"""Control images: what each annotator without weights makes, at which size, and what is said of those that lack weights."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio.annotators.child import of_sane_shape
from studio.annotators.plain import PLAIN
from studio.core.annotators import ANNOTATORS, Annotation, control_size
from studio.core.errors import InvalidRequest, NotFound, StudioError, UnknownName
from studio.core.parts import ControlNet
from studio.core.request import GenerationRequest
from studio.jobs.annotating import Annotating
from studio.jobs.inputs import InputStore
from studio.training.datasets.tinyworld import TinyWorld

SQUARE = np.zeros((64, 64, 3), np.uint8)
SQUARE[16:48, 16:48] = 200


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def inputs(tmp_path: Path) -> InputStore:
    return InputStore(tmp_path / "inputs")


@pytest.mark.parametrize("name", list(PLAIN))
def test_each_keeps_the_picture_s_size(name: str) -> None:
    made = PLAIN[name](SQUARE, Annotation(annotator=name))
    assert made.shape == SQUARE.shape and made.dtype == np.uint8
    assert np.array_equal(made, PLAIN[name](SQUARE, Annotation(annotator=name)))
    assert made.any()


def test_edges_by_threshold_are_those_of_tiny_world() -> None:
    """The map that the starter ControlNet was trained on, from the drawn picture alone: F1 within 2 pixels."""
    import cv2

    data, near = TinyWorld(128, "held_out"), np.ones((5, 5), np.uint8)
    for number in range(8):
        found = PLAIN["threshold"](data[number].image, Annotation())[..., 0]
        exact = data.control(number, "edges")[..., 0]
        precision = (cv2.dilate(exact, near)[found > 0] > 0).mean()
        recall = (cv2.dilate(found, near)[exact > 0] > 0).mean()
        assert 2 * precision * recall / (precision + recall) > 0.97


@pytest.mark.parametrize(
    ("picture", "resize", "size"),
    [
        ((1024, 768), "crop", (683, 512)),  # crop to 512 x 512 afterwards changes no pixel's size
        ((1024, 768), "pad", (512, 384)),
        ((1024, 768), "stretch", (512, 512)),
        ((1, 1), "crop", (512, 512)),
        ((4, 1), "pad", (512, 128)),
    ],
)
def test_pixel_perfect_is_the_scale_of_the_run(picture: tuple[int, int], resize: str, size: tuple[int, int]) -> None:
    asked = Annotation(width=512, height=512, resize=resize)
    assert control_size(picture, asked) == size


def test_extreme_pictures_are_brought_to_a_sane_size() -> None:
    assert of_sane_shape(Image.new("RGB", (4000, 1)), Annotation()).size == (4, 1)
    assert control_size((4, 1), Annotation()) == (256, 64)
    assert max(control_size((12000, 12000), Annotation())) == 2048
    wide, high = control_size((4, 1), Annotation(width=4096, height=4096))
    assert wide * high <= 4096 * 4096 + 8192


def test_a_control_image_is_made_in_a_process_and_kept(inputs: InputStore, tmp_path: Path) -> None:
    annotating = Annotating(inputs, [tmp_path])
    digest = inputs.add(png(SQUARE))
    made = annotating.annotate(digest, Annotation(annotator="canny", width=128, height=128))
    edges = inputs.open(made)
    assert edges.size == (128, 128)
    assert set(np.unique(np.asarray(edges))) == {0, 255}
    assert annotating.annotate(digest, Annotation(annotator="none")) == digest
    assert annotating.annotate(digest, Annotation(annotator="canny", width=128, height=128)) == made


def test_what_cannot_be_made_is_said_in_a_sentence(inputs: InputStore, tmp_path: Path) -> None:
    annotating = Annotating(inputs, [tmp_path])
    digest = inputs.add(png(SQUARE))
    with pytest.raises(InvalidRequest, match=r"put ControlNetHED.pth .* into models/annotators/\."):
        annotating.annotate(digest, Annotation(annotator="softedge_hed"))
    with pytest.raises(InvalidRequest, match=r"put a folder such as .* at models/annotators/depth\."):
        annotating.annotate(digest, Annotation(annotator="depth"))
    with pytest.raises(UnknownName):
        annotating.annotate(digest, Annotation(annotator="guess"))
    with pytest.raises(NotFound):
        annotating.annotate("0" * 64, Annotation())
    with pytest.raises(InvalidRequest, match="low threshold"):
        annotating.annotate(digest, Annotation(low=200, high=100))
    (tmp_path / "annotators").mkdir()
    (tmp_path / "annotators/table5_pidinet.pth").write_bytes(b"no weights")
    with pytest.raises(StudioError, match="Soft edges, PiDiNet could not be made: ") as refused:
        annotating.annotate(digest, Annotation(annotator="softedge_pidinet"))
    assert str(tmp_path) not in str(refused.value)


def test_the_list_says_which_have_their_weights(inputs: InputStore, tmp_path: Path) -> None:
    (tmp_path / "annotators").mkdir()
    (tmp_path / "annotators/sk_model.pth").write_bytes(b"")
    views = {view.name: view for view in Annotating(inputs, [tmp_path]).views()}
    assert set(views) == set(ANNOTATORS)
    assert views["canny"].problem is None
    assert "put sk_model2.pth (" in str(views["lineart"].problem)


def test_a_part_with_an_annotator_and_no_source_gets_its_control_image() -> None:
    calls: list[tuple[str, Annotation]] = []

    def annotate(digest: str, asked: Annotation) -> str:
        calls.append((digest, asked))
        return "b" * 64

    part = ControlNet(image="a" * 64, annotator="canny")
    request = GenerationRequest(width=256, height=128, parts=(part,))
    made = part.prepared(request, annotate)
    assert (made.image, made.source) == ("b" * 64, "a" * 64)
    assert made.images() == {"image": "b" * 64}
    assert (calls[0][1].width, calls[0][1].height) == (256, 128)
    assert made.prepared(request, annotate) is made
    assert len(calls) == 1
