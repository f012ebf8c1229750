"""Pictures as other programs write them: for each its texts, in the place where that program puts them, and what they say.

Keys, their order and their spelling are taken from the source of the version that is named.
"""

import gzip
import io
import json
import struct
import zlib
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from studio.core.samplers import SOLVERS

PROMPT, NEGATIVE = "a red fox in the snow, Füchse", "blurry, lowres"
CORE = {
    "prompt": PROMPT,
    "negative_prompt": NEGATIVE,
    "seed": 965400086,
    "steps": 28,
    "guidance_scale": 6.5,
    "width": 832,
    "height": 1216,
}
SDXL = {"model": "checkpoints/sd_xl_base_1.0"}
INK = {"parts": [{"kind": "lora", "model": "loras/ink", "weight": 0.8}]}
HASH = "31e35c80fc4829d14f90153f4c74cd59c90b779f6afe05a74cd6120b893f7e5b"


@dataclass(frozen=True)
class Sample:
    """`fields` are all that the picture says and that has a place here; `notes` are pieces of what must be said besides."""

    program: str
    version: str
    file: bytes
    fields: dict[str, Any]
    notes: tuple[str, ...] = ()
    texts: dict[str, str] = field(default_factory=dict, hash=False)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(texts: dict[str, str], kind: bytes = b"tEXt", picture: Image.Image | None = None) -> bytes:
    """tEXt in UTF-8, as most write it; or iTXt, or zTXt."""
    out = io.BytesIO()
    (picture or Image.new("RGB", (8, 8))).save(out, "PNG")
    plain = out.getvalue()
    between = {b"tEXt": b"\0", b"iTXt": b"\0\0\0\0\0", b"zTXt": b"\0\0"}[kind]
    packed = {key: zlib.compress(value.encode()) if kind == b"zTXt" else value.encode() for key, value in texts.items()}
    chunks = b"".join(chunk(kind, key.encode() + between + value) for key, value in packed.items())
    return plain[:33] + chunks + plain[33:]


def exif(format: str, tags: dict[int, bytes | str], *, comment: bytes = b"") -> bytes:
    """Tags of the first directory; the comment in the Exif directory, with the code before it."""
    block = Image.Exif()
    for tag, value in tags.items():
        block[tag] = value
    if comment:
        block.get_ifd(0x8769)[0x9286] = comment
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, format, exif=block.tobytes())
    return out.getvalue()


def unicode(text: str, encoding: str = "utf-16-be") -> bytes:
    return b"UNICODE\0" + text.encode(encoding)


def hidden(text: str, signature: bytes = b"stealth_pngcomp") -> bytes:
    """In the lowest bits of alpha, column by column, as NovelAI writes it; or of the colours."""
    body = gzip.compress(text.encode()) if signature.endswith(b"comp") else text.encode()
    packed = signature + struct.pack(">I", 8 * len(body)) + body
    bits = [(byte >> shift) & 1 for byte in packed for shift in range(7, -1, -1)]
    width, height = 70, 67  # no multiple of eight
    picture = Image.new("RGBA", (width, height), (10, 20, 30, 255))
    pixels = picture.load()
    assert pixels is not None
    for number, bit in enumerate(bits):
        if b"rgb" in signature:
            place, band = divmod(number, 3)
            x, y = divmod(place, height)
            old = list(pixels[x, y])
            old[band] = (old[band] & 254) | bit
            pixels[x, y] = tuple(old)
        else:
            x, y = divmod(number, height)
            pixels[x, y] = (10, 20, 30, 254 | bit)
    return png({}, picture=picture.convert("RGB") if b"rgb" in signature else picture)


def sample(
    program: str, version: str, texts: dict[str, str], fields: dict[str, Any], *notes: str, kind: bytes = b"tEXt"
) -> Sample:
    return Sample(program, version, png(texts, kind), fields, notes, texts)


A1111 = (
    f"{PROMPT} <lora:ink:0.8>\nNegative prompt: {NEGATIVE}\nSteps: 28, Sampler: DPM++ 2M SDE, Schedule type: Exponential, "
    "CFG scale: 6.5, Seed: 965400086, Size: 832x1216, Model hash: 31e35c80fc, Model: sd_xl_base_1.0, VAE hash: 235745af8d, "
    'VAE: sdxl_vae.safetensors, Clip skip: 2, ENSD: 31337, Lora hashes: "ink: 7c6bad76eb54", Version: v1.10.1'
)
IMG2IMG = (
    f"{PROMPT}\nNegative prompt: {NEGATIVE}\nSteps: 28, Sampler: Euler a, Schedule type: Automatic, CFG scale: 6.5, Seed: "
    "965400086, Size: 832x1216, Model hash: 31e35c80fc, Model: sd_xl_base_1.0, Denoising strength: 0.45, Version: v1.10.1"
)
FORGE = (
    f"{PROMPT}\nSteps: 28, Sampler: Euler, Schedule type: Simple, CFG scale: 1, Distilled CFG Scale: 3.5, Seed: 965400086, "
    "Size: 832x1216, Model hash: 4610115bb0, Model: flux1-dev, Hires Module 1: Use same choices, Hires upscale: 1.5, "
    "Denoising strength: 0.7, Version: f2.0.1v1.10.1-previous-659-gc055f2d4"
)
REFORGE = (
    f"{PROMPT}\nNegative prompt: {NEGATIVE}\nSteps: 28, Sampler: Euler a, Schedule type: SGM Uniform, CFG scale: 6.5, Seed: "
    "965400086, Size: 832x1216, Model hash: 31e35c80fc, Model: sd_xl_base_1.0, RNG: CPU, "
    "Version: f1.0.0v2-v1.10.1RC-latest-2184-g2d38f9ba"
)
SD_NEXT = (
    f"{PROMPT}\nNegative prompt: {NEGATIVE}\nSteps: 28, Size: 832x1216, Sampler: DPM++ 2M, Seed: 965400086, CFG scale: 6.5, "
    "CFG rescale: 0.25, App: SD.Next, Version: 0c7038e6, Pipeline: StableDiffusionXLPipeline, Operations: txt2img, Model: "
    "sd_xl_base_1.0, Model hash: 31e35c80fc, Sampler sigma: karras, Sampler order: 2"
)
CIVITAI_TEXT = (
    f"{PROMPT}\nNegative prompt: {NEGATIVE}\nSteps: 28, Sampler: Euler a, CFG scale: 6.5, Seed: 965400086, Size: 832x1216, "
    'Clip skip: 2, Created Date: 2024-12-01T09:02:43.1234567Z, Civitai resources: [{"type":"checkpoint",'
    '"modelVersionId":128078,"modelName":"SD XL","modelVersionName":"v1.0"},{"type":"lora","weight":0.8,"modelVersionId":34,'
    '"modelName":"Ink","modelVersionName":"v2"}], Civitai metadata: {}'
)

SWARM = {
    "sui_image_params": {
        "prompt": PROMPT,
        "negativeprompt": NEGATIVE,
        "model": "OfficialStableDiffusion/sd_xl_base_1.0",
        "seed": 965400086,
        "steps": 28,
        "cfgscale": 6.5,
        "aspectratio": "2:3",
        "width": 832,
        "height": 1216,
        "sampler": "dpmpp_2m_sde_gpu",
        "scheduler": "exponential",
        "automaticvae": True,
        "loras": ["ink"],
        "loraweights": ["0.8"],
        "refinerupscale": "1.5",
        "swarm_version": "0.9.6.2",
    },
    "sui_extra_data": {"date": "2025-05-11", "generation_time": "0.02 (prep) and 6.12 (gen) seconds"},
    "sui_models": [
        {"name": "OfficialStableDiffusion/sd_xl_base_1.0.safetensors", "param": "model", "hash": "0x" + "ab" * 32}
    ],
}

FOOOCUS = {
    "adm_guidance": "(1.5, 0.8, 0.3)",
    "base_model": "sd_xl_base_1.0",
    "base_model_hash": "31e35c80fc",
    "created_by": "somebody",
    "full_negative_prompt": [NEGATIVE],
    "full_prompt": [PROMPT],
    "lora_combined_1": "ink : 0.8",
    "loras": [["ink", 0.8, "7c6bad76eb"]],
    "guidance_scale": 6.5,
    "metadata_scheme": "fooocus",
    "negative_prompt": NEGATIVE,
    "performance": "Speed",
    "prompt": "a red fox",
    "refiner_model": "None",
    "refiner_switch": 0.5,
    "resolution": "(832, 1216)",
    "sampler": "dpmpp_2m_sde_gpu",
    "scheduler": "karras",
    "seed": "965400086",
    "sharpness": 2.0,
    "steps": 28,
    "styles": "['Fooocus V2']",
    "vae": "Default (model)",
    "version": "Fooocus v2.5.5",
}
FOOOCUS_TEXT = (
    f"{PROMPT}\nNegative prompt: {NEGATIVE}\nSteps: 28, Sampler: DPM++ 2M SDE Karras, Seed: 965400086, Size: 832x1216, CFG "
    'scale: 6.5, Sharpness: 2.0, ADM Guidance: "(1.5, 0.8, 0.3)", Model: sd_xl_base_1.0, Model hash: 31e35c80fc, Performance: '
    'Speed, Scheduler: karras, VAE: Default (model), Raw prompt: a red fox, Raw negative prompt: "blurry, lowres", Lora '
    'hashes: "ink: 7c6bad76eb", Lora weights: "ink: 0.8", Version: Fooocus v2.5.5'
)

INVOKE_6 = {
    "generation_mode": "sdxl_txt2img",
    "positive_prompt": PROMPT,
    "negative_prompt": NEGATIVE,
    "width": 832,
    "height": 1216,
    "seed": 965400086,
    "rand_device": "cpu",
    "cfg_scale": 6.5,
    "cfg_rescale_multiplier": 0.25,
    "steps": 28,
    "scheduler": "dpmpp_2m_k",
    "clip_skip": 1,
    "model": {
        "key": "c4d2", "hash": "blake3:9f2e", "name": "sd_xl_base_1.0", "base": "sdxl", "type": "main"
    },
    "loras": [{"model": {"key": "11aa", "hash": "blake3:77", "name": "ink", "base": "sdxl", "type": "lora"}, "weight": 0.8}],
    "app_version": "6.0.2",
}  # fmt: skip
INVOKE_3 = {
    "app_version": "3.4.0post2",
    "generation_mode": "img2img",
    "positive_prompt": PROMPT,
    "negative_prompt": NEGATIVE,
    "width": 832,
    "height": 1216,
    "seed": 965400086,
    "rand_device": "cuda",
    "cfg_scale": 6.5,
    "steps": 28,
    "scheduler": "euler_a",
    "clip_skip": 0,
    "model": {"model_name": "sd_xl_base_1.0", "base_model": "sdxl", "model_type": "main"},
    "loras": [{"lora": {"model_name": "ink", "base_model": "sdxl"}, "weight": 0.8}],
    "strength": 0.45,
    "init_image": "5f8c.png",
}
INVOKE_2 = {
    "model": "stable diffusion",
    "model_weights": "sd_xl_base_1.0",
    "model_hash": HASH,
    "app_id": "invoke-ai/InvokeAI",
    "app_version": "2.3.5",
    "image": {
        "prompt": [{"prompt": f"{PROMPT} [{NEGATIVE}]", "weight": 1}],
        "steps": 28,
        "cfg_scale": 6.5,
        "threshold": 0,
        "perlin": 0,
        "height": 1216,
        "width": 832,
        "seed": 965400086,
        "seamless": False,
        "hires_fix": False,
        "type": "txt2img",
        "postprocessing": None,
        "sampler": "k_euler_a",
        "variations": [],
    },
}
DREAM = f'"{PROMPT} [{NEGATIVE}]" -s 28 -S 965400086 -W 832 -H 1216 -C 6.5 -A k_dpm_2_a'

NOVELAI = {
    "prompt": PROMPT,
    "steps": 28,
    "height": 1216,
    "width": 832,
    "scale": 6.5,
    "uncond_scale": 0.0,
    "cfg_rescale": 0.25,
    "seed": 965400086,
    "n_samples": 1,
    "noise_schedule": "karras",
    "legacy_v3_extend": False,
    "sampler": "k_dpmpp_2m_sde",
    "sm": False,
    "uc": NEGATIVE,
    "request_type": "PromptGenerateRequest",
    "signed_hash": "kqvzx==",
}
NOVELAI_4 = NOVELAI | {
    "v4_prompt": {
        "caption": {
            "base_caption": "a red fox in the snow",
            "char_captions": [{"char_caption": "Füchse", "centers": [{"x": 0.5, "y": 0.5}]}],
        },
        "use_coords": False,
        "use_order": True,
    },
    "v4_negative_prompt": {"caption": {"base_caption": NEGATIVE, "char_captions": []}, "legacy_uc": False},
}
NOVELAI_CHUNKS = {
    "Title": "NovelAI generated image",
    "Description": PROMPT,
    "Software": "NovelAI",
    "Source": "NovelAI Diffusion V4.5 4BDE2A90",
    "Generation time": "3.4",
    "Comment": json.dumps(NOVELAI),
}


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"inputs": inputs, "class_type": kind, "_meta": {"title": kind}}


COMFY = {
    "3": node(
        "KSampler", seed=["20", 0], steps=28, cfg=6.5, sampler_name="dpmpp_2m_sde", scheduler="exponential", denoise=1.0,
        model=["10", 0], positive=["6", 0], negative=["7", 0], latent_image=["5", 0],
    ),
    "4": node("CheckpointLoaderSimple", ckpt_name="SDXL/sd_xl_base_1.0.safetensors"),
    "5": node("EmptyLatentImage", width=832, height=1216, batch_size=1),
    "6": node("CLIPTextEncode", text=["21", 0], clip=["10", 1]),
    "7": node("CLIPTextEncode", text=NEGATIVE, clip=["10", 1]),
    "8": node("VAEDecode", samples=["3", 0], vae=["11", 0]),
    "9": node("SaveImage", filename_prefix="ComfyUI", images=["8", 0]),
    "10": node(
        "LoraLoader", lora_name="ink.safetensors", strength_model=0.8, strength_clip=0.8, model=["4", 0], clip=["4", 1]
    ),
    "11": node("VAELoader", vae_name="sdxl_vae.safetensors"),
    "20": node("PrimitiveInt", value=965400086),
    "21": node("PrimitiveStringMultiline", value=PROMPT),
}  # fmt: skip
COMFY_IMG2IMG = COMFY | {
    "3": node(
        "KSampler", seed=965400086, steps=28, cfg=6.5, sampler_name="euler_ancestral", scheduler="normal", denoise=0.45,
        model=["4", 0], positive=["6", 0], negative=["7", 0], latent_image=["5", 0],
    ),
    "5": node("VAEEncode", pixels=["30", 0], vae=["4", 2]),
    "30": node("LoadImage", image="fox.png"),
}  # fmt: skip
COMFY_FLUX = {
    "5": node("EmptySD3LatentImage", width=832, height=1216, batch_size=1),
    "6": node("CLIPTextEncode", text=PROMPT, clip=["11", 0]),
    "8": node("VAEDecode", samples=["13", 0], vae=["10", 0]),
    "9": node("SaveImage", filename_prefix="ComfyUI", images=["8", 0]),
    "10": node("VAELoader", vae_name="ae.safetensors"),
    "11": node("DualCLIPLoader", clip_name1="t5xxl_fp16.safetensors", clip_name2="clip_l.safetensors", type="flux"),
    "12": node("UNETLoader", unet_name="flux1-dev.safetensors", weight_dtype="default"),
    "13": node(
        "SamplerCustomAdvanced",
        noise=["25", 0], guider=["22", 0], sampler=["16", 0], sigmas=["17", 0], latent_image=["5", 0],
    ),
    "16": node("KSamplerSelect", sampler_name="euler"),
    "17": node("BasicScheduler", scheduler="simple", steps=28, denoise=1, model=["30", 0]),
    "22": node("BasicGuider", model=["30", 0], conditioning=["26", 0]),
    "25": node("RandomNoise", noise_seed=965400086),
    "26": node("FluxGuidance", guidance=3.5, conditioning=["6", 0]),
    "30": node("ModelSamplingFlux", max_shift=1.15, base_shift=0.5, width=832, height=1216, model=["12", 0]),
}  # fmt: skip
CIVITAI_EXTRA = {
    "prompt": PROMPT,
    "negativePrompt": NEGATIVE,
    "steps": 28,
    "cfgScale": 6.5,
    "sampler": "DPM++ 2M SDE Karras",
    "workflowId": "txt2img",
    "resources": [{"modelVersionId": 128078, "strength": 1}, {"modelVersionId": 34, "strength": 0.8}],
}
CIVITAI = {
    "resource-stack": node("CheckpointLoaderSimple", ckpt_name="urn:air:sdxl:checkpoint:civitai:101055@128078"),
    "resource-stack-1": node(
        "LoraLoader", lora_name="urn:air:sdxl:lora:civitai:12@34", strength_model=0.8, strength_clip=1,
        model=["resource-stack", 0], clip=["resource-stack", 1],
    ),
    "6": node("smZ CLIPTextEncode", text=PROMPT, parser="A1111", clip=["resource-stack-1", 1]),
    "7": node("smZ CLIPTextEncode", text=NEGATIVE, parser="A1111", clip=["resource-stack-1", 1]),
    "20": node("EmptyLatentImage", width=832, height=1216, batch_size=1),
    "11": node(
        "KSampler", sampler_name="dpmpp_2m_sde", scheduler="karras", seed=965400086, steps=28, cfg=6.5, denoise=1,
        model=["resource-stack-1", 0], positive=["6", 0], negative=["7", 0], latent_image=["20", 0],
    ),
    "13": node("VAEDecode", samples=["11", 0], vae=["resource-stack", 2]),
    "12": node("SaveImage", filename_prefix="ComfyUI", images=["13", 0]),
    "extra": {"airs": ["urn:air:sdxl:checkpoint:civitai:101055@128078", "urn:air:sdxl:lora:civitai:12@34"]},
    "extraMetadata": json.dumps(CIVITAI_EXTRA),
}  # fmt: skip
STABILITY_MATRIX = {
    "PositivePrompt": PROMPT,
    "NegativePrompt": NEGATIVE,
    "Steps": 28,
    "Sampler": "DPM\\u002B\\u002B 2M SDE",
    "CfgScale": 6.5,
    "Seed": 965400086,
    "Height": 1216,
    "Width": 832,
    "ModelHash": HASH,
    "ModelName": "sd_xl_base_1.0.safetensors",
    "FrameCount": 0,
}

DRAW_THINGS = {
    "c": PROMPT,
    "uc": NEGATIVE,
    "lora": [{"model": "ink.safetensors", "weight": 0.8}],
    "mask_blur": 1.5,
    "model": "sd_xl_base_1.0.ckpt",
    "sampler": "DPM++ 2M AYS",
    "scale": 6.5,
    "seed": 965400086,
    "seed_mode": "Scale Alike",
    "shift": 1,
    "size": "832x1216",
    "steps": 28,
    "strength": 1,
    "v2": {"batchCount": 1},
}
XMP = (
    '<?xpacket begin=""?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description><xmp:CreatorTool>Draw Things'
    "</xmp:CreatorTool><exif:UserComment><rdf:Alt><rdf:li xml:lang='x-default'>{}</rdf:li></rdf:Alt></exif:UserComment>"
    "</rdf:Description></rdf:RDF></x:xmpmeta>"
)
DRAW_THINGS_XMP = XMP.format(json.dumps(DRAW_THINGS, ensure_ascii=False).replace("&", "&amp;").replace('"', "&quot;"))

VAE_AND_INK = {"parts": [{"kind": "vae", "model": "vae/sdxl_vae"}, *INK["parts"]]}
EXPONENTIAL = {"sampler": "dpmpp_2m_sde", "spacing": "exponential"}
KARRAS = {"sampler": "dpmpp_2m_sde", "spacing": "karras"}
ANCESTRAL = {"sampler": "euler_a", "spacing": "default"}
SGM = {
    "sampler": "euler_a",
    "spacing": "sgm_uniform" if "sgm_uniform" in SOLVERS.get("euler_a").spacings else "default",
}
CLIP_SKIP = {"clip_skip": 2}
FROM_PICTURE = {"task": {"kind": "image_to_image", "strength": 0.45}}
FLUX = CORE | {
    "negative_prompt": "",
    "guidance_scale": 3.5,
    "model": "flux1-dev",
    "sampler": "flow_euler",
    "spacing": "default",
}

SAMPLES = [
    sample("AUTOMATIC1111", "1.10.1", {"parameters": A1111}, CORE | SDXL | VAE_AND_INK | EXPONENTIAL | CLIP_SKIP, "ENSD"),
    sample("AUTOMATIC1111", "1.10.1 image to image", {"parameters": IMG2IMG}, CORE | SDXL | ANCESTRAL | FROM_PICTURE, "choose one"),
    Sample("AUTOMATIC1111", "1.10.1 JPEG", exif("JPEG", {}, comment=unicode(A1111)), CORE | SDXL | VAE_AND_INK | EXPONENTIAL | CLIP_SKIP),
    Sample("AUTOMATIC1111", "1.10.1 WebP", exif("WEBP", {}, comment=unicode(A1111)), CORE | SDXL | VAE_AND_INK | EXPONENTIAL | CLIP_SKIP),
    Sample("AUTOMATIC1111", "stealth extension", hidden(IMG2IMG, b"stealth_rgbinfo"), CORE | SDXL | ANCESTRAL | FROM_PICTURE),
    sample("Forge", "2.0.1 with FLUX", {"parameters": FORGE}, FLUX, "Hires upscale", "Trailing does not go"),
    sample("reForge", "1.0.0v2", {"parameters": REFORGE}, CORE | SDXL | SGM),
    sample(
        "SD.Next", "2025-09", {"parameters": SD_NEXT},
        CORE | SDXL | {"sampler": "dpmpp_2m", "spacing": "karras", "guidance_rescale": 0.25}, "Sampler order",
    ),
    sample("SwarmUI", "0.9.6.2", {"parameters": json.dumps(SWARM, indent=4)}, CORE | SDXL | INK | EXPONENTIAL, "refinerupscale"),
    Sample(
        "SwarmUI", "0.9.6.2 JPEG", exif("JPEG", {}, comment=unicode(json.dumps(SWARM, indent=4), "utf-16-le")),
        CORE | SDXL | INK | EXPONENTIAL,
    ),
    sample(
        "Fooocus", "2.5.5 fooocus", {"parameters": json.dumps(FOOOCUS), "fooocus_scheme": "fooocus"},
        CORE | SDXL | INK | KARRAS, "sharpness", "adm_guidance",
    ),
    sample(
        "Fooocus", "2.5.5 a1111", {"parameters": FOOOCUS_TEXT, "fooocus_scheme": "a1111"}, CORE | SDXL | INK | KARRAS,
        "ADM Guidance",
    ),
    Sample(
        "Fooocus", "2.5.5 WebP",
        exif("WEBP", {0x9286: json.dumps(FOOOCUS).encode(), 0x0131: "Fooocus v2.5.5", 0x927C: b"fooocus"}),
        CORE | SDXL | INK | KARRAS,
    ),
    sample(
        "InvokeAI", "6.0.2", {"invokeai_metadata": json.dumps(INVOKE_6), "invokeai_graph": "{}"},
        CORE | SDXL | INK | {"sampler": "dpmpp_2m", "spacing": "karras", "guidance_rescale": 0.25}, "clip_skip",
    ),
    sample(
        "InvokeAI", "3.4.0", {"invokeai_metadata": json.dumps(INVOKE_3)}, CORE | SDXL | INK | ANCESTRAL | FROM_PICTURE, "GPU"
    ),
    sample("InvokeAI", "2.3.5", {"sd-metadata": json.dumps(INVOKE_2), "Dream": DREAM}, CORE | SDXL | ANCESTRAL),
    sample("InvokeAI", "2.0 Dream", {"Dream": DREAM}, CORE | {"sampler": "dpm2_a", "spacing": "default"}),
    sample("NovelAI", "V4.5", NOVELAI_CHUNKS, CORE | KARRAS | {"guidance_rescale": 0.25}, "NovelAI Diffusion V4.5"),
    sample("NovelAI", "V4.5 characters", NOVELAI_CHUNKS | {"Comment": json.dumps(NOVELAI_4)}, CORE | KARRAS
           | {"guidance_rescale": 0.25}, "joined to the prompt"),
    Sample("NovelAI", "V3 alpha channel", hidden(json.dumps(NOVELAI_CHUNKS)), CORE | KARRAS | {"guidance_rescale": 0.25}),
    Sample(
        "NovelAI", "V4.5 WebP", exif("WEBP", {}, comment=unicode(json.dumps(NOVELAI_CHUNKS))),
        CORE | KARRAS | {"guidance_rescale": 0.25},
    ),
    sample("ComfyUI", "0.3.50", {"prompt": json.dumps(COMFY), "workflow": "{}"}, CORE | SDXL | VAE_AND_INK | EXPONENTIAL),
    sample("ComfyUI", "0.3.50 zTXt", {"prompt": json.dumps(COMFY)}, CORE | SDXL | VAE_AND_INK | EXPONENTIAL, kind=b"zTXt"),
    sample(
        "ComfyUI", "0.3.50 image to image", {"prompt": json.dumps(COMFY_IMG2IMG)},
        {key: value for key, value in CORE.items() if key not in ("width", "height")} | SDXL | FROM_PICTURE
        | {"sampler": "euler_a", "spacing": "linspace", "parts": VAE_AND_INK["parts"][:1]},
    ),
    sample("ComfyUI", "0.3.50 FLUX", {"prompt": json.dumps(COMFY_FLUX)}, FLUX, "Trailing does not go", "'ae'"),
    Sample(
        "ComfyUI", "0.3.50 WebP", exif("WEBP", {0x010F: "workflow:{}", 0x0110: "prompt:" + json.dumps(COMFY)}),
        CORE | SDXL | VAE_AND_INK | EXPONENTIAL,
    ),
    sample("Civitai", "site, as AUTOMATIC1111", {"parameters": CIVITAI_TEXT}, CORE | INK | ANCESTRAL | SDXL | CLIP_SKIP),
    Sample(
        "Civitai", "site, 2025", exif("JPEG", {}, comment=unicode(json.dumps(CIVITAI))), CORE | KARRAS,
        "Civitai 101055 version 128078|Civitai 12 version 34".partition("|")[::2],
    ),
    sample(
        "Stability Matrix", "2.14",
        {"parameters-json": json.dumps(STABILITY_MATRIX).replace("\\\\", "\\"), "smproj": "{}", "prompt": json.dumps(COMFY)},
        CORE | SDXL | VAE_AND_INK | EXPONENTIAL,
    ),
    sample("Stability Matrix", "2.14 without a graph", {
        "parameters-json": json.dumps(STABILITY_MATRIX).replace("\\\\", "\\"), "smproj": "{}",
    }, CORE | SDXL | {"sampler": "dpmpp_2m_sde", "spacing": "default"}),
    sample(
        "Draw Things", "1.20250626", {"XML:com.adobe.xmp": DRAW_THINGS_XMP},
        CORE | SDXL | INK | {"sampler": "dpmpp_2m", "spacing": "ays"}, "shift", kind=b"iTXt",
    ),
    Sample(
        "Draw Things", "1.20250626 JPEG", exif("JPEG", {}, comment=b"ASCII\0\0\0" + json.dumps(DRAW_THINGS).encode()),
        CORE | SDXL | INK | {"sampler": "dpmpp_2m", "spacing": "ays"},
    ),
]  # fmt: skip
