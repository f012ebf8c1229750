"""`annotate`: makes a control image from a picture, as the ControlNet tab does. Prints where it is."""

import argparse
import shutil
import tempfile
from pathlib import Path

from pydantic import ValidationError

from studio.cli.flags import Parser, add_fields, given
from studio.cli.generate import WINDOW_ONLY
from studio.cli.settings import add_settings, settings_from
from studio.core.annotators import Annotation
from studio.core.errors import InvalidRequest, StorageError
from studio.core.fields import explain
from studio.core.pictures import read_file
from studio.jobs.annotating import Annotating
from studio.jobs.inputs import InputStore


def main(argv: list[str]) -> int:
    arguments = _parser().parse_args(argv)
    settings = settings_from(arguments)
    with tempfile.TemporaryDirectory(prefix="annotate-") as folder:
        inputs = InputStore(Path(folder))
        annotating = Annotating(inputs, settings.models)
        if arguments.list:
            for view in annotating.views():
                print(f"{view.name:<18} {view.problem or view.help}")
            return 0
        if arguments.file is None or arguments.out is None:
            raise InvalidRequest("Name the picture, and with --out the file for its control image.")
        made = annotating.annotate(inputs.add(read_file(arguments.file.expanduser())), _asked(arguments))
        out = arguments.out.expanduser()
        try:
            shutil.copyfile(inputs.path(made), out)
        except OSError as error:
            raise StorageError(f"{out.name} could not be written: {(error.strerror or 'no').lower()}.") from None
    print(out)
    return 0


def _asked(arguments: argparse.Namespace) -> Annotation:
    values = given(arguments, Annotation)
    try:
        return Annotation(**values)
    except ValidationError as error:
        raise explain(error, Annotation, values) from None


def _parser() -> Parser:
    parser = Parser(prog="python -m studio annotate", description="Make a control image from a picture.")
    parser.add_argument("file", type=Path, nargs="?", metavar="FILE", help="the picture")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the PNG to write")
    parser.add_argument("--list", action="store_true", help="list the annotators, and what those without weights need")
    add_fields(parser, Annotation)
    add_settings(parser, skip=(*WINDOW_ONLY, "outputs"))
    return parser
