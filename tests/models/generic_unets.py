"""Tiny random folders of pipelines that only the generic family takes: U-Nets of Stable Diffusion's shape, and what is near them.

Each builder is `(folder, seed=0) -> folder`, as in `tiny_models`; sizes are the smallest that the classes allow.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.models import generic_priors as priors
from tests.models import generic_text, tiny_models
from tests.models.components import seeded, unet, vae_kl
from tests.models.generic_unets_parts import WIDTH, ddim, movq, roberta_tokenizer, saved
from tests.models.tiny_text import WORDS, clip_text, clip_tokenizer, t5_text, t5_tokenizer

# ---- Stable Diffusion's shape --------------------------------------------------------------------------------------


def sd_kin(folder: Path, seed: int = 0, *, pipeline: str, scheduler: str = "DDIMScheduler") -> Path:
    """A pipeline with Stable Diffusion's parts under another name."""
    seeded(seed)
    import diffusers

    tokenizer = clip_tokenizer()
    cls, steps = getattr(diffusers, pipeline), getattr(diffusers, scheduler)
    made = cls(
        vae=vae_kl(),
        text_encoder=clip_text(tokenizer),
        tokenizer=tokenizer,
        unet=unet(),
        scheduler=steps(beta_schedule="scaled_linear", clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return saved(made, folder)


def alt_diffusion(folder: Path, seed: int = 0) -> Path:
    """AltDiffusionPipeline: XLM-RoBERTa for text."""
    seeded(seed)
    from diffusers import AltDiffusionPipeline
    from diffusers.pipelines.deprecated.alt_diffusion.modeling_roberta_series import (
        RobertaSeriesConfig,
        RobertaSeriesModelWithTransformation,
    )

    tokenizer = roberta_tokenizer()
    config = RobertaSeriesConfig(
        hidden_size=WIDTH, project_dim=WIDTH, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4,
        vocab_size=len(tokenizer), max_position_embeddings=128, pad_token_id=1,
    )  # fmt: skip
    pipeline = AltDiffusionPipeline(
        vae=vae_kl(),
        text_encoder=RobertaSeriesModelWithTransformation(config).eval(),
        tokenizer=tokenizer,
        unet=unet(),
        scheduler=ddim(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return saved(pipeline, folder)


def sdxl_pag(folder: Path, seed: int = 0) -> Path:
    """StableDiffusionXLPAGPipeline: a third prediction, with perturbed attention, in the batch."""
    seeded(seed)
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPAGPipeline

    first, second = clip_tokenizer(), clip_tokenizer()
    pipeline = StableDiffusionXLPAGPipeline(
        vae=vae_kl(),
        text_encoder=clip_text(first),
        text_encoder_2=clip_text(second, projection=32),
        tokenizer=first,
        tokenizer_2=second,
        unet=_xl_unet(64, 6 * 8 + 32),
        scheduler=EulerDiscreteScheduler(beta_schedule="scaled_linear", timestep_spacing="leading", steps_offset=1),
        add_watermarker=False,
    )
    return saved(pipeline, folder)


def _xl_unet(width: int, told: int) -> Any:
    return unet(
        width,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=told,
        transformer_layers_per_block=1,
        use_linear_projection=True,
    )


def kolors(folder: Path, seed: int = 0, *, pipeline: str = "KolorsPipeline") -> Path:
    """SDXL's shape told by ChatGLM, which brings a SentencePiece model."""
    seeded(seed)
    import diffusers
    import torch
    from diffusers.pipelines.kolors import ChatGLMModel
    from diffusers.pipelines.kolors.text_encoder import ChatGLMConfig

    config = ChatGLMConfig(
        num_layers=2, padded_vocab_size=400, hidden_size=WIDTH, ffn_hidden_size=64, kv_channels=8,
        num_attention_heads=4, seq_length=256, multi_query_attention=True, multi_query_group_num=2,
        add_bias_linear=False, add_qkv_bias=True, rmsnorm=True, original_rope=True, apply_residual_connection_post_layernorm=False,
        bias_dropout_fusion=True, attention_softmax_in_fp32=True, post_layer_norm=True,
    )  # fmt: skip
    text = ChatGLMModel(config).eval()  # of weights that nothing has filled yet
    for weight in text.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    made = getattr(diffusers, pipeline)(
        vae=vae_kl(),
        text_encoder=text,
        tokenizer=chatglm_tokenizer(folder.with_name(f"{folder.name}.tokenizer")),
        unet=_xl_unet(WIDTH, 6 * 8 + WIDTH),
        scheduler=diffusers.EulerDiscreteScheduler(beta_schedule="scaled_linear", timestep_spacing="leading"),
    )
    return saved(made, folder)


def chatglm_tokenizer(where: Path) -> Any:
    import io

    import sentencepiece
    from diffusers.pipelines.kolors import ChatGLMTokenizer

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(WORDS)] * 20), model_writer=model, vocab_size=60, hard_vocab_limit=False,
        minloglevel=2,
    )  # fmt: skip
    where.mkdir(parents=True, exist_ok=True)
    (where / "tokenizer.model").write_bytes(model.getvalue())
    return ChatGLMTokenizer(str(where / "tokenizer.model"))


def bert_tokenizer(max_length: int = 24) -> Any:
    from transformers import BertTokenizer

    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *letters, *("##" + letter for letter in letters)]
    vocab = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return BertTokenizer(vocab=vocab, model_max_length=max_length)


def latent_diffusion(folder: Path, seed: int = 0) -> Path:
    """LDMTextToImagePipeline: `bert` for text, an autoencoder called `vqvae`, no images_per_prompt."""
    seeded(seed)
    from diffusers import LDMTextToImagePipeline
    from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import LDMBertConfig, LDMBertModel

    tokenizer = bert_tokenizer(77)
    config = LDMBertConfig(
        vocab_size=len(tokenizer),
        encoder_layers=1,
        encoder_ffn_dim=64,
        encoder_attention_heads=4,
        head_dim=8,
        d_model=WIDTH,
    )
    pipeline = LDMTextToImagePipeline(
        vqvae=vae_kl(levels=4),
        bert=LDMBertModel(config).eval(),
        tokenizer=tokenizer,
        unet=unet(),
        scheduler=ddim(),
    )
    return saved(pipeline, folder)


def latent_unconditional(folder: Path, seed: int = 0) -> Path:
    """LDMPipeline: latents of a VQ autoencoder, no prompt."""
    seeded(seed)
    from diffusers import LDMPipeline, UNet2DModel

    unet = UNet2DModel(
        sample_size=8, in_channels=4, out_channels=4, block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=8,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    ).eval()  # fmt: skip
    vqvae = movq(norm_type="group")
    return saved(LDMPipeline(vqvae=vqvae, unet=unet, scheduler=ddim()), folder)


# ---- guidance by perturbed attention over transformers -------------------------------------------------------------


def pixart_sigma_pag(folder: Path, seed: int = 0) -> Path:
    seeded(seed)
    from diffusers import DPMSolverMultistepScheduler, PixArtSigmaPAGPipeline, PixArtTransformer2DModel

    tokenizer = t5_tokenizer(max_length=300)
    transformer = PixArtTransformer2DModel(
        num_attention_heads=2, attention_head_dim=16, in_channels=4, out_channels=8, num_layers=2, cross_attention_dim=32,
        caption_channels=WIDTH, sample_size=16, patch_size=2, use_additional_conditions=False,
    ).eval()  # fmt: skip
    pipeline = PixArtSigmaPAGPipeline(
        tokenizer=tokenizer,
        text_encoder=t5_text(tokenizer),
        vae=vae_kl(),
        transformer=transformer,
        scheduler=DPMSolverMultistepScheduler(beta_schedule="linear"),
    )
    return saved(pipeline, folder)


def sd3_pag(folder: Path, seed: int = 0) -> Path:
    """StableDiffusion3PAGPipeline: SD 3's parts without those that look at pictures."""
    tiny_models.stable_diffusion_3(folder, seed)
    index = json.loads((folder / "model_index.json").read_text())
    kept = {name: part for name, part in index.items() if name not in ("image_encoder", "feature_extractor")}
    (folder / "model_index.json").write_text(json.dumps(kept | {"_class_name": "StableDiffusion3PAGPipeline"}))
    return folder


def hunyuan_dit_pag(folder: Path, seed: int = 0) -> Path:
    """HunyuanDiTPAGPipeline: BERT and T5 for text."""
    seeded(seed)
    from diffusers import DDPMScheduler, HunyuanDiT2DModel, HunyuanDiTPAGPipeline
    from transformers import BertConfig, BertModel

    bert, t5 = bert_tokenizer(77), t5_tokenizer(256)
    transformer = HunyuanDiT2DModel(
        sample_size=16, num_layers=2, patch_size=2, attention_head_dim=8, num_attention_heads=3, in_channels=4,
        cross_attention_dim=32, cross_attention_dim_t5=32, pooled_projection_dim=16, hidden_size=24,
        activation_fn="gelu-approximate",
    ).eval()  # fmt: skip
    sizes = BertConfig(
        vocab_size=len(bert), hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64
    )
    pipeline = HunyuanDiTPAGPipeline(
        vae=vae_kl(levels=4),
        text_encoder=BertModel(sizes).eval(),
        tokenizer=bert,
        text_encoder_2=t5_text(t5),
        tokenizer_2=t5,
        transformer=transformer,
        scheduler=DDPMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return saved(pipeline, folder)


# ---- transformers that others' names hide ---------------------------------------------------------------------------


def kandinsky_5(folder: Path, seed: int = 0) -> Path:
    """Kandinsky5T2IPipeline: Qwen and CLIP for text, a video transformer of one frame, seven sizes."""
    seeded(seed)
    from diffusers import FlowMatchEulerDiscreteScheduler, Kandinsky5T2IPipeline, Kandinsky5Transformer3DModel

    tokenizer = clip_tokenizer(77)
    transformer = Kandinsky5Transformer3DModel(
        in_visual_dim=4, in_text_dim=16, in_text_dim2=WIDTH, time_dim=16, out_visual_dim=4, patch_size=(1, 2, 2),
        model_dim=16, ff_dim=32, num_text_blocks=1, num_visual_blocks=1, axes_dims=(1, 1, 2), visual_cond=False,
        attention_type="regular",
    ).eval()  # fmt: skip
    pipeline = Kandinsky5T2IPipeline(
        transformer=transformer,
        vae=vae_kl(levels=4),
        text_encoder=generic_text.qwen25_vl(),
        tokenizer=generic_text.qwen_processor("Qwen2VLProcessor"),
        text_encoder_2=clip_text(tokenizer),
        tokenizer_2=tokenizer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )
    return saved(pipeline, folder)


def omnigen(folder: Path, seed: int = 0) -> Path:
    """OmniGenPipeline: one transformer reads the prompt and denoises; no text encoder."""
    seeded(seed)
    from diffusers import FlowMatchEulerDiscreteScheduler, OmniGenPipeline, OmniGenTransformer2DModel
    from transformers import LlamaTokenizer

    letters = [(chr(c), -8.0) for c in [*range(32, 127), 10] if chr(c) not in "▁"]
    words = [("▁" + word, -1.0) for word in WORDS]
    tokenizer = LlamaTokenizer(
        vocab={
            name: n
            for n, (name, _) in enumerate([("<unk>", 0), ("<s>", 0), ("</s>", 0), ("▁", -2.0), *words, *letters])
        },
        merges=[],
    )
    transformer = OmniGenTransformer2DModel(
        in_channels=4, patch_size=2, hidden_size=32, rms_norm_eps=1e-5, num_attention_heads=4, num_key_value_heads=4,
        intermediate_size=32, num_layers=1, pad_token_id=0, vocab_size=1000, max_position_embeddings=4096,
        original_max_position_embeddings=4096, rope_scaling={"long_factor": [1.0] * 4, "short_factor": [1.0] * 4}, pos_embed_max_size=32,
        time_step_dim=16,
    ).eval()  # fmt: skip
    pipeline = OmniGenPipeline(
        transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(), vae=vae_kl(levels=4), tokenizer=tokenizer
    )
    return saved(pipeline, folder, size=64)


def versatile(folder: Path, seed: int = 0) -> Path:
    """VersatileDiffusionTextToImagePipeline: its U-Net of pictures is called `image_unet`."""
    seeded(seed)
    from diffusers import VersatileDiffusionTextToImagePipeline

    tokenizer = clip_tokenizer()
    pipeline = VersatileDiffusionTextToImagePipeline(
        tokenizer=tokenizer,
        text_encoder=clip_text(tokenizer, WIDTH, projection=WIDTH),
        image_unet=unet(),
        text_unet=None,
        vae=vae_kl(),
        scheduler=ddim(),
    )
    return saved(pipeline, folder)


def _sd(pipeline: str, **options: Any) -> Callable[..., Path]:
    return partial(sd_kin, pipeline=pipeline, **options)


# pipeline -> builder of a random folder of it
UNETS: dict[str, Callable[..., Path]] = {
    "StableDiffusionPAGPipeline": _sd("StableDiffusionPAGPipeline"),
    "StableDiffusionSAGPipeline": _sd("StableDiffusionSAGPipeline"),
    "StableDiffusionPanoramaPipeline": _sd("StableDiffusionPanoramaPipeline"),
    "StableDiffusionPipelineSafe": _sd("StableDiffusionPipelineSafe"),
    "SemanticStableDiffusionPipeline": _sd("SemanticStableDiffusionPipeline"),
    "StableDiffusionModelEditingPipeline": _sd("StableDiffusionModelEditingPipeline"),
    "StableDiffusionParadigmsPipeline": _sd("StableDiffusionParadigmsPipeline", scheduler="DDPMParallelScheduler"),
    "AltDiffusionPipeline": alt_diffusion,
    "StableDiffusionXLPAGPipeline": sdxl_pag,
    "KolorsPipeline": kolors,
    "KolorsPAGPipeline": partial(kolors, pipeline="KolorsPAGPipeline"),
    "LDMTextToImagePipeline": latent_diffusion,
    "PixArtSigmaPAGPipeline": pixart_sigma_pag,
    "StableDiffusion3PAGPipeline": sd3_pag,
    "HunyuanDiTPAGPipeline": hunyuan_dit_pag,
    "KandinskyCombinedPipeline": priors.kandinsky,
    "KandinskyV22CombinedPipeline": priors.kandinsky_22,
    "Kandinsky3Pipeline": priors.kandinsky_3,
    "Kandinsky5T2IPipeline": kandinsky_5,
    "WuerstchenCombinedPipeline": priors.wuerstchen,
    "StableCascadeCombinedPipeline": priors.stable_cascade,
    "UnCLIPPipeline": priors.unclip,
    "AmusedPipeline": priors.amused,
    "VQDiffusionPipeline": priors.vq_diffusion,
    "UniDiffuserPipeline": priors.unidiffuser,
    "OmniGenPipeline": omnigen,
    "VersatileDiffusionTextToImagePipeline": versatile,
}
