"""ComfyUI (0.3): the graph that ran, {id: {"class_type", "inputs"}}, in PNG's "prompt" or an Exif tag elsewhere.

A plain chain is followed from its sampler node to the prompts, model, LoRAs and size. Of any other graph the prompt texts
are named. Nodes are known by what their inputs are called, which many packs of custom nodes copy.
"""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from studio.metadata.found import USER_COMMENT, File, Found, Texts, as_object, decimal, text
from studio.metadata.programs import air
from studio.metadata.programs.comfyui_graph import LATENT, MODEL, NEGATIVE, POSITIVE, Graph, Node

_PLACES = ("exif:Make", "exif:Model", "exif:ImageDescription", USER_COMMENT)
_MODEL_NAMES = ("ckpt_name", "unet_name", "model_name")
_SIZES = (("width", "height"), ("empty_latent_width", "empty_latent_height"))
_SCHEDULES = {  # nodes that are a schedule by themselves
    "KarrasScheduler": "karras",
    "ExponentialScheduler": "exponential",
    "BetaSamplingScheduler": "beta",
    "AlignYourStepsScheduler": "ays",
    "SDTurboScheduler": "trailing",
}
# Parts of the names of nodes that change no picture by themselves, or whose inputs are read.
_READ = (
    *(
        "Save",
        "Preview",
        "VAE",
        "CLIPLoader",
        "TextEncode",
        "Primitive",
        "Reroute",
        "LoadImage",
        "Note",
        "KSamplerSelect",
    ),
    *("Scheduler", "RandomNoise", "CFGGuider", "BasicGuider", "FluxGuidance", "ConditioningZeroOut", "ModelSampling"),
    *("ControlNetLoader", "CLIPSetLastLayer", "RescaleCFG", "String", "Text"),
)
_LOOKED_AT = 20  # sampler nodes, for the one that starts from nothing; each look walks the graph
_QUOTED = 200  # characters of a prompt text
CUSTOM = "a ComfyUI graph with custom nodes"


def read(texts: Texts) -> Found | None:
    graph = _graph(texts)
    if graph:
        return read_graph(graph)
    workflow = texts.object("workflow") or as_object(texts.object(texts.main).get("workflow"))
    if isinstance(workflow.get("nodes"), list):
        return _unread("a ComfyUI workflow without the values that ran", _workflow_texts(workflow["nodes"]))
    return None


def _graph(texts: Texts) -> Graph:
    """From the chunk, from an object that holds it, or from an Exif tag that begins with its name."""
    main = texts.object(texts.main)
    for value in (texts.get("prompt"), main.get("prompt"), main):
        if graph := Graph.of(as_object(value)):
            return graph
    for place in _PLACES:
        name, _, value = texts.get(place, "").partition(":")
        if name.lower() == "prompt" and (graph := Graph.of(as_object(value))):
            return graph
    return Graph({})


def read_graph(graph: Graph) -> Found:
    samplers = [node for node in graph.used() if _is_sampler(node)]
    first = next((node for node in samplers[:_LOOKED_AT] if _empty(graph, node)), samplers[0] if samplers else None)
    if first is None:
        return _unread(CUSTOM, graph.texts())
    found = Found("ComfyUI", prompt=None, negative_prompt=None)
    _add_run(found, graph, first)
    _add_prompts(found, graph, first)
    _add_files(found, graph, first)
    _add_start(found, graph, first)
    if len(samplers) > 1:
        found.notes.append(f"Its graph has {len(samplers)} sampler nodes; these are the settings of the first.")
    if found.prompt is None:
        found.notes.append(_sentence(CUSTOM, graph.texts()))
    found.unused += sorted({node.kind for node in graph.used() if not _is_read(node)})
    return found


def _is_sampler(node: Node) -> bool:
    return "latent_image" in node.inputs and bool({"positive", "guider"} & node.inputs.keys())


def _is_read(node: Node) -> bool:
    sized = any({*pair} <= node.inputs.keys() for pair in _SIZES) and "Latent" in node.kind
    return (
        _is_sampler(node)
        or sized
        or any(each in node.kind for each in _READ)
        or bool(_model_name(node) or _loras(node))
    )


def _guider(graph: Graph, sampler: Node) -> Node:
    """Where model and prompts are linked to: SamplerCustomAdvanced's guider, or the sampler itself."""
    return graph.node(sampler, "guider") or sampler


def _add_run(found: Found, graph: Graph, sampler: Node) -> None:
    """Steps, seed, CFG, sampler and schedule: inputs of the sampler, or of the nodes that a SamplerCustom is made of."""
    linked = (graph.node(sampler, name) for name in ("noise", "guider", "sampler", "sigmas"))
    nodes = [sampler, *(node for node in linked if node is not None)]
    found.put("seed", _number(graph, nodes, "seed", "noise_seed"))
    found.put("steps", _number(graph, nodes, "steps"))
    found.put("guidance_scale", _number(graph, nodes, "cfg"))
    found.sampler = _name(graph, nodes, "sampler_name")
    found.schedule = _name(graph, nodes, "scheduler")
    sigmas = graph.node(sampler, "sigmas")
    if sigmas is not None and not found.schedule:
        found.schedule = _SCHEDULES.get(sigmas.kind, sigmas.kind)
    found.strength = decimal(_number(graph, nodes, "denoise"))
    if decimal(graph.value(sampler, "start_at_step")):
        found.unused.append("start_at_step")


def _number(graph: Graph, nodes: Iterable[Node], *names: str) -> Any:
    values = (graph.value(node, name) for node in nodes for name in names)
    return next((value for value in values if decimal(value) is not None), None)


def _name(graph: Graph, nodes: Iterable[Node], name: str) -> str:
    return next((value for node in nodes if (value := text(graph.value(node, name)))), "")


def _add_prompts(found: Found, graph: Graph, sampler: Node) -> None:
    source = _guider(graph, sampler)
    found.prompt = graph.words(source, POSITIVE)
    negative = graph.words(source, NEGATIVE) if "negative" in source.inputs else None
    found.negative_prompt = "" if negative is None and found.prompt is not None else negative
    nodes = [*graph.upstream(source, POSITIVE)]
    distilled = _number(graph, nodes, "guidance")
    if distilled is not None and decimal(found.values.get("guidance_scale", 1)) == 1:
        found.put("guidance_scale", distilled)  # FLUX's, which it was distilled with; its CFG is 1


def file(name: str, weight: float | None = None, text_weight: float | None = None) -> File:
    """A file's name may be Civitai's for it."""
    named = air.parse(name)
    return File(named[1] if named else name, weight=1.0 if weight is None else weight, text_weight=text_weight)


def _add_files(found: Found, graph: Graph, sampler: Node) -> None:
    """The model is followed up to its loader; each LoRA on the way was put on."""
    for node in graph.upstream(_guider(graph, sampler), MODEL):
        if loras := _loras(node):
            found.loras += reversed(loras)
        elif name := _model_name(node):
            found.model = file(name)
        elif node.kind == "RescaleCFG":
            found.put("guidance_rescale", graph.value(node, "multiplier"))
    found.loras.reverse()  # in the order in which they were put on
    for node in graph.used():
        if "VAEDecode" in node.kind and (loader := graph.node(node, "vae")) and text(loader.inputs.get("vae_name")):
            found.vae = file(loader.inputs["vae_name"])
        if node.kind == "CLIPSetLastLayer":
            found.unused.append("CLIP skip")


def _model_name(node: Node) -> str:
    return next((name for key in _MODEL_NAMES if (name := text(node.inputs.get(key)))), "")


def _loras(node: Node) -> list[File]:
    """One LoRA of LoraLoader, or the rows of rgthree's Power Lora Loader."""
    if name := text(node.inputs.get("lora_name")):
        weight, both = (decimal(node.inputs.get(key)) for key in ("strength_model", "strength_clip"))
        return [] if name == "None" else [file(name, weight, both)]
    rows = [each for each in node.inputs.values() if isinstance(each, dict) and text(each.get("lora"))]
    return [file(each["lora"], decimal(each.get("strength"))) for each in rows if each.get("on", True)]


def _latents(graph: Graph, sampler: Node) -> Iterator[Node]:
    """Where the latent that it starts from is from, as far as another sampler that made it."""
    return itertools.takewhile(lambda node: not _is_sampler(node), graph.upstream(sampler, LATENT))


def _empty(graph: Graph, sampler: Node) -> tuple[Any, Any] | None:
    """(width, height) of the empty latent that the sampler starts from; None if it starts from something else."""
    for node in _latents(graph, sampler):
        for width, height in _SIZES:
            if "VAEEncode" not in node.kind and "Upscale" not in node.kind and {width, height} <= node.inputs.keys():
                return graph.value(node, width), graph.value(node, height)
    return None


def _add_start(found: Found, graph: Graph, sampler: Node) -> None:
    """An empty latent has the size; one that was encoded from a picture makes the run one from that picture."""
    strength, found.strength = found.strength, None
    if (size := _empty(graph, sampler)) is not None:
        found.put("width", size[0])
        found.put("height", size[1])
    elif any("VAEEncode" in each.kind for each in _latents(graph, sampler)):
        found.strength = 1.0 if strength is None else strength
    elif strength is not None and strength < 1:
        found.unused.append("denoise")


def _unread(what: str, words: list[str]) -> Found:
    return Found("ComfyUI", prompt=None, negative_prompt=None, notes=[_sentence(what, words)])


def _sentence(what: str, words: list[str]) -> str:
    if not words:
        return f"It is {what}; it has no prompt text."
    quoted = "; ".join(f"“{each[:_QUOTED]}{'…' if len(each) > _QUOTED else ''}”" for each in words[:4])
    return f"It is {what}; its prompt texts are: {quoted}."


def _workflow_texts(nodes: list[Any]) -> list[str]:
    """What is in the boxes of the nodes that encode text, as the window saved them."""
    encoders = [each for each in nodes if isinstance(each, dict) and "TextEncode" in text(each.get("type"))]
    boxes = [each.get("widgets_values") for each in encoders]
    return [words for box in boxes if isinstance(box, list) for each in box[:1] if (words := text(each).strip())]
