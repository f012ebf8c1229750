"""Every field that another program's picture says and that has a place here is read; the rest is said."""

import copy
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from studio.core.errors import InvalidRequest
from studio.core.models import Capabilities, Defaults, ModelInfo
from studio.metadata.containers import read_texts
from studio.metadata.fit import Settings, fit
from studio.metadata.found import Texts
from studio.metadata.programs.comfyui import read_graph
from studio.metadata.programs.comfyui_graph import Graph, Node
from studio.metadata.reader import find, read
from tests.metadata import corpus
from tests.metadata.corpus import COMFY, HASH, NEGATIVE, PROMPT, SAMPLES, Sample, exif, node, png, unicode

MODELS = [
    ModelInfo(
        id="checkpoints/sd_xl_base_1.0", title="SD XL", kind="checkpoint", family="sdxl", sha256=HASH,
        capabilities=Capabilities(tasks=("text_to_image", "image_to_image"), parts=("vae", "lora")),
    ),
    ModelInfo(
        id="flux1-dev", title="FLUX.1", kind="diffusers", family="flux", defaults=Defaults(sampler="flow_euler"),
        capabilities=Capabilities(prediction="flow_prediction", negative=False, rescale=False),
    ),
    ModelInfo(id="loras/ink", title="Ink", kind="lora", family="sdxl"),
    ModelInfo(id="vae/sdxl_vae", title="SDXL VAE", kind="vae", family="sdxl"),
]  # fmt: skip


def name(sample: Sample) -> str:
    return f"{sample.program} {sample.version}"


@pytest.mark.parametrize("sample", SAMPLES, ids=name)
def test_the_program_is_known_and_all_of_its_fields_are_read(sample: Sample) -> None:
    if sample.texts:
        found = find(Texts(read_texts(sample.file)))
        assert found is not None and found.program == sample.program
    settings = read(sample.file, MODELS)
    assert settings.fields == {"guidance_rescale": 0.0, "clip_skip": 1, "parts": []} | sample.fields
    assert all(any(each in note for note in settings.notes) for each in sample.notes), settings.notes


def test_fields_read_by_program(capsys: pytest.CaptureFixture[str]) -> None:
    """What the pictures of the corpus say, and how much of it comes back."""
    said, came = Counter[str](), Counter[str]()
    for sample in SAMPLES:
        fields = read(sample.file, MODELS).fields
        said[sample.program] += len(sample.fields)
        came[sample.program] += sum(fields.get(key) == value for key, value in sample.fields.items())
    with capsys.disabled():
        print(f"\n{sum(came.values())} of {sum(said.values())} fields:", dict(came))
    assert came == said and len(said) == 12


def test_no_raw_json_lands_in_a_prompt() -> None:
    for sample in SAMPLES:
        for text in sample.texts.values():
            try:
                fields = read(png({"parameters": text}), MODELS).fields
            except InvalidRequest:
                continue
            assert not str(fields.get("prompt", "")).lstrip().startswith("{")


def test_json_of_an_unknown_program_is_named_for_what_it_is() -> None:
    for file in (
        png({"parameters": '{"engine": "x", "text": "a cat"}'}),
        exif("JPEG", {}, comment=unicode('{"engine": 1}')),
    ):
        with pytest.raises(InvalidRequest, match="JSON of a program that is not known here, with: 'engine'"):
            read(file, MODELS)


def test_a_comment_of_a_camera_is_no_prompt() -> None:
    with pytest.raises(InvalidRequest, match="carries no settings"):
        read(exif("JPEG", {}, comment=b"ASCII\0\0\0Screenshot"), MODELS)


def test_a_graph_of_custom_nodes_is_named_with_its_prompts() -> None:
    graph = {
        "1": node("EasyDoEverything", seed=1),
        "2": node("FancyTextEncode", text=PROMPT),
        "3": node("SaveImage", images=["1", 0]),
    }
    with pytest.raises(InvalidRequest, match=f"a ComfyUI graph with custom nodes; its prompt texts are: “{PROMPT}”"):
        read(png({"prompt": json.dumps(graph)}), MODELS)
    workflow = {"nodes": [{"type": "CLIPTextEncode", "widgets_values": [PROMPT]}, {"type": "KSampler"}]}
    with pytest.raises(InvalidRequest, match=f"workflow without the values that ran; its prompt texts are: “{PROMPT}”"):
        read(png({"workflow": json.dumps(workflow)}), MODELS)


def test_nodes_that_have_no_place_here_are_named_and_the_first_pass_counts() -> None:
    second = node(
        "KSampler", seed=1, steps=5, cfg=2, sampler_name="euler", scheduler="normal", denoise=0.5,
        model=["10", 0], positive=["6", 0], negative=["7", 0], latent_image=["40", 0],
    )  # fmt: skip
    more = {"40": node("LatentUpscaleBy", samples=["3", 0], scale_by=1.5), "41": second}
    control = {"42": node("ControlNetApplyAdvanced", positive=["6", 0], negative=["7", 0], strength=1)}
    graph = copy.deepcopy(COMFY | more | control)
    graph["8"]["inputs"]["samples"] = ["41", 0]
    graph["3"]["inputs"] |= {"positive": ["42", 0], "negative": ["42", 1]}
    settings = read(png({"prompt": json.dumps(graph)}), MODELS)
    assert settings.fields.items() >= {"prompt": PROMPT, "negative_prompt": NEGATIVE, "steps": 28, "width": 832}.items()
    assert settings.notes == (
        "Its graph has 2 sampler nodes; these are the settings of the first.",
        "Not used here: ControlNetApplyAdvanced, LatentUpscaleBy.",
    )


def test_a_graph_whose_links_go_round_is_walked_once() -> None:
    graph = copy.deepcopy(COMFY)
    graph["10"]["inputs"]["model"] = ["10", 0]
    graph["20"]["inputs"] = {"value": ["20", 0]}
    graph["6"]["inputs"]["text"] = ["6", 0]
    assert "seed" not in read(png({"prompt": json.dumps(graph)}), MODELS).fields


def test_a_graph_is_read_in_linear_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of its many samplers starts from the one before, each LoRA is put on the one before, and values go round."""
    hops: list[Node] = []
    before = Graph._before

    def counted(graph: Graph, node: Node, way: Any) -> list[Node]:
        hops.append(node)
        return before(graph, node, way)

    monkeypatch.setattr(Graph, "_before", counted)

    def work(length: int) -> int:
        graph = {
            "s0": node("EmptyLatentImage", width=64, height=64),
            "m0": node("CheckpointLoaderSimple", ckpt_name="x"),
        }
        for n in range(length):
            graph[f"m{n + 1}"] = node("LoraLoader", lora_name=f"l{n}", strength_model=1, model=[f"m{n}", 0])
            inputs = {
                "positive": ["t", 0],
                "negative": [f"s{n}", 0],
                "latent_image": [f"s{n}", 0],
                "model": [f"m{length}", 0],
            }
            graph[f"s{n + 1}"] = node("KSampler", seed=[f"s{n}", 0], **inputs)
        hops.clear()
        assert read_graph(Graph.of(graph)).values["width"] == 64
        return len(hops)

    assert work(800) <= 2.1 * work(400)


def test_a_seed_that_javascript_would_round_travels_as_text() -> None:
    graph = copy.deepcopy(COMFY)
    graph["3"]["inputs"]["seed"] = 2**64 - 1
    assert read(png({"prompt": json.dumps(graph)}), MODELS).fields["seed"] == str(2**64 - 1)


def mutations(value: Any) -> Iterator[Any]:
    """The value with each thing inside it replaced by things of other kinds, one at a time."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            for other in (None, [[1]], {"a": "b"}, "9" * 5000, 1e400):
                changed = copy.copy(value)
                changed[key] = other
                yield changed
            for inner in mutations(value[key]):
                changed = copy.copy(value)
                changed[key] = inner
                yield changed


@pytest.mark.parametrize("sample", {each.program: each for each in SAMPLES if each.texts}.values(), ids=name)
def test_whatever_stands_in_their_json_settings_or_a_sentence_come_of_it(sample: Sample) -> None:
    for key, text in sample.texts.items():
        if not text.startswith("{"):
            continue
        for changed in mutations(json.loads(text)):
            found = find(Texts({**sample.texts, key: json.dumps(changed)}))
            settings = fit(found, MODELS) if found else Settings({}, ())
            assert all(len(note) < 3000 for note in settings.notes)


@pytest.mark.parametrize("signature", [b"stealth_pnginfo", b"stealth_pngcomp", b"stealth_rgbinfo", b"stealth_rgbcomp"])
def test_texts_hidden_in_pixels_are_found(signature: bytes) -> None:
    assert read(corpus.hidden(corpus.REFORGE, signature), MODELS).fields["prompt"] == PROMPT


def test_a_hidden_text_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.metadata.stealth.MAX_TEXT", 100)
    with pytest.raises(InvalidRequest, match="carries no settings"):
        read(corpus.hidden(corpus.REFORGE), MODELS)
