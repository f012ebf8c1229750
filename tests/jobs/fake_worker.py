"""A worker for tests of the host: the real channel, the real archive and frames, and arithmetic in place of the engine.

The prompt's first word says what happens to the job: "die", "cut", "hang", "deaf", "fail"; anything else becomes a picture.
A step lasts until the file `<outputs>/hold` is gone, so that tests can look at a job in the midst of its run.
"""

import mmap
import os
import signal
import tempfile
import threading
import time
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from PIL import Image

from studio.core import events
from studio.core.errors import Cancelled, StudioError
from studio.core.recipe import Recipe
from studio.core.request import GenerationRequest
from studio.core.sketch import is_sketch
from studio.jobs.archive import Archive, encode_jpeg
from studio.jobs.channel import Channel, Message
from studio.jobs.database import Database
from studio.jobs.frames import FrameStore
from studio.jobs.saving import PatientSink
from studio.jobs.storage import PRIVATE

TINY = 0.002


def main(channel: Channel) -> None:
    commands: SimpleQueue[Message | None] = SimpleQueue()
    cancelled: set[str] = set()
    threading.Thread(target=_receive, args=(channel, commands, cancelled), daemon=True).start()
    settings_message = commands.get()
    assert settings_message is not None
    outputs = Path(settings_message["settings"]["outputs"])
    channel.send({"say": "ready"})
    while (command := commands.get()) is not None:
        Run(channel, command["job"], GenerationRequest(**command["request"]), outputs, cancelled).go()


def cannot_start(channel: Channel) -> None:
    raise SystemExit(3)


def unable(channel: Channel) -> None:
    channel.send({"say": "unable", "problem": "There is no such device here."})
    raise SystemExit(3)


def _receive(channel: Channel, commands: "SimpleQueue[Message | None]", cancelled: set[str]) -> None:
    for message in channel.receive():
        if message["do"] == "cancel":
            cancelled.add(message["job"])
        elif message["do"] == "exit":
            os._exit(0)
        elif message["do"] != "preload":
            commands.put(message)
    commands.put(None)


def touch_what_was_cut_short() -> None:
    """What happens to whoever has weights mapped from a file that another program truncates."""
    with tempfile.TemporaryFile() as file:
        file.truncate(mmap.PAGESIZE)
        pages = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        file.truncate(0)
        pages[0]


class Run:
    def __init__(self, channel: Channel, job: str, request: GenerationRequest, outputs: Path, cancelled: set[str]):
        self.channel, self.job, self.request, self.outputs, self.cancelled = channel, job, request, outputs, cancelled
        database = Database(outputs / PRIVATE / "studio.db")
        self.archive = PatientSink(Archive(outputs, database), self.emit, lambda: job in cancelled)
        self.frames = FrameStore(outputs / PRIVATE / "frames", database)

    def emit(self, event: Any) -> None:
        self.channel.send({"say": "event", "job": self.job, "event": events.to_json(event)})

    def go(self) -> None:
        self.emit(events.Loading(model=self.request.model, what="nothing"))
        word = self.request.prompt.partition(" ")[0]
        try:
            for step in range(self.request.steps):
                self.step(step, word)
            for index in () if is_sketch(self.job) else range(self.request.count):
                self.emit(self.archive.save(picture(self.request, index), recipe_of(self.request, index), self.job))
        except Cancelled:
            self.emit(events.Cancelled())
        except StudioError as error:
            self.emit(events.Failed(message=str(error), field=error.field))
        else:
            self.emit(events.Done(seconds=1.0))

    def step(self, step: int, word: str) -> None:
        if word == "fail":
            raise StudioError("It was asked to fail.", field="prompt")
        if word == "die" and step == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if word == "cut" and step == 1:
            touch_what_was_cut_short()
        jpeg = encode_jpeg(picture(self.request, step), quality=80)
        self.frames.put(self.job, 0, step, "x0", jpeg)
        self.emit(
            events.Step(
                index=step,
                total=self.request.steps,
                timestep=1.0,
                seconds=TINY,
                elapsed=TINY * step,
                frames=("x0",),
            )
        )
        while word in ("hang", "deaf") or (self.outputs / "hold").exists():
            time.sleep(TINY)
            if word != "deaf" and self.job in self.cancelled:
                raise Cancelled
        if self.job in self.cancelled:
            raise Cancelled


def picture(request: GenerationRequest, index: int) -> Image.Image:
    return Image.new("RGB", (request.width or 16, request.height or 16), ((request.seed + index) % 256, 40, 90))


def recipe_of(request: GenerationRequest, index: int) -> Recipe:
    return Recipe(
        request=request,
        index=index,
        seed=request.seed + index,
        model=request.model,
        model_title="Fake",
        family="sd1",
        pipeline="None",
        scheduler="None",
        weights={"unet": "ab" * 32},
        dtype="fp32",
        device="cpu",
        libraries={},
    )
