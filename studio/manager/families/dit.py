"""Diffusion transformers: DiT (Peebles and Xie 2022), conditioned on a class, and PixArt, on a text; Stable Diffusion 3 and
FLUX.1, trained by flow matching and conditioned on CLIP and T5.

CFG of FLUX.1 is an input of its transformer (distilled into dev, absent from schnell), not two predictions: a negative
prompt would need those and is refused.
"""

import difflib
from typing import Any

from studio.core.errors import InvalidRequest
from studio.core.models import Defaults
from studio.core.request import GenerationRequest
from studio.manager.families.base import (
    IMAGE_TASKS,
    INDEX,
    Call,
    Configs,
    Family,
    LatentFormat,
    calls_of,
    prompt_arguments,
    refuse_unknown,
    register,
)
from studio.manager.families.blueprints import blueprint
from studio.manager.families.stable_diffusion import LATENT


def class_of(prompt: str, labels: dict[str, int]) -> int:
    """The class a prompt names: a number, or one of the model's own label words, whatever the case."""
    word = prompt.strip()
    if word.isdecimal() and int(word) < 1000:
        return int(word)
    by_name = {name.lower(): index for name, index in labels.items()}
    if word.lower() in by_name:
        return by_name[word.lower()]
    near = difflib.get_close_matches(word.lower(), by_name, n=5) or sorted(by_name)[:5]
    raise InvalidRequest(
        f"This model makes one of its classes: write a class name or a number from 0 to 999. Near: {', '.join(near)}.",
        field="prompt",
    )


def class_arguments(request: GenerationRequest, pipeline: Any, count: int) -> dict[str, Any]:
    refuse_unknown(request, pipeline)
    return {
        "class_labels": [class_of(request.prompt, pipeline.labels)] * count,
        "guidance_scale": request.guidance_scale,
        "num_inference_steps": request.steps,
    }


def check(request: GenerationRequest, pipeline: str, configs: Configs) -> None:
    class_of(request.prompt, labels_of(configs.get(INDEX, {}).get("id2label")))


def labels_of(names: Any) -> dict[str, int]:
    """Label word -> class, as DiTPipeline reads them from its index: each class goes by several, with commas between."""
    found = names.items() if isinstance(names, dict) else ()
    return {
        label.strip(): int(number)
        for number, labels in found
        if str(number).isdecimal() and isinstance(labels, str)
        for label in labels.split(",")
    }


def pixart_arguments(request: GenerationRequest, pipeline: Any, count: int) -> dict[str, Any]:
    """The size asked for is the size made, and the prompt is taken as written (cleaning needs packages not shipped)."""
    arguments = prompt_arguments(request, pipeline, count)
    return arguments | {"use_resolution_binning": False, "clean_caption": False}


def flux_arguments(request: GenerationRequest, pipeline: Any, count: int) -> dict[str, Any]:
    if request.negative_prompt:
        raise InvalidRequest("FLUX.1 takes no negative prompt; leave it empty.", field="negative_prompt")
    arguments = prompt_arguments(request, pipeline, count)
    del arguments["negative_prompt"]
    return arguments


register(
    Family(
        name="dit",
        title="DiT",
        tasks={"text_to_image": Call("DiTPipeline", class_arguments)},
        check=check,
        denoiser="transformer",
        conditional_first=True,
        learned_variance=True,
        # The pipeline starts from unit noise and gives steps no generator: no sigma-space and no stochastic solver.
        solvers=("ddim", "pndm", "dpmpp_2m", "dpmpp_2s", "deis", "unipc"),
        defaults=Defaults(sampler="dpmpp_2m", steps=25, guidance_scale=4.0, width=256, height=256),
        latent=LATENT,
        fixed_size=True,
        encoders=(),
        prompt_help="One class of this model: its name (golden retriever) or its number, 0 to 999.",
        negative=False,
    )
)
register(
    Family(
        name="pixart",
        title="PixArt",
        tasks=dict.fromkeys(IMAGE_TASKS, Call("PixArtAlphaPipeline", pixart_arguments)),
        alternatives=frozenset({"PixArtSigmaPipeline"}),
        denoiser="transformer",
        learned_variance=True,
        defaults=Defaults(sampler="dpmpp_2m", steps=20, guidance_scale=4.5, width=1024, height=1024),
        latent=LATENT,
    )
)
register(
    Family(
        name="sd3",
        title="Stable Diffusion 3 / 3.5",
        tasks=calls_of("StableDiffusion3", controlnet=("text_to_image",)),
        attachments=("lora",),
        partial_steps="ceil",
        denoiser="transformer",
        defaults=Defaults(sampler="flow_euler", steps=28, guidance_scale=5.0, width=1024, height=1024),
        latent=LatentFormat(channels=16, scale=1.5305, shift=0.0609),
        multiple=16,
        encoders=("text_encoder", "text_encoder_2", "text_encoder_3"),
        blueprint=blueprint("sd3"),
        source="stabilityai/stable-diffusion-3.5-medium",
    )
)
register(
    Family(
        name="flux",
        title="FLUX.1",
        tasks=calls_of("Flux", flux_arguments),
        attachments=("lora",),
        partial_steps="ceil",
        denoiser="transformer",
        guidance="none",
        defaults=Defaults(sampler="flow_euler", steps=28, guidance_scale=3.5, width=1024, height=1024),
        latent=LatentFormat(channels=16, scale=0.3611, shift=0.1159),
        multiple=16,
        negative=False,
        encoders=("text_encoder", "text_encoder_2"),
        blueprint=blueprint("flux"),
        source="black-forest-labs/FLUX.1-dev",
    )
)
