"""Tiny random folders of pipelines with a prior before a decoder, and of those that denoise tokens.

Each builder is `(folder, seed=0) -> folder`, as in `tiny_models`.
"""

from pathlib import Path
from typing import Any

from tests.models.components import seeded, vae_kl
from tests.models.generic_unets_parts import WIDTH, ddim, movq, roberta_tokenizer, saved
from tests.models.tiny_text import clip_merges, clip_text, clip_tokenizer, t5_text, t5_tokenizer, trained_bpe


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
    seeded(seed)
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
        scheduler=ddim(),
        movq=movq(),
        **_of_prior(_prior()),
    )
    return saved(pipeline, folder)


def kandinsky_22(folder: Path, seed: int = 0) -> Path:
    seeded(seed)
    from diffusers import DDPMScheduler, KandinskyV22CombinedPipeline

    pipeline = KandinskyV22CombinedPipeline(
        unet=_kandinsky_unet(addition_embed_type="image", encoder_hid_dim_type="image_proj"),
        scheduler=DDPMScheduler(beta_start=0.00085, beta_end=0.012, variance_type="learned_range", clip_sample=False),
        movq=movq(),
        **_of_prior(_prior()),
    )
    return saved(pipeline, folder)


def kandinsky_3(folder: Path, seed: int = 0) -> Path:
    seeded(seed)
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
        movq=movq(levels=4),
    )
    return saved(pipeline, folder, size=64)


def _wuerstchen_text() -> tuple[Any, Any]:
    tokenizer = clip_tokenizer(24)
    return tokenizer, clip_text(tokenizer, WIDTH, projection=WIDTH)


def wuerstchen(folder: Path, seed: int = 0) -> Path:
    """WuerstchenCombinedPipeline: stage C makes a small latent, stage B a larger one from it, `vqgan` the picture."""
    seeded(seed)
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
    return saved(pipeline, folder, size=128)


def stable_cascade(folder: Path, seed: int = 0) -> Path:
    seeded(seed)
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
    return saved(pipeline, folder, size=128)


def unclip(folder: Path, seed: int = 0) -> Path:
    """UnCLIPPipeline: a prior, a decoder in pixels and two super-resolution U-Nets, three schedulers, no `scheduler`."""
    seeded(seed)
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
    return saved(pipeline, folder)


# ---- tokens, and several kinds of data -----------------------------------------------------------------------------


def amused(folder: Path, seed: int = 0) -> Path:
    """AmusedPipeline: masked tokens of a codebook rather than noise."""
    seeded(seed)
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
    return saved(pipeline, folder)


def vq_diffusion(folder: Path, seed: int = 0) -> Path:
    """VQDiffusionPipeline: discrete diffusion over a codebook."""
    seeded(seed)
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
    return saved(pipeline, folder)


def unidiffuser(folder: Path, seed: int = 0) -> Path:
    """UniDiffuserPipeline: text and pictures by one transformer, which is called `unet`."""
    seeded(seed)
    import torch
    from diffusers import (
        DPMSolverMultistepScheduler,
        UniDiffuserModel,
        UniDiffuserPipeline,
        UniDiffuserTextDecoder,
    )
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection, GPT2Tokenizer

    tokenizer = clip_tokenizer(24)
    bpe = trained_bpe()
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
        text_tokenizer=GPT2Tokenizer(vocab=vocab, merges=clip_merges()),
        unet=unet,
        scheduler=DPMSolverMultistepScheduler(beta_schedule="scaled_linear", solver_order=3),
    )  # fmt: skip
    return saved(pipeline, folder)
