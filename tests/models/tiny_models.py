"""Random, tiny checkpoints in their real layout on disk: what the manager, the engine and the jobs are tested on.

Each builder is `(folder, seed=0) -> folder`, takes under a second and writes a few hundred kilobytes of safetensors
that the stock `from_pretrained` loads. The weights are noise; the files are not.
"""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from studio import compat

WORDS = ("a", "red", "blue", "large", "small", "heart", "star", "ring", "on", "the", "left", "right", "ground", "white")
START, END = "<|startoftext|>", "<|endoftext|>"


def _seeded(seed: int) -> None:
    compat.prepare()
    import torch

    torch.manual_seed(seed)


@functools.cache
def _trained_bpe() -> dict[str, Any]:
    """{"vocab": ..., "merges": ...} trained on WORDS."""
    compat.prepare()
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    trainer = trainers.BpeTrainer(
        vocab_size=400,
        end_of_word_suffix="</w>",
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    bpe.train_from_iterator([" ".join(WORDS)] * 4, trainer)
    return json.loads(bpe.to_str())["model"]


def clip_merges() -> list[tuple[str, str]]:
    return [tuple(pair) for pair in _trained_bpe()["merges"]]


def clip_tokenizer(max_length: int = 24) -> Any:
    """A CLIPTokenizer with merges really trained on WORDS (one without merges would drop whole words)."""
    trained = _trained_bpe()
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    vocab: dict[str, int] = dict(trained["vocab"])
    for character in sorted(pre_tokenizers.ByteLevel.alphabet()):
        for token in (character, character + "</w>"):
            vocab.setdefault(token, len(vocab))
    for token in (START, END):
        vocab.setdefault(token, len(vocab))
    merges = [tuple(pair) for pair in trained["merges"]]
    return CLIPTokenizer(vocab=vocab, merges=merges, pad_token=END, model_max_length=max_length)


def clip_text(
    tokenizer: Any,
    width: int = 32,
    *,
    projection: int | None = None,
    positions: int = 128,
    layers: int = 2,
    inner: int = 64,
) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=positions,
        projection_dim=projection or width,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config).eval()


def vae_kl(channels: int = 4, levels: int = 2, **config: Any) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8,) * levels,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        latent_channels=channels,
        norm_num_groups=4,
        sample_size=32,
        **config,
    ).eval()


def vae_tiny(levels: int = 4) -> Any:
    from diffusers import AutoencoderTiny

    return AutoencoderTiny(
        encoder_block_out_channels=(8,) * levels,
        decoder_block_out_channels=(8,) * levels,
        num_encoder_blocks=(1,) * levels,
        num_decoder_blocks=(1,) * levels,
        scaling_factor=1.0,
    ).eval()


def unet_conditioned(width: int = 32, *, in_channels: int = 4, sample_size: int = 16, **config: Any) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=sample_size,
        in_channels=in_channels,
        out_channels=4,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=width,
        attention_head_dim=8,
        norm_num_groups=8,
        **config,
    ).eval()


def stable_diffusion(
    folder: Path,
    seed: int = 0,
    *,
    vae: str = "tiny",
    prediction: str = "epsilon",
    sample_size: int = 16,
    tokens: int = 24,
) -> Path:
    """StableDiffusionPipeline, `vae` "kl" (factor 2) or "tiny" (factor 8): 32x32 or 128x128 pixels by default."""
    _seeded(seed)
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    tokenizer = clip_tokenizer(tokens)
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction,
    )
    StableDiffusionPipeline(
        vae=vae_tiny() if vae == "tiny" else vae_kl(),
        text_encoder=clip_text(tokenizer),
        tokenizer=tokenizer,
        unet=unet_conditioned(sample_size=sample_size),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder, safe_serialization=True)
    return folder


def pixart(folder: Path, seed: int = 0, *, prediction: str = "epsilon") -> Path:
    """PixArtAlphaPipeline with a CLIP text encoder, as the starter kit has it; 128x128 pixels."""
    _seeded(seed)
    from diffusers import DPMSolverMultistepScheduler, PixArtAlphaPipeline, PixArtTransformer2DModel

    tokenizer = clip_tokenizer(max_length=120)
    transformer = PixArtTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        cross_attention_dim=32,
        caption_channels=32,
        sample_size=16,
        patch_size=2,
        use_additional_conditions=False,
    ).eval()
    PixArtAlphaPipeline(
        tokenizer=tokenizer,
        text_encoder=clip_text(tokenizer),
        vae=vae_tiny(),
        transformer=transformer,
        scheduler=DPMSolverMultistepScheduler(prediction_type=prediction, beta_schedule="linear"),
    ).save_pretrained(folder, safe_serialization=True)
    return folder


def ddpm(folder: Path, seed: int = 0) -> Path:
    """DDPMPipeline: unconditional, in pixels, 16x16."""
    _seeded(seed)
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    unet = UNet2DModel(
        sample_size=16,
        in_channels=3,
        out_channels=3,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
    ).eval()
    DDPMPipeline(unet=unet, scheduler=DDPMScheduler()).save_pretrained(folder, safe_serialization=True)
    return folder


def dit(folder: Path, seed: int = 0) -> Path:
    """DiTPipeline: class-conditional latents with learned variance; 1,000 classes and the null class, as DiT has them."""
    _seeded(seed)
    from diffusers import DDIMScheduler, DiTPipeline, DiTTransformer2DModel

    transformer = DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        sample_size=8,
        patch_size=2,
        num_embeds_ada_norm=1000,
    ).eval()
    DiTPipeline(transformer=transformer, vae=vae_kl(), scheduler=DDIMScheduler(clip_sample=False)).save_pretrained(
        folder, safe_serialization=True
    )
    # Published folders carry the labels in model_index.json; save_pretrained does not write them.
    index = json.loads((folder / "model_index.json").read_text())
    index["id2label"] = {str(i): ("red heart" if i == 3 else f"thing {i}") for i in range(1000)}
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def stable_diffusion_2(folder: Path, seed: int = 0) -> Path:
    """Stable Diffusion 2's mark is a text encoder 1,024 wide; predicts v."""
    _seeded(seed)
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    tokenizer = clip_tokenizer()
    StableDiffusionPipeline(
        vae=vae_kl(),
        text_encoder=clip_text(tokenizer, 1024, layers=1, inner=64),
        tokenizer=tokenizer,
        unet=unet_conditioned(1024, use_linear_projection=True),
        scheduler=DDIMScheduler(prediction_type="v_prediction", clip_sample=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder, safe_serialization=True)
    return folder


def stable_diffusion_xl(folder: Path, seed: int = 0) -> Path:
    """StableDiffusionXLPipeline: two text encoders, pooled text and sizes told to the U-Net."""
    _seeded(seed)
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

    first, second = clip_tokenizer(), clip_tokenizer()
    unet = unet_conditioned(
        64,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 32,
        transformer_layers_per_block=1,
        use_linear_projection=True,
    )
    StableDiffusionXLPipeline(
        vae=vae_kl(),
        text_encoder=clip_text(first),
        text_encoder_2=clip_text(second, projection=32),
        tokenizer=first,
        tokenizer_2=second,
        unet=unet,
        scheduler=EulerDiscreteScheduler(beta_schedule="scaled_linear", timestep_spacing="leading", steps_offset=1),
        add_watermarker=False,
    ).save_pretrained(folder, safe_serialization=True)
    return folder


def t5_tokenizer(max_length: int = 24) -> Any:
    from transformers import T5Tokenizer

    letters = [(chr(c), -8.0) for c in range(ord("a"), ord("z") + 1)]
    words = [("▁" + word, -1.0) for word in WORDS]
    marks = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    return T5Tokenizer(vocab=marks + words + letters, extra_ids=0, model_max_length=max_length)


def t5_text(tokenizer: Any, width: int = 32, *, cls: str = "T5EncoderModel", **config: Any) -> Any:
    import transformers

    model = getattr(transformers, cls)
    sizes = model.config_class(
        vocab_size=len(tokenizer) + 8,
        d_model=width,
        d_kv=8,
        d_ff=2 * width,
        num_layers=1,
        num_heads=4,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=0,
        **config,
    )
    return model(sizes).eval()


def stable_diffusion_3(folder: Path, seed: int = 0) -> Path:
    """StableDiffusion3Pipeline: two CLIPs and a T5 beside a joint transformer; flow matching."""
    _seeded(seed)
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline

    clip, t5 = clip_tokenizer(), t5_tokenizer()
    transformer = SD3Transformer2DModel(
        sample_size=16,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=64,
        caption_projection_dim=32,
        pooled_projection_dim=64,
        pos_embed_max_size=16,
    ).eval()
    StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=vae_kl(shift_factor=0.0609, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=clip_text(clip, projection=32),
        tokenizer=clip,
        text_encoder_2=clip_text(clip, projection=32),
        tokenizer_2=clip,
        text_encoder_3=t5_text(t5, 64),
        tokenizer_3=t5,
    ).save_pretrained(folder, safe_serialization=True)
    return folder


def flux(folder: Path, seed: int = 0, *, guided: bool = True) -> Path:
    """FluxPipeline: packed latents, guidance an input of the transformer (dev) or none (schnell)."""
    _seeded(seed)
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel

    clip, t5 = clip_tokenizer(), t5_tokenizer()
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        guidance_embeds=guided,
        axes_dims_rope=(4, 4, 8),
    ).eval()
    FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=vae_kl(shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=clip_text(clip),
        tokenizer=clip,
        text_encoder_2=t5_text(t5),
        tokenizer_2=t5,
        transformer=transformer,
    ).save_pretrained(folder, safe_serialization=True)
    # FLUX's configuration tells no size of its own; without a card the model would make 1024 pixels.
    (folder / "unnoise.json").write_text(json.dumps({"defaults": {"width": 32, "height": 32}}))
    return folder


def deepfloyd_parts(*, sample_size: int, in_channels: int, **config: Any) -> dict[str, Any]:
    """The U-Net and the scheduler of a stage: pixels, the variance learned."""
    from diffusers import DDPMScheduler, UNet2DConditionModel

    unet = UNet2DConditionModel(
        sample_size=sample_size,
        in_channels=in_channels,
        out_channels=6,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        cross_attention_dim=32,
        encoder_hid_dim=32,
        attention_head_dim=8,
        addition_embed_type="text",
        addition_embed_type_num_heads=2,
        norm_num_groups=8,
        resnet_time_scale_shift="scale_shift",
        act_fn="gelu",
        **config,
    ).eval()
    scheduler = DDPMScheduler(
        beta_schedule="squaredcos_cap_v2",
        variance_type="learned_range",
        thresholding=True,
        dynamic_thresholding_ratio=0.95,
    )
    never_loaded = dict.fromkeys(("safety_checker", "feature_extractor", "watermarker"))
    return {"unet": unet, "scheduler": scheduler, "requires_safety_checker": False, **never_loaded}


def deepfloyd(folder: Path, seed: int = 0) -> Path:
    """IFPipeline, stage one: pixels from a T5."""
    _seeded(seed)
    from diffusers import IFPipeline

    tokenizer = t5_tokenizer(max_length=77)
    parts = deepfloyd_parts(sample_size=16, in_channels=3)
    IFPipeline(tokenizer=tokenizer, text_encoder=t5_text(tokenizer), **parts).save_pretrained(
        folder, safe_serialization=True
    )
    return folder


def consistency(folder: Path, seed: int = 0) -> Path:
    """ConsistencyModelPipeline: pixels in one jump."""
    _seeded(seed)
    from diffusers import CMStochasticIterativeScheduler, ConsistencyModelPipeline, UNet2DModel

    unet = UNet2DModel(
        sample_size=16,
        in_channels=3,
        out_channels=3,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("ResnetDownsampleBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "ResnetUpsampleBlock2D"),
        norm_num_groups=8,
        num_class_embeds=10,
    ).eval()
    scheduler = CMStochasticIterativeScheduler(num_train_timesteps=40, sigma_min=0.002, sigma_max=80.0)
    ConsistencyModelPipeline(unet=unet, scheduler=scheduler).save_pretrained(folder, safe_serialization=True)
    return folder


def latent_consistency(folder: Path, seed: int = 0) -> Path:
    """LatentConsistencyModelPipeline: the guidance scale is an input of the U-Net."""
    _seeded(seed)
    from diffusers import LatentConsistencyModelPipeline, LCMScheduler

    tokenizer = clip_tokenizer()
    LatentConsistencyModelPipeline(
        vae=vae_kl(),
        text_encoder=clip_text(tokenizer),
        tokenizer=tokenizer,
        unet=unet_conditioned(time_cond_proj_dim=16),
        scheduler=LCMScheduler(beta_schedule="scaled_linear", original_inference_steps=50),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder, safe_serialization=True)
    return folder


def auraflow(folder: Path, seed: int = 0) -> Path:
    """AuraFlowPipeline: one of those that only the generic family takes."""
    _seeded(seed)
    from diffusers import AuraFlowPipeline, AuraFlowTransformer2DModel, FlowMatchEulerDiscreteScheduler

    tokenizer = t5_tokenizer()
    transformer = AuraFlowTransformer2DModel(
        sample_size=16,
        patch_size=2,
        in_channels=4,
        num_mmdit_layers=1,
        num_single_dit_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=32,
        caption_projection_dim=32,
        pos_embed_max_size=256,
    ).eval()
    AuraFlowPipeline(
        tokenizer=tokenizer,
        text_encoder=t5_text(tokenizer, cls="UMT5EncoderModel"),
        vae=vae_kl(),
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=1.73),
    ).save_pretrained(folder, safe_serialization=True)
    return folder


# family -> builder of a random checkpoint of it
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


# ---- single files in CompVis' naming -------------------------------------------------------------------------------

_RESNET = (
    ("norm1", "in_layers.0"), ("conv1", "in_layers.2"), ("norm2", "out_layers.0"), ("conv2", "out_layers.3"),
    ("time_emb_proj", "emb_layers.1"), ("conv_shortcut", "skip_connection"),
)  # fmt: skip
_VAE_ATTENTION = (("group_norm", "norm"), ("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out"))


def _renamed(key: str, pairs: tuple[tuple[str, str], ...]) -> str:
    for ours, theirs in pairs:
        key = key.replace(ours + ".", theirs + ".")
    return key


def unet_to_ldm(unet: Any) -> dict[str, Any]:
    """A UNet2DConditionModel's tensors under CompVis' names; the inverse of diffusers' own conversion."""
    levels, layers = len(unet.config.block_out_channels), unet.config.layers_per_block
    places: list[tuple[str, str]] = [
        ("time_embedding.linear_1.", "time_embed.0."),
        ("time_embedding.linear_2.", "time_embed.2."),
        ("add_embedding.linear_1.", "label_emb.0.0."),
        ("add_embedding.linear_2.", "label_emb.0.2."),
        ("conv_in.", "input_blocks.0.0."),
        ("conv_norm_out.", "out.0."),
        ("conv_out.", "out.2."),
        ("mid_block.attentions.0.", "middle_block.1."),
        ("mid_block.resnets.0.", "middle_block.0."),
        ("mid_block.resnets.1.", "middle_block.2."),
    ]
    for i in range(levels):
        for j in range(layers):
            at = (layers + 1) * i + j + 1
            places += [(f"down_blocks.{i}.resnets.{j}.", f"input_blocks.{at}.0.")]
            places += [(f"down_blocks.{i}.attentions.{j}.", f"input_blocks.{at}.1.")]
        places += [(f"down_blocks.{i}.downsamplers.0.conv.", f"input_blocks.{(layers + 1) * (i + 1)}.0.op.")]
        attends = "CrossAttn" in unet.config.up_block_types[i]
        for j in range(layers + 1):
            at = (layers + 1) * i + j
            places += [(f"up_blocks.{i}.resnets.{j}.", f"output_blocks.{at}.0.")]
            places += [(f"up_blocks.{i}.attentions.{j}.", f"output_blocks.{at}.1.")]
        last = (layers + 1) * i + layers
        places += [(f"up_blocks.{i}.upsamplers.0.conv.", f"output_blocks.{last}.{2 if attends else 1}.conv.")]
    out = {}
    for key, tensor in unet.state_dict().items():
        ours, theirs = next(pair for pair in places if key.startswith(pair[0]))
        rest = key.removeprefix(ours)
        out["model.diffusion_model." + theirs + (_renamed(rest, _RESNET) if ".resnets." in key else rest)] = tensor
    return out


def vae_to_ldm(vae: Any) -> dict[str, Any]:
    """An AutoencoderKL's tensors under CompVis' names; its attention weights as 1x1 convolutions."""
    levels, layers = len(vae.config.block_out_channels), vae.config.layers_per_block
    places = []
    for i in range(levels):
        places += [(f"encoder.down_blocks.{i}.resnets.{j}.", f"encoder.down.{i}.block.{j}.") for j in range(layers)]
        places += [(f"encoder.down_blocks.{i}.downsamplers.0.", f"encoder.down.{i}.downsample.")]
        up = levels - 1 - i
        places += [(f"decoder.up_blocks.{i}.resnets.{j}.", f"decoder.up.{up}.block.{j}.") for j in range(layers + 1)]
        places += [(f"decoder.up_blocks.{i}.upsamplers.0.", f"decoder.up.{up}.upsample.")]
    for side in ("encoder", "decoder"):
        places += [(f"{side}.mid_block.resnets.{i}.", f"{side}.mid.block_{i + 1}.") for i in range(2)]
        places += [(f"{side}.mid_block.attentions.0.", f"{side}.mid.attn_1.")]
        places += [(f"{side}.conv_norm_out.", f"{side}.norm_out.")]
    out = {}
    for key, tensor in vae.state_dict().items():
        ours, theirs = next((pair for pair in places if key.startswith(pair[0])), ("", ""))
        rest = key.removeprefix(ours)
        if ".attentions." in key:
            rest = _renamed(rest, _VAE_ATTENTION)
            tensor = tensor[:, :, None, None] if tensor.ndim == 2 else tensor
        out["first_stage_model." + theirs + rest.replace("conv_shortcut.", "nin_shortcut.")] = tensor
    return out


def ldm_checkpoint(file: Path, folder: Path) -> Path:
    """The StableDiffusionPipeline in `folder` as one file in CompVis' naming."""
    compat.prepare()
    from diffusers import StableDiffusionPipeline
    from safetensors.torch import save_file

    pipeline = StableDiffusionPipeline.from_pretrained(folder, local_files_only=True)
    text = {
        "cond_stage_model.transformer." + ("" if key.startswith("text_model.") else "text_model.") + key: tensor
        for key, tensor in pipeline.text_encoder.state_dict().items()
    }
    tensors = unet_to_ldm(pipeline.unet) | vae_to_ldm(pipeline.vae) | text
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: tensor.contiguous().clone() for key, tensor in tensors.items()}, file)
    return file


def tiny_blueprint(folder: Path) -> Any:
    """What a family's blueprint would hold for the model in `folder`."""
    from studio.manager.families import Blueprint

    parts = {
        "unet": ("diffusers", "UNet2DConditionModel"),
        "vae": ("diffusers", "AutoencoderKL"),
        "text_encoder": ("transformers", "CLIPTextModel"),
        "tokenizer": ("transformers", "CLIPTokenizer"),
        "scheduler": ("diffusers", "DDIMScheduler"),
    }
    configs = {
        name: json.loads((folder / name / "config.json").read_text()) for name in ("unet", "vae", "text_encoder")
    }
    configs["scheduler"] = json.loads((folder / "scheduler/scheduler_config.json").read_text())
    arguments = {"requires_safety_checker": False, "safety_checker": [None, None], "feature_extractor": [None, None]}
    return Blueprint("StableDiffusionPipeline", parts, configs, {"tokenizer": END}, arguments)
