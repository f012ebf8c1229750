"""A studio without a model, for tests of the window: it stands for the worker, and for nothing else.

Its queue, events, frames, images and refusals are real ones; only the picture comes out of a pencil instead of a network.
What it does is steered by the prompt, so a test can say it in words: "fail", "wait" (before the first step, until
`released`), "stay" (at the last step, until `finished` or cancelled).
"""

import io
import re
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw, PngImagePlugin

from studio.core.annotators import Annotation, AnnotatorView
from studio.core.cascade import Cascade, Enlarger
from studio.core.errors import InvalidRequest, NotFound
from studio.core.events import Cancelled, Done, Event, Failed, Image, Loading, Norms, Queued, Step
from studio.core.jobs import TERMINAL, ImageView, JobView, QueuedJob, QueueView, StoppedRun, remaining
from studio.core.models import Capabilities, Defaults, ModelInfo, ModelOptions
from studio.core.options import find_model, options_for, resolve
from studio.core.parts import PARTS
from studio.core.presets import Preset, Style
from studio.core.prompts import PromptReading, unknown_words
from studio.core.recipe import Recipe
from studio.core.request import GenerationRequest
from studio.core.settings import PROJECT
from studio.core.sketch import PREFIX, is_sketch, sketch_of
from studio.jobs.annotating import Annotating
from studio.jobs.database import Database
from studio.jobs.frames import spread
from studio.jobs.inputs import InputStore
from studio.jobs.log import EventLog
from studio.jobs.queue import JobQueue
from studio.jobs.races import Races
from studio.jobs.trash import take_back, throw_away
from studio.prompts.reading import spans_of
from studio.prompts.wildcards import Wildcards
from studio.training.runs import Runs
from tests.following import Following
from tests.ui.fake_memory import FakeMemory

SIZE = 128
MODELS = [
    ModelInfo(
        id="starter/pencil",
        title="Pencil",
        kind="diffusers",
        family="sd1",
        capabilities=Capabilities(
            tasks=("text_to_image", "image_to_image", "inpaint"), parts=("vae",), prediction="v_prediction"
        ),
        defaults=Defaults(steps=12, guidance_scale=4.0, width=SIZE, height=SIZE),
        description="Draws coloured shapes.",
        shipped=True,
    ),
    ModelInfo(
        id="starter/crayon",
        title="Crayon",
        kind="diffusers",
        family="pixart",
        capabilities=Capabilities(solvers=("dpmpp_2m", "ddim", "euler"), fixed_size=True),
        defaults=Defaults(steps=8, guidance_scale=3.0, width=SIZE, height=SIZE),
        description="Draws them softer.",
    ),
]
# Not on every test's studio: models that have no use for some of the form.
BLOBS = ModelInfo(
    id="other/blobs",
    title="Blobs",
    kind="diffusers",
    family="ddpm",
    capabilities=Capabilities(solvers=("ddpm", "ddim"), prompted=False, negative=False, guided=False, fixed_size=True),
    defaults=Defaults(sampler="ddim", steps=10, guidance_scale=1.0, width=SIZE, height=SIZE),
)
CLASSES = BLOBS.model_copy(
    update={
        "id": "other/classes",
        "title": "Classes",
        "capabilities": BLOBS.capabilities.model_copy(
            update={"prompted": True, "prompt_help": "One class of this model."}
        ),
    }
)
STAGES = MODELS[0].model_copy(
    update={
        "id": "other/stages",
        "title": "Sketch",
        "shipped": False,
        "capabilities": MODELS[0].capabilities.model_copy(update={"parts": tuple(PARTS)}),
        "cascade": Cascade(
            width=SIZE // 4,
            height=SIZE // 4,
            enlargers=(
                Enlarger(
                    id="other/upper",
                    title="Ink",
                    factor=4,
                    sampler="ddpm",
                    steps=30,
                    guidance_scale=4.0,
                    noise_level=250,
                    most_noise=999,
                ),
            ),
        ),
    }
)
VAES = [
    ModelInfo(id=f"vae/{name}", title=name.capitalize(), kind="vae", family=family)
    for name, family in (("sharp", "sd1"), ("soft", None), ("large", "sdxl"))
]
PRESETS = [
    Preset(name="quick", title="Quick look", description="Eight steps.", values={"steps": 8, "sampler": "euler"}),
    Preset(name="careful", title="Careful", description="Fifty steps.", values={"steps": 50, "guidance_scale": 6.5}),
]
STYLES = [Style(name="night", title="Night", prompt="{prompt}, night", negative_prompt="day")]
COLOURS = {
    "red": "#d6403a",
    "yellow": "#f2c230",
    "blue": "#2f64c8",
    "green": "#3d9a50",
    "white": "#f7f6f2",
    "pink": "#f09ab8",
}


class FakeStudio(FakeMemory):
    """`step_seconds`: how long a step takes. Images and frames lie in memory, thumbnails and files under `folder`."""

    def __init__(self, folder: Path, step_seconds: float = 0.01, models: list[ModelInfo] | None = None):
        super().__init__()
        self.folder = folder
        self._models = self._own_models = models or MODELS
        self._inputs = InputStore(folder / "inputs")
        self.runs = Runs(folder / "runs", PROJECT / "presets" / "training", folder / "models")
        database = Database(folder / "races.db")
        queue = JobQueue(database, EventLog(database))
        self.races = Races(folder / "races", queue, lambda: self._models, lambda request: request, lambda: None)
        self._annotating = Annotating(self._inputs, [folder / "models"])
        self.step_seconds = step_seconds
        self.released, self.finished = threading.Event(), threading.Event()
        self._lock = threading.Condition()
        self._jobs: dict[str, JobView] = {}
        self._events: dict[str, list[Event]] = {}
        self._frames: dict[tuple[str, int, int, str], bytes] = {}
        self._images: dict[str, ImageView] = {}
        self._dismissed: set[str] = set()
        self._closed = self._running = False
        self._turn = 1
        threading.Thread(target=self._work, daemon=True).start()

    def submit(self, request: GenerationRequest, *, replaces: str | None = None, sketch: bool = False) -> str:
        model = find_model(self._models, request.model)
        resolved = resolve(request, model, self._models)
        if replaces:
            self.cancel(replaces)
            self._dismissed.add(replaces)
        job = uuid.uuid4().hex[:12]
        if sketch:
            job, resolved = PREFIX + job, sketch_of(resolved, model)
        with self._lock:
            ahead = sum(view.state not in TERMINAL for view in self._jobs.values())
            self._jobs[job] = JobView(id=job, request=resolved, state="queued", created=time.time(), ahead=ahead)
            self._events[job] = []
        self._emit(job, Queued(ahead=ahead))
        return job

    def read_prompt(self, model: str, text: str) -> PromptReading:
        """A token is a word, and the model reads thirty."""
        words = [match.start() for match in re.finditer(r"\S+", text)]
        known = find_model(self._models, model).vocabulary
        return PromptReading(
            tokens=len(words),
            limit=30,
            cut=words[30] if len(words) > 30 else None,
            unknown=unknown_words(text, known),
            spans=spans_of(text, self._models, Wildcards(self.folder)),
        )

    def follow(self, job_id: str, after: int = 0) -> Following:
        self.job(job_id)
        return Following(lambda number: self._after(job_id, number), after)

    def _after(self, job_id: str, number: int) -> list[Event] | None:
        with self._lock:
            self._lock.wait_for(lambda: len(self._events[job_id]) > number or self._closed, timeout=0.5)
            return None if self._closed else self._events[job_id][number:]

    def job(self, job_id: str) -> JobView:
        if job_id not in self._jobs:
            raise NotFound("job", job_id)
        return self._jobs[job_id]

    def jobs(self, *, states: tuple[str, ...] = (), limit: int = 50) -> list[JobView]:
        return [view for view in self._all(states) if not is_sketch(view.id)][:limit]

    def sketches(self) -> list[str]:
        """Those of Live, the first one first."""
        return [job for job in self._jobs if is_sketch(job)]

    def _all(self, states: tuple[str, ...]) -> list[JobView]:
        return [view for view in reversed(self._jobs.values()) if not states or view.state in states]

    def watch_queue(self, seen: int, seconds: float) -> tuple[int, QueueView]:
        with self._lock:
            self._lock.wait_for(lambda: self._turn != seen or self._closed, timeout=seconds)
            turn = self._turn
        waiting, running = self._all(("queued",)), self._all(("running",))
        newest = next((view.id for view in self.jobs(limit=1)), None)
        return turn, QueueView(
            waiting=len(waiting),
            running=tuple(view.id for view in running),
            newest=newest,
            jobs=tuple(map(self._listed, [*running, *reversed(waiting)])),
            at=time.time(),
        )

    def _listed(self, view: JobView) -> QueuedJob:
        request, latest = view.request, (self._events[view.id] or [None])[-1]
        return QueuedJob(
            id=view.id,
            state="running" if view.state == "running" else "queued",
            prompt=request.prompt,
            model=request.model,
            count=request.count,
            steps=request.steps,
            pixels=SIZE * SIZE,
            started=view.started,
            latest=latest if isinstance(latest, Loading | Step) else None,
        )

    def cancel(self, job_id: str) -> bool:
        view = self.job(job_id)
        if view.state in TERMINAL:
            return False
        self._set(job_id, state="cancelled")
        if view.state == "queued":
            self._emit(job_id, Cancelled())
        return True

    def cancel_all(self, *, running: bool) -> int:
        states = ("queued", "running") if running else ("queued",)
        return sum(self.cancel(view.id) for view in self._all(states))

    def retry(self, job_id: str) -> str:
        return self.submit(self.job(job_id).request)

    def resume(self, job_id: str) -> str:
        job = self.submit(remaining(self.job(job_id)))
        self.discard(job_id)
        return job

    def stopped(self, limit: int = 12) -> list[StoppedRun]:
        return [run for view in self._all(("cancelled",)) if (run := self._stopped(view))][:limit]

    def _stopped(self, view: JobView) -> StoppedRun | None:
        steps = [event for event in self._events[view.id] if isinstance(event, Step)]
        if not steps or view.id in self._dismissed or is_sketch(view.id):
            return None
        last = {"image": steps[-1].images[0], "step": steps[-1].index, "total": steps[-1].total}
        return StoppedRun(job=view.id, request=view.request, ended=view.ended or view.created, **last)

    def discard(self, job_id: str) -> None:
        self._dismissed.add(job_id)
        with self._lock:
            self._turn += 1
            self._lock.notify_all()

    def models(self) -> list[ModelInfo]:
        return self._models

    def offer(self, *models: ModelInfo) -> None:
        """These, until it forgets."""
        self._models = list(models)

    def options(self, model: str) -> ModelOptions:
        return options_for(find_model(self._models, model))

    def frame(self, job_id: str, image: int, step: int, kind: str) -> bytes | None:
        return self._frames.get((job_id, image, step, kind))

    def film(self, job_id: str, image: int, kind: str) -> Iterator[tuple[int, bytes]]:
        found = {
            step: data for (job, i, step, k), data in list(self._frames.items()) if (job, i, k) == (job_id, image, kind)
        }
        yield from ((step, found[step]) for step in spread(found))

    def add_input(self, data: bytes) -> str:
        return self._inputs.add(data)

    def annotators(self) -> list[AnnotatorView]:
        return self._annotating.views()

    def annotate(self, digest: str, asked: Annotation) -> str:
        return self._annotating.annotate(digest, asked)

    def input_file(self, digest: str) -> Path:
        return self._inputs.path(digest)

    def images(self, *, limit: int = 50, before: float | None = None, favourites: bool = False) -> list[ImageView]:
        wanted = [view for view in self._images.values() if view.favourite >= favourites and Path(view.path).exists()]
        return [view for view in reversed(wanted) if before is None or view.created < before][:limit]

    def image(self, image_id: str) -> ImageView:
        if image_id not in self._images:
            raise NotFound("image", image_id)
        return self._images[image_id]

    def image_file(self, image_id: str) -> Path:
        return Path(self.image(image_id).path)

    def recipe(self, image_id: str) -> Recipe:
        view = self.image(image_id)
        model = find_model(self._models, view.request.model)
        made = {"model_title": model.title, "family": model.family, "pipeline": "Pencil", "scheduler": "Ruler"}
        run = {"weights": {"pencil": "0" * 64}, "dtype": "fp32", "device": "cpu", "libraries": {"numpy": "2"}}
        return Recipe(request=view.request, index=view.index, seed=view.seed, model=model.id, **made, **run)

    def delete_image(self, image_id: str) -> None:
        throw_away(self.folder, self.image_file(image_id).name)

    def restore_image(self, image_id: str) -> None:
        take_back(self.folder, self.image_file(image_id).name)

    def set_favourite(self, image_id: str, favourite: bool) -> None:
        self._images[image_id] = self.image(image_id).model_copy(update={"favourite": favourite})

    def thumbnail(self, image_id: str) -> bytes:
        return jpeg(Picture.open(self.image_file(image_id)).convert("RGB"))

    def read_settings(self, data: bytes) -> dict[str, Any]:
        try:
            text = Picture.open(io.BytesIO(data)).info.get("unnoise")
        except OSError:
            raise InvalidRequest("This is not a picture that can be read.") from None
        if text is None:
            raise InvalidRequest("This picture carries no settings.")
        values = GenerationRequest.model_validate_json(text).model_dump()
        return values | {"notes": ["Not known here: the sampler Restart."]}

    def presets(self) -> list[Preset]:
        return PRESETS

    def styles(self) -> list[Style]:
        return STYLES

    def forget(self) -> None:
        """As if nothing had ever been made here."""
        self.forget_memory()
        self._models = self._own_models
        for view in self._all(()):
            self.cancel(view.id)
        self.released.set()
        self.finished.set()
        with self._lock:
            self._lock.wait_for(lambda: not self._running)
            for kept in (self._jobs, self._events, self._frames, self._images):
                kept.clear()
            self._turn += 1
            self._lock.notify_all()
        self.released.clear()
        self.finished.clear()

    def close(self) -> None:
        self.released.set()
        self.finished.set()
        with self._lock:
            self._closed = True
            self._lock.notify_all()

    # --- the pencil -----------------------------------------------------------------------------------------------

    def _set(self, job: str, **changes: Any) -> None:
        with self._lock:
            self._jobs[job] = self._jobs[job].model_copy(update=changes)
            self._turn += 1
            self._lock.notify_all()

    def _emit(self, job: str, event: Event) -> None:
        with self._lock:
            self._events[job].append(event)
            self._turn += 1
            self._lock.notify_all()

    def _work(self) -> None:
        while not self._closed:
            with self._lock:
                self._lock.wait_for(lambda: self._closed or bool(self._waiting()), timeout=1)
                waiting = self._waiting()
                self._running = bool(waiting)
            if waiting:
                self._run(waiting[0])
            with self._lock:
                self._running = False
                self._lock.notify_all()

    def _waiting(self) -> list[str]:
        return [view.id for view in self._jobs.values() if view.state == "queued"]

    def _run(self, job: str) -> None:
        request = self._jobs[job].request
        self._set(job, state="running", started=time.time())
        self._emit(job, Loading(model=request.model, what="sharpening", fraction=0.5))
        if "wait" in request.prompt:
            self.released.wait()
        began = time.perf_counter()
        for index in range(request.count):
            if not self._draw(job, index, request):
                return
        seconds = time.perf_counter() - began
        self._set(job, state="done", ended=time.time())
        self._emit(job, Done(seconds=seconds))

    def _draw(self, job: str, index: int, request: GenerationRequest) -> bool:
        final = np.asarray(pencil(request.prompt, request.width or SIZE, request.height or SIZE), dtype=np.float32)
        seed = request.seed + index
        noise = np.random.default_rng(seed).normal(128, 70, final.shape).astype(np.float32)
        began = time.perf_counter()
        for step in range(request.steps):
            time.sleep(self.step_seconds)
            while "stay" in request.prompt and step == request.steps - 1 and self._jobs[job].state != "cancelled":
                if self.finished.wait(0.01):
                    break
            if self._jobs[job].state == "cancelled":
                self._emit(job, Cancelled())
                return False
            if "fail" in request.prompt and step == 2:
                message = (
                    "The denoiser produced a value that is not finite, so the run was stopped and nothing was saved."
                )
                self._set(job, state="failed", message=message)
                self._emit(job, Failed(message=message))
                return False
            self._step(job, index, step, request, final, noise, began)
        if not is_sketch(job):
            self._save(job, index, seed, request, Picture.fromarray(final.astype(np.uint8)))
        return True

    def _step(
        self, job: str, index: int, step: int, request: GenerationRequest, final: Any, noise: Any, began: float
    ) -> None:
        share = (step + 1) / request.steps
        blur = Picture.fromarray(final.astype(np.uint8))
        low = max(2, int(SIZE * share * share))
        guess = np.asarray(blur.resize((low, low)).resize(blur.size), dtype=np.float32)
        for kind, picture in (
            ("x0", guess * 0.94 + noise * 0.06 * (1 - share)),
            ("xt", final * share + noise * (1 - share)),
        ):
            self._frames[job, index, step, kind] = jpeg(Picture.fromarray(np.clip(picture, 0, 255).astype(np.uint8)))
        elapsed = time.perf_counter() - began
        self._emit(
            job,
            Step(
                index=step,
                total=request.steps,
                images=(index,),
                timestep=999.0 * (1 - share),
                sigma=14.6 * (1 - share) ** 2 + 0.03,
                seconds=elapsed / (step + 1),
                elapsed=elapsed,
                remaining=elapsed / share - elapsed,
                norms=(Norms(x_t=1 + share),),
                frames=("xt", "x0") if request.previews else (),
            ),
        )

    def _save(self, job: str, index: int, seed: int, request: GenerationRequest, picture: Picture.Image) -> None:
        name = uuid.uuid4().hex[:12]
        path = self.folder / f"{name}.png"
        info = PngImagePlugin.PngInfo()
        info.add_text("unnoise", request.model_copy(update={"seed": seed, "count": 1}).model_dump_json())
        picture.save(path, pnginfo=info)
        shared = {"seed": seed, "width": picture.width, "height": picture.height, "path": str(path), "sha256": "0" * 64}
        view = ImageView(id=name, job=job, index=index, created=time.time(), request=request, **shared)
        with self._lock:
            self._images[name] = view
        self._set(job, images=(*self._jobs[job].images, name))
        self._emit(job, Image(id=name, index=index, **shared))


def jpeg(picture: Picture.Image) -> bytes:
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=85)
    return data.getvalue()


def pencil(prompt: str, width: int, height: int) -> Picture.Image:
    """A shape in the first colour named, on a ground of the second."""
    named = [COLOURS[word] for word in re.findall(r"\w+", prompt.lower()) if word in COLOURS]
    ink, ground = (named + ["#d6403a", "#f2c230"][len(named) :])[:2]
    picture = Picture.new("RGB", (width, height), ground)
    pen = ImageDraw.Draw(picture)
    if "striped" in prompt:
        for x in range(0, width, width // 6):
            pen.rectangle([x, 0, x + width // 12, height], fill="#fdf3c9")
    cx, cy, r = width / 2, height / 2, min(width, height) * 0.32
    if "heart" in prompt:
        turn = np.linspace(0, 2 * np.pi, 90)
        xs = cx + r / 15 * 16 * np.sin(turn) ** 3
        ys = cy - r / 15 * (13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn))
        pen.polygon(list(zip(xs, ys, strict=True)), fill=ink)
    else:
        pen.ellipse([cx - r, cy - r, cx + r, cy + r], fill=ink)
    return picture
