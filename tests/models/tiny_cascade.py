"""DeepFloyd IF's upper stages, tiny and random: stage II in its published layout, and the x4 upscaler that follows it."""

import json
from pathlib import Path

from tests.models.tiny_models import _seeded, clip_text, clip_tokenizer, deepfloyd_parts, vae_kl


def stage_two(folder: Path, seed: int = 0) -> Path:
    """IFSuperResolutionPipeline: 32x32 from 16x16, told the noise level; as most people have it, without its T5."""
    _seeded(seed)
    from diffusers import DDPMScheduler, IFSuperResolutionPipeline

    IFSuperResolutionPipeline(
        tokenizer=None,
        text_encoder=None,
        image_noising_scheduler=DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
        **deepfloyd_parts(sample_size=32, in_channels=6, class_embed_type="timestep"),
    ).save_pretrained(folder, safe_serialization=True)
    # The index of the published folder names the T5 whether or not its files were fetched, and the parts never loaded.
    index = json.loads((folder / "model_index.json").read_text())
    index |= {
        "tokenizer": ["transformers", "T5Tokenizer"],
        "text_encoder": ["transformers", "T5EncoderModel"],
        "safety_checker": ["deepfloyd_if", "IFSafetyChecker"],
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
        "watermarker": ["deepfloyd_if", "IFWatermarker"],
    }
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def x4_upscaler(folder: Path, seed: int = 0) -> Path:
    """StableDiffusionUpscalePipeline: latents of a factor of four beside the picture that is enlarged; predicts v."""
    _seeded(seed)
    from diffusers import DDIMScheduler, DDPMScheduler, StableDiffusionUpscalePipeline, UNet2DConditionModel

    tokenizer = clip_tokenizer()
    unet = UNet2DConditionModel(
        sample_size=32,
        in_channels=7,
        out_channels=4,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=8,
        num_class_embeds=1000,
        use_linear_projection=True,
        norm_num_groups=8,
    ).eval()
    betas = {"beta_schedule": "scaled_linear", "beta_start": 0.0001, "beta_end": 0.02}
    StableDiffusionUpscalePipeline(
        vae=vae_kl(levels=3, scaling_factor=0.08333),
        text_encoder=clip_text(tokenizer),
        tokenizer=tokenizer,
        unet=unet,
        low_res_scheduler=DDPMScheduler(**betas),
        scheduler=DDIMScheduler(
            **betas, prediction_type="v_prediction", clip_sample=False, set_alpha_to_one=False, steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=None,
        watermarker=None,
    ).save_pretrained(folder, safe_serialization=True)
    return folder
