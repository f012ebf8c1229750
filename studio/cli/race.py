"""`race`: several samplers from one noise, in this process. Prints their errors against evaluations of the denoiser.

Flags, bounds and help of what is drawn come from the request's fields, as those of `generate` do.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from studio.cli.flags import Parser, add_fields, given, size_of
from studio.cli.generate import WINDOW_ONLY
from studio.cli.settings import add_settings, settings_from
from studio.core import events
from studio.core.errors import InvalidRequest, StudioError
from studio.core.options import find_model
from studio.core.race import BUDGETS, Race, RaceView, lanes_of, parse_race
from studio.core.race_plan import base_of, plan
from studio.core.request import GenerationRequest
from studio.core.settings import Settings
from studio.jobs.inputs import InputStore
from studio.jobs.races import FOLDER, RaceFolder
from studio.jobs.storage import PRIVATE
from studio.prompts.prepare import with_loras
from studio.prompts.wildcards import Wildcards

SKIPPED = (
    "prompt",
    "width",
    "height",
    "previews",
    "task",
    "parts",
    "sampler",
    "spacing",
    "steps",
    "count",
    "batch_size",
)


def main(argv: list[str]) -> int:
    arguments = _parser().parse_args(argv)
    settings = settings_from(arguments)
    view = _run(race_from(arguments), settings)
    if arguments.json:
        print(json.dumps(view.model_dump(mode="json")), flush=True)
    else:
        _print(view, settings.outputs / PRIVATE / FOLDER / view.id)
    return 0


def race_from(arguments: argparse.Namespace) -> Race:
    """The race that the flags make. Raises InvalidRequest."""
    request = {"prompt": arguments.prompt} | given(arguments, GenerationRequest)
    if arguments.size is not None:
        request |= size_of(arguments.size)
    lanes = lanes_of(_names(arguments.samplers), _names(arguments.spacings))
    values: dict[str, Any] = {"request": request, "lanes": lanes, "evaluations": _numbers(arguments.evaluations)}
    if arguments.reference_steps is not None:
        values["reference_steps"] = _numbers(arguments.reference_steps)[0]
    return parse_race(values)


def _run(race: Race, settings: Settings) -> RaceView:
    from studio.manager.disk.catalog import Catalog

    private = settings.outputs.resolve() / PRIVATE
    catalog = Catalog(settings.models, private / "catalog.db")
    models = catalog.models()
    model = find_model(models, race.request.model)
    request = with_loras(base_of(race), models, Wildcards(settings.wildcards))
    asked = plan(race.model_copy(update={"request": request}), model, models)

    from studio import compat

    compat.prepare()
    from studio.cli.folder import Folder
    from studio.execution import execute  # imports torch, which takes seconds, so bad input is refused before
    from studio.manager.manager import Manager

    folder = RaceFolder.new(private / FOLDER, asked, model.title)
    failure: StudioError | None = None

    def emit(event: events.Event) -> None:
        nonlocal failure
        if isinstance(event, events.Step):
            _progress(f"evaluation {event.index + 1} of {event.total}, {event.remaining or 0:.0f} s left")
        elif isinstance(event, events.Failed):
            failure = (InvalidRequest if event.field else StudioError)(event.message, field=event.field)

    execute(
        folder.id,
        asked.race.request,
        manager=Manager(settings, catalog=catalog),
        catalog=catalog,
        archive=Folder(settings.outputs.resolve()),
        frames=None,
        inputs=InputStore(private / "inputs"),
        emit=emit,
    )
    _progress("")
    if failure is not None:
        raise failure
    return folder.view("done")


def _print(view: RaceView, folder: Path) -> None:
    rows = [("sampler", "evaluations", "steps", "error", "picture, of 255", "seconds")]
    for leg in sorted(view.results.legs, key=lambda leg: (leg.budget, leg.error is None, leg.error or 0.0)):
        error = "" if leg.error is None else f"{leg.error:.2e}"
        picture = "" if leg.picture_error is None else f"{leg.picture_error:.2f}"
        title = view.lanes[leg.lane].title
        rows.append((title, str(leg.evaluations), str(leg.steps), error, picture, f"{leg.seconds:.2f}"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for sentence in (*view.verdicts.values(), view.note, f"The pictures are in {folder}."):
        if sentence:
            print(sentence)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _numbers(text: str) -> list[Any]:
    """Numbers where they are some; what is none is refused by the race itself."""
    return [int(part) if part.strip().lstrip("-").isdecimal() else part for part in text.split(",")]


def _parser() -> Parser:
    parser = Parser(
        prog="python -m studio race",
        description="Compare samplers from one noise, by their error within so many evaluations of the denoiser. Guidance "
        "counts the same for all, so it is not counted.",
    )
    parser.add_argument("prompt", metavar="PROMPT", help="what the picture should show, in words")
    parser.add_argument("--samplers", metavar="NAMES", default="", help="with commas (default: the model's usual ones)")
    parser.add_argument(
        "--spacings", metavar="NAMES", default="", help="each sampler runs with each (default: default)"
    )
    parser.add_argument(
        "--evaluations",
        metavar="NUMBERS",
        default=",".join(map(str, BUDGETS)),
        help="with commas (default: %(default)s)",
    )
    parser.add_argument(
        "--reference-steps", metavar="N", help="of the reference solution (default: 1000; fewer for large models)"
    )
    add_fields(parser, GenerationRequest, skip=SKIPPED)
    parser.add_argument("--size", metavar="WxH", help="width and height in pixels (default: the model's own)")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    add_settings(parser, skip=WINDOW_ONLY)
    return parser


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
