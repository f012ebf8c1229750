"""Tiny random folders of pipelines that only the generic family takes: U-Nets, priors with decoders, and older kinds.

Each builder is `(folder, seed=0) -> folder`, as in `tiny_models`; sizes are the smallest that the classes allow.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests import generic_text, tiny_models
from tests.tiny_models import WORDS, clip_text, clip_tokenizer, t5_text, t5_tokenizer, unet_conditioned, vae_kl

WIDTH = 32  # of every text encoder here


def _save(pipeline: Any, folder: Path, *, size: int | None = None) -> Path:
    """In its real layout; `size` where no configuration tells one, so that tests do not make the full size."""
    pipeline.save_pretrained(folder, safe_serialization=True)
    index = json.loads((folder / "model_index.json").read_text())
    for name, value in index.items():
        place = type(getattr(pipeline, name, None)).__module__.split(".")
        if isinstance(value, list) and place[:3] == ["diffusers", "pipelines", "deprecated"]:
            index[name] = [place[3], value[1]]  # as it was published, before these were set aside
    (folder / "model_index.json").write_text(json.dumps(index))
    if size is not None:
        (folder / "unnoise.json").write_text(json.dumps({"defaults": {"width": size, "height": size}}))
    return folder


def _ddim(**config: Any) -> Any:
    from diffusers import DDIMScheduler

    return DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False, **config)


# ---- Stable Diffusion's shape --------------------------------------------------------------------------------------


def sd_kin(folder: Path, seed: int = 0, *, pipeline: str, scheduler: str = "DDIMScheduler") -> Path:
    """A pipeline with Stable Diffusion's parts under another name."""
    tiny_models._seeded(seed)
    import diffusers

    tokenizer = clip_tokenizer()
    cls, steps = getattr(diffusers, pipeline), getattr(diffusers, scheduler)
    made = cls(
        vae=vae_kl(),
        text_encoder=clip_text(tokenizer),
        tokenizer=tokenizer,
        unet=unet_conditioned(),
        scheduler=steps(beta_schedule="scaled_linear", clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return _save(made, folder)


def alt_diffusion(folder: Path, seed: int = 0) -> Path:
    """AltDiffusionPipeline: XLM-RoBERTa for text."""
    tiny_models._seeded(seed)
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
        unet=unet_conditioned(),
        scheduler=_ddim(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return _save(pipeline, folder)


def sdxl_pag(folder: Path, seed: int = 0) -> Path:
    """StableDiffusionXLPAGPipeline: a third prediction, with perturbed attention, in the batch."""
    tiny_models._seeded(seed)
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
    return _save(pipeline, folder)


def _xl_unet(width: int, told: int) -> Any:
    return unet_conditioned(
        width,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=told,
        transformer_layers_per_block=1,
        use_linear_projection=True,
    )


def kolors(folder: Path, seed: int = 0, *, pipeline: str = "KolorsPipeline") -> Path:
    """SDXL's shape told by ChatGLM, which brings a SentencePiece model."""
    tiny_models._seeded(seed)
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
    return _save(made, folder)


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


def roberta_tokenizer(max_length: int = 24) -> Any:
    from transformers import XLMRobertaTokenizer

    letters = [(chr(c), -8.0) for c in range(ord("a"), ord("z") + 1)]
    words = [("▁" + word, -1.0) for word in WORDS]
    marks = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    return XLMRobertaTokenizer(vocab=marks + words + letters + [("<mask>", 0.0)], model_max_length=max_length)


def bert_tokenizer(max_length: int = 24) -> Any:
    from transformers import BertTokenizer

    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *letters, *("##" + letter for letter in letters)]
    vocab = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return BertTokenizer(vocab=vocab, model_max_length=max_length)


def latent_diffusion(folder: Path, seed: int = 0) -> Path:
    """LDMTextToImagePipeline: `bert` for text, an autoencoder called `vqvae`, no images_per_prompt."""
    tiny_models._seeded(seed)
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
        unet=unet_conditioned(),
        scheduler=_ddim(),
    )
    return _save(pipeline, folder)


def latent_unconditional(folder: Path, seed: int = 0) -> Path:
    """LDMPipeline: latents of a VQ autoencoder, no prompt."""
    tiny_models._seeded(seed)
    from diffusers import LDMPipeline, UNet2DModel

    unet = UNet2DModel(
        sample_size=8, in_channels=4, out_channels=4, block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=8,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    ).eval()  # fmt: skip
    vqvae = _movq(norm_type="group")
    return _save(LDMPipeline(vqvae=vqvae, unet=unet, scheduler=_ddim()), folder)


# ---- guidance by perturbed attention over transformers -------------------------------------------------------------


def pixart_sigma_pag(folder: Path, seed: int = 0) -> Path:
    tiny_models._seeded(seed)
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
    return _save(pipeline, folder)


def sd3_pag(folder: Path, seed: int = 0) -> Path:
    """StableDiffusion3PAGPipeline: SD 3's parts without those that look at pictures."""
    tiny_models.stable_diffusion_3(folder, seed)
    index = json.loads((folder / "model_index.json").read_text())
    kept = {name: part for name, part in index.items() if name not in ("image_encoder", "feature_extractor")}
    (folder / "model_index.json").write_text(json.dumps(kept | {"_class_name": "StableDiffusion3PAGPipeline"}))
    return folder


def hunyuan_dit_pag(folder: Path, seed: int = 0) -> Path:
    """HunyuanDiTPAGPipeline: BERT and T5 for text."""
    tiny_models._seeded(seed)
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
    return _save(pipeline, folder)


# ---- a prior and a decoder -----------------------------------------------------------------------------------------


def _movq(levels: int = 2, norm_type: str = "spatial") -> Any:
    from diffusers import VQModel

    return VQModel(
        block_out_channels=[32] * levels, down_block_types=["DownEncoderBlock2D"] * (levels - 1) + ["AttnDownEncoderBlock2D"],
        up_block_types=["AttnUpDecoderBlock2D"] + ["UpDecoderBlock2D"] * (levels - 1), latent_channels=4, layers_per_block=1,
        norm_num_groups=8, norm_type=norm_type, num_vq_embeddings=12, vq_embed_dim=4,
    ).eval()  # fmt: skip


def _kandinsky_unet(**config: Any) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        in_channels=4, out_channels=8, block_out_channels=(16, 32), layers_per_block=1, encoder_hid_dim=WIDTH,
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"), attention_head_dim=8,
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"), cross_attention_dim=WIDTH,
        mid_block_type="UNetMidBlock2DSimpleCrossAttn", resnet_time_scale_shift="scale_shift", norm_num_groups=8,
        sample_size=8, **config,
    ).eval()  # fmt: skip


def _prior() -> dict[str, Any]:
    """A prior from text to an image's embedding, with what it is told by."""
    import torch
    from diffusers import PriorTransformer, UnCLIPScheduler
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    tokenizer = clip_tokenizer(77)
    prior = PriorTransformer(num_attention_heads=2, attention_head_dim=12, embedding_dim=WIDTH, num_layers=1).eval()
    prior.clip_std = torch.nn.Parameter(
        torch.ones_like(prior.clip_std)
    )  # zero at first: every embedding would be alike
    sizes = CLIPVisionConfig(
        hidden_size=WIDTH, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4, image_size=32,
        patch_size=16, projection_dim=WIDTH,
    )  # fmt: skip
    return {
        "prior": prior,
        "image_encoder": CLIPVisionModelWithProjection(sizes).eval(),
        "text_encoder": clip_text(tokenizer, WIDTH, projection=WIDTH),
        "tokenizer": tokenizer,
        "scheduler": UnCLIPScheduler(
            variance_type="fixed_small_log", prediction_type="sample", clip_sample=True, clip_sample_range=10.0
        ),
        "image_processor": CLIPImageProcessor(size=32, crop_size=32),
    }


def _of_prior(parts: dict[str, Any]) -> dict[str, Any]:
    return {f"prior_{name}": part for name, part in parts.items()}


def kandinsky(folder: Path, seed: int = 0) -> Path:
    """KandinskyCombinedPipeline (2.1): multilingual CLIP tells the decoder too."""
    tiny_models._seeded(seed)
    from diffusers import KandinskyCombinedPipeline
    from diffusers.pipelines.kandinsky.text_encoder import MCLIPConfig, MultilingualCLIP

    tokenizer = roberta_tokenizer(77)
    config = MCLIPConfig(
        numDims=WIDTH, transformerDimensions=WIDTH, hidden_size=WIDTH, intermediate_size=64, num_attention_heads=4,
        num_hidden_layers=1, vocab_size=len(tokenizer), max_position_embeddings=128, pad_token_id=1,
    )  # fmt: skip
    pipeline = KandinskyCombinedPipeline(
        text_encoder=MultilingualCLIP(config).eval(),
        tokenizer=tokenizer,
        unet=_kandinsky_unet(addition_embed_type="text_image", encoder_hid_dim_type="text_image_proj"),
        scheduler=_ddim(),
        movq=_movq(),
        **_of_prior(_prior()),
    )
    return _save(pipeline, folder)


def kandinsky_22(folder: Path, seed: int = 0) -> Path:
    tiny_models._seeded(seed)
    from diffusers import DDPMScheduler, KandinskyV22CombinedPipeline

    pipeline = KandinskyV22CombinedPipeline(
        unet=_kandinsky_unet(addition_embed_type="image", encoder_hid_dim_type="image_proj"),
        scheduler=DDPMScheduler(beta_start=0.00085, beta_end=0.012, variance_type="learned_range", clip_sample=False),
        movq=_movq(),
        **_of_prior(_prior()),
    )
    return _save(pipeline, folder)


def kandinsky_3(folder: Path, seed: int = 0) -> Path:
    tiny_models._seeded(seed)
    from diffusers import DDPMScheduler, Kandinsky3Pipeline, Kandinsky3UNet

    tokenizer = t5_tokenizer(128)
    unet = Kandinsky3UNet(
        in_channels=4, time_embedding_dim=4, groups=2, attention_head_dim=4, layers_per_block=3,
        block_out_channels=(32, 64), cross_attention_dim=4, encoder_hid_dim=WIDTH,
    ).eval()  # fmt: skip
    pipeline = Kandinsky3Pipeline(
        tokenizer=tokenizer,
        text_encoder=t5_text(tokenizer),
        unet=unet,
        scheduler=DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
        movq=_movq(levels=4),
    )
    return _save(pipeline, folder, size=64)


def _wuerstchen_text() -> tuple[Any, Any]:
    tokenizer = clip_tokenizer(24)
    return tokenizer, clip_text(tokenizer, WIDTH, projection=WIDTH)


def wuerstchen(folder: Path, seed: int = 0) -> Path:
    """WuerstchenCombinedPipeline: stage C makes a small latent, stage B a larger one from it, `vqgan` the picture."""
    tiny_models._seeded(seed)
    import torch
    from diffusers import DDPMWuerstchenScheduler, WuerstchenCombinedPipeline
    from diffusers.pipelines.deprecated.wuerstchen import PaellaVQModel, WuerstchenDiffNeXt, WuerstchenPrior

    tokenizer = clip_tokenizer(24)
    decoder = WuerstchenDiffNeXt(
        c_cond=WIDTH, c_hidden=[16], nhead=[-1], blocks=[1], level_config=["CT"], clip_embd=WIDTH, inject_effnet=[True],
        effnet_embd=2, dropout=[0.0],
    ).eval()  # fmt: skip
    torch.nn.init.normal_(decoder.clf[1].weight, std=0.1)  # zero at first: it would predict nothing
    pipeline = WuerstchenCombinedPipeline(
        tokenizer=tokenizer,
        text_encoder=clip_text(tokenizer, WIDTH),
        decoder=decoder,
        scheduler=DDPMWuerstchenScheduler(),
        vqgan=PaellaVQModel(bottleneck_blocks=1, num_vq_embeddings=256, embed_dim=16).eval(),
        prior_tokenizer=tokenizer,
        prior_text_encoder=clip_text(tokenizer, WIDTH),
        prior_prior=WuerstchenPrior(c_in=2, c=8, depth=2, c_cond=WIDTH, c_r=8, nhead=2, dropout=0.0).eval(),
        prior_scheduler=DDPMWuerstchenScheduler(),
    )
    return _save(pipeline, folder, size=128)


def stable_cascade(folder: Path, seed: int = 0) -> Path:
    tiny_models._seeded(seed)
    from diffusers import DDPMWuerstchenScheduler, StableCascadeCombinedPipeline, StableCascadeUNet
    from diffusers.pipelines.deprecated.wuerstchen import PaellaVQModel

    tokenizer, text = _wuerstchen_text()
    blocks: dict[str, Any] = {
        "timestep_ratio_embedding_dim": 8, "num_attention_heads": (2,), "down_num_layers_per_block": (1,),
        "up_num_layers_per_block": (1,), "down_blocks_repeat_mappers": (1,), "up_blocks_repeat_mappers": (1,),
        "block_types_per_layer": (("SDCascadeResBlock", "SDCascadeTimestepBlock", "SDCascadeAttnBlock"),),
        "clip_text_pooled_in_channels": WIDTH, "dropout": (0.0,), "self_attn": False, "switch_level": (False,),
        "conditioning_dim": WIDTH, "block_out_channels": (16,),
    }  # fmt: skip
    prior = StableCascadeUNet(
        in_channels=4, out_channels=4, clip_text_in_channels=WIDTH, clip_image_in_channels=WIDTH, clip_seq=4, **blocks
    ).eval()
    decoder = StableCascadeUNet(
        in_channels=4, out_channels=4, effnet_in_channels=4, pixel_mapper_in_channels=3, patch_size=2,
        timestep_conditioning_type=("sca",), **blocks,
    ).eval()  # fmt: skip
    pipeline = StableCascadeCombinedPipeline(
        tokenizer=tokenizer,
        text_encoder=text,
        decoder=decoder,
        scheduler=DDPMWuerstchenScheduler(),
        vqgan=PaellaVQModel(bottleneck_blocks=1, num_vq_embeddings=256, embed_dim=16).eval(),
        prior_prior=prior,
        prior_text_encoder=text,
        prior_tokenizer=tokenizer,
        prior_scheduler=DDPMWuerstchenScheduler(),
    )
    return _save(pipeline, folder, size=128)


def unclip(folder: Path, seed: int = 0) -> Path:
    """UnCLIPPipeline: a prior, a decoder in pixels and two super-resolution U-Nets, three schedulers, no `scheduler`."""
    tiny_models._seeded(seed)
    from diffusers import UnCLIPPipeline, UnCLIPScheduler, UNet2DConditionModel, UNet2DModel
    from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel

    prior = _prior()
    decoder = UNet2DConditionModel(
        sample_size=16, in_channels=3, out_channels=6, block_out_channels=(16, 32), layers_per_block=1,
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"), cross_attention_dim=WIDTH,
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"), attention_head_dim=8, norm_num_groups=8,
        mid_block_type="UNetMidBlock2DSimpleCrossAttn", resnet_time_scale_shift="scale_shift",
        class_embed_type="identity",
    ).eval()  # fmt: skip

    def larger() -> Any:
        return UNet2DModel(
            sample_size=32, in_channels=6, out_channels=3, block_out_channels=(16, 32), layers_per_block=1,
            down_block_types=("ResnetDownsampleBlock2D",) * 2, up_block_types=("ResnetUpsampleBlock2D",) * 2,
            norm_num_groups=8,
        ).eval()  # fmt: skip

    pipeline = UnCLIPPipeline(
        prior=prior["prior"],
        decoder=decoder,
        text_encoder=prior["text_encoder"],
        tokenizer=prior["tokenizer"],
        text_proj=UnCLIPTextProjModel(clip_embeddings_dim=WIDTH, time_embed_dim=64, cross_attention_dim=WIDTH).eval(),
        super_res_first=larger(),
        super_res_last=larger(),
        prior_scheduler=UnCLIPScheduler(
            variance_type="fixed_small_log", prediction_type="sample", clip_sample_range=5.0
        ),
        decoder_scheduler=UnCLIPScheduler(variance_type="learned_range", prediction_type="epsilon"),
        super_res_scheduler=UnCLIPScheduler(variance_type="fixed_small_log", prediction_type="epsilon"),
    )
    return _save(pipeline, folder)


# ---- tokens, and several kinds of data -----------------------------------------------------------------------------


def amused(folder: Path, seed: int = 0) -> Path:
    """AmusedPipeline: masked tokens of a codebook rather than noise."""
    tiny_models._seeded(seed)
    from diffusers import AmusedPipeline, AmusedScheduler, UVit2DModel, VQModel

    tokenizer = clip_tokenizer(77)
    transformer = UVit2DModel(
        hidden_size=8, use_bias=False, hidden_dropout=0.0, cond_embed_dim=8, micro_cond_encode_dim=2,
        micro_cond_embed_dim=10, encoder_hidden_size=8, vocab_size=32, codebook_size=8, in_channels=8,
        block_out_channels=8, num_res_blocks=1, downsample=True, upsample=True, block_num_heads=1, num_hidden_layers=1,
        num_attention_heads=1, attention_dropout=0.0, intermediate_size=8, sample_size=8,
    ).eval()  # fmt: skip
    vqvae = VQModel(
        block_out_channels=[8, 8], down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2,
        latent_channels=8, layers_per_block=1, norm_num_groups=8, num_vq_embeddings=8, sample_size=16,
        mid_block_add_attention=False, lookup_from_codebook=True,
    ).eval()  # fmt: skip
    pipeline = AmusedPipeline(
        vqvae=vqvae,
        tokenizer=tokenizer,
        text_encoder=clip_text(tokenizer, 8, projection=8, inner=8),
        transformer=transformer,
        scheduler=AmusedScheduler(mask_token_id=31),
    )
    return _save(pipeline, folder)


def vq_diffusion(folder: Path, seed: int = 0) -> Path:
    """VQDiffusionPipeline: discrete diffusion over a codebook."""
    tiny_models._seeded(seed)
    import torch
    from diffusers import Transformer2DModel, VQDiffusionPipeline, VQDiffusionScheduler, VQModel
    from diffusers.pipelines.deprecated.vq_diffusion.pipeline_vq_diffusion import (
        LearnedClassifierFreeSamplingEmbeddings,
    )

    tokenizer = clip_tokenizer(24)
    vqvae = VQModel(
        block_out_channels=[8, 8], down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2,
        latent_channels=3, layers_per_block=1, norm_num_groups=4, num_vq_embeddings=12, vq_embed_dim=3,
    ).eval()  # fmt: skip
    transformer = Transformer2DModel(
        attention_bias=True, cross_attention_dim=WIDTH, attention_head_dim=32, num_attention_heads=1,
        num_vector_embeds=12, num_embeds_ada_norm=12, norm_num_groups=8, sample_size=8, activation_fn="geglu-approximate",
    ).eval()  # fmt: skip
    learned = LearnedClassifierFreeSamplingEmbeddings(learnable=True, hidden_size=WIDTH, length=24)
    torch.nn.init.normal_(learned.embeddings)
    pipeline = VQDiffusionPipeline(
        vqvae=vqvae,
        text_encoder=clip_text(tokenizer),
        tokenizer=tokenizer,
        transformer=transformer,
        scheduler=VQDiffusionScheduler(num_vec_classes=12, num_train_timesteps=10),
        learned_classifier_free_sampling_embeddings=learned,
    )
    return _save(pipeline, folder)


def unidiffuser(folder: Path, seed: int = 0) -> Path:
    """UniDiffuserPipeline: text and pictures by one transformer, which is called `unet`."""
    tiny_models._seeded(seed)
    import torch
    from diffusers import (
        DPMSolverMultistepScheduler,
        UniDiffuserModel,
        UniDiffuserPipeline,
        UniDiffuserTextDecoder,
    )
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection, GPT2Tokenizer

    tokenizer = clip_tokenizer(24)
    bpe = tiny_models._trained_bpe()
    vocab = dict(bpe["vocab"]) | {"<|endoftext|>": len(bpe["vocab"]), "<|EOS|>": len(bpe["vocab"]) + 1}
    unet = UniDiffuserModel(
        text_dim=WIDTH, clip_img_dim=WIDTH, num_text_tokens=24, num_attention_heads=2, attention_head_dim=8, in_channels=4,
        out_channels=4, num_layers=2, patch_size=2, sample_size=16, activation_fn="gelu", num_embeds_ada_norm=1000,
        norm_type="layer_norm", use_patch_pos_embed=False, ff_final_dropout=True, use_data_type_embedding=True,
    ).eval()  # fmt: skip
    sizes = CLIPVisionConfig(
        hidden_size=WIDTH, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4, image_size=32, patch_size=16,
        projection_dim=WIDTH,
    )  # fmt: skip
    decoder = UniDiffuserTextDecoder(
        prefix_length=24, prefix_inner_dim=WIDTH, prefix_hidden_dim=WIDTH, vocab_size=len(vocab), n_positions=64,
        n_embd=WIDTH, n_layer=1, n_head=4,
    ).eval()  # fmt: skip
    head = decoder.transformer.lm_head
    head.weight = torch.nn.Parameter(head.weight.detach().clone())  # safetensors hold no tensor twice
    pipeline = UniDiffuserPipeline(
        vae=vae_kl(),
        text_encoder=clip_text(tokenizer),
        image_encoder=CLIPVisionModelWithProjection(sizes).eval(),
        clip_image_processor=CLIPImageProcessor(size=32, crop_size=32),
        clip_tokenizer=tokenizer,
        text_decoder=decoder,
        text_tokenizer=GPT2Tokenizer(vocab=vocab, merges=tiny_models.clip_merges()),
        unet=unet,
        scheduler=DPMSolverMultistepScheduler(beta_schedule="scaled_linear", solver_order=3),
    )  # fmt: skip
    return _save(pipeline, folder)


def kandinsky_5(folder: Path, seed: int = 0) -> Path:
    """Kandinsky5T2IPipeline: Qwen and CLIP for text, a video transformer of one frame, seven sizes."""
    tiny_models._seeded(seed)
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
    return _save(pipeline, folder)


def omnigen(folder: Path, seed: int = 0) -> Path:
    """OmniGenPipeline: one transformer reads the prompt and denoises; no text encoder."""
    tiny_models._seeded(seed)
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
    return _save(pipeline, folder, size=64)


def versatile(folder: Path, seed: int = 0) -> Path:
    """VersatileDiffusionTextToImagePipeline: its U-Net of pictures is called `image_unet`."""
    tiny_models._seeded(seed)
    from diffusers import VersatileDiffusionTextToImagePipeline

    tokenizer = clip_tokenizer()
    pipeline = VersatileDiffusionTextToImagePipeline(
        tokenizer=tokenizer,
        text_encoder=clip_text(tokenizer, WIDTH, projection=WIDTH),
        image_unet=unet_conditioned(),
        text_unet=None,
        vae=vae_kl(),
        scheduler=_ddim(),
    )
    return _save(pipeline, folder)


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
    "KandinskyCombinedPipeline": kandinsky,
    "KandinskyV22CombinedPipeline": kandinsky_22,
    "Kandinsky3Pipeline": kandinsky_3,
    "Kandinsky5T2IPipeline": kandinsky_5,
    "WuerstchenCombinedPipeline": wuerstchen,
    "StableCascadeCombinedPipeline": stable_cascade,
    "UnCLIPPipeline": unclip,
    "AmusedPipeline": amused,
    "VQDiffusionPipeline": vq_diffusion,
    "UniDiffuserPipeline": unidiffuser,
    "OmniGenPipeline": omnigen,
    "VersatileDiffusionTextToImagePipeline": versatile,
}
