"""Says what a weights file is from the names and shapes in its header: kind, family, variant. The first rule that fits wins.

Pure: a Header in, a Sniffed out. The rules live in `attachments` and `checkpoints`; their order is decided here.
"""

from collections.abc import Callable
from dataclasses import replace

from studio.manager.disk import attachments, checkpoints
from studio.manager.disk.checkpoints import PREFIX, TITLES
from studio.manager.disk.gguf_header import UNPACKED
from studio.manager.disk.header_view import Sniffed, View
from studio.manager.disk.headers import Header, shown

__all__ = ["PREFIX", "TITLES", "Sniffed", "sniff"]

RULES: tuple[Callable[[View], Sniffed | None], ...] = (
    attachments.ip_adapter,  # before LoRAs, which those for faces carry within
    attachments.controlnet,
    attachments.lora,
    attachments.upscaler,
    attachments.t2i_adapter,
    checkpoints.transformer,
    checkpoints.unet,
    checkpoints.vae,
    checkpoints.component,
    attachments.embedding,
)


WEIGHTY = frozenset({"checkpoint", "text_encoder", "vae"})  # kinds that are converted
QUANTISED = frozenset({"I8", "U8", "F4", "F6_E2M3", "F6_E3M2"})


def sniff(header: Header, name: str) -> Sniffed:
    """`name` is the file's name without folder."""
    view = View(header, name)
    found = next((found for rule in RULES if (found := rule(view))), None)
    if found is None:
        return Sniffed("unknown", problem=_unknown(header))
    return _packed(found, header) if header.format == "gguf" else _quantised(found, header)


def _unknown(header: Header) -> str:
    if not header.tensors:
        return "It holds no tensors."
    architecture = header.metadata.get("general.architecture")
    if architecture:
        return (
            f"Nothing in its header is known here; it says that it is of the architecture {shown(architecture, 40)!r}."
        )
    return "Nothing in its header is known here."


def _quantised(found: Sniffed, header: Header) -> Sniffed:
    """With the reason where weights are whole numbers, which mean nothing without their packer's tables."""
    whole = sorted({t.dtype for t in header.tensors.values() if len(t.shape) > 1 and t.dtype in QUANTISED})
    if found.problem or found.kind not in WEIGHTY or not whole:
        return found
    return replace(
        found,
        problem=f"Its weights are quantised ({whole[0]}) in a way that is not read here; fetch the fp16, bf16, fp8 or GGUF file.",
    )


def _packed(found: Sniffed, header: Header) -> Sniffed:
    """As GGUF; with the packing in which its weights are, where that is not read."""
    strange = sorted({tensor.dtype for tensor in header.tensors.values() if len(tensor.shape) > 1} - UNPACKED)
    words = [
        f"Its weights are packed as {name}, which is not read here; fetch another packing of it." for name in strange
    ]
    kind = "gguf" if found.kind == "checkpoint" else found.kind
    return replace(found, kind=kind, problem=found.problem or next(iter(words), None))
