"""Random checkpoints of full size: SD 1.5's architecture and layout, noise for weights. For benchmarks of loading only.

    python benchmarks/checkpoints.py FOLDER [--count 2] [--dtype fp16] [--scale 1.0]

`--scale 0.25` makes the U-Net's and the text encoder's channels a quarter as wide, for machines with little room.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import common  # noqa: F401  (finds the project)
import torch

from studio.manager.disk.tokenizers import write_tokenizer
from studio.manager.families.blueprints import blueprint
from studio.manager.loading import component_class

BLUEPRINT = blueprint("sd1")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def write_checkpoint(folder: Path, seed: int, dtype: str = "fp16", scale: float = 1.0, device: str = "cpu") -> Path:
    """A StableDiffusionPipeline folder; each component's weights differ between seeds and are drawn on `device`.

    Done already: left as it is.
    """
    if (folder / "model_index.json").exists():
        return folder
    generator = torch.Generator(device).manual_seed(seed)
    index: dict[str, Any] = {"_class_name": BLUEPRINT.pipeline, **BLUEPRINT.arguments}
    for name, (library, class_name) in BLUEPRINT.parts.items():
        index[name] = [library, class_name]
        config = scaled(dict(BLUEPRINT.configs.get(name, {})), scale)
        if name == "tokenizer":
            write_tokenizer(folder / name, words(), "<|endoftext|>")
        elif name == "scheduler":
            (folder / name).mkdir(parents=True)
            text = json.dumps(config | {"_class_name": class_name})
            (folder / name / "scheduler_config.json").write_text(text)
        else:
            module = build(library, class_name, config, generator, DTYPES[dtype])
            module.save_pretrained(folder / name, safe_serialization=True, max_shard_size="20GB")
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def build(library: str, class_name: str, config: dict[str, Any], generator: torch.Generator, dtype: torch.dtype) -> Any:
    cls = component_class(library, class_name)
    with torch.device("meta"):
        module = cls.from_config(config) if library == "diffusers" else cls(cls.config_class(**config))
    module = module.to(dtype).to_empty(device="cpu")
    for parameter in module.parameters():
        drawn = torch.randn(parameter.shape, generator=generator, device=generator.device)
        parameter.data = drawn.mul_(0.02).to("cpu", dtype)
    return module


def scaled(config: dict[str, Any], scale: float) -> dict[str, Any]:
    """Fewer channels, same depth."""
    if scale == 1.0:
        return config
    wide = ("block_out_channels", "cross_attention_dim", "hidden_size", "intermediate_size", "projection_dim")
    for key in wide:
        if key in config:
            value = config[key]
            shrink = [max(int(v * scale) // 32 * 32, 32) for v in (value if isinstance(value, list) else [value])]
            config[key] = shrink if isinstance(value, list) else shrink[0]
    if "num_attention_heads" in config:
        config["num_attention_heads"] = 4
    return config


def words() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A tokenizer's files that load; nothing here is ever prompted."""
    return {"<|startoftext|>": 0, "<|endoftext|>": 1, "a": 2, "a</w>": 3}, []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=2)
    parser.add_argument("--dtype", choices=DTYPES, default="fp16")
    parser.add_argument("--scale", type=float, default=1.0)
    arguments = parser.parse_args()
    for number in range(arguments.count):
        print(write_checkpoint(arguments.folder / f"random-{number}", number, arguments.dtype, arguments.scale))


if __name__ == "__main__":
    main()
