"""Inpainting's bars: drift outside the mask, grey masks, the seam, and whether Remove and Add do what they say.

    python benchmarks/inpaint.py [--model ID] [--scenes 100] [--steps 20] [--only drift,ramp,seam,remove,add] [--out FOLDER]

Pictures are held-out scenes of Tiny World at 128 x 128, masks the objects' boxes; the project's probe judges.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import ROOT, announce, arguments
from PIL import Image
from scipy.stats import spearmanr

from studio.core.options import find_model, resolve
from studio.core.recipe import pixel_hash
from studio.core.request import GenerationRequest
from studio.core.settings import Settings
from studio.engine.generate import generate
from studio.engine.inpainting import masks
from studio.evaluation.probe import Probe
from studio.manager.manager import Loaded, Manager
from studio.training.datasets.tinyworld import Scene, SceneObject, canonical_caption, held_out_scenes, render
from studio.training.datasets.tinyworld.captions import say_ground, say_object
from studio.training.datasets.tinyworld.draw import silhouette

SIDE = 128
GROW = 8  # the field's default
MARGIN = 4  # pixels of the mask around an object's box
STARTERS = ("starter/tinyworld-inpaint", "starter/tinyworld-sd-inpaint", "starter/tinyworld-sd")


class Inpainter:
    """One model in memory, asked for one picture after another."""

    def __init__(self, loaded: Loaded, steps: int, sampler: str):
        self.loaded, self.steps, self.sampler = loaded, steps, sampler

    def __call__(
        self, source: Image.Image, mask: Image.Image | None, prompt: str, seed: int, **task: Any
    ) -> Image.Image:
        stored = {_hash(each): each for each in (source, mask) if each is not None}
        given = {"kind": "inpaint", "image": _hash(source), "mask": mask and _hash(mask)} | task
        request = GenerationRequest(
            model=self.loaded.info.id, prompt=prompt, seed=seed, steps=self.steps, sampler=self.sampler, task=given
        )
        [made] = generate(resolve(request, self.loaded.info), self.loaded, read_image=stored.__getitem__)
        return made.image


@contextmanager
def inpainter(name: str, steps: int, sampler: str) -> Iterator[Inpainter]:
    manager = Manager(Settings(models=(ROOT / "models",), outputs=Path("outputs"), device="cpu"))
    models = manager.catalog.models()
    known = {model.id for model in models}
    info = find_model(models, name or next((each for each in STARTERS if each in known), "default"))
    with manager.lease(info, "fp32", lambda what, fraction: None) as loaded:
        print(f"model: {info.id} ({info.variant or 'no inpainting variant'}), {steps} steps, {sampler}")
        yield Inpainter(loaded, steps, sampler)


def drift(paint: Inpainter, scenes: list[Scene], keep: Callable[..., None]) -> None:
    """Ten passes in a row with one mask: the greatest change of any byte outside the blend."""
    worst, inside = 0, 0.0
    for number, scene in enumerate(scenes[: max(1, len(scenes) // 20)]):
        source = current = render(scene, SIDE)
        mask = box_mask(scene.objects[0])
        for seed in range(10):
            current = paint(current, mask, canonical_caption(scene), seed, strength=0.8)
        outside = blend_of(mask, GROW) == 0
        change = np.abs(array(current) - array(source)).max(2)
        worst, inside = max(worst, int(change[outside].max())), max(inside, float(change[~outside].mean()))
        keep("drift", number, source, mask, current)
    print(f"drift outside the blend after ten passes: {worst} of 255 (bar 0); mean inside {inside:.1f}")


def ramp(paint: Inpainter, scenes: list[Scene], keep: Callable[..., None]) -> None:
    """A ramp from black to white as the mask: does the change per pixel rise with it? Columns are averaged over scenes."""
    mask = Image.fromarray(np.tile(np.linspace(0, 255, SIDE).astype(np.uint8), (SIDE, 1)))
    total = np.zeros((SIDE, SIDE))
    shown = scenes[: max(8, len(scenes) // 4)]
    for number, scene in enumerate(shown):
        source = render(scene, SIDE)
        made = paint(
            source, mask, canonical_caption(shown[number - 1]), number, strength=1.0, context="whole", mask_grow=0
        )
        total += np.abs(array(made) - array(source)).mean(2)
        keep("ramp", number, source, mask, made)
    by_value = total.mean(0)
    pixels = spearmanr(np.asarray(mask).ravel(), total.ravel()).statistic
    columns = spearmanr(np.asarray(mask)[0], by_value).statistic
    print(
        f"ramp: Spearman of change and mask {columns:.3f} by value of the mask (bar 0.9), {pixels:.3f} by pixel, {len(shown)} scenes"
    )


def seam(paint: Inpainter, scenes: list[Scene], keep: Callable[..., None]) -> None:
    """Energy of the gradient across the blend's edge against that inside the mask; the source's own figure beside it."""
    made_at, source_at = np.zeros(2), np.zeros(2)  # across the edge, inside
    count = 0
    for number, scene in enumerate(scenes):
        source = render(scene, SIDE)
        mask = background_mask(scene, number)
        if mask is None:
            continue
        painted = paint(source, mask, canonical_caption(scene), number, intent="fill")
        made_at += energies(painted, mask)
        source_at += energies(source, mask)
        count += 1
        keep("seam", number, source, mask, painted)
    made, untouched = made_at[0] / made_at[1], source_at[0] / source_at[1]
    print(
        f"seam: gradient energy across it {made:.3f} of that inside, {untouched:.3f} in the untouched pictures, so "
        f"{made / untouched:.3f} times as much (bar at most 1.1), {count} scenes"
    )


def remove(paint: Inpainter, scenes: list[Scene], keep: Callable[..., None]) -> None:
    probe, failed = Probe.load(ROOT / "models" / "starter" / "probe"), []
    for number, scene in enumerate(scenes):
        source, target = render(scene, SIDE), scene.objects[0]
        mask = box_mask(target)
        made = paint(source, mask, without_first(scene), number, intent="remove")
        gone = not any(inside(found, mask) for found in probe.look([made])[0].objects)
        failed += [] if gone else [number]
        keep("remove", number, source, mask, made, gone)
    print(
        f"Remove: no object left in {len(scenes) - len(failed)} of {len(scenes)} scenes (bar 85 of 100); failed: {failed}"
    )


def add(paint: Inpainter, scenes: list[Scene], keep: Callable[..., None]) -> None:
    probe, failed, coloured = Probe.load(ROOT / "models" / "starter" / "probe"), [], 0
    for number, scene in enumerate(scenes):
        target, rest = scene.objects[0], replace(scene, objects=scene.objects[1:])
        source, mask = render(rest, SIDE), box_mask(target)
        prompt = (
            canonical_caption(scene)
            if paint.loaded.info.variant != "inpaint"
            else f"{say_object(target)}, {say_ground(scene.ground)}"
        )
        made = paint(source, mask, prompt, number, intent="add")
        found = [each for each in probe.look([made])[0].objects if inside(each, mask)]
        there = any(each.kind == target.kind for each in found)
        coloured += any(each.kind == target.kind and target.colour in (None, each.colour) for each in found)
        failed += [] if there else [number]
        keep("add", number, source, mask, made, there)
    print(
        f"Add: the named object is in the mask in {len(scenes) - len(failed)} of {len(scenes)} scenes (bar 85 of 100), "
        f"in its colour in {coloured}; failed: {failed}"
    )


def without_first(scene: Scene) -> str:
    rest = replace(scene, objects=scene.objects[1:], layout="row" if len(scene.objects) > 2 else "one")
    return canonical_caption(rest) if rest.objects else say_ground(scene.ground)


def box_mask(thing: SceneObject) -> Image.Image:
    """White over the object's box and a little more."""
    rows, columns = np.nonzero(silhouette(thing, SIDE))
    white = np.zeros((SIDE, SIDE), np.uint8)
    top, left = max(rows.min() - MARGIN, 0), max(columns.min() - MARGIN, 0)
    white[top : rows.max() + MARGIN + 1, left : columns.max() + MARGIN + 1] = 255
    return Image.fromarray(white)


def background_mask(scene: Scene, seed: int) -> Image.Image | None:
    """A box of a quarter of the side that an object's edge crosses no border of, if there is one."""
    taken = np.zeros((SIDE, SIDE), bool)
    for thing in scene.objects:
        taken |= silhouette(thing, SIDE) > 0
    rng, side = np.random.default_rng(seed), SIDE // 4
    for _ in range(60):
        top, left = (int(each) for each in rng.integers(8, SIDE - side - 8, 2))
        around = np.zeros_like(taken)
        around[top - 8 : top + side + 8, left - 8 : left + side + 8] = True
        around[top + 6 : top + side - 6, left + 6 : left + side - 6] = False
        if not (taken & around).any():
            white = np.zeros((SIDE, SIDE), np.uint8)
            white[top : top + side, left : left + side] = 255
            return Image.fromarray(white)
    return None


def blend_of(mask: Image.Image, grow: int) -> np.ndarray:
    painted = masks.as_array(mask)
    return masks.put_back(painted, masks.changed_by_model(painted, grow, 0), grow)


def energies(picture: Image.Image, mask: Image.Image) -> np.ndarray:
    """(across the edge, inside): mean squared difference of neighbours, of those in the band where the blend goes from
    nothing to all the one that crosses it, and of those well inside both."""
    blend = blend_of(mask, GROW)
    band = masks.grown(((blend > 0) & (blend < 1)).astype(np.float32), 1) > 0
    within = ~band & (blend == 1)
    rows, columns = np.flatnonzero(within.any(1)), np.flatnonzero(within.any(0))
    level = np.zeros_like(band)
    level[rows[0] : rows[-1] + 1] = True  # left and right of the mask, where what crosses the edge runs across
    upright = np.zeros_like(band)
    upright[:, columns[0] : columns[-1] + 1] = True
    down, across = ((each**2).sum(2) for each in np.gradient(array(picture).astype(float), axis=(0, 1)))
    crossing = np.concatenate([across[band & level], down[band & upright]]).mean()
    return np.array([crossing, (down[within].mean() + across[within].mean()) / 2])


def inside(found: Any, mask: Image.Image) -> bool:
    white = np.asarray(mask) > 0
    x, y = (min(max(int(each * SIDE), 0), SIDE - 1) for each in (found.x, found.y))
    return bool(white[y, x])


def array(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture).astype(int)


def _hash(picture: Image.Image) -> str:
    return pixel_hash(picture.mode, picture.size, picture.tobytes())


def sheet(rows: list[tuple[Image.Image, ...]], path: Path) -> None:
    """Source, mask and result beside each other, four to a row."""
    pad, across = 4, 4
    wide = 3 * (SIDE + pad) + 2 * pad
    whole = Image.new("RGB", (across * wide, -(-len(rows) // across) * (SIDE + pad)), "white")
    for number, row in enumerate(rows):
        for place, picture in enumerate(row):
            whole.paste(
                picture.convert("RGB"), (number % across * wide + place * (SIDE + pad), number // across * (SIDE + pad))
            )
    whole.save(path)


def main() -> None:
    parser = arguments(__doc__.partition("\n")[0])
    parser.add_argument("--scenes", type=int, default=100)
    parser.add_argument("--only", default="drift,ramp,seam,remove,add")
    parser.add_argument("--out", type=Path, help="folder for sheets of the pictures: source, mask, result")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    announce()
    half = -(-given.scenes // 2)
    scenes = [*held_out_scenes("one", half), *held_out_scenes("two", given.scenes - half)]
    rows: dict[str, list[tuple[Image.Image, ...]]] = {}

    def keep(
        name: str, number: int, source: Image.Image, mask: Image.Image, made: Image.Image, right: bool = True
    ) -> None:
        framed = (
            made
            if right
            else Image.composite(
                made,
                Image.new("RGB", made.size, "red"),
                Image.fromarray(np.pad(np.full((SIDE - 6, SIDE - 6), 255, np.uint8), 3)),
            )
        )
        rows.setdefault(name, []).append((source, mask, framed))

    tests = {"drift": drift, "ramp": ramp, "seam": seam, "remove": remove, "add": add}
    with inpainter(given.model, given.steps, given.sampler) as paint:
        for name in given.only.split(","):
            began = time.perf_counter()
            tests[name](paint, scenes, keep)
            print(f"  {time.perf_counter() - began:.0f} s", flush=True)
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        for name, kept in rows.items():
            sheet(kept, given.out / f"{name}.png")


if __name__ == "__main__":
    main()
