"""Stability Matrix (2.10 on), whose inference runs ComfyUI: its own JSON in "parameters-json", and the graph in "prompt".

Keys as in its `GenerationParameters`; LoRAs and VAE are in the graph alone.
"""

from studio.metadata.found import File, Found, Texts, number, text
from studio.metadata.programs import comfyui
from studio.metadata.programs.a1111 import without_loras
from studio.metadata.programs.comfyui_graph import Graph

_FIELDS = {"Seed": "seed", "Steps": "steps", "CfgScale": "guidance_scale", "Width": "width", "Height": "height"}


def read(texts: Texts) -> Found | None:
    data = texts.object("parameters-json")
    if "PositivePrompt" not in data:
        return None
    graph = Graph.of(texts.object("prompt"))
    found = comfyui.read_graph(graph) if graph else Found("", None, None)
    found.program = "Stability Matrix"
    found.prompt, loras = without_loras(text(data["PositivePrompt"]))
    found.negative_prompt = text(data.get("NegativePrompt"))
    found.loras = found.loras or loras
    found.notes = [each for each in found.notes if comfyui.CUSTOM not in each]
    for theirs, ours in _FIELDS.items():
        if number(data.get(theirs)) not in (0, None):  # 0 where it was not set
            found.put(ours, data[theirs])
    if text(data.get("Sampler")) and not found.sampler:
        found.sampler = text(data["Sampler"])
    if name := text(data.get("ModelName")):
        found.model = File(name, text(data.get("ModelHash")))
    return found
