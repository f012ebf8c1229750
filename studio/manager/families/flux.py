"""FLUX.1: dev (guidance distilled into an input of the transformer) and schnell (few steps, none at all).

CFG here is that input, not two predictions; a negative prompt would need true guidance and is refused.
"""

from typing import Any

from studio.core.errors import InvalidRequest
from studio.core.models import Defaults
from studio.core.request import GenerationRequest
from studio.manager.families.base import (
    CLIP_L_FILE,
    PREFIXES,
    T5_FILE,
    TEXT_PREFIXES,
    Blueprint,
    Call,
    Companion,
    Family,
    LatentFormat,
    prompt_arguments,
    register,
)
from studio.manager.families.sd1 import CLIP_L, VAE

T5_XXL = {
    "d_model": 4096,
    "d_kv": 64,
    "d_ff": 10240,
    "num_layers": 24,
    "num_heads": 64,
    "vocab_size": 32128,
    "feed_forward_proj": "gated-gelu",
    "relative_attention_num_buckets": 32,
    "relative_attention_max_distance": 128,
    "layer_norm_epsilon": 1e-6,
    "tie_word_embeddings": False,
    "is_encoder_decoder": True,
    "eos_token_id": 1,
    "pad_token_id": 0,
    "decoder_start_token_id": 0,
}
# The 16-channel autoencoders of FLUX.1 and of Stable Diffusion 3 are alike but for scale and shift.
VAE_16 = VAE | {
    "latent_channels": 16,
    "sample_size": 1024,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
    "force_upcast": True,
}
SCHEDULER = {
    "num_train_timesteps": 1000,
    "shift": 3.0,
    "use_dynamic_shifting": True,
    "base_shift": 0.5,
    "max_shift": 1.15,
    "base_image_seq_len": 256,
    "max_image_seq_len": 4096,
}
BLUEPRINT = Blueprint(
    pipeline="FluxPipeline",
    parts={
        "transformer": ("diffusers", "FluxTransformer2DModel"),
        "vae": ("diffusers", "AutoencoderKL"),
        "text_encoder": ("transformers", "CLIPTextModel"),
        "tokenizer": ("transformers", "CLIPTokenizer"),
        "text_encoder_2": ("transformers", "T5EncoderModel"),
        "tokenizer_2": ("transformers", "T5Tokenizer"),
        "scheduler": ("diffusers", "FlowMatchEulerDiscreteScheduler"),
    },
    configs={
        "vae": VAE_16 | {"scaling_factor": 0.3611, "shift_factor": 0.1159},
        "text_encoder": CLIP_L,
        "text_encoder_2": T5_XXL,
        "scheduler": SCHEDULER,
    },
    tokenizers={"tokenizer": "<|endoftext|>"},
    prefixes=PREFIXES | {"text_encoder": TEXT_PREFIXES["clip_l"], "text_encoder_2": TEXT_PREFIXES["t5xxl"]},
    companions={
        "text_encoder": CLIP_L_FILE,
        "text_encoder_2": T5_FILE,
        "vae": Companion("vae", "vae/ae.safetensors", family="flux"),
    },
)


def call_arguments(request: GenerationRequest, pipeline: Any, count: int) -> dict[str, Any]:
    if request.negative_prompt:
        raise InvalidRequest("FLUX.1 takes no negative prompt; leave it empty.", field="negative_prompt")
    arguments = prompt_arguments(request, pipeline, count)
    del arguments["negative_prompt"]
    return arguments


FLUX = register(
    Family(
        name="flux",
        title="FLUX.1",
        tasks={
            "text_to_image": Call("FluxPipeline", call_arguments),
            "image_to_image": Call("FluxImg2ImgPipeline", call_arguments),
            "inpaint": Call("FluxInpaintPipeline", call_arguments),
        },
        partial_steps="ceil",
        covers=frozenset({"FluxPipeline", "FluxImg2ImgPipeline", "FluxInpaintPipeline"}),
        denoiser="transformer",
        guidance="none",
        defaults=Defaults(sampler="flow_euler", steps=28, guidance_scale=3.5, width=1024, height=1024),
        latent=LatentFormat(channels=16, scale=0.3611, shift=0.1159),
        multiple=16,
        negative=False,
        encoders=("text_encoder", "text_encoder_2"),
        blueprint=BLUEPRINT,
        source="black-forest-labs/FLUX.1-dev",
    )
)
