"""`generate`: makes images in this process, without a server or a queue. Prints one image a line on stdout.

Flags, bounds and help come from the request's fields, as the form's do. Progress goes to stderr if that is a terminal.
"""

import argparse
import functools
import json
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from studio.cli.batch import folder_of, run_each
from studio.cli.flags import Parser, StoreImage, add_fields, add_parts, add_tasks, given, parts_of, size_of, task_of
from studio.cli.settings import add_settings, settings_from
from studio.cli.traces import Copied
from studio.core import events
from studio.core.errors import InvalidRequest, StudioError
from studio.core.options import check_pictures, check_traces, find_model, prepared, resolve
from studio.core.pictures import read_file
from studio.core.recipe import Recipe
from studio.core.request import GenerationRequest, parse_request
from studio.core.settings import Settings
from studio.jobs.annotating import Annotating
from studio.jobs.archive import Archive
from studio.jobs.database import Database
from studio.jobs.inputs import InputStore
from studio.jobs.storage import PRIVATE
from studio.prompts.prepare import with_loras
from studio.prompts.wildcards import Wildcards

if TYPE_CHECKING:
    from studio.cli.folder import Folder
    from studio.manager.disk.catalog import Catalog
    from studio.manager.manager import Manager

WINDOW_ONLY = ("host", "port", "presets", "auth", "allow_hosts", "open_browser")

Show = Callable[[Path, Recipe], None]


def main(argv: list[str]) -> int:
    arguments = _parser().parse_args(argv)
    settings = settings_from(arguments)
    session = session_of(arguments, settings)
    if (folder := folder_of(arguments)) is None:
        session.run(request_from(arguments, session.store))
    else:
        run_each(
            arguments, folder, session.store, lambda each, place: session.run(request_from(each, session.store), place)
        )
    return 0


def session_of(arguments: argparse.Namespace, settings: Settings) -> "Session":
    """As the flags of `add_results` say."""
    show = print_json if arguments.json else print_path
    return Session(settings, out=arguments.out, show=show, trace=arguments.trace)


class Session:
    """One or more requests carried out in this process, with the models that stay in memory between them."""

    def __init__(self, settings: Settings, *, out: Path | None, show: Show, trace: Path | None = None):
        """The images go into the archive unless `out` names a folder; `show` prints each when it is saved. `trace`: a file for
        the one picture's trace, beside the studio's own."""
        self._settings, self._out, self._show = settings, out, show
        private = settings.outputs.resolve() / PRIVATE
        self.inputs = InputStore(private / "inputs")
        self.traces = Copied(private / "traces", settings.traces, trace)
        self._noted: set[str] = set()

    def store(self, file: str) -> str:
        """Keeps a picture's file and gives its hash; raises InvalidRequest with the file's name."""
        path = Path(file).expanduser()
        data = read_file(path)
        try:
            return self.inputs.add(data)
        except InvalidRequest as error:
            raise InvalidRequest(f"{path.name}: {error}") from None

    @functools.cached_property
    def _catalog(self) -> "Catalog":
        from studio.manager.disk.catalog import Catalog

        return Catalog(self._settings.models, self._settings.outputs / PRIVATE / "catalog.db")

    @functools.cached_property
    def _sink(self) -> "Folder | Archive":
        from studio.cli.folder import Folder

        return Folder(self._out.expanduser().absolute()) if self._out else _archive(self._settings)

    @functools.cached_property
    def _manager(self) -> "Manager":
        from studio import compat

        compat.prepare()
        from studio.manager.manager import Manager  # imports torch, which takes seconds, so bad input is refused before

        return Manager(self._settings, catalog=self._catalog)

    def _resolved(self, request: GenerationRequest) -> GenerationRequest:
        from studio.manager.disk.folders import check_request
        from studio.manager.disk.traces import read_trace_of

        models = self._catalog.models()
        model = find_model(models, request.model)
        resolved = resolve(with_loras(request, models, Wildcards(self._settings.wildcards)), model, models)
        check_pictures(resolved, self.inputs.open)
        check_traces(resolved, functools.partial(read_trace_of, self.traces.path))
        self.traces.check(resolved)
        if (path := self._catalog.path(model.id)) is not None:
            check_request(resolved, model, path)
        return prepared(resolved, Annotating(self.inputs, self._settings.models).annotate)

    def run(self, request: GenerationRequest, place: str = "") -> None:
        """Makes the request's images. Raises StudioError. `place` is said before the progress."""
        resolved = self._resolved(request)
        manager = self._manager
        from studio.execution import execute

        failure: StudioError | None = None

        def emit(event: events.Event) -> None:
            nonlocal failure
            if isinstance(event, events.Image):
                self._saved(event)
            elif isinstance(event, events.Step):
                _progress(f"{place}step {event.index + 1} of {event.total}, {event.elapsed:.1f} s")
            elif isinstance(event, events.Loading):
                _progress(f"{event.model}: {event.what}")
            elif isinstance(event, events.Failed):
                failure = (InvalidRequest if event.field else StudioError)(event.message, field=event.field)

        job = f"cli-{secrets.token_hex(6)}"
        try:
            execute(
                job,
                resolved,
                manager=manager,
                catalog=self._catalog,
                archive=self._sink,
                frames=None,
                inputs=self.inputs,
                emit=emit,
                traces=self.traces,
            )
        finally:
            _progress("")
        if failure is not None:
            raise failure
        self.traces.check_copied()

    def _saved(self, event: events.Image) -> None:
        _progress("")
        recipe = self._sink.recipe(event.id)
        self._show(self._sink.outputs / event.path, recipe)
        for note in recipe.notes:
            if note not in self._noted:  # once, whatever the number of images
                print(note, file=sys.stderr, flush=True)
                self._noted.add(note)


def request_from(arguments: argparse.Namespace, store: StoreImage) -> GenerationRequest:
    """The request that the flags make; `store` keeps a picture's file and gives its hash. Raises InvalidRequest."""
    values = {"prompt": arguments.prompt, "previews": False} | given(arguments, GenerationRequest)
    values |= {"task": task_of(arguments, store), "parts": parts_of(arguments, store)}
    if arguments.size is not None:
        values |= size_of(arguments.size)
    return parse_request(values)


def _parser() -> Parser:
    parser = Parser(prog="python -m studio generate", description="Make images from a prompt.")
    parser.add_argument("prompt", metavar="PROMPT", help="what the picture should show, in words")
    add_fields(parser, GenerationRequest, skip=("prompt", "width", "height", "previews", "task", "parts"))
    add_tasks(parser)
    add_parts(parser)
    parser.add_argument("--size", metavar="WxH", help="width and height in pixels (default: the model's own)")
    add_results(parser)
    add_settings(parser, skip=WINDOW_ONLY)
    return parser


def add_results(parser: Parser) -> None:
    """Where what is made goes, and how it is reported."""
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the images (default: the studio's archive)")
    parser.add_argument(
        "--trace", type=Path, metavar="FILE", help="also keep the trace of the picture's run in this file"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line, an image each")


def _archive(settings: Settings) -> Archive:
    outputs = settings.outputs.resolve()
    archive = Archive(outputs, Database(outputs / PRIVATE / "studio.db"))
    archive.private.mkdir(parents=True, exist_ok=True)
    return archive


def print_json(path: Path, recipe: Recipe) -> None:
    row = {"path": str(path), "seed": recipe.seed, "parent": recipe.parent, "recipe": recipe.model_dump(mode="json")}
    print(json.dumps(row), flush=True)


def print_path(path: Path, recipe: Recipe) -> None:
    print(path, flush=True)


def _progress(text: str) -> None:
    """One line on the terminal that is overwritten; nothing if stderr is no terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
