"""`studio evaluate MODEL --metric ...`: how far a model's pictures are from its data set's, always beside the floor.

The floor is the same figure of held-out pictures against training ones: no model can be expected below it. Joins a stock
pipeline or a folder of pictures, the drawn world of the model, and the metrics of `studio.evaluation`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from studio.core.arguments import Parser
from studio.core.errors import InvalidRequest, UnknownName
from studio.evaluation import published
from studio.evaluation.distances import frechet_distance, kernel_distance, nearest, precision_recall
from studio.evaluation.probe import Probe
from studio.training.adherence import pipeline_generator, read_card
from studio.training.datasets import datasets
from studio.training.worlds import worlds

OWN = ("fd", "kd", "pr", "nearest")  # by our own probe
METRICS = (*OWN, *published.NAMES, published.CLIP)
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
PROMPTS_FROM = 1_000_000  # rows of the data set that no recipe trains on: their captions are the prompts


@dataclass(frozen=True)
class Sets:
    """Pictures to compare: a model's, and as many of the data set's two splits."""

    made: Sequence[Image.Image]
    prompts: tuple[str, ...]  # of the made ones; none of a folder of pictures
    train: Sequence[Image.Image]
    held_out: Sequence[Image.Image]


def parser() -> Parser:
    out = Parser(prog="python -m studio evaluate", description=(__doc__ or "").split("\n")[0])
    out.add_argument(
        "model", type=Path, metavar="MODEL", help="folder of a pipeline, a name in models/, or a folder of pictures"
    )
    out.add_argument(
        "--metric", action="append", metavar="NAME", help=f"of {', '.join(METRICS)}; several times, or all of ours"
    )
    out.add_argument("--count", type=int, default=500, help="pictures of each set (default: 500)")
    out.add_argument("--seed", type=int, default=0, help="picture k is made with SEED + k")
    out.add_argument("--steps", type=int, help="default: the model's own, else 30")
    out.add_argument("--guidance", type=float, help="default: the model's own, else 4.0")
    out.add_argument("--batch", type=int, default=10)
    out.add_argument(
        "--world", choices=worlds.names(), help="whose pictures (default: the model's own, else tinyworld)"
    )
    out.add_argument("--probe", type=Path, metavar="DIR", help="the folder of the probe whose features are compared")
    out.add_argument("--json", action="store_true", help="print one JSON object")
    return out


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    folder = args.model if args.model.exists() else Path("models") / args.model
    wanted = list(dict.fromkeys(args.metric or OWN))
    for name in wanted:
        if name not in METRICS:
            raise UnknownName("metric", name, list(METRICS), field="metric")
    if not 10 <= args.count <= 100_000:
        raise InvalidRequest(f"--count must be a number from 10 to 100,000; got {args.count}.")
    if not folder.is_dir():
        raise InvalidRequest(f"There is no model or measure {args.model.name!r}; `evaluate --help` lists the measures.")
    lacking = {name: lack for name in wanted if name not in OWN and (lack := published.missing(name))}
    world = args.world or read_card(folder).get("world", "tinyworld")
    probe = Probe.load(args.probe or worlds.get(world).probe) if any(name in OWN for name in wanted) else None
    found: dict[str, Any] = {}
    if able := [name for name in wanted if name not in lacking]:
        found = measure(able, gather(folder, world, args), probe)
    print(json.dumps({"metrics": found, "missing": lacking}) if args.json else "\n".join(lines(found, lacking)))
    return 1 if lacking and not found else 0


def gather(folder: Path, world: str, args: Any) -> Sets:
    """The pictures of a folder, or those that the pipeline in it makes, and the data set's."""
    made, prompts = pictures_in(folder), ()
    count = min(args.count, len(made)) if made else args.count
    if not made:
        own = read_card(folder).get("defaults") or {}
        steps = own.get("steps", 30) if args.steps is None else args.steps
        guidance = own.get("guidance_scale", 4.0) if args.guidance is None else args.guidance
        generate = pipeline_generator(folder, steps=steps, guidance=guidance, batch=args.batch)
        prompts = tuple(datasets.get(world)().captions(PROMPTS_FROM, count))
        made = generate(prompts, [args.seed + k for k in range(count)])
    side = made[0].width
    splits = {split: datasets.get(world)(size=side, split=split) for split in ("train", "held_out")}
    drawn = {split: [Image.fromarray(data[i].image) for i in range(count)] for split, data in splits.items()}
    return Sets(made[:count], prompts, drawn["train"], drawn["held_out"])


def pictures_in(folder: Path) -> list[Image.Image]:
    """The pictures that lie in a folder, in the order of their names. Raises InvalidRequest for one that is none."""
    out: list[Image.Image] = []
    if (folder / "model_index.json").exists():
        return out
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURES):
        try:
            with Image.open(path) as picture:
                out.append(picture.convert("RGB"))
        except (UnidentifiedImageError, OSError):
            raise InvalidRequest(f"{path.name} is not a picture that can be read.") from None
    if len(out) < 10:
        raise InvalidRequest(f"{folder.name} holds neither a diffusers pipeline nor ten pictures.")
    return out


def measure(names: Sequence[str], sets: Sets, probe: Probe | None) -> dict[str, Any]:
    """The metrics by their full names, each {"score": ..., "floor": ...}; CLIP score has no floor but the data set's own score."""
    found: dict[str, Any] = {}
    if probe is not None:
        found |= _own([name for name in names if name in OWN], sets, probe)
    if theirs := [name for name in names if name in published.NAMES]:
        scores = published.inception(theirs, sets.made, sets.train)
        floors = published.inception(theirs, sets.held_out, sets.train)
        found |= {f"{title}@{len(sets.made)}": {"score": scores[title], "floor": floors[title]} for title in scores}
    if published.CLIP in names:
        if not sets.prompts:
            raise InvalidRequest("CLIP score compares pictures with their prompts, which a folder of pictures lacks.")
        found["CLIP score"] = {"score": published.clip_score(sets.made, sets.prompts), "floor": None}
    return found


def _own(names: Sequence[str], sets: Sets, probe: Probe) -> dict[str, Any]:
    made, train, held_out = (probe.features(list(each)) for each in (sets.made, sets.train, sets.held_out))
    mark = f"{probe.name()}@{len(made)}"
    out: dict[str, Any] = {}
    if "fd" in names:
        scores = [round(frechet_distance(each, train), 4) for each in (made, held_out)]
        out[f"FD-{mark}"] = {"score": scores[0], "floor": scores[1]}
    if "kd" in names:
        (score, spread), (floor, usual) = (kernel_distance(each, train) for each in (made, held_out))
        out[f"KD-{mark}"] = {"score": score, "deviation": spread, "floor": floor, "floor_deviation": usual}
    if "pr" in names:
        for place, title in enumerate(("precision", "recall")):
            score, floor = (precision_recall(train, each)[place] for each in (made, held_out))
            out[f"{title}-{mark}"] = {"score": round(score, 4), "floor": round(floor, 4)}
    if "nearest" in names:
        near, floor_near = nearest(train, held_out, made), nearest(train, held_out, held_out)
        out[f"nearest-{mark}"] = {
            "score": round(near.ratio, 4), "floor": 1.0,
            "memorised": len(near.memorised), "memorised_floor": len(floor_near.memorised),
            "nearest_training_pictures": list(near.rows[:16]),
        }  # fmt: skip
    return out


def lines(found: dict[str, Any], lacking: dict[str, str]) -> list[str]:
    out = []
    for name, row in found.items():
        floor = "" if row["floor"] is None else f"   held out against training {row['floor']:.4g}"
        out.append(f"{name:<32} {row['score']:.4g}{floor}")
        if "memorised" in row:
            usual = row["memorised_floor"]
            out.append(
                f"  nearer to a training picture than 99 of 100 held-out ones: {row['memorised']} (held-out ones: {usual})"
            )
    return out + list(lacking.values())
