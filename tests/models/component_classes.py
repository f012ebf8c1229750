"""A tiny random component of each class that a pipeline's constructor may ask for, such that they fit each other."""

import importlib
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import transformers

from tests.models import components as c
from tests.models import tiny_text as text
from tests.models.denoisers import NARROW, WIDE, denoiser


def of_pipeline(module: str, name: str, *arguments: Any, **config: Any) -> Any:
    """A class that a pipeline of diffusers brings with it."""
    c.reseed(name)
    made = getattr(importlib.import_module(f"diffusers.pipelines.{module}"), name)(*arguments, **config)
    return c.filled(made.eval()) if isinstance(made, torch.nn.Module) else made


def roberta(module: str, model: str, config: str, **sizes: Any) -> Any:
    """XLM-RoBERTa below a projection of its own."""
    shape = {"hidden_size": WIDE, "intermediate_size": 64, "num_attention_heads": 4, "num_hidden_layers": 1}
    length = {"vocab_size": len(text.roberta_tokenizer()), "max_position_embeddings": 128, "pad_token_id": 1}
    return of_pipeline(module, model, of_pipeline(module, config, **shape, **length, **sizes))


def chatglm() -> Any:
    config = of_pipeline(
        "kolors.text_encoder", "ChatGLMConfig", num_layers=2, padded_vocab_size=400, hidden_size=WIDE, ffn_hidden_size=64,
        kv_channels=8, num_attention_heads=4, seq_length=256, multi_query_attention=True, multi_query_group_num=2,
        add_qkv_bias=True, rmsnorm=True, original_rope=True, post_layer_norm=True, attention_softmax_in_fp32=True,
    )  # fmt: skip
    encoder = of_pipeline("kolors.text_encoder", "ChatGLMModel", config)  # of weights that nothing has filled yet
    for weight in encoder.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    return encoder


def latent_bert() -> Any:
    module, sizes = "latent_diffusion.pipeline_latent_diffusion", {"encoder_layers": 1, "encoder_ffn_dim": 64}
    heads = {"encoder_attention_heads": 4, "head_dim": 8, "d_model": WIDE}
    config = of_pipeline(module, "LDMBertConfig", vocab_size=len(text.bert_tokenizer()), **sizes, **heads)
    return of_pipeline(module, "LDMBertModel", config)


def glm_image_writer() -> Any:
    """Writes a coarse picture in tokens, which the transformer then paints."""
    rotary = {"rope_parameters": {"mrope_section": [2, 1, 1], "rope_type": "default", "rope_theta": 10_000.0}}
    return text.encoder(
        "GlmImageForConditionalGeneration",
        text_config=text.SMALL | rotary | {"vocab_size": 384, "vision_vocab_size": 128, "pad_token_id": 0},
        vision_config=text.VISION | {"image_size": 32, "patch_size": 8},
        vq_config={"embed_dim": 16, "num_embeddings": 128, "latent_channels": 16},
    )


def glm_image_processor() -> Any:
    marks = {"image_token": "<|image|>", "grid_bos_token": "<grid>", "grid_eos_token": "</grid>"}
    tokenizer, images = text.llama_tokenizer(extra_special_tokens=marks), transformers.GlmImageImageProcessor()
    return transformers.GlmImageProcessor(images, tokenizer, chat_template=tokenizer.chat_template)


def text_decoder() -> Any:
    decoder = c.make(
        "UniDiffuserTextDecoder", prefix_length=24, prefix_inner_dim=WIDE, prefix_hidden_dim=WIDE, n_embd=WIDE,
        n_positions=64, vocab_size=len(text.gpt2_tokenizer().get_vocab()), n_layer=1, n_head=4,
    )  # fmt: skip
    head = decoder.transformer.lm_head
    head.weight = torch.nn.Parameter(head.weight.detach().clone())  # safetensors hold no tensor twice
    return decoder


# fmt: off
BY_CLASS: dict[str, Callable[[], Any]] = {
    # Tokenizers and processors.
    "AutoTokenizer": text.qwen_tokenizer,
    "BertTokenizer": text.bert_tokenizer,
    "ByT5Tokenizer": transformers.ByT5Tokenizer,
    "ChatGLMTokenizer": text.chatglm_tokenizer,
    "CLIPImageProcessor": partial(transformers.CLIPImageProcessor, size=32, crop_size=32),
    "CLIPTokenizer": partial(text.clip_tokenizer, 77),
    "GemmaTokenizer": text.gemma_tokenizer,
    "GlmImageProcessor": glm_image_processor,
    "GPT2Tokenizer": text.gpt2_tokenizer,
    "LlamaTokenizer": text.omnigen_tokenizer,
    "PythonBackend": text.bert_tokenizer,
    "Qwen2Tokenizer": text.qwen_tokenizer,
    "Qwen2VLProcessor": partial(text.qwen_processor, "Qwen2VL"),
    "Qwen3VLProcessor": partial(text.qwen_processor, "Qwen3VL"),
    "Siglip2ImageProcessor": lambda: transformers.Siglip2ImageProcessor(),
    "T5Tokenizer": partial(text.t5_tokenizer, 300),
    "TokenizersBackend": text.llama_tokenizer,
    "XLMRobertaTokenizer": partial(text.roberta_tokenizer, 77),
    # Encoders, and other language models.
    "BertModel": partial(
        text.encoder, "BertModel", vocab_size=100, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16),
    "ChatGLMModel": chatglm,
    "CLIPTextModel": lambda: text.clip_text(text.clip_tokenizer()),
    "CLIPTextModelWithProjection": lambda: text.clip_text(text.clip_tokenizer(), projection=WIDE),
    "CLIPVisionModelWithProjection": partial(
        text.encoder, "CLIPVisionModelWithProjection", hidden_size=WIDE, intermediate_size=64, num_hidden_layers=1,
        num_attention_heads=4, image_size=32, patch_size=16, projection_dim=WIDE),
    "Gemma2PreTrainedModel": partial(text.language, "Gemma2Model", num_key_value_heads=1, query_pre_attn_scalar=8),
    "GemmaPreTrainedModel": partial(text.language, "GemmaForCausalLM", num_key_value_heads=1),
    "GlmImageForConditionalGeneration": glm_image_writer,
    "GlmModel": partial(text.language, "GlmModel", pad_token_id=0),
    "LearnedClassifierFreeSamplingEmbeddings": partial(
        of_pipeline, "deprecated.vq_diffusion.pipeline_vq_diffusion", "LearnedClassifierFreeSamplingEmbeddings",
        learnable=True, hidden_size=WIDE, length=77),
    "LlamaForCausalLM": partial(text.language, "LlamaForCausalLM"),
    "Mistral3Model": partial(text.mistral3, "Mistral3Model"),
    "Mistral3ForConditionalGeneration": partial(text.mistral3, layers=31),  # FLUX.2 reads layers 10, 20 and 30
    "MultilingualCLIP": partial(
        roberta, "kandinsky.text_encoder", "MultilingualCLIP", "MCLIPConfig", numDims=WIDE, transformerDimensions=WIDE),
    "PreTrainedModel": partial(text.language, "Qwen3Model"),
    "Qwen2_5_VLForConditionalGeneration": text.qwen25_vl,
    "Qwen3ForCausalLM": partial(text.language, "Qwen3ForCausalLM", num_hidden_layers=28),  # klein reads 9, 18 and 27
    "Qwen3Model": partial(text.language, "Qwen3Model"),
    "Qwen3VLForConditionalGeneration": text.qwen3_vl,
    "Qwen3VLModel": partial(text.qwen3_vl, "Qwen3VLModel"),
    "RobertaSeriesModelWithTransformation": partial(
        roberta, "deprecated.alt_diffusion.modeling_roberta_series", "RobertaSeriesModelWithTransformation",
        "RobertaSeriesConfig", project_dim=WIDE),
    "Siglip2VisionModel": partial(
        text.encoder, "Siglip2VisionModel", hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, num_patches=16),
    # The vocabulary is as large as the real one: BRIA names the mark for an empty prompt by number, 128000.
    "SmolLM3ForCausalLM": partial(
        text.language, "SmolLM3ForCausalLM", vocab_size=128_001, tie_word_embeddings=True, pad_token_id=0),
    "T5EncoderModel": lambda: text.t5_text(text.t5_tokenizer(), NARROW),
    "T5GemmaEncoder": text.t5_gemma,
    "UniDiffuserTextDecoder": text_decoder,
    "UnCLIPTextProjModel": partial(
        of_pipeline, "deprecated.unclip.text_proj", "UnCLIPTextProjModel", clip_embeddings_dim=WIDE, time_embed_dim=64,
        cross_attention_dim=WIDE),
    # Autoencoders.
    "AutoencoderDC": c.vae_deep,
    "AutoencoderKL": c.vae_kl,
    "AutoencoderKLFlux2": c.vae_flux2,
    "AutoencoderKLHunyuanImage": partial(
        c.noisy, "AutoencoderKLHunyuanImage", in_channels=3, out_channels=3, latent_channels=8, layers_per_block=1,
        block_out_channels=(32,) * 6, spatial_compression_ratio=32, sample_size=64, scaling_factor=0.75289),
    "AutoencoderKLQwenImage": partial(
        c.noisy, "AutoencoderKLQwenImage", **c.VIDEO, base_dim=8, z_dim=4, latents_mean=[0.0, 0.1, 0.2, 0.3],
        latents_std=[1.0, 1.1, 1.2, 1.3]),
    "AutoencoderKLQwenImage21": partial(
        c.noisy, "AutoencoderKLQwenImage21", base_dim=4, decoder_base_dim=4, z_dim=8, dim_mult=[1] * 5, num_res_blocks=1,
        temperal_downsample=[False, True, True, True], latents_mean=[0.0] * 8, latents_std=[1.0] * 8),
    "AutoencoderKLWan": partial(
        c.noisy, "AutoencoderKLWan", **c.VIDEO, base_dim=4, decoder_base_dim=8, in_channels=12, out_channels=12,
        patch_size=2, scale_factor_spatial=16, is_residual=True, latents_mean=[0.0] * 16, latents_std=[1.0] * 16),
    "PaellaVQModel": partial(
        of_pipeline, "deprecated.wuerstchen", "PaellaVQModel", bottleneck_blocks=1, num_vq_embeddings=256, embed_dim=16),
    "VQModel": c.movq,
    # Denoisers that are not transformers.
    "UNet2DConditionModel": c.unet,
    "UNet2DModel": c.unet_unconditional,
    "WuerstchenDiffNeXt": partial(
        of_pipeline, "deprecated.wuerstchen", "WuerstchenDiffNeXt", c_cond=WIDE, c_hidden=[16], nhead=[-1], blocks=[1],
        level_config=["CT"], clip_embd=WIDE, inject_effnet=[True], effnet_embd=2, dropout=[0.0]),
    "WuerstchenPrior": partial(
        of_pipeline, "deprecated.wuerstchen", "WuerstchenPrior", c_in=2, c=8, depth=2, c_cond=WIDE, c_r=8, nhead=2,
        dropout=0.0),
    # Schedulers.
    "AmusedScheduler": partial(c.make, "AmusedScheduler", mask_token_id=31),
    "CogVideoXDDIMScheduler": partial(
        c.make, "CogVideoXDDIMScheduler", beta_schedule="scaled_linear", prediction_type="v_prediction",
        rescale_betas_zero_snr=True, snr_shift_scale=4.0),
    "DDPMScheduler": partial(c.make, "DDPMScheduler", beta_schedule="squaredcos_cap_v2"),
    "DDPMWuerstchenScheduler": partial(c.make, "DDPMWuerstchenScheduler"),
    "DPMSolverMultistepScheduler": partial(
        c.make, "DPMSolverMultistepScheduler", use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=3.0),
    "FlowMatchEulerDiscreteScheduler": c.dynamic,
    "CMStochasticIterativeScheduler": partial(
        c.make, "CMStochasticIterativeScheduler", num_train_timesteps=40, sigma_min=0.002, sigma_max=80.0),
    "KarrasDiffusionSchedulers": c.ddim,
    "SchedulerMixin": c.ddim,
    "DDIMScheduler": c.ddim,
    "UnCLIPScheduler": partial(c.make, "UnCLIPScheduler", variance_type="fixed_small_log", prediction_type="sample"),
    "VQDiffusionScheduler": partial(c.make, "VQDiffusionScheduler", num_vec_classes=12, num_train_timesteps=10),
}
# fmt: on


def component(annotation: Any) -> Any:
    """One of the class that a constructor asks for; of several, the first that is known."""
    names = [getattr(each, "__name__", each) for each in getattr(annotation, "__args__", (annotation,))]
    known = next((name for name in names if name in BY_CLASS), None)
    return BY_CLASS[known]() if known else denoiser(names[0])


def fill_in(pipeline: str, given: dict[str, Any]) -> dict[str, Any]:
    """What the pipeline's constructor asks for, but for what is given; without a safety checker."""
    made = dict(given)
    for name, parameter in inspect.signature(getattr(c.diffusers, pipeline).__init__).parameters.items():
        if name in ("safety_checker", "feature_extractor", "watermarker"):
            made.setdefault(name, None)
        elif name == "requires_safety_checker":
            made.setdefault(name, False)
        elif name not in ("self", *made) and parameter.default is parameter.empty:
            made[name] = component(parameter.annotation)
    return made
