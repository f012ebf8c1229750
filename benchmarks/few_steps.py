"""Teacher and student side by side at equal network evaluations: adherence to prompts, distance to data, and pictures.

    python benchmarks/few_steps.py STUDENT [STUDENT ...] [--teacher models/starter/tinyworld-sd] [--evaluations 1 2 4 8] [--count 100]

Each student is a folder of a pipeline, as `make zoo` makes them. A step of a student is one evaluation of its network; a step of the
guided teacher is two, so at n evaluations it takes n / 2 steps, at least one. The untrained student is the teacher without guidance, once by its own
solver and once by LCMScheduler: what a student must beat to have learned anything. Printed are the held-out one-object prompts that
the probe judges right, and the Fréchet distance of the probe's features to as many of the data's pictures, beside the floor:
held-out pictures against those. With --out, a sheet of pictures a student: the guided teacher's row above its own.
"""

import argparse
from pathlib import Path
from typing import Any

import common
import torch
from diffusers import DiffusionPipeline, LCMScheduler
from PIL import Image

from studio.evaluation.adherence import score
from studio.evaluation.distances import frechet_distance
from studio.evaluation.probe import Probe
from studio.training.adherence import TINY_WORLD, read_card
from studio.training.datasets.tinyworld import TinyWorld
from studio.training.pictures import sheet

SIZE = 128
TRAINED = ("beta_schedule", "beta_start", "beta_end", "prediction_type")


def data(split: str, count: int) -> list[Image.Image]:
    world = TinyWorld(size=SIZE, seed=77, split=split, objects=(1.0, 0.0, 0.0))
    return [Image.fromarray(world[i].image) for i in range(count)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("students", nargs="+", type=Path, metavar="STUDENT")
    parser.add_argument("--teacher", type=Path, default=common.ROOT / "models" / "starter" / "tinyworld-sd")
    parser.add_argument("--evaluations", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--guidance", type=float, default=3.0, help="of the teacher")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the sheets")
    args = parser.parse_args()
    common.announce()
    probe = Probe.load(TINY_WORLD.probe)
    prompts = TINY_WORLD.prompts("one", args.count, 0)
    texts = [prompt.text for prompt in prompts]
    real, held_out = (probe.features(data(split, args.count)) for split in ("train", "held_out"))
    print(
        f"\n{args.count} prompts of one object; right, and Fréchet distance (floor {frechet_distance(real, held_out):.2f}):\n"
    )
    print("| | " + " | ".join(f"{n} evaluations" for n in args.evaluations) + " |")
    print("|---" * (len(args.evaluations) + 1) + "|")
    shown: dict[str, list[Image.Image]] = {}
    rows = [("teacher, guided", args.teacher, args.guidance, False), ("teacher, no guidance", args.teacher, 1.0, False)]
    rows += [("teacher, no guidance, by LCMScheduler", args.teacher, 1.0, True)]
    rows += [(folder.name, folder, own_guidance(folder), False) for folder in args.students]
    for name, folder, scale, jumps in rows:
        pipeline, cells = load(folder, jumps), []
        evaluations_a_step = 2 if scale > 1 and pipeline.unet.config.time_cond_proj_dim is None else 1
        for n in args.evaluations:
            made = draw(pipeline, texts, max(1, n // evaluations_a_step), scale)
            right = sum(verdict.right for verdict in score(made, prompts, probe).verdicts)
            cells.append(f"{right} ({frechet_distance(real, probe.features(made)):.2f})")
            shown[f"{name} {n}"] = made[:8]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        for folder in args.students:
            names = (rows[0][0], folder.name)
            pictures = [picture for n in args.evaluations for name in names for picture in shown[f"{name} {n}"]]
            sheet(pictures, columns=8).save(args.out / f"{folder.name}.png")


def load(folder: Path, jumps: bool) -> Any:
    pipeline = DiffusionPipeline.from_pretrained(folder, local_files_only=True, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    if jumps:
        known = {name: pipeline.scheduler.config[name] for name in TRAINED}
        pipeline.scheduler = LCMScheduler(**known, clip_sample=False)
    return pipeline


def draw(pipeline: Any, texts: list[str], steps: int, scale: float, batch: int = 10) -> list[Image.Image]:
    made: list[Image.Image] = []
    for start in range(0, len(texts), batch):
        some = texts[start : start + batch]
        seeds = [torch.Generator().manual_seed(start + k) for k in range(len(some))]
        made += pipeline(some, generator=seeds, num_inference_steps=steps, guidance_scale=scale).images
    return made


def own_guidance(folder: Path) -> float:
    return float(read_card(folder).get("defaults", {}).get("guidance_scale", 1.0))


if __name__ == "__main__":
    main()
