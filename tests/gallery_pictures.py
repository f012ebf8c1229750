"""An archive with pictures of many kinds, without any having been generated: for tests of the gallery and its benchmark."""

import io
import os
import random
import time
from pathlib import Path

from PIL import Image, ImageDraw

from studio.core.parts import LoRA
from studio.core.recipe import Recipe
from studio.core.request import GenerationRequest
from studio.core.tasks import ImageToImage, TextToImage
from studio.jobs.archive import Archive

WORDS = (
    "red",
    "heart",
    "Blue",
    "star",
    "boat",
    "sea",
    "moon",
    "Schnee",
    "STRASSE",
    "straße",
    "猫",
    "50%",
    "a_b",
    "c-d",
)
MODELS = ("starter/one", "starter/two", "other/large")
SAMPLERS = ("euler", "dpmpp_2m", "ddim")
SIZES = ((64, 64), (128, 64), (64, 128))
LORAS = ("loras/ink", "loras/in", "loras/clay")


def request(rng: random.Random) -> GenerationRequest:
    width, height = rng.choice(SIZES)
    return GenerationRequest(
        model=rng.choice(MODELS),
        prompt=" ".join(rng.choice(WORDS) for _ in range(rng.randint(0, 5))),
        sampler=rng.choice(SAMPLERS),
        width=width,
        height=height,
        seed=rng.randrange(1000),
        task=TextToImage() if rng.random() < 0.8 else ImageToImage(image="0" * 64),
        parts=tuple(LoRA(model=name) for name in rng.sample(LORAS, rng.choice((0, 0, 1, 2)))),
    )


def recipe(asked: GenerationRequest, **more: object) -> Recipe:
    made = {"model_title": asked.model.upper(), "family": "sd1", "pipeline": "P", "scheduler": "S"}
    run = {
        "weights": {"unet": "0" * 64, "vae": "1" * 64},
        "dtype": "fp32",
        "device": "cpu",
        "libraries": {"torch": "0"},
    }
    return Recipe(**{"request": asked, "index": 0, "seed": asked.seed, "model": asked.model} | made | run | more)


def picture(colour: str = "teal", size: tuple[int, int] = (64, 64)) -> Image.Image:
    image = Image.new("RGB", size, "#f4efe6")
    side = min(size) // 4
    ImageDraw.Draw(image).ellipse([side, side, size[0] - side, size[1] - side], fill=colour)
    return image


def rows(archive: Archive, count: int, seed: int = 0, *, files: bool = False) -> list[dict[str, object]]:
    """Add this many to the index, a minute apart, a hundred a day; with `files`, each is a link to one and the same PNG."""
    rng, now, listed = random.Random(seed), time.time(), []
    buffer = io.BytesIO()
    picture().save(buffer, "PNG")
    original = archive.private / "original.png"
    original.parent.mkdir(parents=True, exist_ok=True)
    original.write_bytes(buffer.getvalue())
    with archive._database.write("fill") as db:
        for number in range(count):
            asked, name, created = request(rng), f"i{number:06}", now - 60.0 * (number - number % 3)
            path = Path(time.strftime("%Y-%m-%d", time.gmtime(now - 86400 * (number // 100)))) / f"{name}.png"
            if files:
                (archive.outputs / path).parent.mkdir(exist_ok=True)
                os.link(original, archive.outputs / path)
            size = asked.width or 0, asked.height or 0
            made = recipe(asked, pixels=f"{number:064}")
            archive._insert(db, name, "job", made, size, created, archive.outputs / path)
            favourite = rng.random() < 0.2
            db.execute("UPDATE images SET favourite = ? WHERE id = ?", (favourite, name))
            listed.append({"id": name, "request": asked, "created": created, "favourite": favourite, "row": number})
    return listed
