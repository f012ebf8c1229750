"""A tiny random model of each named family, in its real layout on disk: what manager, engine and jobs are tested on.

Each builder is `(folder, seed=0, **options) -> folder`, takes under a second and writes a few hundred kilobytes of
safetensors that the stock `from_pretrained` loads. What a builder does not give is of `component_classes`.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.models import components as c
from tests.models.denoisers import NARROW, WIDE, denoiser
from tests.models.folders import Components, builder
from tests.models.tiny_text import clip, numbered, t5

KARRAS = {"beta_start": 0.00085, "beta_end": 0.012}


@builder("StableDiffusionPipeline")
def stable_diffusion(
    *, vae: str = "tiny", prediction: str = "epsilon", sample_size: int = 16, tokens: int = 24
) -> Components:
    """`vae` "kl" (factor 2) or "tiny" (factor 8): 32x32 or 128x128 pixels by default."""
    scheduler = c.ddim(set_alpha_to_one=False, steps_offset=1, prediction_type=prediction, **KARRAS)
    autoencoder = c.vae_tiny() if vae == "tiny" else c.vae_kl()
    return {**clip(tokens), "vae": autoencoder, "unet": c.unet(sample_size=sample_size), "scheduler": scheduler}


@builder("StableDiffusionPipeline")
def stable_diffusion_2() -> Components:
    """Known by a text encoder 1,024 wide; predicts v."""
    scheduler = c.ddim(beta_schedule="linear", prediction_type="v_prediction", steps_offset=1)
    return {**clip(width=1024, layers=1), "unet": c.unet(1024, use_linear_projection=True), "scheduler": scheduler}


@builder("StableDiffusionInpaintPipeline")
def sd1_inpaint() -> Components:
    return {**clip(), "unet": c.unet(in_channels=9), "scheduler": c.ddim(steps_offset=1)}


@builder("LatentConsistencyModelPipeline")
def latent_consistency() -> Components:
    """The guidance scale is an input of the U-Net."""
    scheduler = c.make("LCMScheduler", beta_schedule="scaled_linear", original_inference_steps=50)
    return {**clip(), "unet": c.unet(time_cond_proj_dim=16), "scheduler": scheduler}


def xl_components(*, tokens: int = 24, channels: int = 4) -> Components:
    second = clip(tokens, pad="!", projection=WIDE, positions=77)
    denoiser = c.unet_xl(in_channels=channels)
    return {**clip(tokens, positions=77), **numbered(2, second), "unet": denoiser, "scheduler": c.euler(**KARRAS)}


stable_diffusion_xl = builder("StableDiffusionXLPipeline")(xl_components)
sdxl_inpaint = builder("StableDiffusionXLInpaintPipeline")(partial(xl_components, channels=9))


@builder("StableDiffusionXLImg2ImgPipeline")
def sdxl_refiner(*, tokens: int = 24) -> Components:
    """Conditioned on its second encoder alone, and on an aesthetic score; known by its 2,560 conditions (5 * 500 + 60)."""
    second = clip(tokens, pad="!", projection=60, positions=77)
    denoiser = c.unet_xl(WIDE, pooled=60, time=500, conditions=5)
    components = {"text_encoder": None, "tokenizer": None, **numbered(2, second), "unet": denoiser}
    wants = {"requires_aesthetics_score": True, "force_zeros_for_empty_prompt": False}
    return {**components, "scheduler": c.euler(**KARRAS), **wants}


# ---- flow matching ---------------------------------------------------------------------------------------------------

gated_t5 = partial(t5, 512, width=96, feed_forward_proj="gated-gelu")


def sd3_components(*, sample_size: int = 16, **config: Any) -> Components:
    """Two CLIPs and a T5 beside a joint transformer."""
    transformer = c.make(
        "SD3Transformer2DModel", sample_size=sample_size, patch_size=2, in_channels=16, out_channels=16, num_layers=3,
        attention_head_dim=64, num_attention_heads=1, joint_attention_dim=96, caption_projection_dim=64,
        pooled_projection_dim=WIDE + 64, pos_embed_max_size=16, **config,
    )  # fmt: skip
    first, second = clip(77, projection=WIDE), clip(77, pad="!", width=64, projection=64)
    first["text_encoder"].text_projection.weight.data.fill_(0).fill_diagonal_(1)  # it takes the pooled text as it is
    text = {**first, **numbered(2, second), **numbered(3, gated_t5())}
    vae = c.vae_flow(16, 2, scaling_factor=1.5305, shift_factor=0.0609)
    return {"transformer": transformer, **text, "vae": vae, "scheduler": c.flow(shift=3.0)}


stable_diffusion_3 = builder("StableDiffusion3Pipeline")(sd3_components)


@builder("FluxPipeline", side=32)  # its configuration states no size: without a card it would make 1024 pixels
def flux(*, guided: bool = True) -> Components:
    """Packed latents; guidance is an input of the transformer (dev), or there is none (schnell)."""
    # Heads are as wide as the published ones: rotary axes cannot be inferred from shapes.
    transformer = c.make(
        "FluxTransformer2DModel", patch_size=1, in_channels=64, num_layers=2, num_single_layers=1, attention_head_dim=128,
        num_attention_heads=1, joint_attention_dim=96, pooled_projection_dim=WIDE, guidance_embeds=guided,
    )  # fmt: skip
    vae = c.vae_flow(16, 2, scaling_factor=0.3611, shift_factor=0.1159)
    scheduler = c.flow(use_dynamic_shifting=True, shift=3.0) if guided else c.flow(shift=1.0)
    return {"transformer": transformer, **clip(77), **numbered(2, gated_t5()), "vae": vae, "scheduler": scheduler}


@builder("AuraFlowPipeline")  # one of those that only the generic family takes
def auraflow() -> Components:
    return {**t5(name="UMT5EncoderModel", width=NARROW), "scheduler": c.flow(shift=1.73)}


# ---- transformers without flow ---------------------------------------------------------------------------------------


@builder("PixArtAlphaPipeline")
def pixart(*, prediction: str = "epsilon") -> Components:
    """With a CLIP text encoder, as the starter kit has it; 128x128 pixels."""
    transformer = denoiser("PixArtTransformer2DModel", out_channels=4, caption_channels=WIDE, sample_size=16)
    scheduler = c.make("DPMSolverMultistepScheduler", prediction_type=prediction, beta_schedule="linear")
    return {**clip(120), "vae": c.vae_tiny(), "transformer": transformer, "scheduler": scheduler}


def sigma_components(**config: Any) -> Components:
    scheduler = c.make("DPMSolverMultistepScheduler", beta_schedule="linear")
    transformer = denoiser("PixArtTransformer2DModel", caption_channels=NARROW, sample_size=16, **config)
    return {"transformer": transformer, "scheduler": scheduler}


pixart_sigma = builder("PixArtSigmaPipeline")(sigma_components)


# Published folders carry the labels in model_index.json; saving does not write them.
LABELS = {str(i): ("red heart" if i == 3 else f"thing {i}") for i in range(1000)}
# Class-conditional latents with learned variance; 1,000 classes and the null class, as DiT has them.
dit = builder("DiTPipeline", index={"id2label": LABELS})(lambda: {"scheduler": c.ddim(beta_schedule="linear")})


# ---- pixels ----------------------------------------------------------------------------------------------------------


ddpm = builder("DDPMPipeline")(lambda: {"scheduler": c.make("DDPMScheduler")})  # unconditional, 16x16


@builder("ConsistencyModelPipeline")
def consistency() -> Components:
    """One step; ten classes."""
    down, up = ("ResnetDownsampleBlock2D", "AttnDownBlock2D"), ("AttnUpBlock2D", "ResnetUpsampleBlock2D")
    return {"unet": c.unet_unconditional(num_class_embeds=10, down_block_types=down, up_block_types=up)}


def _deepfloyd(sample_size: int, in_channels: int, **config: Any) -> Components:
    """The U-Net and the scheduler of a stage: pixels, the variance learned."""
    shapes = {"sample_size": sample_size, "in_channels": in_channels, "out_channels": 6, "encoder_hid_dim": NARROW}
    embedding = {"addition_embed_type": "text", "addition_embed_type_num_heads": 2, "act_fn": "gelu"}
    levels = {"beta_schedule": "squaredcos_cap_v2", "variance_type": "learned_range"}
    scheduler = c.make("DDPMScheduler", **levels, thresholding=True, dynamic_thresholding_ratio=0.95)
    denoiser = c.make("UNet2DConditionModel", **c.TWO_LEVELS, **c.RESAMPLING, **shapes, **embedding, **config)
    return {"unet": denoiser, "scheduler": scheduler}


deepfloyd = builder("IFPipeline")(lambda: _deepfloyd(16, 3))  # stage one: conditioned on a T5


# The published index names the T5 whether or not its files were fetched, and the components that are never loaded.
STAGE_TWO_INDEX = {
    "tokenizer": ["transformers", "T5Tokenizer"], "text_encoder": ["transformers", "T5EncoderModel"],
    "safety_checker": ["deepfloyd_if", "IFSafetyChecker"], "watermarker": ["deepfloyd_if", "IFWatermarker"],
    "feature_extractor": ["transformers", "CLIPImageProcessor"],
}  # fmt: skip


@builder("IFSuperResolutionPipeline", index=STAGE_TWO_INDEX)
def deepfloyd_two() -> Components:
    """Stage two: 32x32 from 16x16, conditioned on the noise level; as most people have it, without its T5."""
    noising = c.make("DDPMScheduler", beta_schedule="squaredcos_cap_v2")
    without = {"tokenizer": None, "text_encoder": None}
    return {**without, "image_noising_scheduler": noising, **_deepfloyd(32, 6, class_embed_type="timestep")}


@builder("StableDiffusionUpscalePipeline")
def x4_upscaler() -> Components:
    """Latents of a factor of four beside the picture that is enlarged; predicts v."""
    denoiser = c.make(
        "UNet2DConditionModel", sample_size=32, in_channels=7, out_channels=4, block_out_channels=(32, 64),
        layers_per_block=1, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), norm_num_groups=8,
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=WIDE, attention_head_dim=8,
        num_class_embeds=1000, use_linear_projection=True,
    )  # fmt: skip
    betas = {"beta_schedule": "scaled_linear", "beta_start": 0.0001, "beta_end": 0.02}
    scheduler = c.ddim(**betas, prediction_type="v_prediction", set_alpha_to_one=False, steps_offset=1)
    beside = {"vae": c.vae_kl(levels=3, scaling_factor=0.08333), "low_res_scheduler": c.make("DDPMScheduler", **betas)}
    return {**clip(), "unet": denoiser, "scheduler": scheduler, **beside}


# family -> builder of a random model of it
BUILDERS: dict[str, Callable[..., Path]] = {
    "sd1": stable_diffusion, "sd2": stable_diffusion_2, "sdxl": stable_diffusion_xl, "sd3": stable_diffusion_3,
    "flux": flux, "pixart": pixart, "dit": dit, "ddpm": ddpm, "deepfloyd": deepfloyd, "consistency": consistency,
    "lcm": latent_consistency, "generic": auraflow,
}  # fmt: skip
# a variant that takes more than a prompt -> its builder
VARIANTS: dict[str, Callable[..., Path]] = {
    "sd1-inpaint": sd1_inpaint, "sdxl-inpaint": sdxl_inpaint, "sdxl-refiner": sdxl_refiner,
}  # fmt: skip
