"""DeepFloyd IF, a cascade in the manner of Imagen (Saharia et al. 2022): pixels at 64 px from a frozen T5, then larger.

Stage II makes them 256 px. Stage III was never published; Stable Diffusion's x4 upscaler serves, as its authors advise.
"""

from typing import Any

from studio.core.models import Defaults
from studio.core.request import GenerationRequest
from studio.manager.families.base import Call, Enlarging, Family, prompt_arguments, refuse_unknown, register

EMBEDDINGS = ("prompt_embeds", "negative_prompt_embeds")


def call_arguments(request: GenerationRequest, pipeline: Any, count: int) -> dict[str, Any]:
    """The prompt is encoded here and once, for the stages above take its embeddings (count, 77, width).

    It is taken as written: cleaning needs packages that are not shipped.
    """
    arguments = prompt_arguments(request, pipeline, count)
    words = {name: arguments.pop(name) for name in ("prompt", "negative_prompt")}
    embeddings = pipeline.encode_prompt(
        **words,
        do_classifier_free_guidance=request.guidance_scale > 1,
        num_images_per_prompt=count,
        clean_caption=False,
    )
    ours = {"num_images_per_prompt": 1, "clean_caption": False}  # one row of embeddings for each image
    return arguments | dict(zip(EMBEDDINGS, embeddings, strict=True)) | ours


def upper_arguments(request: GenerationRequest, pipeline: Any, count: int) -> dict[str, Any]:
    """Of stage II; the picture and the embeddings come from the stage below."""
    arguments = prompt_arguments(request, pipeline, count)
    for name in ("prompt", "negative_prompt"):
        del arguments[name]
    return arguments | {"num_images_per_prompt": 1, "clean_caption": False}


def upscale_arguments(request: GenerationRequest, pipeline: Any, count: int) -> dict[str, Any]:
    """Of the x4 upscaler, which reads the prompt itself and whose size follows from the picture's."""
    refuse_unknown(request, pipeline)
    return {
        "prompt": [request.prompt] * count,
        "negative_prompt": [request.negative_prompt] * count,
        "num_inference_steps": request.steps,
        "guidance_scale": request.guidance_scale,
    }


def _picture(handed: dict[str, Any]) -> dict[str, Any]:
    """In 0..1: the pipeline takes numbers for -1..1 where one is negative."""
    return {"image": (handed["image"] / 2 + 0.5).clamp(0, 1)}


DEEPFLOYD = register(
    Family(
        name="deepfloyd",
        title="DeepFloyd IF",
        tasks={
            "text_to_image": Call("IFPipeline", call_arguments),
            "image_to_image": Call("IFImg2ImgPipeline", call_arguments),
            "inpaint": Call("IFInpaintingPipeline", call_arguments),
        },
        learned_variance=True,
        solvers=("ddpm",),
        defaults=Defaults(sampler="ddpm", steps=50, guidance_scale=7.0, width=64, height=64),
        decoder=None,
        enlargers=("deepfloyd_upper", "x4_upscaler"),
    )
)
DEEPFLOYD_UPPER = register(
    Family(
        name="deepfloyd_upper",
        title="DeepFloyd IF, stage II",
        tasks={"upscale": Call("IFSuperResolutionPipeline", upper_arguments)},
        learned_variance=True,
        solvers=("ddpm",),
        defaults=Defaults(sampler="ddpm", steps=50, guidance_scale=4.0, width=256, height=256),
        decoder=None,
        enlarging=Enlarging(
            takes=dict, noise_level=250, most_noise=999, not_needed=frozenset({"text_encoder", "tokenizer"})
        ),
    )
)
X4_UPSCALER = register(
    Family(
        name="x4_upscaler",
        title="Stable Diffusion x4 upscaler",
        tasks={"upscale": Call("StableDiffusionUpscalePipeline", upscale_arguments)},
        solvers=("ddim",),
        defaults=Defaults(sampler="ddim", steps=75, guidance_scale=9.0, width=1024, height=1024),
        enlarging=Enlarging(takes=_picture, noise_level=100, most_noise=350, factor=4),
    )
)
