"""IP-Adapters: attention processors and a projection on the U-Net for the length of a run, and a CLIP image encoder beside it.

Reads the publishers' files (`image_proj.*`, `ip_adapter.*`): plain, plus and full face. What the encoder sees is the engine's.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from studio.core.errors import ModelError
from studio.core.parts import IPAdapter
from studio.manager.disk.folder_parts import weight_files
from studio.manager.disk.headers import read_header
from studio.manager.disk.image_encoders import CLASS, Encoder, config_of, problem
from studio.manager.loading import Source, explained
from studio.manager.parts.base import Context, Support, register
from studio.manager.parts.lora_files import read_tensors

ENCODER, PROCESSOR = "image_encoder", "feature_extractor"  # as pipelines call them
HIDDEN = "ip_adapter_hidden"  # among the components of a run: model of an adapter -> whether it reads hidden states
# Mode -> the layers that then see the reference (Wang et al. 2024, InstantStyle), by whether the U-Net is SDXL's.
BLOCKS: dict[tuple[str, bool], dict[str, Any]] = {
    ("style", True): {"up": {"block_0": [0.0, 1.0, 0.0]}},
    ("style", False): {"up": {"block_1": [1.0, 1.0, 1.0]}},
    ("composition", True): {"down": {"block_2": [0.0, 1.0]}},
    ("composition", False): {"down": {"block_2": [1.0, 1.0]}},
}


class IPAdapterSupport(Support):
    """A part names a file as `model`. Its processors are the U-Net's while it is attached, so weights cannot be streamed."""

    streamable = False
    encoders = (ENCODER,)

    def components(self, part: IPAdapter, context: Context) -> dict[str, Source]:
        folder = _encoder(part, context).folder
        files, variant = weight_files(folder)
        return {ENCODER: Source(ENCODER, "transformers", CLASS, folder, tuple(files), config_of(folder), variant)}

    def pipeline_arguments(self, parts: Sequence[IPAdapter], modules: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        found = [module[ENCODER] for module in modules]
        if any(each is not found[0] for each in found):
            raise ModelError(
                "These IP-Adapters read their pictures with different image encoders; a run has one of them."
            )
        return {ENCODER: found[0]}

    def attachments(self, part: IPAdapter, context: Context) -> dict[str, Path]:
        return {f"ip-adapter {part.model}": context.file(part.model, "ip_adapter")}

    def adapt(self, part: IPAdapter, context: Context, small: Mapping[str, Any]) -> dict[str, Any]:
        """The processor as diffusers makes it for an adapter, and how this one reads the encoder."""
        from transformers import CLIPImageProcessor

        encoder = _encoder(part, context)
        size = config_of(encoder.folder).get("image_size", 224)
        processor = CLIPImageProcessor(size=size, crop_size=size)
        return {PROCESSOR: processor, HIDDEN: {**small.get(HIDDEN, {}), part.model: encoder.hidden}}

    @contextmanager
    def attach_all(self, parts: Sequence[IPAdapter], context: Context, modules: Mapping[str, Any]) -> Iterator[None]:
        """All adapters at once, which is how diffusers loads several."""
        unet = modules.get(context.family.denoiser)
        if unet is None:
            yield
            return
        scales = [_scale(part, context, unet) for part in parts]
        states = [_states(part, context, unet) for part in parts]
        names = " and ".join(dict.fromkeys(context.file(part.model, "ip_adapter").stem for part in parts))
        from diffusers.loaders.ip_adapter import IPAdapterMixin
        from diffusers.models.attention_processor import AttnProcessor2_0

        with _as_before(unet):
            unet.set_attn_processor(AttnProcessor2_0())
            with explained(f"The IP-Adapter {names} does not fit this model"):
                unet._load_ip_adapter_weights(states)
                IPAdapterMixin.set_ip_adapter_scale(SimpleNamespace(unet=unet), scales)
            yield


def _encoder(part: IPAdapter, context: Context) -> Encoder:
    file = context.file(part.model, "ip_adapter")
    found = context.catalog.image_encoder(file)
    if found is None:
        raise ModelError(f"The IP-Adapter {file.stem} cannot be used: {problem(file, ())}")
    return found


def _scale(part: IPAdapter, context: Context, unet: Any) -> Any:
    """As `set_ip_adapter_scale` takes it. Raises ModelError where the U-Net has not the layers of the mode."""
    if part.mode == "all":
        return part.weight
    layers = BLOCKS[part.mode, context.family.name == "sdxl"]
    (side, blocks), *_ = layers.items()
    (block, on), *_ = blocks.items()
    stages = getattr(unet, f"{side}_blocks")
    number = int(block.removeprefix("block_"))
    if len(stages) <= number or len(getattr(stages[number], "attentions", ())) != len(on):
        raise ModelError(f"{context.info.title} has no layers for {part.mode} alone, as SD 1.5 and SDXL have them.")
    return {side: {block: [part.weight * each for each in on]}}


def _states(part: IPAdapter, context: Context, unet: Any) -> dict[str, dict[str, Any]]:
    """The file's tensors as diffusers' loader takes them. Raises ModelError where they do not fit the U-Net."""
    file = context.file(part.model, "ip_adapter")
    keys = [(f"ip_adapter.{number}.to_{side}_ip.weight", layer) for number, layer in _layers(unet) for side in "kv"]
    shapes = {key: tensor.shape for key, tensor in read_header(file).tensors.items()}
    own = {key for key in shapes if key.startswith("ip_adapter.") and "_ip." in key}
    if own != {key for key, _ in keys} or any(shapes[key] != tuple(layer.to_k.weight.shape) for key, layer in keys):
        raise ModelError(f"The IP-Adapter {file.stem} does not fit {context.info.title}, whose layers are others.")
    states: dict[str, dict[str, Any]] = {"image_proj": {}, "ip_adapter": {}}
    for key, tensor in read_tensors(file, "IP-Adapter").items():
        half, _, name = key.partition(".")
        if half in states:
            states[half][name] = tensor
    return states


def _layers(unet: Any) -> list[tuple[int, Any]]:
    """(number in the files, cross-attention layer): diffusers counts all layers of attention in the processors' order."""
    cross = [name.removesuffix(".processor") for name in unet.attn_processors if not name.endswith("attn1.processor")]
    return [(2 * place + 1, unet.get_submodule(name)) for place, name in enumerate(cross)]


@contextmanager
def _as_before(unet: Any) -> Iterator[None]:
    """What an adapter changes of a U-Net is put back, to the last bit, whatever happens."""
    processors, projection, kind = unet.attn_processors, unet.encoder_hid_proj, unet.config.encoder_hid_dim_type
    try:
        yield
    finally:
        del unet.encoder_hid_proj  # before the rest: it may have processors of its own
        unet.encoder_hid_proj = projection
        unet.set_attn_processor(processors)
        unet.config.encoder_hid_dim_type = kind


register("ip_adapter", IPAdapterSupport())
