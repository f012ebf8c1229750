"""`generate`: makes images in this process, without a server or a queue. Prints one image a line on stdout.

Flags, bounds and help come from the request's fields, as the form's do. Progress goes to stderr if that is a terminal.
"""

import argparse
import json
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

from studio.cli.flags import Parser, StoreImage, add_fields, add_parts, add_tasks, given, parts_of, size_of, task_of
from studio.cli.settings import add_settings, settings_from
from studio.core import events
from studio.core.errors import InvalidRequest, StudioError
from studio.core.options import find_model, resolve
from studio.core.pictures import read_file
from studio.core.recipe import Recipe
from studio.core.request import GenerationRequest, parse_request
from studio.core.settings import Settings
from studio.jobs.archive import Archive
from studio.jobs.database import Database
from studio.jobs.inputs import InputStore
from studio.jobs.storage import PRIVATE

WINDOW_ONLY = ("host", "port", "presets", "auth", "allow_hosts", "open_browser")

Show = Callable[[Path, Recipe], None]


def main(argv: list[str]) -> int:
    arguments = _parser().parse_args(argv)
    settings = settings_from(arguments)
    inputs = InputStore(settings.outputs.resolve() / PRIVATE / "inputs")
    request = request_from(arguments, lambda file: inputs.add(read_file(Path(file).expanduser())))
    run(request, settings, inputs, out=arguments.out, show=_print_json if arguments.json else _print_path)
    return 0


def run(request: GenerationRequest, settings: Settings, inputs: InputStore, *, out: Path | None, show: Show) -> None:
    """Makes the images and prints each when it is saved; into the archive unless `out` names a folder. Raises StudioError."""
    from studio import compat
    from studio.cli.folder import Folder
    from studio.manager.disk.catalog import Catalog
    from studio.manager.disk.folders import check_request

    catalog = Catalog(settings.models, settings.outputs / PRIVATE / "catalog.db")
    models = catalog.models()
    model = find_model(models, request.model)
    resolved = resolve(request, model, models)
    if (path := catalog.path(model.id)) is not None:
        check_request(resolved, model, path)

    compat.prepare()
    from studio.execution import execute  # imports torch, which takes seconds, so bad input is refused before
    from studio.manager.manager import Manager

    manager = Manager(settings, catalog=catalog)
    sink = Folder(out.expanduser().absolute()) if out else _archive(settings)
    failure: StudioError | None = None
    noted: set[str] = set()

    def emit(event: events.Event) -> None:
        nonlocal failure
        if isinstance(event, events.Image):
            _progress("")
            recipe = sink.recipe(event.id)
            show(sink.outputs / event.path, recipe)
            for note in recipe.notes:
                if note not in noted:  # once, whatever the number of images
                    print(note, file=sys.stderr, flush=True)
                    noted.add(note)
        elif isinstance(event, events.Step):
            _progress(f"step {event.index + 1} of {event.total}, {event.elapsed:.1f} s")
        elif isinstance(event, events.Loading):
            _progress(f"{event.model}: {event.what}")
        elif isinstance(event, events.Failed):
            failure = (InvalidRequest if event.field else StudioError)(event.message, field=event.field)

    job = f"cli-{secrets.token_hex(6)}"
    try:
        execute(job, resolved, manager=manager, catalog=catalog, archive=sink, frames=None, inputs=inputs, emit=emit)
    finally:
        _progress("")
    if failure is not None:
        raise failure


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
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the images (default: the studio's archive)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, an image each")
    add_settings(parser, skip=WINDOW_ONLY)
    return parser


def _archive(settings: Settings) -> Archive:
    outputs = settings.outputs.resolve()
    archive = Archive(outputs, Database(outputs / PRIVATE / "studio.db"))
    archive.private.mkdir(parents=True, exist_ok=True)
    return archive


def _print_json(path: Path, recipe: Recipe) -> None:
    print(json.dumps({"path": str(path), "seed": recipe.seed, "recipe": recipe.model_dump(mode="json")}), flush=True)


def _print_path(path: Path, recipe: Recipe) -> None:
    print(path, flush=True)


def _progress(text: str) -> None:
    """One line on the terminal that is overwritten; nothing if stderr is no terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
