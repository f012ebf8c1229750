"""Random, tiny checkpoints in their real layout on disk: what the manager, the engine and the jobs are tested on.

Each builder is `(folder, seed=0) -> folder`, takes under a second and writes a few hundred kilobytes of safetensors
that the stock `from_pretrained` loads. The weights are noise; the files are not.
"""

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


def clip_tokenizer(max_length: int = 24) -> Any:
    """A CLIPTokenizer with merges really trained on WORDS (one without merges would drop whole words)."""
    compat.prepare()
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    trainer = trainers.BpeTrainer(
        vocab_size=400,
        end_of_word_suffix="</w>",
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    bpe.train_from_iterator([" ".join(WORDS)] * 4, trainer)
    trained = json.loads(bpe.to_str())["model"]
    vocab: dict[str, int] = dict(trained["vocab"])
    for character in pre_tokenizers.ByteLevel.alphabet():
        for token in (character, character + "</w>"):
            vocab.setdefault(token, len(vocab))
    for token in (START, END):
        vocab.setdefault(token, len(vocab))
    merges = [tuple(pair) for pair in trained["merges"]]
    return CLIPTokenizer(vocab=vocab, merges=merges, pad_token=END, model_max_length=max_length)


def clip_text(tokenizer: Any, width: int = 32, *, projection: int | None = None, positions: int = 128) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
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
    folder: Path, seed: int = 0, *, vae: str = "tiny", prediction: str = "epsilon", sample_size: int = 16
) -> Path:
    """StableDiffusionPipeline, `vae` "kl" (factor 2) or "tiny" (factor 8): 32x32 or 128x128 pixels by default."""
    _seeded(seed)
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    tokenizer = clip_tokenizer()
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


BUILDERS: dict[str, Callable[..., Path]] = {
    "sd1": stable_diffusion,
    "pixart": pixart,
    "ddpm": ddpm,
    "dit": dit,
}
