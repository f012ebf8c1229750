"""Pictures that were made on Civitai's own site (2024 on): a ComfyUI graph with "extra" and "extraMetadata" beside its nodes.

`extraMetadata` is JSON within JSON and has what the person requested; files go by AIR names. What Civitai writes as
AUTOMATIC1111's text ("Civitai resources") is read there.
"""

from typing import Any

from studio.metadata.found import Found, Texts, as_object, left, objects, text
from studio.metadata.programs import air, comfyui
from studio.metadata.programs.a1111 import without_loras
from studio.metadata.programs.comfyui_graph import Graph

_FIELDS = {"seed": "seed", "steps": "steps", "cfgScale": "guidance_scale", "width": "width", "height": "height"}
_KNOWN = frozenset(
    {*_FIELDS, "prompt", "negativePrompt", "sampler", "scheduler", "baseModel", "resources", "workflowId", "workflow"}
    | {"remixOfId", "quantity", "priority", "outputFormat", "aspectRatio", "draft", "process"}
)


def read(texts: Texts) -> Found | None:
    for whole in (texts.object(texts.main), texts.object("prompt")):
        asked = as_object(whole.get("extraMetadata")) or texts.object("extraMetadata")
        extra = as_object(whole.get("extra"))
        if asked or "airs" in extra:
            return _read(Graph.of(whole), asked, extra)
    return None


def _read(graph: Graph, asked: dict[str, Any], extra: dict[str, Any]) -> Found:
    """What was requested; what that leaves open is in the graph, and the files are in any of three places."""
    found = comfyui.read_graph(graph) if graph else Found("Civitai", None, None)
    found.program = "Civitai"
    if "prompt" in asked:
        found.prompt, loras = without_loras(text(asked["prompt"]))
        found.negative_prompt = text(asked.get("negativePrompt"))
        found.loras = found.loras or loras
        found.notes = [each for each in found.notes if comfyui.CUSTOM not in each]
    for theirs, ours in _FIELDS.items():
        found.put(ours, asked.get(theirs))
    if text(asked.get("sampler")):
        found.sampler, found.schedule = text(asked["sampler"]), text(asked.get("scheduler"))
    airs = extra.get("airs")
    named = [{"air": each} for each in airs if isinstance(each, str)] if isinstance(airs, list) else []
    resources = objects(asked.get("resources")) + named
    found.model = found.model or air.checkpoint(resources)
    found.loras = found.loras or air.loras(resources)
    found.unused += left(asked, _KNOWN)
    return found
