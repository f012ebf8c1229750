"""A tiny random model of each named family, in its real layout on disk: what manager, engine and jobs are tested on.

Each builder is `(folder, seed=0, **options) -> folder`, takes under a second and writes a few hundred kilobytes of
safetensors that the stock `from_pretrained` loads.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.models.components import (
    RESAMPLING,
    TWO_LEVELS,
    ddim,
    euler,
    flow,
    make,
    unet,
    unet_unconditional,
    unet_xl,
    vae_flow,
    vae_kl,
    vae_tiny,
)
from tests.models.folders import Components, builder
from tests.models.tiny_text import clip_text, clip_tokenizer, t5_text, t5_tokenizer

NO_CHECKER: Components = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}


# ---- Stable Diffusion ------------------------------------------------------------------------------------------------


def sd_components(unet: Any, scheduler: Any, *, width: int = 32, tokens: int = 24, layers: int = 2) -> Components:
    """A U-Net and a scheduler with the text encoder and the autoencoder that Stable Diffusion has beside them."""
    tokenizer = clip_tokenizer(tokens)
    text = clip_text(tokenizer, width, layers=layers)
    beside = {"vae": vae_kl(), "text_encoder": text, "tokenizer": tokenizer, **NO_CHECKER}
    return beside | {"unet": unet, "scheduler": scheduler}


@builder("StableDiffusionPipeline")
def stable_diffusion(
    *, vae: str = "tiny", prediction: str = "epsilon", sample_size: int = 16, tokens: int = 24
) -> Components:
    """`vae` "kl" (factor 2) or "tiny" (factor 8): 32x32 or 128x128 pixels by default."""
    levels = {"beta_start": 0.00085, "beta_end": 0.012, "prediction_type": prediction}
    scheduler = ddim(set_alpha_to_one=False, steps_offset=1, **levels)
    parts = sd_components(unet(sample_size=sample_size), scheduler, tokens=tokens)
    return parts | {"vae": vae_tiny() if vae == "tiny" else vae_kl()}


@builder("StableDiffusionPipeline")
def stable_diffusion_2() -> Components:
    """Known by a text encoder 1,024 wide; predicts v."""
    scheduler = ddim(beta_schedule="linear", prediction_type="v_prediction", steps_offset=1)
    return sd_components(unet(1024, use_linear_projection=True), scheduler, width=1024, layers=1)


@builder("StableDiffusionInpaintPipeline")
def sd1_inpaint() -> Components:
    return sd_components(unet(in_channels=9), ddim(steps_offset=1))


@builder("LatentConsistencyModelPipeline")
def latent_consistency() -> Components:
    """The guidance scale is an input of the U-Net."""
    scheduler = make("LCMScheduler", beta_schedule="scaled_linear", original_inference_steps=50)
    return sd_components(unet(time_cond_proj_dim=16), scheduler)


# ---- Stable Diffusion XL ---------------------------------------------------------------------------------------------


def xl_components(*, tokens: int = 24, channels: int = 4) -> Components:
    first, second = clip_tokenizer(tokens), clip_tokenizer(tokens, pad_token="!")
    return {
        "vae": vae_kl(),
        "text_encoder": clip_text(first, positions=77),
        "text_encoder_2": clip_text(second, projection=32, positions=77),
        "tokenizer": first,
        "tokenizer_2": second,
        "unet": unet_xl(in_channels=channels),
        "scheduler": euler(beta_start=0.00085, beta_end=0.012),
        "add_watermarker": False,
    }


stable_diffusion_xl = builder("StableDiffusionXLPipeline")(xl_components)
sdxl_inpaint = builder("StableDiffusionXLInpaintPipeline")(functools.partial(xl_components, channels=9))


@builder("StableDiffusionXLImg2ImgPipeline")
def sdxl_refiner(*, tokens: int = 24) -> Components:
    """Conditioned on its second encoder alone, and on an aesthetic score; known by its 2,560 conditions (5 * 500 + 60)."""
    base, second = xl_components(tokens=tokens), clip_tokenizer(tokens, pad_token="!")
    return base | {
        "text_encoder": None,
        "tokenizer": None,
        "text_encoder_2": clip_text(second, projection=60, positions=77),
        "unet": unet_xl(32, pooled=60, time=500, conditions=5),
        "requires_aesthetics_score": True,
        "force_zeros_for_empty_prompt": False,
    }


# ---- flow matching ---------------------------------------------------------------------------------------------------


@builder("StableDiffusion3Pipeline")
def stable_diffusion_3() -> Components:
    """Two CLIPs and a T5 beside a joint transformer."""
    clip, t5 = clip_tokenizer(), t5_tokenizer()
    transformer = make(
        "SD3Transformer2DModel", sample_size=16, patch_size=2, in_channels=4, out_channels=4, num_layers=2,
        attention_head_dim=8, num_attention_heads=4, joint_attention_dim=64, caption_projection_dim=32,
        pooled_projection_dim=64, pos_embed_max_size=16,
    )  # fmt: skip
    return {
        "transformer": transformer,
        "scheduler": flow(shift=3.0),
        "vae": vae_flow(levels=2, shift_factor=0.0609),
        "text_encoder": clip_text(clip, projection=32),
        "tokenizer": clip,
        "text_encoder_2": clip_text(clip, projection=32),
        "tokenizer_2": clip,
        "text_encoder_3": t5_text(t5, 64),
        "tokenizer_3": t5,
    }


@builder("FluxPipeline", side=32)  # its configuration states no size: without a card it would make 1024 pixels
def flux(*, guided: bool = True) -> Components:
    """Packed latents; guidance is an input of the transformer (dev), or there is none (schnell)."""
    clip, t5 = clip_tokenizer(), t5_tokenizer()
    transformer = make(
        "FluxTransformer2DModel", patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16,
        num_attention_heads=2, joint_attention_dim=32, pooled_projection_dim=32, guidance_embeds=guided,
        axes_dims_rope=(4, 4, 8),
    )  # fmt: skip
    return {
        "scheduler": flow(use_dynamic_shifting=True),
        "vae": vae_flow(levels=2, shift_factor=0.1159),
        "text_encoder": clip_text(clip),
        "tokenizer": clip,
        "text_encoder_2": t5_text(t5),
        "tokenizer_2": t5,
        "transformer": transformer,
    }


@builder("AuraFlowPipeline")
def auraflow() -> Components:
    """One of those that only the generic family takes."""
    tokenizer = t5_tokenizer()
    transformer = make(
        "AuraFlowTransformer2DModel", sample_size=16, patch_size=2, in_channels=4, num_mmdit_layers=1,
        num_single_dit_layers=1, attention_head_dim=8, num_attention_heads=4, joint_attention_dim=32,
        caption_projection_dim=32, pos_embed_max_size=256,
    )  # fmt: skip
    text = t5_text(tokenizer, name="UMT5EncoderModel")
    parts = {"tokenizer": tokenizer, "text_encoder": text, "vae": vae_kl(), "transformer": transformer}
    return parts | {"scheduler": flow(shift=1.73)}


# ---- transformers without flow ---------------------------------------------------------------------------------------


def pixart_transformer(**config: Any) -> Any:
    sizes = {"num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 2, "cross_attention_dim": 32}
    shapes = {"in_channels": 4, "caption_channels": 32, "sample_size": 16, "patch_size": 2}
    return make("PixArtTransformer2DModel", **sizes, **shapes, use_additional_conditions=False, **config)


@builder("PixArtAlphaPipeline")
def pixart(*, prediction: str = "epsilon") -> Components:
    """With a CLIP text encoder, as the starter kit has it; 128x128 pixels."""
    tokenizer = clip_tokenizer(max_length=120)
    parts = {"tokenizer": tokenizer, "text_encoder": clip_text(tokenizer), "vae": vae_tiny()}
    scheduler = make("DPMSolverMultistepScheduler", prediction_type=prediction, beta_schedule="linear")
    return parts | {"transformer": pixart_transformer(out_channels=4), "scheduler": scheduler}


def sigma_components(**config: Any) -> Components:
    tokenizer = t5_tokenizer(300)
    parts = {"tokenizer": tokenizer, "text_encoder": t5_text(tokenizer), "vae": vae_kl()}
    scheduler = make("DPMSolverMultistepScheduler", beta_schedule="linear")
    return parts | {"transformer": pixart_transformer(out_channels=8, **config), "scheduler": scheduler}


pixart_sigma = builder("PixArtSigmaPipeline")(sigma_components)


# Published folders carry the labels in model_index.json; saving does not write them.
@builder("DiTPipeline", index={"id2label": {str(i): ("red heart" if i == 3 else f"thing {i}") for i in range(1000)}})
def dit() -> Components:
    """Class-conditional latents with learned variance; 1,000 classes and the null class, as DiT has them."""
    transformer = make(
        "DiTTransformer2DModel", num_attention_heads=2, attention_head_dim=16, in_channels=4, out_channels=8,
        num_layers=2, sample_size=8, patch_size=2, num_embeds_ada_norm=1000,
    )  # fmt: skip
    return {"transformer": transformer, "vae": vae_kl(), "scheduler": ddim(beta_schedule="linear")}


# ---- pixels ----------------------------------------------------------------------------------------------------------


@builder("DDPMPipeline")
def ddpm() -> Components:
    """Unconditional, 16x16."""
    return {"unet": unet_unconditional(), "scheduler": make("DDPMScheduler")}


@builder("ConsistencyModelPipeline")
def consistency() -> Components:
    """One step; ten classes."""
    blocks = {
        "down_block_types": ("ResnetDownsampleBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "ResnetUpsampleBlock2D"),
    }
    levels = {"num_train_timesteps": 40, "sigma_min": 0.002, "sigma_max": 80.0}
    scheduler = make("CMStochasticIterativeScheduler", **levels)
    return {"unet": unet_unconditional(num_class_embeds=10, **blocks), "scheduler": scheduler}


def _deepfloyd(*, sample_size: int, in_channels: int, **config: Any) -> Components:
    """The U-Net and the scheduler of a stage: pixels, the variance learned."""
    shapes = {"sample_size": sample_size, "in_channels": in_channels, "out_channels": 6, "encoder_hid_dim": 32}
    embedding = {"addition_embed_type": "text", "addition_embed_type_num_heads": 2, "act_fn": "gelu"}
    denoiser = make("UNet2DConditionModel", **TWO_LEVELS, **RESAMPLING, **shapes, **embedding, **config)
    levels = {"beta_schedule": "squaredcos_cap_v2", "variance_type": "learned_range"}
    scheduler = make("DDPMScheduler", **levels, thresholding=True, dynamic_thresholding_ratio=0.95)
    return {"unet": denoiser, "scheduler": scheduler, "watermarker": None, **NO_CHECKER}


@builder("IFPipeline")
def deepfloyd() -> Components:
    """Stage one: pixels, conditioned on a T5."""
    tokenizer = t5_tokenizer(max_length=77)
    parts = {"tokenizer": tokenizer, "text_encoder": t5_text(tokenizer)}
    return parts | _deepfloyd(sample_size=16, in_channels=3)


# The published index names the T5 whether or not its files were fetched, and the components that are never loaded.
STAGE_TWO_INDEX = {
    "tokenizer": ["transformers", "T5Tokenizer"],
    "text_encoder": ["transformers", "T5EncoderModel"],
    "safety_checker": ["deepfloyd_if", "IFSafetyChecker"],
    "feature_extractor": ["transformers", "CLIPImageProcessor"],
    "watermarker": ["deepfloyd_if", "IFWatermarker"],
}


@builder("IFSuperResolutionPipeline", index=STAGE_TWO_INDEX)
def deepfloyd_two() -> Components:
    """Stage two: 32x32 from 16x16, conditioned on the noise level; as most people have it, without its T5."""
    parts = {"tokenizer": None, "text_encoder": None}
    noising = make("DDPMScheduler", beta_schedule="squaredcos_cap_v2")
    stage = _deepfloyd(sample_size=32, in_channels=6, class_embed_type="timestep")
    return parts | {"image_noising_scheduler": noising} | stage


@builder("StableDiffusionUpscalePipeline")
def x4_upscaler() -> Components:
    """Latents of a factor of four beside the picture that is enlarged; predicts v."""
    blocks = {
        "block_out_channels": (32, 64),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    }
    shapes = {
        "sample_size": 32,
        "in_channels": 7,
        "out_channels": 4,
        "cross_attention_dim": 32,
        "attention_head_dim": 8,
    }
    config = TWO_LEVELS | blocks | shapes | {"num_class_embeds": 1000, "use_linear_projection": True}
    betas = {"beta_schedule": "scaled_linear", "beta_start": 0.0001, "beta_end": 0.02}
    scheduler = ddim(**betas, prediction_type="v_prediction", set_alpha_to_one=False, steps_offset=1)
    parts = sd_components(make("UNet2DConditionModel", **config), scheduler)
    del parts["requires_safety_checker"]
    vae = vae_kl(levels=3, scaling_factor=0.08333)
    return parts | {"vae": vae, "low_res_scheduler": make("DDPMScheduler", **betas), "watermarker": None}


# family -> builder of a random model of it
BUILDERS: dict[str, Callable[..., Path]] = {
    "sd1": stable_diffusion,
    "sd2": stable_diffusion_2,
    "sdxl": stable_diffusion_xl,
    "sd3": stable_diffusion_3,
    "flux": flux,
    "pixart": pixart,
    "dit": dit,
    "ddpm": ddpm,
    "deepfloyd": deepfloyd,
    "consistency": consistency,
    "lcm": latent_consistency,
    "generic": auraflow,
}
# a variant that takes more than a prompt -> its builder
VARIANTS: dict[str, Callable[..., Path]] = {
    "sd1-inpaint": sd1_inpaint,
    "sdxl-inpaint": sdxl_inpaint,
    "sdxl-refiner": sdxl_refiner,
}
