"""Whole files as people have them, as `models list --json` shows one folder of them all."""

import contextlib
import inspect
import io
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.__main__ import main
from studio.manager.disk.describe import SD2_TELLTALE
from studio.manager.disk.folder_parts import check_sizes
from tests.models import published_layouts as published
from tests.models.published_layouts import SD1_TEXT, SD2_TEXT, SDXL_TEXT, P, Shapes, checkpoint, kohya, prefixed
from tests.models.sparse_headers import write_sparse

SDXL_UNET = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "block_out_channels": (320, 640, 1280), "transformer_layers_per_block": (1, 2, 10), "cross_attention_dim": 2048,
    "attention_head_dim": (5, 10, 20), "use_linear_projection": True, "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 2816,
}  # fmt: skip
SDXL_UP = {"up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D")}


def unet_sd1() -> Shapes:
    return published.made("UNet2DConditionModel", cross_attention_dim=768)


def unet_xl() -> Shapes:
    return published.made("UNet2DConditionModel", **SDXL_UNET, **SDXL_UP)


def flux(layers: int = 2, guided: bool = True) -> Shapes:
    return published.made("FluxTransformer2DModel", num_layers=layers, num_single_layers=2, guidance_embeds=guided)


def sd3() -> Shapes:
    return published.made("SD3Transformer2DModel", num_layers=2)


def qwen() -> Shapes:
    return published.made("QwenImageTransformer2DModel", num_layers=2)


def pixart() -> Shapes:
    return published.made("PixArtTransformer2DModel", num_layers=2, num_attention_heads=16, attention_head_dim=72, in_channels=4, out_channels=8, caption_channels=4096)  # fmt: skip


PLUS = {"latents": (1, 16, 768), "proj_in.weight": (768, 1280), "layers.0.0.to_q.weight": (768, 768)}
TAGS = {"ss_tag_frequency": json.dumps({"10_cat": {f"tag {{number}}, [{n}]": n for n in range(20_000)}})}
Making = Callable[[], Shapes]

# path -> (tensors, metadata, dtype, kind, family, variant, prediction)
FILES: dict[str, tuple[Making, dict[str, str], str, str, str | None, str, str]] = {
    # checkpoints, in AUTOMATIC1111's folder
    "Stable-diffusion/v1-5-pruned-emaonly.safetensors": (lambda: checkpoint(published.sd1(), SD1_TEXT), {}, "F16", "checkpoint", "sd1", "", "epsilon"),
    "Stable-diffusion/with-ema-fp32.safetensors": (lambda: checkpoint(published.sd1(), SD1_TEXT) | prefixed("model_ema.", {"decay": (), "num_updates": ()}), {}, "F32", "checkpoint", "sd1", "", "epsilon"),
    "Stable-diffusion/hyperrealism_v3.safetensors": (lambda: checkpoint(published.sd1(), SD1_TEXT), {}, "BF16", "checkpoint", "sd1", "", "epsilon"),
    "Stable-diffusion/sd-v1-5-inpainting.safetensors": (lambda: checkpoint(published.sd1(9), SD1_TEXT), {}, "F16", "checkpoint", "sd1", "inpaint", "epsilon"),
    "Stable-diffusion/v2-1_768-ema-pruned.safetensors": (lambda: checkpoint(published.sd2(), SD2_TEXT), {}, "F16", "checkpoint", "sd2", "v-prediction", "v_prediction"),
    "Stable-diffusion/v2-1_512-ema-pruned.safetensors": (lambda: checkpoint(published.sd2(), SD2_TEXT), {}, "F16", "checkpoint", "sd2", "", "epsilon"),
    "Stable-diffusion/512-depth-ema.safetensors": (lambda: checkpoint(published.sd2(5), SD2_TEXT), {}, "F16", "checkpoint", "sd2", "depth", "epsilon"),
    "Stable-diffusion/sd21-unclip-h.safetensors": (lambda: checkpoint(published.unclip(), SD2_TEXT), {}, "F16", "checkpoint", "sd2", "v-prediction", "v_prediction"),
    "Stable-diffusion/sd_xl_base_1.0.safetensors": (lambda: checkpoint(published.sdxl(), SDXL_TEXT), {"modelspec.architecture": "stable-diffusion-xl-v1-base", "modelspec.prediction_type": "epsilon"}, "F16", "checkpoint", "sdxl", "", "epsilon"),
    "Stable-diffusion/sd_xl_refiner_1.0.safetensors": (lambda: checkpoint(published.refiner(), prefixed("conditioner.embedders.0.model.", published.open_clip(1280, 32))), {}, "F16", "checkpoint", "sdxl", "refiner", "epsilon"),
    "Stable-diffusion/sd_xl_turbo_1.0_fp16.safetensors": (lambda: checkpoint(published.sdxl(), SDXL_TEXT), {}, "F16", "checkpoint", "sdxl", "few-step", "epsilon"),
    "Stable-diffusion/quick.safetensors": (lambda: checkpoint(published.sdxl(), SDXL_TEXT), {"modelspec.title": "Dream XL Lightning"}, "F16", "checkpoint", "sdxl", "few-step", "epsilon"),
    "Stable-diffusion/noobaiXL.safetensors": (lambda: checkpoint(published.sdxl(), SDXL_TEXT) | {"v_pred": (0,), "ztsnr": (0,)}, {}, "F16", "checkpoint", "sdxl", "v-prediction", "v_prediction"),
    "Stable-diffusion/by-metadata.safetensors": (lambda: checkpoint(published.sdxl(), SDXL_TEXT), {"modelspec.prediction_type": "v"}, "F16", "checkpoint", "sdxl", "v-prediction", "v_prediction"),
    "Stable-diffusion/sdxl-inpaint.safetensors": (lambda: checkpoint(published.sdxl(9), SDXL_TEXT), {}, "F16", "checkpoint", "sdxl", "inpaint", "epsilon"),
    "Stable-diffusion/xl-fp8.safetensors": (lambda: checkpoint(published.sdxl(), SDXL_TEXT), {}, "F8_E4M3", "checkpoint", "sdxl", "", "epsilon"),
    "Stable-diffusion/ssd-1b.safetensors": (lambda: checkpoint(published.sdxl(depth=4), SDXL_TEXT), {}, "F16", "checkpoint", "sdxl", "", "epsilon"),
    "Stable-diffusion/playground.safetensors": (lambda: checkpoint(published.sdxl(), SDXL_TEXT) | {"edm_mean": (1, 4, 1, 1), "edm_std": (1, 4, 1, 1)}, {}, "F16", "checkpoint", "sdxl", "", "epsilon"),
    # denoisers alone, in ComfyUI's folders
    "unet/sdxl_unet_ldm.safetensors": (lambda: prefixed(P, published.sdxl()), {}, "F16", "checkpoint", "sdxl", "", "epsilon"),
    "unet/sd15_bare.safetensors": (published.sd1, {}, "F16", "checkpoint", "sd1", "", "epsilon"),
    "diffusion_models/qwen_image_fp8.safetensors": (qwen, {}, "F8_E4M3", "checkpoint", "qwen_image", "", "flow_prediction"),
    "diffusion_models/wan.safetensors": (lambda: {"head.modulation": (1, 2, 1536), "blocks.0.cross_attn.k.weight": (1536, 1536)}, {}, "F16", "checkpoint", "wan", "", "flow_prediction"),
    "diffusion_models/sana.safetensors": (lambda: {"y_embedder.y_embedding": (300, 2304), "attention_y_norm.weight": (2240,), "blocks.0.cross_attn.kv_linear.weight": (4480, 2240)}, {}, "F16", "checkpoint", "sana", "", "flow_prediction"),
    "diffusion_models/flux-nf4.safetensors": (lambda: {"double_blocks.0.img_attn.norm.key_norm.scale": (128,), "img_in.weight": (3072, 64), "vector_in.in_layer.weight": (3072, 768), "guidance_in.in_layer.weight": (3072, 256), "double_blocks.0.img_attn.qkv.weight.quant_state.bitsandbytes__nf4": (200,)}, {}, "U8", "checkpoint", "flux", "", "flow_prediction"),
    "diffusers/sd15_unet.safetensors": (unet_sd1, {}, "F16", "unknown", "sd1", "", "epsilon"),
    "diffusers/sdxl_unet.safetensors": (unet_xl, {}, "F16", "unknown", "sdxl", "", "epsilon"),
    "diffusers/flux_transformer.safetensors": (flux, {}, "BF16", "unknown", None, "", "epsilon"),
    # LoRAs in all flavours
    "Lora/kohya-sd15.safetensors": (lambda: kohya(published.made("UNet2DConditionModel", cross_attention_dim=768)) | published.kohya_text(published.clip_text(), "lora_te_"), TAGS, "F16", "lora", "sd1", "kohya", "epsilon"),
    "Lora/kohya-sd21.safetensors": (lambda: kohya(published.made("UNet2DConditionModel", cross_attention_dim=1024)), {}, "F16", "lora", "sd2", "kohya", "epsilon"),
    "Lora/kohya-sdxl.safetensors": (lambda: kohya(published.sdxl()) | published.kohya_text(published.clip_text(), "lora_te1_"), {}, "F16", "lora", "sdxl", "kohya", "epsilon"),
    "Lora/kohya-sdxl-self-attention-only.safetensors": (lambda: {k: v for k, v in kohya(published.sdxl()).items() if "attn1" in k}, {}, "F16", "lora", "sdxl", "kohya", "epsilon"),
    "Lora/text-only.safetensors": (lambda: published.kohya_text(published.clip_text(), "lora_te_"), {}, "F16", "lora", "sd1", "kohya", "epsilon"),
    "Lora/told-by-metadata.safetensors": (lambda: {"lora_unet_mid_block_resnets_0_conv1.lora_down.weight": (4, 1280, 3, 3)}, {"ss_base_model_version": "sd_v1"}, "F16", "lora", "sd1", "kohya", "epsilon"),
    "Lora/diffusers-sd15.safetensors": (lambda: published.peft(unet_sd1(), "unet."), {}, "F32", "lora", "sd1", "diffusers", "epsilon"),
    "Lora/diffusers-old.safetensors": (lambda: published.old_diffusers(unet_sd1()), {}, "F32", "lora", "sd1", "diffusers", "epsilon"),
    "Lora/peft-raw.safetensors": (lambda: published.peft(unet_xl(), "base_model.model."), {}, "F32", "lora", "sdxl", "peft", "epsilon"),
    "Lora/dora.safetensors": (lambda: published.peft(unet_sd1(), "unet.", dora=True), {}, "F32", "lora", "sd1", "diffusers dora", "epsilon"),
    "Lora/loha-sd15.safetensors": (lambda: published.loha(unet_sd1()), {}, "F16", "lora", "sd1", "loha", "epsilon"),
    "Lora/lokr-sdxl.safetensors": (lambda: published.lokr(unet_xl()), {}, "F16", "lora", "sdxl", "lokr", "epsilon"),
    "Lora/oft.safetensors": (lambda: {"oft_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q.oft_blocks": (4, 320, 320)}, {"ss_base_model_version": "sdxl_base_v1-0"}, "F16", "lora", "sdxl", "oft", "epsilon"),
    "Lora/flux-diffusers.safetensors": (lambda: published.peft(flux(), "transformer.") | {"transformer.transformer_blocks.0.attn.to_k.lora_A.weight": (16, 3072), "transformer.single_transformer_blocks.0.attn.to_k.lora_A.weight": (16, 3072)}, {}, "BF16", "lora", "flux", "diffusers", "epsilon"),
    "Lora/flux-double-blocks-only.safetensors": (lambda: {"transformer.transformer_blocks.0.attn.add_k_proj.lora_A.weight": (16, 3072)}, {}, "BF16", "lora", "flux", "diffusers", "epsilon"),
    "Lora/flux-kohya.safetensors": (lambda: {"lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": (16, 3072), "lora_unet_double_blocks_0_img_mlp_0.lora_down.weight": (16, 3072), "lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": (16, 768), "lora_te2_encoder_block_0_layer_0_SelfAttention_q.lora_down.weight": (16, 4096)}, {}, "BF16", "lora", "flux", "kohya", "epsilon"),
    "Lora/sd3.safetensors": (lambda: {"transformer.transformer_blocks.0.attn.add_k_proj.lora_A.weight": (16, 1536), "text_encoder_2.text_model.encoder.layers.0.self_attn.q_proj.lora_A.weight": (4, 1280)}, {}, "F16", "lora", "sd3", "diffusers", "epsilon"),
    "Lora/qwen.safetensors": (lambda: {"transformer_blocks.0.img_mlp.net.0.proj.lora_A.weight": (16, 3072), "transformer_blocks.0.attn.to_k.lora_A.weight": (16, 3072)}, {}, "BF16", "lora", "qwen_image", "diffusers", "epsilon"),
    "Lora/z-image.safetensors": (lambda: {"diffusion_model.layers.0.attention.to_q.lora_A.weight": (16, 3840)}, {}, "BF16", "lora", "z_image", "diffusers", "epsilon"),
    "Lora/wan.safetensors": (lambda: {"diffusion_model.blocks.0.self_attn.q.lora_A.weight": (16, 5120)}, {}, "BF16", "lora", "wan", "diffusers", "epsilon"),
    "Lora/pixart.safetensors": (lambda: {"transformer.transformer_blocks.0.attn1.to_k.lora_A.weight": (16, 1152)}, {}, "F16", "lora", "pixart", "diffusers", "epsilon"),
    # what goes beside
    "VAE/vae-ft-mse.safetensors": (published.ldm_vae, {}, "F32", "vae", "sd1", "", "epsilon"),
    "VAE/in-checkpoint-naming.safetensors": (lambda: prefixed("first_stage_model.", published.ldm_vae()), {}, "F32", "vae", "sd1", "", "epsilon"),
    "VAE/diffusers.safetensors": (lambda: published.made("AutoencoderKL", down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4, block_out_channels=(128, 256, 512, 512)), {}, "F32", "vae", "sd1", "", "epsilon"),
    "VAE/sdxl_vae.safetensors": (published.ldm_vae, {}, "F16", "vae", "sdxl", "", "epsilon"),
    "VAE/sd3_vae.safetensors": (lambda: published.ldm_vae(16, quant=False), {}, "F16", "vae", "sd3", "", "epsilon"),
    "VAE/ae.safetensors": (lambda: published.ldm_vae(16, quant=False), {}, "F32", "vae", "flux", "", "epsilon"),
    "VAE/tiny.safetensors": (lambda: published.made("AutoencoderTiny"), {}, "F16", "vae", "sd1", "tiny", "epsilon"),
    "VAE/wan.safetensors": (lambda: {"conv1.weight": (32, 32, 1, 1, 1), "conv2.weight": (16, 16, 1, 1, 1), "decoder.conv1.weight": (384, 16, 3, 3, 3), "encoder.conv1.weight": (96, 3, 3, 3, 3)}, {}, "F16", "vae", "wan", "video", "epsilon"),
    "embeddings/easynegative.safetensors": (lambda: {"emb_params": (8, 768)}, {}, "F32", "embedding", "sd1", "", "epsilon"),
    "embeddings/unaestheticXL.safetensors": (lambda: {"clip_l": (8, 768), "clip_g": (8, 1280)}, {}, "F32", "embedding", "sdxl", "", "epsilon"),
    "text_encoders/clip_l.safetensors": (published.clip_text, {}, "F16", "text_encoder", None, "clip_l", "epsilon"),
    "text_encoders/clip_g.safetensors": (lambda: published.clip_text(1280, 32) | {"text_projection.weight": (1280, 1280)}, {}, "F16", "text_encoder", None, "clip_g", "epsilon"),
    "text_encoders/t5xxl_fp16.safetensors": (published.t5, {}, "F16", "text_encoder", None, "t5xxl", "epsilon"),
    "ControlNet/control_v11p_sd15_canny.safetensors": (lambda: prefixed("control_model.", published.sd1() | {"zero_convs.0.0.weight": (320, 320, 1, 1), "input_hint_block.0.weight": (16, 3, 3, 3)}), {}, "F16", "controlnet", "sd1", "", "epsilon"),
    "ControlNet/diffusers-sd15.safetensors": (lambda: published.made("ControlNetModel", cross_attention_dim=768), {}, "F16", "controlnet", "sd1", "", "epsilon"),
    "ControlNet/diffusers-xl.safetensors": (lambda: published.made("ControlNetModel", **SDXL_UNET), {}, "F16", "controlnet", "sdxl", "", "epsilon"),
    "ControlNet/flux.safetensors": (lambda: published.made("FluxControlNetModel", num_layers=1, num_single_layers=1), {}, "BF16", "controlnet", "flux", "", "epsilon"),
    "ControlNet/sd3.safetensors": (lambda: published.made("SD3ControlNetModel", num_layers=2), {}, "F16", "controlnet", "sd3", "", "epsilon"),
    "ControlNet/qwen.safetensors": (lambda: published.made("QwenImageControlNetModel", num_layers=1), {}, "BF16", "controlnet", "qwen_image", "", "epsilon"),
    "ControlNet/control-lora-canny.safetensors": (lambda: {"lora_controlnet": (), "input_hint_block.0.weight": (16, 3, 3, 3), "input_blocks.4.1.transformer_blocks.0.attn2.to_k.down": (128, 2048), "input_blocks.4.1.transformer_blocks.0.attn2.to_k.up": (640, 128)}, {}, "F16", "controlnet", "sdxl", "control-lora", "epsilon"),
    "ControlNet/lllite.safetensors": (lambda: {"lllite_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.down.0.weight": (64, 640), "lllite_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.cond_emb.weight": (32, 640)}, {}, "F16", "controlnet", "sdxl", "lllite", "epsilon"),
    "ControlNet/t2i-sd15.safetensors": (lambda: {k.removeprefix("adapter."): v for k, v in published.made("T2IAdapter").items()}, {}, "F16", "t2i_adapter", "sd1", "", "epsilon"),
    "ControlNet/t2i-xl.safetensors": (lambda: published.made("T2IAdapter", adapter_type="full_adapter_xl", downscale_factor=16), {}, "F16", "t2i_adapter", "sdxl", "", "epsilon"),
    "ipadapter/ip-adapter_sd15.safetensors": (lambda: published.ip_adapter(768, {"proj.weight": (3072, 1024), "proj.bias": (3072,), "norm.weight": (768,)}), {}, "F16", "ip_adapter", "sd1", "", "epsilon"),
    "ipadapter/ip-adapter-plus_sdxl.safetensors": (lambda: published.ip_adapter(2048, PLUS), {}, "F16", "ip_adapter", "sdxl", "plus", "epsilon"),
    "ipadapter/ip-adapter-faceid.safetensors": (lambda: published.ip_adapter(768, {"proj.0.weight": (1024, 512), "norm.weight": (768,)}, lora=True), {}, "F16", "ip_adapter", "sd1", "face-id", "epsilon"),
    "clip_vision/vit-h.safetensors": (lambda: {"vision_model.embeddings.class_embedding": (1280,), "visual_projection.weight": (1024, 1280)}, {}, "F16", "unknown", None, "", "epsilon"),
    "animatediff/mm_sd_v15.safetensors": (lambda: {"down_blocks.0.motion_modules.0.temporal_transformer.norm.weight": (320,)}, {}, "F16", "unknown", None, "", "epsilon"),
    "ESRGAN/RealESRGAN_x4plus.safetensors": (published.rrdb, {}, "F32", "upscaler", None, "", "epsilon"),
    "ESRGAN/wrapped.safetensors": (lambda: prefixed("params_ema.", published.rrdb()), {}, "F32", "upscaler", None, "", "epsilon"),
    "ESRGAN/old-4x.safetensors": (lambda: published.rrdb("RRDB_trunk.{0}.RDB{1}.conv{2}"), {}, "F32", "upscaler", None, "", "epsilon"),
    "SwinIR/swinir.safetensors": (published.swinir, {}, "F32", "upscaler", None, "", "epsilon"),
}  # fmt: skip

# path -> words of the reason
REFUSED = {
    "Stable-diffusion/512-depth-ema.safetensors": "needs a picture to start from",
    "Stable-diffusion/sd21-unclip-h.safetensors": "unCLIP",
    "Stable-diffusion/ssd-1b.safetensors": "pruned SDXL",
    "Stable-diffusion/playground.safetensors": "EDM model",
    "diffusion_models/qwen_image_fp8.safetensors": "the denoiser of Qwen-Image alone",
    "diffusion_models/wan.safetensors": "This is a video model (Wan)",
    "diffusion_models/sana.safetensors": "the denoiser of Sana alone",
    "diffusion_models/flux-nf4.safetensors": "NF4",
    "diffusers/sd15_unet.safetensors": "A U-Net alone",
    "diffusers/sdxl_unet.safetensors": "A U-Net alone",
    "diffusers/flux_transformer.safetensors": "A transformer alone",
    "clip_vision/vit-h.safetensors": "A CLIP image encoder",
    "ipadapter/ip-adapter_sd15.safetensors": "needs a CLIP image encoder",
    "ipadapter/ip-adapter-plus_sdxl.safetensors": "needs a CLIP image encoder",
    "ipadapter/ip-adapter-faceid.safetensors": "for faces",
    "animatediff/mm_sd_v15.safetensors": "A motion module of AnimateDiff",
}


TOLD_BY_WEIGHTS = ("Stable-diffusion/v2-1_768-ema-pruned.safetensors", "Stable-diffusion/sd21-unclip-h.safetensors")


def spread(file: Path, key: str) -> None:
    """Write numbers into one fp16 tensor of a file of holes, as widely spread as those of models trained on v."""
    with file.open("r+b") as opened:
        (length,) = struct.unpack("<Q", opened.read(8))
        begin, end = json.loads(opened.read(length))[key]["data_offsets"]
        opened.seek(8 + length + begin)
        opened.write(struct.pack("<2e", 0.3, -0.3) * ((end - begin) // 4))


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("true")
    for path, (making, metadata, dtype, *_, prediction) in FILES.items():
        file = write_sparse(folder / "models" / path, making(), dtype, metadata)
        if prediction == "v_prediction" and path in TOLD_BY_WEIGHTS:
            spread(file, SD2_TELLTALE)
    where = ["--only-models", str(folder / "models"), "--outputs", str(folder / "out")]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(["models", "list", "--json", *where]) == 0
    rows = [json.loads(line) for line in out.getvalue().splitlines()]
    assert len(rows) == len(FILES)
    assert os.fspath(folder) not in out.getvalue()
    return {row["id"]: row for row in rows}


def test_each_file_is_known_for_what_it_is(listed: dict[str, dict[str, Any]]) -> None:
    spelled = {"F16": "fp16", "F32": "fp32", "BF16": "bf16", "F8_E4M3": "fp8_e4m3", "U8": "u8"}
    for path, (_, _, dtype, *expected) in FILES.items():
        row = listed[str(Path(path).with_suffix(""))]
        assert [row["kind"], row["family"], row["variant"], row["capabilities"]["prediction"]] == expected, path
        assert row["dtype"] == spelled[dtype], path
        if path in REFUSED:
            assert REFUSED[path] in row["problem"], path
        elif row["kind"] != "checkpoint":
            assert row["problem"] is None, path


@pytest.mark.sweep
def test_no_network_of_diffusers_is_past_the_limits_of_what_is_believed() -> None:
    from studio import compat

    compat.prepare()
    import diffusers

    checked = 0
    for name in dir(diffusers):
        cls = getattr(diffusers, name, None)
        if not (isinstance(cls, type) and issubclass(cls, diffusers.ModelMixin)):
            continue
        defaults = {key: p.default for key, p in inspect.signature(cls.__init__).parameters.items()}
        config = json.loads(json.dumps(defaults, default=lambda value: None))
        check_sizes("transformer" if "Transformer" in name else "vae", config | {"_class_name": name})
        checked += 1
    assert checked > 100


def test_no_text_encoder_in_use_is_past_the_limits_of_what_is_believed() -> None:
    from studio import compat

    compat.prepare()
    import transformers

    names = "CLIPTextConfig T5Config UMT5Config Gemma2Config Gemma3Config Qwen2Config Qwen2_5_VLConfig Qwen3Config MistralConfig Mistral3Config LlamaConfig SiglipVisionConfig"  # fmt: skip
    for name in names.split():
        check_sizes("text_encoder", json.loads(getattr(transformers, name)().to_json_string()))
