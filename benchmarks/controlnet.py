"""How well do pictures keep to a ControlNet's map, and what does it cost in prompt adherence?

    python benchmarks/controlnet.py [edges] [segmentation] [--count 50] [--steps 20]

Held-out scenes of Tiny World with one and two objects, twice: as they are, with prompts that say where the objects are (so that
a picture without control is near the map already), and with the objects moved to where only the map says. Printed are, with
control, without it (same prompts and seeds) and on the true pictures (the measures' upper bound): the F1 of edges within
2 pixels, the mean IoU of the objects' regions (a pixel belongs to what has the nearest of the scene's own colours), and the
prompts that the probe judges right. Targets: F1 0.75, IoU 0.70, both at least twice the figure without control; adherence falls
by less than 5 of 100.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import common
import numpy as np
import torch
from diffusers import ControlNetModel, StableDiffusionControlNetPipeline, StableDiffusionPipeline
from PIL import Image

from studio.evaluation.adherence import score
from studio.evaluation.expected import Prompt
from studio.evaluation.maps import edge_f1, nearest, region_iou
from studio.evaluation.probe import Probe
from studio.training.adherence import MODEL, read_card
from studio.training.datasets.tinyworld import canonical_caption, held_out_scenes, maps, parse, render_array
from studio.training.datasets.tinyworld.draw import contours, object_tones
from studio.training.datasets.tinyworld.grounds import paint_ground
from studio.training.datasets.tinyworld.maps import CONTROLS
from studio.training.datasets.tinyworld.sampling import CENTRES, EXTENTS, LAYOUTS
from studio.training.datasets.tinyworld.scene import Scene
from studio.training.datasets.tinyworld.vocabulary import KINDS
from studio.training.pictures import sheet

SIZE = 128


def palettes(scene: Scene) -> list[np.ndarray]:
    """The colours of the ground, then of each object."""
    ground = np.unique(paint_ground(scene.ground, 64).reshape(-1, 3) & 0xF8, axis=0)
    tones = [(object_tones(obj), {tone for _, tone in contours(obj, SIZE)}) for obj in scene.objects]
    return [ground, *(np.array([all_of[tone] for tone in sorted(used)]) for all_of, used in tones)]


def iou(picture: np.ndarray, scene: Scene) -> float:
    """Mean IoU of the objects' regions; objects of one kind are one region, as in the map."""
    wanted = maps(scene, SIZE).segmentation
    labels = nearest(picture, palettes(scene))
    number = {obj.kind: 1 + KINDS.index(obj.kind) for obj in scene.objects}
    named = np.array([0, *(number[obj.kind] for obj in scene.objects)])
    return region_iou(named[labels], wanted, sorted(set(number.values())))


def moved(scene: Scene, rng: np.random.Generator) -> Scene:
    """The scene with its objects elsewhere and of another size, of which its caption says nothing: the map alone says where."""
    count = len(scene.objects)
    places = [[p] for p in CENTRES if p != "middle"] if count == 1 else [LAYOUTS["row"], LAYOUTS["column"]]
    chosen = rng.permutation(places[rng.integers(len(places))])
    objects = []
    for obj, place in zip(scene.objects, chosen, strict=True):
        extent = rng.uniform(*EXTENTS[count][str(rng.choice(["small", "medium"]))])
        x, y = np.array(CENTRES[place]) + rng.uniform(-0.025, 0.025, 2)
        objects.append(replace(obj, place=None, size="medium", x=x, y=y, extent=extent))
    return replace(scene, objects=tuple(objects), layout="one" if count == 1 else "row")


def report(name: str, pictures: list[np.ndarray], scenes: list[Scene], probe: Probe) -> tuple[float, float, float]:
    prompts = [Prompt(text, parse(text)) for text in map(canonical_caption, scenes)]
    f1 = float(np.mean([edge_f1(p, maps(s, SIZE).edges) for p, s in zip(pictures, scenes, strict=True)]))
    overlap = float(np.mean([iou(p, s) for p, s in zip(pictures, scenes, strict=True)]))
    right = 100 * score(pictures, prompts, probe).rates()["all_right"]
    print(f"{name:24} edges F1 {f1:.3f}   regions IoU {overlap:.3f}   adherence {right:5.1f} of 100", flush=True)
    return f1, overlap, right


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("controls", nargs="*", default=["edges", "segmentation"], help="maps to measure")
    parser.add_argument("--model", type=Path, default=MODEL, help="folder of the base")
    parser.add_argument("--nets", default="models/starter/controlnet-{}", help="folders of the ControlNets, {} the map")
    parser.add_argument("--count", type=int, default=50, help="held-out scenes")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weight", type=float, default=1.0, help="conditioning scale")
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--out", type=Path, help="folder for sheets: maps above what was made from them")
    args = parser.parse_args()
    common.announce()
    one = args.count // 2
    scenes = [*held_out_scenes("one", one, args.seed), *held_out_scenes("two", args.count - one, args.seed)]
    rng = np.random.default_rng(args.seed)
    base = StableDiffusionPipeline.from_pretrained(args.model, torch_dtype=torch.float32)
    for title, kind in (("said", scenes), ("moved", [moved(scene, rng) for scene in scenes])):
        measure(args, base, title, kind)


def measure(args: argparse.Namespace, base: StableDiffusionPipeline, title: str, scenes: list[Scene]) -> None:
    probe = Probe.load(MODEL.parent / "probe")
    guidance = read_card(args.model).get("defaults", {}).get("guidance_scale", 2.5)
    report(f"{title}: true pictures", [render_array(s, SIZE) for s in scenes], scenes, probe)

    def make(pipeline, maps_of=None) -> list[np.ndarray]:
        pipeline.set_progress_bar_config(disable=True)
        made: list[np.ndarray] = []
        for start in range(0, len(scenes), args.batch):
            part = scenes[start : start + args.batch]
            seeds = [torch.Generator().manual_seed(args.seed + start + k) for k in range(len(part))]
            extra = {}
            if maps_of is not None:
                pictures = [Image.fromarray(maps_of(maps(scene, SIZE))) for scene in part]
                extra = {"image": pictures, "controlnet_conditioning_scale": args.weight}
            options = {"num_inference_steps": args.steps, "guidance_scale": guidance, **extra}
            images = pipeline([canonical_caption(s) for s in part], generator=seeds, **options).images
            made += [np.asarray(image) for image in images]
        return made

    without = report(f"{title}: without control", make(base), scenes, probe)
    for control in args.controls:
        folder = Path(args.nets.format(control))
        if not folder.is_dir():
            print(
                f"{control}: NOT RUN ({folder} is not there; train presets/training/starter-controlnet-{control}.yaml)"
            )
            continue
        net = ControlNetModel.from_pretrained(folder, torch_dtype=torch.float32)
        parts = {**base.components, "requires_safety_checker": False}
        made = make(StableDiffusionControlNetPipeline(controlnet=net, **parts), CONTROLS[control])
        f1, overlap, right = report(f"{title}: with {control}", made, scenes, probe)
        print(
            f"{'':24} {f1 / max(without[0], 1e-9):.1f} and {overlap / max(without[1], 1e-9):.1f} times those without control; "
            f"adherence {right - without[2]:+.1f}"
        )
        if args.out:
            args.out.mkdir(parents=True, exist_ok=True)
            rows = [CONTROLS[control](maps(s, SIZE)) for s in scenes[:50]]
            pairs = [x for k in range(0, len(rows), 10) for x in (*rows[k : k + 10], *made[k : k + 10])]
            sheet([Image.fromarray(x) for x in pairs], 10).save(args.out / f"controlnet-{control}-{title}.png")


if __name__ == "__main__":
    main()
