"""Image to image and inpainting: what the stock pipelines give, bit for bit, and the steps that were announced."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from studio import compat
from studio.core.errors import InvalidRequest
from studio.core.options import resolve
from studio.core.request import GenerationRequest, parse_request
from tests.engine.conftest import Studio

compat.prepare()

import diffusers  # noqa: E402

from studio.engine import midway  # noqa: E402
from studio.engine.generate import Result, generate  # noqa: E402
from studio.engine.resize import resize  # noqa: E402
from studio.engine.tap import TapStep  # noqa: E402
from studio.manager.families.stable_diffusion import SD1  # noqa: E402

PICTURE, MASK = "a" * 64, "b" * 64


def picture(width: int = 128, height: int = 128) -> Image.Image:
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([across, down, 255 - across], axis=2).astype("uint8"))


def mask() -> Image.Image:
    white = np.zeros((128, 128), dtype="uint8")
    white[32:96, 40:80] = 255
    return Image.fromarray(white)


STORED = {PICTURE: picture(), MASK: mask()}


def make(studio: Studio, name: str, task: dict[str, Any], **values: Any) -> tuple[Result, list[TapStep]]:
    steps: list[TapStep] = []
    request = studio.request(name, task={"image": PICTURE} | task, **values)
    with studio.loaded(name) as loaded:
        [made] = generate(request, loaded, on_step=steps.append, read_image=STORED.__getitem__)
    assert len(steps) == steps[0].total == request.task.steps_run(request.steps, info_of(studio, name).partial_steps)
    return made, steps


def info_of(studio: Studio, name: str) -> Any:
    return studio.info(name).capabilities


def bare(studio: Studio, name: str, pipeline: str, **values: Any) -> np.ndarray:
    cls = getattr(diffusers, pipeline)
    loaded = cls.from_pretrained(studio.folder(name), local_files_only=True)
    loaded.set_progress_bar_config(disable=True)
    loaded.scheduler = diffusers.EulerDiscreteScheduler.from_config(loaded.scheduler.config)
    given = {"prompt": "a red heart", "num_inference_steps": 6, "guidance_scale": 5.0}
    return np.asarray(loaded(**given | values, generator=torch.Generator().manual_seed(7)).images[0])


@pytest.mark.parametrize("strength", [0.35, 0.7, 1.0])
def test_image_to_image_is_the_stock_pipeline_s(studio: Studio, strength: float) -> None:
    made, _ = make(studio, "sd1", {"kind": "image_to_image", "strength": strength}, sampler="euler", guidance_scale=5.0)
    expected = bare(studio, "sd1", "StableDiffusionImg2ImgPipeline", image=picture(), strength=strength)
    assert np.array_equal(np.asarray(made.image), expected)
    assert made.recipe.pipeline == "StableDiffusionImg2ImgPipeline"


def test_inpainting_is_the_stock_pipeline_s(studio: Studio) -> None:
    """Before its picture is put back into the source: a hard mask is the pipeline's own, and nothing is done twice."""
    task = {"kind": "inpaint", "mask": MASK, "strength": 0.7, "mask_grow": 0, "context": "whole", "blend": False}
    made, _ = make(studio, "sd1", task, sampler="euler", guidance_scale=5.0)
    expected = bare(studio, "sd1", "StableDiffusionInpaintPipeline", image=picture(), mask_image=mask(), strength=0.7)
    assert np.array_equal(np.asarray(made.image), expected)


@pytest.mark.parametrize("sampler", ["dpmpp_2m", "euler", "ddim", "heun"])
def test_a_stock_loop_that_begins_midway_is_what_an_image_to_image_class_does(
    studio: Studio, sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stable Diffusion has both, so its text-to-image loop begun midway is held against its image-to-image class."""
    task = {"kind": "image_to_image", "strength": 0.6}
    expected, seen = make(studio, "sd1", task, sampler=sampler)
    monkeypatch.setitem(SD1.tasks, "image_to_image", SD1.tasks["text_to_image"])
    made, steps = make(studio, "sd1", task, sampler=sampler)
    assert made.recipe.pipeline == "StableDiffusionPipeline"
    assert [step.timestep for step in steps] == [step.timestep for step in seen]
    gap = np.abs(np.asarray(made.image, dtype=int) - np.asarray(expected.image, dtype=int))
    assert gap.max() <= 1  # the picture's own scaling to -1..1 rounds elsewhere


def test_pixart_begins_at_the_level_that_its_strength_says(studio: Studio) -> None:
    """Its x_t at the first step that runs is the encoded picture under that step's noise, and no other."""
    made, steps = make(studio, "pixart", {"kind": "image_to_image", "strength": 0.5}, sampler="ddim", steps=8)
    assert len(steps) == 4
    with studio.loaded("pixart") as loaded:
        vae, scheduler = (
            loaded.components["vae"],
            diffusers.DDIMScheduler.from_config(loaded.components["scheduler"].config),
        )
    generator = torch.Generator().manual_seed(7)
    x = torch.from_numpy(np.array(STORED[PICTURE].resize(made.image.size))).permute(2, 0, 1)[None].float() / 127.5 - 1
    z = vae.encode(x).latents * vae.config.scaling_factor
    noise = torch.randn(z.shape, generator=generator)
    bar = scheduler.alphas_cumprod[int(steps[0].timestep)]
    assert torch.allclose(steps[0].x_t, bar.sqrt() * z + (1 - bar).sqrt() * noise, atol=1e-5)


def test_images_of_a_batch_are_what_they_are_alone(studio: Studio) -> None:
    request = studio.request("pixart", task={"kind": "image_to_image", "image": PICTURE}, count=2, batch_size=2)
    with studio.loaded("pixart") as loaded:
        together = list(generate(request, loaded, read_image=STORED.__getitem__))
        alone = list(generate(request.changed(batch_size=1), loaded, read_image=STORED.__getitem__))
    for one, other in zip(together, alone, strict=True):
        assert np.abs(np.asarray(one.image, dtype=int) - np.asarray(other.image, dtype=int)).max() <= 1


def test_what_is_left_of_the_scheduler_is_as_it_was(studio: Studio) -> None:
    with studio.loaded("pixart") as loaded:
        list(generate(studio.request("pixart", task={"kind": "image_to_image", "image": PICTURE}), loaded,
                      read_image=STORED.__getitem__))  # fmt: skip
        scheduler = loaded.pipeline().scheduler
    assert not {"set_timesteps", "set_begin_index", "step"} & vars(scheduler).keys()
    assert not isinstance(scheduler.timesteps, midway.Remaining)


@pytest.mark.parametrize("how", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(300, 100), (17, 90), (128, 64), (1, 1)])
def test_a_picture_of_any_shape_gets_the_size_of_the_run(how: str, size: tuple[int, int]) -> None:
    assert resize(picture(*size), (64, 96), how).size == (64, 96)


def test_padding_keeps_the_whole_picture_in_the_middle() -> None:
    out = np.asarray(resize(Image.new("RGB", (100, 50), (200, 10, 10)), (64, 64), "pad"))
    assert (np.abs(out[32, :].astype(int) - (200, 10, 10)) <= 2).all()


@pytest.mark.parametrize(
    ("task", "field", "sentence"),
    [
        ({"kind": "image_to_image"}, "task.image", "Picture is missing"),
        ({"kind": "image_to_image", "image": "x"}, "task.image", "stored before"),
        ({"kind": "image_to_image", "image": PICTURE, "strength": 0}, "task.strength", "Strength must be"),
        ({"kind": "image_to_image", "image": PICTURE, "strength": 1.1}, "task.strength", "Strength must be"),
        ({"kind": "inpaint", "image": PICTURE}, "task.mask", "Mask is missing"),
        ({"kind": "image_to_image", "image": PICTURE, "mask": MASK}, "task.mask", "no setting called 'mask'"),
    ],
)
def test_bad_tasks_are_refused_at_their_field(task: dict[str, Any], field: str, sentence: str) -> None:
    with pytest.raises(InvalidRequest, match=sentence) as refused:
        parse_request({"task": task})
    assert refused.value.field == field


def test_a_strength_that_leaves_no_step_is_refused(studio: Studio) -> None:
    task = {"kind": "image_to_image", "image": PICTURE, "strength": 0.1}
    with pytest.raises(InvalidRequest, match="none of 6 steps would run") as refused:
        resolve(GenerationRequest(model="sd1", steps=6, task=task), studio.info("sd1"))
    assert refused.value.field == "task.strength"


def test_a_model_that_cannot_is_named_with_what_it_can(studio: Studio) -> None:
    task = {"kind": "inpaint", "image": PICTURE, "mask": MASK}
    with pytest.raises(InvalidRequest, match=r"cannot do inpaint\. It does: text to image"):
        resolve(GenerationRequest(model="dit", task=task), studio.info("dit"))
