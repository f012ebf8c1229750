"""Writes studio/manager/families/pipelines.json: what each pipeline class of the installed diffusers takes and does.

    python scripts/pipelines_table.py           write the table
    python scripts/pipelines_table.py --check   compare it with the installed diffusers; 1 and the rows if they differ

The facts are read from diffusers' source by its syntax and a few expressions; what source does not say is in CORRECTIONS.
`pipeline_table.Row` explains each fact. Run it after another version of diffusers is pinned, and read the difference.
"""

import argparse
import ast
import functools
import importlib.metadata
import importlib.util
import json
import re
import sys
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from studio.manager.families.generic import AS_WRITTEN, TRUE_SCALE  # noqa: E402
from studio.manager.families.pipeline_table import FILE, Row  # noqa: E402

# ---- what no source says -------------------------------------------------------------------------------------------

# Of several pictures these give the denoiser two timesteps in all, pair the wrong prompts, or take many generators for one.
_ALONE = (
    "PRXPipeline", "PRXPixelPipeline", "StableDiffusionPanoramaPipeline", "UniDiffuserPipeline", "VQDiffusionPipeline",
)  # fmt: skip
CORRECTIONS: dict[str, dict[str, Any]] = {name: {"alone": True} for name in _ALONE}
for name, values in {
    # Sizes that a cascade's ratios come out even at, and the size that it was trained for.
    "StableCascadeCombinedPipeline": {"multiple": 128, "width": 1024, "height": 1024},
    "WuerstchenCombinedPipeline": {"multiple": 128, "width": 1024, "height": 1024},
    # Perturbs a prediction that is there only where it is guided.
    "HunyuanDiTPAGPipeline": {"guided_only": True},
    # Its transformer has positions for one size's patches; it reads a negative prompt and does nothing with it.
    "UniDiffuserPipeline": {"fixed_size": True, "negative": False},
}.items():
    CORRECTIONS.setdefault(name, {}).update(values)

# Pipelines of the same shape that make something else than a picture, or one from another picture: by name.
ELSE = {
    r"SuperResolution|Upscal|Refiner": "enlarges or refines another model's picture",
    r"Edit(?!ing)|Pix2Pix|Layered|FunControl": "starts from a picture",
    r"Prior": "is the first half of a pair, and makes no picture without the second",
    r"Audio|Music|AceStep": "makes sound",
    r"Video|Latte": "makes video",
    r"Gemma|LLaDA": "writes text",
    r"ShapE|LDM3D": "makes shapes in space",
    r"Onnx": "runs on another library",
    r"^Cosmos2TextToImage": "is not made without NVIDIA's guardrail, a package and models of its own",
    r"ScoreSde|KarrasVe": "corrects its picture at every step, in a way that could not be shown or stopped",
    r"Paradigms": "denoises many steps at once, so that none of them could be shown or stopped",
}
# Parameters that only calls have which start from a picture, or from another model's.
FROM_PICTURE = frozenset(
    {
        "strength", "mask_image", "control_image", "controlnet_conditioning_scale", "adapter_conditioning_scale",
        "conditioning_scale", "image_guidance_scale", "noise_level", "gligen_boxes", "source_prompt",
    }
)  # fmt: skip
# The parameters that a row says of a call whether it has them.
PARAMETERS = (
    "prompt", "negative_prompt", "image", "mask_image", "control_image", "strength", "noise_level", "width", "height",
    "num_images_per_prompt", "guidance_scale", "guidance_rescale", "clip_skip", TRUE_SCALE, "max_area", "intermediate_timesteps",
    *AS_WRITTEN,
)  # fmt: skip

# ---- what pipelines are written like -------------------------------------------------------------------------------

SCHEDULER = "scheduler"
# What the component that predicts is called, by what stands before the name of its scheduler.
DENOISERS = {"": ("transformer", "unet", "image_unet", "decoder"), "prior_": ("prior_prior", "prior")}
DECODERS = ("vae", "vqvae", "movq", "vqgan")
GUIDANCE = (TRUE_SCALE, "guidance_scale", "decoder_guidance_scale", "distilled_guidance_scale")
ENCODERS = re.compile(r"encoder|embeddings$|^text_decoder$|^bert$|^text_proj$|^mllm$")
# A list of sizes, one of which a call takes in place of the size asked for; and what half precision has no numbers for.
SIZES = re.compile(r"self\.resolutions = (\[[^\]]*\])")
FULL_PRECISION = ("permute(0, 2, 3, 1).numpy()", '["antialias"] = True')
# Latent cells that a size is to be a multiple of, and pictures of one area alone.
CELLS = re.compile(r"% \(self\.vae_scale_factor \* (\d+)\)|divisible by \{self\.vae_scale_factor \* (\d+)\}")
AREA = re.compile(r"S_max = \(self\.default_sample_size \* self\.vae_scale_factor\) \*\* 2")
SIDE = re.compile(r"self\.default_sample_size = (\d+)")
PASSES_GENERATOR = re.compile(r"scheduler\.step\((?:[^()]|\([^()]*\))*?\bgenerator\s*=")
# Noise levels that UniPC takes as they come: what FLUX began, and most flow pipelines since have kept.
FLOW_LEVELS = ("np.linspace(1.0, 1 / num_inference_steps, num_inference_steps)", "mu=mu")
OPTIONAL = re.compile(r"_optional_components = \[(?P<names>[^\]]*)\]")

NEEDED = object()  # the default of a parameter that has none
COMPUTED = object()  # a default that is no plain value


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    if parser.parse_args(argv).check:
        found = differences()
        print("\n".join(found) or f"{FILE.name} is as the installed diffusers has it.")
        return 1 if found else 0
    FILE.write_text(table(), encoding="utf-8")
    return 0


def differences() -> list[str]:
    """The lines of the table that are not as the installed diffusers has them, `-` as they are and `+` as they should be."""
    now, made = (text.splitlines() for text in (FILE.read_text(encoding="utf-8"), table()))
    return [f"-{line}" for line in now if line not in set(made)] + [f"+{line}" for line in made if line not in set(now)]


def table() -> str:
    """The file's text: JSON, with one line a pipeline."""
    head = {
        "diffusers": importlib.metadata.version("diffusers"),
        "parameters": PARAMETERS,
        "schedulers_with_generator": schedulers_with_generator(),
    }
    rows = [f"    {json.dumps(name)}: {json.dumps(_facts(name, row))}" for name, row in sorted(rows_made().items())]
    lines = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in head.items()]
    lines.append('  "pipelines": {\n' + ",\n".join(rows) + "\n  }")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _facts(pipeline: str, row: Row) -> dict[str, Any]:
    """The facts that are not as their default."""
    facts = {}
    for one in fields(row):
        default = one.default if one.default_factory is MISSING else one.default_factory()
        if (value := getattr(row, one.name)) != default:
            facts[one.name] = value
    return facts


# ---- from source to rows -------------------------------------------------------------------------------------------


def rows_made() -> dict[str, Row]:
    made = {name: source_of(name) for name in _classes(PIPELINES) if "Pipeline" in name}
    return {name: _row(name, source) for name, source in made.items() if source is not None}


def _row(pipeline: str, source: "Source") -> Row:
    takes = tuple(name for name in PARAMETERS if name in source.call)
    if refused := _refusal(pipeline, source):
        return Row(refused, takes)
    loops = _loops(source)
    main = _main(source, loops)
    guidance = _guidance(source, main)
    before = {part for scheduler in list(loops)[: list(loops).index(main)] for part in loops[scheduler]}
    reads_codes = ".quantize." in source.text  # from its decoder's book, before the decoder is called
    sizes = SIZES.search(source.text)
    side = SIDE.search(source.text) if AREA.search(source.text) else None
    facts: dict[str, Any] = {
        "takes": takes,
        "loops": loops,
        "main": main,
        "guidance": guidance,
        "guider": "guider" in source.parts,
        "negative": "negative_prompt" in takes,
        **_defaults(source, main, guidance),
        "fixed_size": "width" not in takes,
        "sizes": tuple(ast.literal_eval(sizes[1])) if sizes else (),
        "cells": max((int(cells) for row in CELLS.findall(source.text) for cells in row if cells), default=1),
        "area": int(side[1]) if side else None,
        "alone": not source.lists_generators or "generator.initial_seed()" in source.text,
        "precise": any(words in source.text for words in FULL_PRECISION),
        # One that computes with the training schedule itself keeps the state at the data's scale likewise.
        "unscaled": "scale_model_input" not in source.text or "alphas_cumprod" in source.text,
        "passes_generator": PASSES_GENERATOR.search(source.text) is not None,
        "one_call_a_step": "torch.zeros((num_inference_steps" in source.text,
        "copies_scheduler": "copy.deepcopy(self.scheduler" in source.text,
        "whole_timesteps": "timesteps.dtype not in" in source.text,
        "flow_levels": all(words in source.text for words in FLOW_LEVELS),
        "encoders": tuple(part for part in source.parts if ENCODERS.search(part) or part in before),
        "decoder": next((name for name in DECODERS if name in source.parts and not reads_codes), None),
        "cells_first": "patch, patch, ae_channels" in source.text,
        "needs": source.needs,
    }
    return Row(**facts | CORRECTIONS.get(pipeline, {}))


def _refusal(pipeline: str, source: "Source") -> str:
    """Why it is not one that makes an image from a prompt and nothing else; empty if it is."""
    for words, reason in ELSE.items():
        if re.search(words, pipeline):
            return reason
    if "num_frames" in source.call:
        return "makes video"
    needed = {name for name, default in source.call.items() if default is NEEDED and name not in ("prompt", "kwargs")}
    if needed or FROM_PICTURE & source.call.keys():
        return "starts from more than a prompt"
    return "" if "prompt" in source.call else "takes no prompt"


def _loops(source: "Source") -> dict[str, tuple[str, ...]]:
    """Scheduler -> what predicts in its loop, in the order in which the loops run: one for each scheduler."""
    names = [part for part in source.parts if part.endswith(SCHEDULER)] or [SCHEDULER]
    names.sort(key=lambda name: not name.startswith("prior_"))
    return {name: _denoisers(source, name.removesuffix(SCHEDULER)) for name in names}


def _denoisers(source: "Source", before: str) -> tuple[str, ...]:
    named = DENOISERS.get(before) or (before.removesuffix("_"),)
    one = next((name for name in named if name in source.parts), None)
    if one is None:
        return tuple(part for part in source.parts if part.startswith(before) and part != before + SCHEDULER)
    return (one, *(part for part in source.parts if part.endswith(f"_{one}") and not before))


def _main(source: "Source", loops: dict[str, tuple[str, ...]]) -> str:
    """The scheduler of the last loop that its call guides by default: what comes after only adds detail."""
    guided = [loop for loop in loops if (name := _guidance(source, loop)) and (source.call[name] or 0) > 1]
    return (guided or list(loops))[-1]


def _guidance(source: "Source", scheduler: str) -> str | None:
    """The call's parameter for the guidance of a loop."""
    before = scheduler.removesuffix(SCHEDULER)
    names = (f"{before}guidance_scale",) if before else GUIDANCE
    return next((name for name in names if name in source.call), None)


def _defaults(source: "Source", main: str, guidance: str | None) -> dict[str, Any]:
    found = {
        "steps": source.call.get(f"{main.removesuffix(SCHEDULER)}num_inference_steps"),
        "guidance_scale": source.call.get(guidance) if guidance else 1.0,
        "width": source.call.get("width"),
        "height": source.call.get("height"),
    }
    return {name: value for name, value in found.items() if isinstance(value, int | float) and value > 0}


# ---- reading diffusers' source -------------------------------------------------------------------------------------

# diffusers' source is laid out by one formatter, so that classes and signatures can be found by their indentation.
# Parsing all of it takes ten times as long.
CLASS = re.compile(
    r"^class (?P<name>\w+)(?:\((?P<bases>[^)]*)\))?:\n(?P<body>.*?)(?=^(?:class|def|if) |^@|^\w+ = |\Z)", re.M | re.S
)
SIGNATURE = r"^    def {}\((?:.*\)|\n(?:        .*\n)*    \))(?: -> (?:\(\n(?:        .*\n)*    \)|.*))?:$"
MADE = re.compile(r"^        self\.\w+ = (\w+Pipeline)\(", re.M)
PIPELINES, SCHEDULERS = "pipelines/**/pipeline_*.py", "schedulers/scheduling_*.py"


@dataclass(frozen=True)
class Source:
    """`call`: the parameters of its call with their defaults; `parts`: those of its constructor, in order; `text`: its own
    source and that of the pipelines that it is made of."""

    call: dict[str, Any]
    parts: tuple[str, ...]
    text: str
    lists_generators: bool  # takes one generator an image
    needs: dict[str, str]  # parts that it cannot be made without -> their class


@functools.cache
def source_of(pipeline: str) -> Source | None:
    """None if diffusers has no such pipeline, or one without a call of its own."""
    classes = _classes(PIPELINES).get(pipeline, {})
    call, init = _method(classes, pipeline, "__call__"), _method(classes, pipeline, "__init__")
    if call is None:
        return None
    text = classes[pipeline]["body"]
    inner = [source_of(name) for name in MADE.findall(text)]
    generator = next((a.annotation for a in [*call.args, *call.kwonlyargs] if a.arg == "generator"), None)
    return Source(
        call=_parameters(call),
        parts=tuple(_parameters(init)) if init else (),
        text="\n".join([text, *(source.text for source in inner if source)]),
        lists_generators=generator is not None and "list" in ast.unparse(generator).lower(),
        needs=_needs(init, text) if init else {},
    )


def schedulers_with_generator() -> list[str]:
    """The schedulers whose `step` takes a generator."""
    steps = {name: _method(classes, name, "step") for name, classes in _classes(SCHEDULERS).items()}
    return sorted(name for name, step in steps.items() if step and "generator" in _parameters(step))


@functools.cache
def _classes(files: str) -> dict[str, dict[str, re.Match[str]]]:
    """Class -> the classes of the file of diffusers that defines it."""
    spec = importlib.util.find_spec("diffusers")
    assert spec is not None and spec.submodule_search_locations
    found: dict[str, dict[str, re.Match[str]]] = {}
    for path in sorted(Path(spec.submodule_search_locations[0]).glob(files)):
        classes = {match["name"]: match for match in CLASS.finditer(path.read_text(encoding="utf-8"))}
        found |= dict.fromkeys(classes, classes)
    return found


def _method(classes: dict[str, re.Match[str]], name: str, method: str) -> ast.arguments | None:
    """The arguments of a class's own method, or of that of a class in the same file which it derives from."""
    if name not in classes:
        return None
    if own := re.search(SIGNATURE.format(method), classes[name]["body"], re.M):
        [function] = ast.parse(f"{own[0].strip()} ...").body
        return function.args if isinstance(function, ast.FunctionDef) else None
    bases = re.findall(r"\w+", classes[name]["bases"] or "")
    return next((found for base in bases if (found := _method(classes, base, method))), None)


def _parameters(arguments: ast.arguments) -> dict[str, Any]:
    """Name -> default, without self."""
    names = [argument.arg for argument in arguments.args[1:]]
    defaults = [NEEDED] * (len(names) - len(arguments.defaults)) + [_value(default) for default in arguments.defaults]
    keywords = {
        argument.arg: NEEDED if default is None else _value(default)
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    }
    return dict(zip(names, defaults, strict=True)) | keywords


def _value(default: ast.expr) -> Any:
    try:
        return ast.literal_eval(default)
    except ValueError:
        return COMPUTED


def _needs(init: ast.arguments, text: str) -> dict[str, str]:
    """The constructor's parameters without a default, save what the class calls optional, as they are annotated."""
    optional = OPTIONAL.search(text)
    left_out = set(re.findall(r"\w+", optional["names"])) if optional else set[str]()
    needed = init.args[1 : len(init.args) - len(init.defaults)]
    return {a.arg: ast.unparse(a.annotation) if a.annotation else "" for a in needed if a.arg not in left_out}


if __name__ == "__main__":
    sys.exit(main())
