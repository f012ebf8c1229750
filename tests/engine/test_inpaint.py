"""Inpainting: what is outside the mask comes back to the last bit, at the picture's own size; grey masks act; what the model sees."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from studio import compat
from studio.core.errors import InvalidRequest
from studio.core.regions import Box
from studio.core.samplers import SOLVERS
from studio.core.tasks import Inpaint
from tests.engine.conftest import Studio
from tests.sweeps import one_in

compat.prepare()

from studio.engine.generate import Result, generate  # noqa: E402
from studio.engine.inpainting import masks  # noqa: E402
from studio.engine.inpainting.content import filled  # noqa: E402
from studio.engine.inpainting.prepare import Prepared, prepared  # noqa: E402
from studio.engine.layout import Spatial  # noqa: E402

PICTURE, MASK = "a" * 64, "b" * 64
SAMPLERS = ("euler", "dpmpp_2m", "ddim", "heun", "euler_a", "unipc", "dpm_adaptive")


def picture(width: int = 128, height: int = 128) -> Image.Image:
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([across, down, 255 - across], axis=2).astype("uint8"))


def mask(size: tuple[int, int], box: tuple[int, int, int, int]) -> Image.Image:
    white = Image.new("L", size)
    white.paste(255, box)
    return white


def stored(source: Image.Image, painted: Image.Image | None = None) -> Any:
    return {PICTURE: source, MASK: painted}.__getitem__


def make(
    studio: Studio, name: str, source: Image.Image, painted: Image.Image | None, seed: int = 7, **task: Any
) -> tuple[Result, torch.Tensor]:
    """The picture, and the latents that it was decoded from, as the VAE has them."""
    seen: list[torch.Tensor] = []
    settings = {key: task.pop(key) for key in ("sampler", "steps") if key in task}
    given = {"kind": "inpaint", "image": PICTURE, "mask": MASK if painted else None} | task
    request = studio.request(name, task=given, seed=seed, **settings)
    with studio.loaded(name) as loaded:
        read = stored(source, painted)
        [made] = generate(request, loaded, on_decode=lambda latents, _: seen.append(latents), read_image=read)
    return made, seen[-1]


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def changed(before: Image.Image, after: Image.Image) -> np.ndarray:
    return (pixels(before) != pixels(after)).any(2)


@pytest.mark.parametrize("name", one_in(2, ["pixart", "sd1"]))
def test_ten_passes_change_no_pixel_beyond_the_reach_of_the_mask(studio: Studio, name: str) -> None:
    source = current = picture()
    painted = mask((128, 128), (40, 40, 80, 90))
    for seed in range(10):
        current = make(studio, name, current, painted, seed, mask_feather=6, strength=0.8, steps=2)[0].image
    reach = np.zeros((128, 128), bool)
    reach[40 - 11 : 90 + 11, 40 - 11 : 80 + 11] = True  # grow 8, and half of the feather
    assert not changed(source, current)[~reach].any()
    assert changed(source, current)[50:80, 50:70].mean() > 0.9


@pytest.mark.parametrize(
    ("context", "size"),
    one_in(3, [(c, s) for s in ((300, 200), (97, 411), (1, 1), (4000, 1)) for c in ("whole", "mask")]),
)
def test_a_picture_of_any_size_comes_back_at_its_own(studio: Studio, size: tuple[int, int], context: str) -> None:
    source, painted = picture(*size), Image.new("L", size, 255)
    if min(size) > 50:
        painted = mask(size, (10, 10, 40, 40))
    made, _ = make(studio, "sd1", source, painted, context=context, padding=8, mask_grow=0, steps=2)
    assert made.image.size == size
    assert not changed(source, made.image)[np.asarray(painted) == 0].any()


def test_a_small_part_of_a_large_picture_gets_the_model_s_whole_resolution() -> None:
    source, painted = picture(2000, 1000), mask((2000, 1000), (1900, 900, 1932, 932))
    made = prepared(task(context="mask", padding=16, mask_grow=0), stored(source, painted), (128, 128))
    assert made.frame.seen == Box(1884, 884, 64, 64)  # two of the model's pixels for each of the picture's
    assert masks.as_array(made.mask)[64, 64] == 1 and made.change.mean() == pytest.approx(0.25, abs=0.01)


def task(**values: Any) -> Inpaint:
    return Inpaint(**{"image": PICTURE, "mask": MASK} | values)


@pytest.mark.parametrize(
    ("values", "seen"),
    [
        ({"context": "whole", "resize": "stretch"}, Box(0, 0, 400, 200)),
        ({"context": "whole", "resize": "crop"}, Box(200, 0, 200, 200)),  # where the mask is
        ({"context": "whole", "resize": "pad"}, Box(0, -100, 400, 400)),
        ({"context": "box", "box": "310,110,64,32"}, Box(310, 94, 64, 64)),
        ({"context": "mask", "padding": 0}, Box(300, 100, 64, 64)),
    ],
)
def test_what_the_model_sees(values: dict[str, Any], seen: Box) -> None:
    read = stored(picture(400, 200), mask((400, 200), (300, 100, 364, 164)))
    made = prepared(task(mask_grow=0, **values), read, (128, 128))
    assert made.frame.seen == seen
    assert made.known.size == made.picture.size == (128, 128)
    untouched = made.finished(made.known)  # a model that changes nothing
    assert np.abs(pixels(untouched) - pixels(made.source)).max() <= 12


def test_a_mask_too_large_for_the_crop_is_seen_whole() -> None:
    made = prepared(task(), stored(picture(400, 200), mask((400, 200), (20, 20, 380, 180))), (128, 128))
    assert made.frame.seen == Box(0, -100, 400, 400)


def test_a_box_beside_the_mask_is_refused() -> None:
    read = stored(picture(400, 200), mask((400, 200), (300, 100, 364, 164)))
    with pytest.raises(InvalidRequest, match="does not touch the mask") as refused:
        prepared(task(context="box", box="0,0,64,64"), read, (128, 128))
    assert refused.value.field == "task.box"


def test_extending_paints_the_new_border_and_keeps_the_picture(studio: Studio) -> None:
    source = picture(96, 64)
    made, _ = make(studio, "pixart", source, None, intent="extend", extend_left=40, extend_bottom=24, steps=3)
    assert made.image.size == (136, 88)
    inner = made.image.crop((40, 0, 136, 64))
    assert not changed(source, inner)[:-8, 8:].any()
    assert changed(Image.fromarray(np.pad(np.asarray(source), [(0, 24), (40, 0), (0, 0)], "edge")), made.image)[
        :, :32
    ].any()


def test_a_mask_of_another_size_is_resized_and_the_recipe_says_so(studio: Studio) -> None:
    made, _ = make(studio, "sd1", picture(), mask((64, 64), (20, 20, 40, 45)), steps=2)
    assert any("64 × 64 was resized to the picture's 128 × 128" in note for note in made.recipe.notes)
    assert not changed(picture(), made.image)[:30, :30].any()


@pytest.mark.parametrize("sampler", one_in(3, SAMPLERS))
def test_a_hard_mask_without_an_inpainting_pipeline_keeps_the_known_latents_exactly(
    studio: Studio, sampler: str
) -> None:
    assert sampler in SOLVERS
    values = {"sampler": sampler, "mask_grow": 0, "context": "whole", "strength": 0.8}
    made, latents = make(studio, "pixart", picture(), mask((128, 128), (64, 0, 128, 128)), **values)
    assert made.recipe.pipeline == "PixArtAlphaPipeline"
    with studio.loaded("pixart") as loaded:
        vae, size = loaded.components["vae"], (loaded.info.defaults.width, loaded.info.defaults.height)
    known = Image.fromarray(np.asarray(picture().resize(size, Image.Resampling.LANCZOS)))
    x = torch.from_numpy(np.array(known)).permute(2, 0, 1)[None].float() / 127.5 - 1
    expected = vae.encode(x).latents
    half = latents.shape[-1] // 2
    assert torch.allclose(latents[..., : half - 1], expected[..., : half - 1], atol=1e-5)
    assert (latents[..., half + 1 :] - expected[..., half + 1 :]).abs().mean() > 0.01


@pytest.mark.parametrize("name", one_in(2, ["pixart", "sd1"]))
def test_the_darker_the_mask_the_less_is_changed(studio: Studio, name: str) -> None:
    """A row of four greys; black is the known picture's latents, white is as changed as with a hard mask."""
    grey = Image.new("L", (128, 128))
    for number, value in enumerate((0, 80, 160, 255)):
        grey.paste(value, (32 * number, 0, 32 * number + 32, 128))
    values = {"steps": 20, "strength": 1.0, "mask_grow": 0, "context": "whole", "blend": False}
    black, _ = make(studio, name, picture(), mask((128, 128), (0, 0, 4, 4)), **values)  # all but a corner is kept
    made, _ = make(studio, name, picture(), grey, **values)
    change = np.abs(pixels(made.image) - pixels(black.image)).mean((0, 2))
    quarter = len(change) // 4
    means = [change[quarter * k + quarter // 4 : quarter * (k + 1) - quarter // 4].mean() for k in range(4)]
    assert means[0] < means[1] < means[2] and means[3] > means[0] + 1


def test_a_painted_edge_is_no_grey() -> None:
    hard = masks.as_array(mask((64, 64), (16, 16, 48, 48)))
    edge = masks.as_array(mask((256, 256), (61, 61, 190, 190)).resize((64, 64), Image.Resampling.BOX))
    assert not masks.is_soft(hard) and not masks.is_soft(edge)
    assert masks.is_soft(masks.changed_by_model(hard, 0, 8))
    assert masks.is_soft(np.full((8, 8), 0.5, np.float32))


def test_the_two_masks() -> None:
    """What the model may change reaches further than what is put back, which is soft and whole where it was painted."""
    painted = masks.as_array(mask((100, 100), (40, 40, 60, 60)))
    change = masks.changed_by_model(painted, 8, 0)
    blend = masks.put_back(painted, change, 8)
    assert change[32:68, 32:68].all() and change.sum() == 36 * 36
    assert (blend[40:60, 40:60] == 1).all() and (blend[change == 0] == 0).all()
    row = blend[50, 30:41]
    assert (np.diff(row) >= 0).all() and len(np.unique(row)) > 5


def test_what_is_filled_in_lies_between_what_is_around() -> None:
    flat = np.full((40, 30, 3), 80, np.float32)
    flat[:, 15:] = 120
    known = np.ones((40, 30), np.float32)
    known[10:30, 5:25] = 0
    out = filled(flat * known[..., None], known)
    assert (out[known == 1] == flat[known == 1]).all()
    assert out.min() >= 79.9 and out.max() <= 120.1 and out[20, 6].mean() < out[20, 23].mean()


@pytest.mark.parametrize("content", ["original", "fill", "noise", "neutral"])
def test_masked_content_is_inside_the_mask_alone(content: str) -> None:
    read = stored(picture(), mask((128, 128), (40, 40, 80, 80)))
    made: Prepared = prepared(task(content=content), read, (128, 128))
    differs = changed(made.known, made.picture)
    assert not differs[made.change == 0].any()
    assert differs[50:70, 50:70].any() == (content not in ("original", "fill")) or content == "fill"


def test_colours_are_matched_at_the_seam() -> None:
    """A model that makes all a little darker and redder leaves no edge."""
    read = stored(picture(), mask((128, 128), (40, 40, 80, 80)))
    made = prepared(task(), read, (128, 128))
    tinted = Image.fromarray((pixels(made.known) * 0.9 + (14, 2, 0)).clip(0, 255).astype("uint8"))
    assert np.abs(pixels(made.finished(tinted)) - pixels(picture())).max() <= 6


@pytest.mark.parametrize("cells_first", [False, True])
@pytest.mark.parametrize(
    "shape", [(2, 60, 64), (2, 16, 12, 20), (2, 64, 6, 10), (2, 16, 1, 12, 20), (2, 1, 12, 20, 16)]
)
def test_a_state_is_laid_out_as_it_was_read(cells_first: bool, shape: tuple[int, ...]) -> None:
    spatial = Spatial(160, 96, 16, cells_first)
    state = torch.randn(shape)
    assert torch.equal(spatial.folded(spatial(state), state), state)


def test_a_control_image_is_cut_as_the_picture_is() -> None:
    source = picture(400, 200)
    given = task(context="mask", padding=16, mask_grow=0, extend_left=40)
    made = prepared(given, stored(source, mask((400, 200), (300, 100, 364, 164))), (128, 128))
    assert changed(made.known, made.framed(source)).sum() == 0
    smaller = made.framed(source.resize((200, 100)))
    assert smaller.size == (128, 128) and np.abs(pixels(smaller) - pixels(made.known)).mean() < 2
