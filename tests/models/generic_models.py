"""Tiny random folders of the pipelines that only the generic family takes.

Each is made of what its constructor asks for, by `component_classes`; here is what it needs of another shape.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import transformers

from tests.models import components as c
from tests.models import tiny_text as text
from tests.models.component_classes import BY_CLASS, latent_bert
from tests.models.components import diffusers
from tests.models.denoisers import NARROW, WIDE, denoiser
from tests.models.folders import Components, builder
from tests.models.tiny_models import sd3_components, sigma_components, xl_components

shifted = partial(c.vae_flow, scaling_factor=0.3611, shift_factor=0.1159)
static = partial(c.flow, shift=3.0)
ddpm = partial(c.make, "DDPMScheduler")
unclip_steps = partial(c.make, "UnCLIPScheduler", variance_type="fixed_small_log")


def hunyuan_dit(**config: Any) -> Components:
    levels = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.018}
    steps, second = ddpm(**levels, prediction_type="v_prediction"), text.numbered(2, text.t5(256, width=NARROW))
    return {"transformer": denoiser("HunyuanDiT2DModel", **config), "vae": c.vae_flow(), "scheduler": steps, **second}


def hunyuan_image(*, distilled: bool = False) -> Components:
    """Guided by objects of their own; the distilled one takes its guidance in the call."""
    guidance: Callable[..., Any] = diffusers.AdaptiveProjectedMixGuidance
    guiders = {"guider": guidance(), "ocr_guider": guidance(adaptive_projected_guidance_start_step=38)}
    transformer = denoiser("HunyuanImageTransformer2DModel", guidance_embeds=distilled)
    steps = c.flow(shift=4.0 if distilled else 5.0)
    return {"transformer": transformer, "scheduler": steps, **({} if distilled else guiders)}


def resampling_unet(**config: Any) -> Any:
    return c.make("UNet2DConditionModel", **c.TWO_LEVELS, **c.RESAMPLING, **config)


def kandinsky(conditions: str, steps: Any) -> Components:
    """The decoder is conditioned on the embedding of a picture, which a prior makes of the prompt."""
    shapes = {"in_channels": 4, "out_channels": 8, "sample_size": 8, "encoder_hid_dim": WIDE}
    unet = resampling_unet(addition_embed_type=conditions, encoder_hid_dim_type=f"{conditions}_proj", **shapes)
    prior = unclip_steps(prediction_type="sample", clip_sample_range=10.0)
    return {"unet": unet, "scheduler": steps, "prior_scheduler": prior}


def stable_cascade() -> Components:
    """Stage C makes a small latent, stage B a larger one from it, `vqgan` the picture."""
    seen = {"clip_text_in_channels": WIDE, "clip_image_in_channels": WIDE, "clip_seq": 4}
    given = {"effnet_in_channels": 4, "pixel_mapper_in_channels": 3, "patch_size": 2}
    decoder = denoiser("StableCascadeUNet", **given, timestep_conditioning_type=("sca",))
    return {"prior_prior": denoiser("StableCascadeUNet", **seen), "decoder": decoder}


def unclip() -> Components:
    """A prior, a decoder in pixels and two super-resolution U-Nets; three schedulers, no `scheduler`."""
    shapes = {"sample_size": 16, "in_channels": 3, "out_channels": 6, "class_embed_type": "identity"}
    blocks = {"down_block_types": ("ResnetDownsampleBlock2D",) * 2, "up_block_types": ("ResnetUpsampleBlock2D",) * 2}
    larger = partial(c.unet_unconditional, 6, sample_size=32, out_channels=3, **blocks)
    stages = {"decoder": resampling_unet(**shapes), "super_res_first": larger(), "super_res_last": larger()}
    learned = unclip_steps(variance_type="learned_range")
    prior = unclip_steps(prediction_type="sample", clip_sample_range=5.0)
    steps = {"prior_scheduler": prior, "decoder_scheduler": learned, "super_res_scheduler": unclip_steps()}
    return stages | steps


def codebook(**config: Any) -> Any:
    """Of tokens, which are denoised in place of latents."""
    blocks = {"down_block_types": ["DownEncoderBlock2D"] * 2, "up_block_types": ["UpDecoderBlock2D"] * 2}
    return c.make("VQModel", block_out_channels=[8, 8], **blocks, **config)


# fmt: off
TRANSFORMERS: dict[str, Callable[..., Components]] = {
    "BriaPipeline": lambda: {"vae": c.vae_flow()},
    "BriaFiboPipeline": lambda: {"tokenizer": text.llama_tokenizer()},
    "BriaFibo2Pipeline": lambda: {"text_encoder": text.qwen3_vl(layers=36)},  # it reads layers up to the 35th
    "ChromaPipeline": lambda: {"vae": shifted(), "scheduler": c.flow(use_beta_sigmas=True)},
    "CogView3PlusPipeline": lambda: {"vae": c.vae_flow()},
    "CogView4Pipeline": lambda: {
        "tokenizer": text.llama_tokenizer(), "vae": c.vae_flow(),
        "scheduler": c.dynamic(base_shift=0.25, max_shift=0.75, time_shift_type="linear")},
    "ErnieImagePipeline": lambda: {"tokenizer": text.llama_tokenizer(), "scheduler": static()},
    "Flux2KleinKVPipeline": lambda: {"transformer": denoiser("Flux2Transformer2DModel", guidance_embeds=False)},
    "Flux2KleinPipeline": lambda **distilled: {
        "transformer": denoiser("Flux2Transformer2DModel", guidance_embeds=False), **distilled},
    "Flux2Pipeline": lambda: {"tokenizer": text.pixtral_processor()},
    "FluxKontextPipeline": lambda: {"vae": shifted()},
    "GlmImagePipeline": lambda: {"vae": c.vae_flow(latents_mean=[0.0] * 4, latents_std=[1.0] * 4)},
    # It makes pictures of one area alone, 128 latent cells a side: with a shallow autoencoder those are few pixels.
    "HiDreamImagePipeline": lambda: {"vae": shifted(levels=2), "scheduler": static()},
    "HunyuanDiTPAGPipeline": hunyuan_dit,
    "HunyuanDiTPipeline": lambda: hunyuan_dit(use_style_cond_and_image_meta_size=False),
    "HunyuanImagePipeline": hunyuan_image,
    "Ideogram4Pipeline": lambda: {"text_encoder": text.qwen3_vl("Qwen3VLModel", 36, width=8), "scheduler": static()},
    "Kandinsky5T2IPipeline": lambda: {"vae": c.vae_flow(), "scheduler": static()},
    "Krea2Pipeline": lambda: {"text_encoder_select_layers": (0, 1, 2)},
    "LongCatImagePipeline": lambda: {"vae": shifted(16)},  # it allows no other number of channels
    "Lumina2Pipeline": lambda: {"vae": shifted(), "scheduler": c.flow(shift=6.0)},
    "LuminaPipeline": lambda: {"vae": c.vae_flow(), "scheduler": c.flow()},
    "NucleusMoEImagePipeline": lambda: {"text_encoder": text.qwen3_vl(layers=8)},  # it reads the eighth from the end
    "OmniGenPipeline": lambda: {"vae": c.vae_flow(), "scheduler": c.flow()},
    "OvisImagePipeline": lambda: {"vae": shifted()},
    "PRXPipeline": lambda: {"vae": shifted(), "tokenizer": text.gemma_tokenizer(256), "scheduler": static()},
    "PRXPixelPipeline": lambda: {  # without an autoencoder
        "transformer": denoiser("PRXTransformer2DModel", in_channels=3, bottleneck_size=8, resolution_embeds=True),
        "tokenizer": text.qwen_tokenizer(256), "scheduler": static()},
    "PixArtSigmaPAGPipeline": sigma_components,
    "QwenImage21Pipeline": dict,
    "QwenImagePipeline": lambda: {"scheduler": c.dynamic(shift_terminal=0.02, max_shift=0.9)},
    "SanaPAGPipeline": lambda: {"scheduler": BY_CLASS["DPMSolverMultistepScheduler"]()},
    "SanaPipeline": dict,
    "SanaSprintPipeline": lambda: {
        "transformer": denoiser("SanaTransformer2DModel", guidance_embeds=True, qk_norm="rms_norm_across_heads"),
        "scheduler": c.make("SCMScheduler")},
    "ZImageOmniPipeline": lambda: {
        "transformer": denoiser("ZImageTransformer2DModel", siglip_feat_dim=16), "vae": shifted(), "scheduler": static()},
    "ZImagePipeline": lambda: {"vae": shifted(), "scheduler": static()},
}
# U-Nets, priors with decoders, tokens in place of latents.
GENERIC: dict[str, Callable[..., Components]] = TRANSFORMERS | {
    "AltDiffusionPipeline": dict,
    "AmusedPipeline": lambda: {"vqvae": codebook(
        latent_channels=8, norm_num_groups=8, num_vq_embeddings=8, sample_size=16, mid_block_add_attention=False,
        lookup_from_codebook=True)},
    "Kandinsky3Pipeline": lambda: {"movq": c.movq(levels=4)},
    "KandinskyCombinedPipeline": lambda: kandinsky("text_image", c.ddim(set_alpha_to_one=False)),
    "KandinskyV22CombinedPipeline": lambda: kandinsky("image", ddpm(
        beta_start=0.00085, beta_end=0.012, variance_type="learned_range", clip_sample=False)),
    "KolorsPAGPipeline": lambda: {"unet": c.unet_xl(WIDE, WIDE), "scheduler": c.euler()},
    "KolorsPipeline": lambda: {"unet": c.unet_xl(WIDE, WIDE), "scheduler": c.euler()},
    "LDMPipeline": lambda: {"vqvae": c.movq(norm_type="group"), "unet": c.unet_unconditional(4, sample_size=8)},
    "LDMTextToImagePipeline": lambda: {"vqvae": c.vae_kl(levels=4), "bert": latent_bert(), "unet": c.unet()},
    "StableCascadeCombinedPipeline": stable_cascade,
    "StableDiffusion3PAGPipeline": sd3_components,
    "StableDiffusionParadigmsPipeline": lambda: {
        "scheduler": c.make("DDPMParallelScheduler", beta_schedule="scaled_linear", clip_sample=False)},
    "StableDiffusionXLPAGPipeline": xl_components,
    "UnCLIPPipeline": unclip,
    "UniDiffuserPipeline": lambda: {
        "scheduler": c.make("DPMSolverMultistepScheduler", beta_schedule="scaled_linear", solver_order=3)},
    "VQDiffusionPipeline": lambda: {
        "vqvae": codebook(latent_channels=3, norm_num_groups=4, num_vq_embeddings=12, vq_embed_dim=3)},
    "VersatileDiffusionTextToImagePipeline": lambda: {"text_unet": None},
    "WuerstchenCombinedPipeline": dict,
    **dict.fromkeys((
        "SemanticStableDiffusionPipeline", "StableDiffusionModelEditingPipeline", "StableDiffusionPAGPipeline",
        "StableDiffusionPanoramaPipeline", "StableDiffusionPipelineSafe", "StableDiffusionSAGPipeline"), dict),
}
# The default sizes on their cards, 32 where nothing else is said; none where only a configuration may state it.
SIDES = {
    **dict.fromkeys(("Kandinsky5T2IPipeline", "LDMPipeline", "UnCLIPPipeline", "VQDiffusionPipeline", "AmusedPipeline")),
    **dict.fromkeys(("GlmImagePipeline", "HunyuanImagePipeline", "Kandinsky3Pipeline", "OmniGenPipeline"), 64),
    **dict.fromkeys(("SanaPipeline", "SanaPAGPipeline", "SanaSprintPipeline"), 64),
    **dict.fromkeys(("StableCascadeCombinedPipeline", "WuerstchenCombinedPipeline"), 128),
    "HiDreamImagePipeline": 256,
}
# fmt: on


def build(pipeline: str, folder: Path, seed: int = 0, **options: Any) -> Path:
    # T5Gemma's encoder is saved without a module of that name to find it by.
    index = {"text_encoder": ["prx", "T5GemmaEncoder"]} if pipeline == "PRXPipeline" else None
    builder(pipeline, SIDES.get(pipeline, 32), index)(GENERIC[pipeline])(folder, seed, **options)
    if index:  # published folders have the configuration of the whole T5Gemma, and of that the encoder alone
        encoder = json.loads((folder / "text_encoder/config.json").read_text())
        whole = transformers.T5GemmaConfig(encoder=encoder, decoder=encoder, is_encoder_decoder=False, vocab_size=256)
        whole.save_pretrained(folder / "text_encoder")
    return folder
