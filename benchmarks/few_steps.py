"""Teacher and student side by side at equal network evaluations: adherence to prompts, distance to data, and pictures.

    python benchmarks/few_steps.py STUDENT [STUDENT ...] [--teacher models/starter/tinyworld-sd] [--evaluations 1 2 4 8] [--count 100]

Each student is a folder of a pipeline, as `make zoo` makes them. A step of a student is one evaluation of its network; a step of the
guided teacher is two, so at n evaluations it takes n / 2 steps (at 1, a step without guidance). Printed are the held-out one-object
prompts that the probe judges right, and the Fréchet distance of the probe's features to as many of the data's pictures, beside
the floor: held-out pictures against those. With --out, a sheet of pictures, the teacher's row above the student's.
"""

import argparse
from pathlib import Path

import common
from PIL import Image

from studio.evaluation.adherence import score
from studio.evaluation.distances import frechet_distance
from studio.evaluation.probe import Probe
from studio.training.adherence import TINY_WORLD, pipeline_generator, read_card
from studio.training.datasets.tinyworld import TinyWorld
from studio.training.pictures import sheet

SIZE = 128


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
    texts, seeds = [prompt.text for prompt in prompts], list(range(args.count))
    real, held_out = (probe.features(data(split, args.count)) for split in ("train", "held_out"))
    print(
        f"\n{args.count} prompts of one object; right, and Fréchet distance (floor {frechet_distance(real, held_out):.2f}):\n"
    )
    print("| | " + " | ".join(f"{n} evaluations" for n in args.evaluations) + " |")
    print("|---" * (len(args.evaluations) + 1) + "|")
    shown: dict[str, list[Image.Image]] = {}
    for folder in [args.teacher, *args.students]:
        cells = []
        for n in args.evaluations:
            guided = folder == args.teacher and n > 1
            steps = n // 2 if guided else n
            scale = args.guidance if guided else 1.0 if folder == args.teacher else own_guidance(folder)
            made = pipeline_generator(folder, steps=steps, guidance=scale)(texts, seeds)
            right = sum(verdict.right for verdict in score(made, prompts, probe).verdicts)
            cells.append(f"{right} ({frechet_distance(real, probe.features(made)):.2f})")
            shown[f"{folder.name} {n}"] = made[:8]
        print(f"| {folder.name} | " + " | ".join(cells) + " |", flush=True)
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        for folder in args.students:
            rows = [shown[f"{each.name} {n}"] for n in args.evaluations for each in (args.teacher, folder)]
            sheet([picture for row in rows for picture in row], columns=8).save(args.out / f"{folder.name}.png")


def own_guidance(folder: Path) -> float:
    return float(read_card(folder).get("defaults", {}).get("guidance_scale", 1.0))


if __name__ == "__main__":
    main()
