"""Measures how well a model follows the prompts of a drawn world: `studio evaluate adherence MODEL`.

Joins held-out prompts of the world, a stock diffusers pipeline, and the probe of `studio.evaluation`.
"""

from __future__ import annotations

import inspect
import json
import math
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from studio.core.arguments import Parser
from studio.core.errors import InvalidRequest, ModelError
from studio.evaluation.adherence import Generate, evaluate
from studio.evaluation.probe import Probe
from studio.evaluation.sheet import contact_sheet
from studio.training.worlds import World, worlds

MODEL = Path("models/starter/tinyworld-sd")
TINY_WORLD = worlds.get("tinyworld")


def pipeline_generator(folder: Path, *, steps: int = 30, guidance: float = 4.0, batch: int = 10) -> Generate:
    """Make pictures with the stock pipeline in `folder`; each has its own seed. Raises ModelError if none is there."""
    from studio import compat

    compat.prepare()
    from diffusers import DiffusionPipeline
    from diffusers.utils import logging

    logging.set_verbosity_error()
    if not (folder / "model_index.json").is_file():
        raise ModelError(f"There is no diffusers pipeline in {folder.name!r}.")
    pipeline = DiffusionPipeline.from_pretrained(folder, local_files_only=True, torch_dtype=torch.float32)
    pipeline.to("cuda" if torch.cuda.is_available() else "cpu")
    pipeline.set_progress_bar_config(disable=True)
    wanted = {"num_inference_steps": steps, "guidance_scale": guidance, "use_resolution_binning": False}
    known = inspect.signature(pipeline.__call__).parameters
    options = {name: value for name, value in wanted.items() if name in known}

    def generate(prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
        images: list[Image.Image] = []
        for start in range(0, len(prompts), batch):
            part = slice(start, start + batch)
            generators = [torch.Generator().manual_seed(seed) for seed in seeds[part]]
            images += pipeline(list(prompts[part]), generator=generators, **options).images
        return images

    return generate


def measure(
    generate: Generate,
    probe: Probe,
    *,
    world: World = TINY_WORLD,
    kinds: Sequence[str] = ("one", "two"),  # prompts of one, two or three objects
    count: int = 100,
    seed: int = 0,
    out: Path | None = None,  # for adherence.json and a contact sheet for each kind
    name: str = "",  # of the model, for titles
) -> dict[str, Any]:
    """Scores by kind of prompts, each with the probe's own score on true pictures beside it."""
    reports: dict[str, Any] = {}
    for kind in kinds:
        prompts = world.prompts(kind, count, seed)
        control = world.renders(kind, max(200, count), seed, probe.spec.size)
        start = time.perf_counter()
        adherence, images, report = evaluate(generate, prompts, probe, seed=seed, control=control)
        reports[kind] = {**report, "seconds": round(time.perf_counter() - start, 1)}
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            sure = report["probe"]["all_right"]
            title = f"{name}, prompts of {kind}: {report['right']} of {count} right (the probe on true pictures: {sure:.1%})"
            contact_sheet(images, adherence.verdicts, title=title).save(out / f"adherence-{kind}.png")
    if out is not None:
        (out / "adherence.json").write_text(json.dumps(reports, indent=1) + "\n")
    return reports


def parser() -> Parser:
    out = Parser(prog="python -m studio evaluate adherence", description=(__doc__ or "").split("\n")[0])
    out.add_argument(
        "model", type=Path, nargs="?", default=MODEL, metavar="MODEL", help=f"folder of a pipeline (default: {MODEL})"
    )
    out.add_argument("--objects", choices=["one", "two", "three", "both"], default="both", help="objects in a prompt")
    out.add_argument("--count", type=int, default=100, help="prompts of each kind")
    out.add_argument("--seed", type=int, default=0, help="of the prompts; picture k is made with SEED + k")
    out.add_argument("--steps", type=int, help="default: the model's own, else 30")
    out.add_argument("--guidance", type=float, help="default: the model's own, else 4.0")
    out.add_argument("--batch", type=int, default=10)
    out.add_argument("--world", choices=worlds.names(), help="whose prompts (default: the model's own, else tinyworld)")
    out.add_argument("--probe", type=Path, metavar="DIR", help="the folder of the probe that judges the pictures")
    out.add_argument("--out", type=Path, metavar="DIR", help="folder for adherence.json and the contact sheets")
    out.add_argument("--json", action="store_true", help="print one JSON object")
    return out


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    folder = args.model if args.model.exists() else Path("models") / args.model
    card = read_card(folder)
    defaults = card.get("defaults")
    own = defaults if isinstance(defaults, dict) else {}
    world = worlds.get(args.world or card.get("world", "tinyworld"))
    args.probe = args.probe or world.probe
    args.steps = own.get("steps", 30) if args.steps is None else args.steps
    args.guidance = own.get("guidance_scale", 4.0) if args.guidance is None else args.guidance
    _check(args.model.name, folder, args.probe, args)
    probe = Probe.load(args.probe)
    generate = pipeline_generator(folder, steps=args.steps, guidance=args.guidance, batch=args.batch)
    kinds = ("one", "two") if args.objects == "both" else (args.objects,)
    reports = measure(
        generate, probe, world=world, kinds=kinds, count=args.count, seed=args.seed, out=args.out, name=args.model.name
    )
    print(json.dumps(reports) if args.json else "\n".join(lines(reports)))
    return 0


def _check(name: str, folder: Path, probe: Path, args: Namespace) -> None:
    """Check before the models are loaded what would fail later. Raises ModelError or InvalidRequest."""
    for flag, value in (("--count", args.count), ("--steps", args.steps), ("--batch", args.batch)):
        if not 1 <= value <= 10_000:
            raise InvalidRequest(f"{flag} must be a number from 1 to 10,000; got {value}.")
    if not 0 <= args.seed <= 2**53:
        raise InvalidRequest(f"--seed must be a number from 0 to {2**53:,}; got {args.seed}.")
    if not (math.isfinite(args.guidance) and 0 <= args.guidance <= 50):
        raise InvalidRequest(f"--guidance must be a number from 0 to 50; got {args.guidance}.")
    if not (folder / "model_index.json").is_file():
        raise InvalidRequest(f"There is no diffusers pipeline {name!r}, neither here nor in models/.")
    if not probe.is_dir():
        raise InvalidRequest(f"There is no probe {probe.name!r}; train it by its recipe in presets/training.")


def read_card(folder: Path) -> dict[str, Any]:
    """The model's card; empty where it has none."""
    try:
        card = json.loads((folder / "unnoise.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return card if isinstance(card, dict) else {}


def lines(reports: dict[str, Any]) -> list[str]:
    """The reports as a small table: the model's rate and, beside it, the probe's own on true pictures."""
    out = []
    for kind, report in reports.items():
        out.append(f"prompts of {kind}: {report['right']} of {report['prompts']} right ({report['seconds']} s)")
        out += [
            f"  {aspect.replace('_', ' '):<14} {rate:6.1%}   probe on true pictures {report['probe'][aspect]:6.1%}"
            for aspect, rate in report["rates"].items()
        ]
        out += [f"  {f['number']:>3} {f['prompt']}: {'; '.join(f['failures'])}" for f in report["failures"]]
    return out


if __name__ == "__main__":
    sys.exit(main())
