"""Trains the emoji flagship at 256 x 256 within a time limit, on one CUDA device and all the machine's cores.

    python scripts/cuda_train.py [--seconds 285] [--work DIR] [--out DIR] [--json FILE] [--resume] [--rehearse]

The recipes are presets/training/emoji-*-256.yaml. The text encoder trains in a process beside the autoencoder, then the
denoiser has the rest of the time: each run's length is set from the speed it shows, so that its learning rate has fallen by the
end. The model is written in half precision in pieces of at most 16 MB (`cat model.tar.* | tar x`), with a sheet of samples.
`--rehearse` does the same with tiny models on the processor.
"""

# ruff: noqa: E402
import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from studio import compat

compat.prepare()

import torch
from diffusers.utils import logging
from PIL import Image

from studio.training import builtin  # noqa: F401  (fills the registries)
from studio.training.config import TrainConfig, load
from studio.training.drawing import Ahead, Pictures
from studio.training.export import ship
from studio.training.trainer import Metrics, Trainer
from studio.training.worlds import worlds

PIECE = 16_000_000  # bytes
TRAINED_A_SECOND = 6000  # pictures: more than the denoiser will take
AUTOENCODER_SHARE, RESERVE = 0.22, 22.0  # of the time; seconds kept for samples and files
MEASURED, TINY_MEASURED = 3.0, 0.1  # seconds of steps before the length of a run is set from them

# What the rehearsal changes: everything small, on the processor, with the data set that needs no font.
TINY = {"device": "cpu", "precision": "fp32", "threads": 1, "compile": False, "save_every": 50, "log_every": 1}
TINY_DATA = {"data.name": "tinyworld", "data.size": 64}
TINY_TASKS: dict[str, dict[str, Any]] = {
    "autoencoder": {
"steps": 40, "batch": 8, "task.encoder_channels": 8, "task.decoder_channels": 8, "task.crop": 32,
        "task.encoder_blocks": [0, 1, 1, 1], "task.decoder_blocks": [1, 1, 1, 1],
    },
    "text": {
        "steps": 2, "batch": 4, "task.hidden": 32, "task.layers": 1, "task.heads": 2, "task.captions": 400,
        "task.pictures": 64, "task.vocabulary": 700,
    },
    "mmdit": {
        "steps": 40, "batch": 4, "task.model": {"num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 2},
        "task.pictures": 256, "task.captions": 2, "task.sample_steps": 2, "task.sample_prompts": ["a red heart", "a star"],
    },
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=285)
    parser.add_argument("--work", type=Path, default=Path("runs/cuda"))
    parser.add_argument("--out", type=Path, default=Path("cuda-out"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--rehearse", action="store_true")
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    logging.disable_progress_bar()
    if not options.resume:
        shutil.rmtree(options.work, ignore_errors=True)
    options.work.mkdir(parents=True, exist_ok=True)
    options.out.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = {}
    try:
        flagship(options, end, figures)
    finally:
        if options.json:
            options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0


def flagship(options: argparse.Namespace, end: float, figures: dict[str, Any]) -> None:
    """The three runs one after another, the text encoder's beside the first, and what comes of them."""
    cores = 2 if options.rehearse else os.cpu_count() or 2
    workers = 0 if options.rehearse else max(1, cores - 2)
    work: Path = options.work
    text = recipe("text", options, workers=workers // 3, repeats=None)
    beside = start(text, work / "text", options.resume)
    end -= 0 if options.rehearse else RESERVE
    total = end - time.monotonic()
    try:
        vae = recipe("autoencoder", options, workers=max(workers - workers // 3, 0), repeats=None)
        run_for(vae, work / "autoencoder", time.monotonic() + AUTOENCODER_SHARE * total, options, figures)
        if beside.wait() != 0:
            raise SystemExit("the text encoder's training failed; its lines above say why")
    finally:
        if beside.poll() is None:
            beside.terminate()
            beside.wait()
    mmdit = recipe("mmdit", options, workers=workers, repeats=None)
    rate = drawn_a_second(mmdit, workers)
    repeats = max(3, round(TRAINED_A_SECOND / (0.8 * rate) + 0.5))
    print(f"{workers} processes draw {rate:,.0f} pictures/s; each picture is used about {repeats} times", flush=True)
    figures["drawn_a_second"], figures["repeats"] = round(rate), repeats
    mmdit = recipe("mmdit", options, workers=workers, repeats=repeats)
    run_for(mmdit, work / "mmdit", end, options, figures)
    deliver(work / "mmdit" / "model", options, figures)


def recipe(kind: str, options: argparse.Namespace, *, workers: int, repeats: int | None) -> TrainConfig:
    """The recipe of one of the three, with the work folder's parts and as many workers."""
    changes: dict[str, Any] = {"workers": workers}
    if options.rehearse:
        changes |= TINY | TINY_DATA | TINY_TASKS[kind]
    if kind == "mmdit":
        changes |= {f"task.{part}": str(options.work / part / "model") for part in ("autoencoder", "text")}
        if repeats is not None:
            changes["task.repeats"] = repeats
    return load(ROOT / "presets" / "training" / f"emoji-{kind}-256.yaml", changes)


def start(config: TrainConfig, folder: Path, resume: bool) -> "subprocess.Popen[bytes]":
    """A whole run in a process beside this one; one that is done already is left as it is."""
    if (folder / "model").exists():
        return subprocess.Popen([sys.executable, "-c", ""])
    file = folder.parent / f"{folder.name}.yaml"
    file.write_text(config.to_yaml(), encoding="utf-8")
    going_on = ["--resume"] if resume and (folder / "config.yaml").exists() else []
    command = [sys.executable, "-m", "studio", "train", str(file.resolve()), "--run", str(folder.resolve()), *going_on]
    return subprocess.Popen(command, cwd=ROOT)


def run_for(
    config: TrainConfig, folder: Path, end: float, options: argparse.Namespace, figures: dict[str, Any]
) -> None:
    """Train until `end` (of the monotonic clock), with the rate decayed by then; a run that is done is left as it is."""
    if (folder / "model").exists():
        print(f"{config.name}: done before", flush=True)
        return
    trainer = Trainer(config, folder, options.resume and (folder / "config.yaml").exists())
    began, first = None, trainer.step
    for report in trainer.run():
        if not isinstance(report, Metrics):
            print(f"{config.name}: {report.kind} of step {report.step}", flush=True)
            continue
        note(config, trainer, report, figures)
        now = time.monotonic()
        if began is None:  # the first steps compile
            began, first = now, report.step
        elif report.step_seconds and now - began >= (TINY_MEASURED if options.rehearse else MEASURED):
            seconds = (now - began) / (report.step - first)
            trainer.end_at(min(report.step + max(0, round((end - now) / seconds)), config.steps))


def note(config: TrainConfig, trainer: Trainer, report: Metrics, figures: dict[str, Any]) -> None:
    own = figures.setdefault(config.name, {})
    own |= report.figures
    if report.step_seconds:
        own |= {"steps": report.step, "pictures_a_second": round(config.batch / report.step_seconds, 1)}
    values = "  ".join(f"{name} {value:.4g}" for name, value in report.figures.items())
    if torch.cuda.is_available():
        own["peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    print(
        f"{config.name}: step {report.step}/{trainer.config.steps}  {values}  {own.get('pictures_a_second')}/s",
        flush=True,
    )


def drawn_a_second(config: TrainConfig, workers: int) -> float:
    """Pictures of the data set that so many processes draw in a second, their start not counted."""
    ahead = Ahead(Pictures(config.data, config.task.captions), workers)  # type: ignore[union-attr]
    count = 20 * workers or 1
    try:
        for number in range(2 * workers):
            ahead(number)
        began = time.monotonic()
        sizes = [len(ahead(number)[0]) for number in range(2 * workers, 2 * workers + count)]
        return sum(sizes) / (time.monotonic() - began)
    finally:
        ahead.close()


def deliver(model: Path, options: argparse.Namespace, figures: dict[str, Any]) -> None:
    """The model in half precision as pieces, and a sheet: the recipe's prompts, then held-out ones of one to three objects."""
    steps = figures.get("emoji-mmdit-256", {}).get("steps")
    card = {"title": "Emoji scenes, 256 x 256", "world": "emoji", "defaults": {"steps": 20, "guidance_scale": 4.0}}
    shipped = options.work / "emoji-mmdit-256"
    ship(model, shipped, card=card | {"description": f"An SD 3 trained by emoji-mmdit-256.yaml for {steps} steps."})
    figures["model_mb"] = round(sum(f.stat().st_size for f in shipped.rglob("*") if f.is_file()) / 1e6, 1)
    figures["pieces"] = pieces(shipped, options.out)
    sheet(options, figures)
    print(f"model of {figures['model_mb']} MB in {len(figures['pieces'])} pieces", flush=True)


def pieces(folder: Path, out: Path) -> list[str]:
    """`folder` as model.tar.00, model.tar.01, ... of at most PIECE bytes each."""
    for old in out.glob("model.tar.*"):
        old.unlink()
    whole = out / "model.tar"
    with tarfile.open(whole, "w") as archive:
        archive.add(folder, folder.name)
    names = []
    with whole.open("rb") as file:
        while part := file.read(PIECE):
            names.append(f"model.tar.{len(names):02d}")
            (out / names[-1]).write_bytes(part)
    whole.unlink()
    return names


def sheet(options: argparse.Namespace, figures: dict[str, Any]) -> None:
    """samples.png: the autoencoder's sheet, the last sample of the denoiser, and held-out prompts, under each other."""
    from studio.training.adherence import pipeline_generator
    from studio.training.pictures import sheet as grid

    rows = [sorted((options.work / name / "samples").glob("*.png"))[-1:] for name in ("autoencoder", "mmdit")]
    pictures = [Image.open(path[0]).convert("RGB") for path in rows if path]
    kinds = ("one",) if options.rehearse else ("one", "two", "three")
    world = worlds.get("tinyworld" if options.rehearse else "emoji")
    prompts = [p.text for kind in kinds for p in world.prompts(kind, 2 if options.rehearse else 16, 0)]
    generate = pipeline_generator(options.work / "emoji-mmdit-256", steps=2 if options.rehearse else 20, batch=48)
    began = time.monotonic()
    pictures.append(grid(generate(prompts, list(range(len(prompts)))), columns=8))
    figures["held_out_prompts"], figures["sampling_seconds"] = prompts, round(time.monotonic() - began, 1)
    out = Image.new("RGB", (max(p.width for p in pictures), sum(p.height for p in pictures)), "white")
    top = 0
    for picture in pictures:
        out.paste(picture, (0, top))
        top += picture.height
    out.save(options.out / "samples.png")


if __name__ == "__main__":
    sys.exit(main())
