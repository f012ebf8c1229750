"""Makes control images of stored pictures: an annotator at a time, in a process of its own, bounded in time and memory.

Loads neither torch nor OpenCV, and knows no annotator but by its row in `core.annotators`.
"""

import json
import logging
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path

from studio.core.annotators import (
    ANNOTATORS,
    FOLDER,
    NONE,
    Annotation,
    Annotator,
    AnnotatorView,
    absent,
    check_annotation,
)
from studio.core.errors import InvalidRequest, NotFound, StudioError
from studio.core.settings import PROJECT
from studio.jobs.inputs import InputStore

log = logging.getLogger(__name__)

CHILD = "studio.annotators.child"
# Seconds, and bytes of memory, that one annotator may take: without weights and with them.
PLAIN, WEIGHTED = (120.0, 3 * 2**30), (600.0, 10 * 2**30)
REMEMBERED = 256  # control images that are not made a second time


class Annotating:
    """`folders` are the models folders, below which weights are looked for."""

    def __init__(self, inputs: InputStore, folders: Iterable[Path]):
        self._inputs, self._folders = inputs, tuple(folders)
        self._one = threading.Lock()
        self._made: dict[tuple[str, str], str] = {}

    def views(self) -> list[AnnotatorView]:
        """Every annotator, and why one cannot be used."""
        return [
            AnnotatorView(name=name, title=each.title, help=each.help, problem=self._problem(each))
            for name, each in ANNOTATORS.items()
        ]

    def annotate(self, digest: str, asked: Annotation) -> str:
        """The hash of the picture's control image. Raises NotFound, InvalidRequest, StudioError."""
        annotator = check_annotation(asked)
        source = self._inputs.path(digest)
        if not source.is_file():
            raise NotFound("input", digest)
        if asked.annotator == NONE:
            return digest
        if problem := self._problem(annotator):
            raise InvalidRequest(problem, field="annotator")
        key = (digest, asked.model_dump_json())
        with self._one:
            made = self._made.get(key)
            if made is None or not self._inputs.path(made).is_file():
                self._made[key] = made = self._inputs.add(self._run(source, asked, annotator))
                if len(self._made) > REMEMBERED:
                    self._made.pop(next(iter(self._made)))
        return made

    def _problem(self, annotator: Annotator) -> str | None:
        if not annotator.files or self._folder(annotator):
            return None
        missing = min((_missing(annotator, folder) for folder in self._places()), key=len, default=annotator.files)
        return absent(annotator, missing)

    def _folder(self, annotator: Annotator) -> Path | None:
        """The first that holds all of its weights."""
        return next((folder for folder in self._places() if not _missing(annotator, folder)), None)

    def _places(self) -> list[Path]:
        return [folder / FOLDER for folder in self._folders]

    def _run(self, source: Path, asked: Annotation, annotator: Annotator) -> bytes:
        seconds, memory = WEIGHTED if annotator.files else PLAIN
        with tempfile.TemporaryDirectory(prefix="annotate-") as place:
            target = Path(place) / "control.png"
            task = {
                "asked": asked.model_dump(mode="json"),
                "source": str(source.resolve()),
                "target": str(target),
                "folder": str(self._folder(annotator) or place),
                "memory": memory,
            }
            problem = _carried_out(json.dumps(task).encode() + b"\n", seconds)
            if problem:
                raise StudioError(f"{annotator.title} could not be made: {problem}.", field="annotator")
            return target.read_bytes()


def _missing(annotator: Annotator, folder: Path) -> tuple[str, ...]:
    there = {name: (folder / name / "config.json" if "." not in name else folder / name) for name in annotator.files}
    return tuple(name for name, path in there.items() if not path.is_file())


def _carried_out(task: bytes, seconds: float) -> str:
    """How the process ended, as the end of a sentence; empty if all went well."""
    command = [sys.executable, "-m", CHILD]
    pipe, late = subprocess.PIPE, threading.Event()
    with tempfile.TemporaryFile() as said:
        with subprocess.Popen(command, cwd=PROJECT, stdin=pipe, stdout=pipe, stderr=said) as process:
            assert process.stdin and process.stdout
            timer = threading.Timer(seconds, _end, (process, late))
            timer.start()
            try:
                # Its standard input stays open until it has answered: when that closes, it ends.
                process.stdin.write(task)
                process.stdin.flush()
                answer = process.stdout.readline()
            except OSError:
                answer = b""
            finally:
                timer.cancel()
                process.kill()
        if not answer.endswith(b"\n") or json.loads(answer)["problem"]:
            said.seek(0)
            log.warning("An annotator failed: %s", said.read()[-4000:].decode(errors="replace"))
    if late.is_set():
        return f"it took longer than {seconds:.0f} seconds"
    return str(json.loads(answer)["problem"]) if answer.endswith(b"\n") else "its process ended early"


def _end(process: subprocess.Popen[bytes], late: threading.Event) -> None:
    late.set()
    process.kill()
