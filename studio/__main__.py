"""The command line's entry point: `python -m studio COMMAND`. Chooses the command and prints its errors.

A command is imported when it is chosen, so `serve` never loads torch and `--help` loads nothing.
"""

import importlib
import io
import os
import sys

from studio import __version__
from studio.core.errors import Cancelled, InvalidRequest, StudioError

COMMANDS = {
    "serve": ("studio.cli.serve", "open the studio in the browser"),
    "generate": ("studio.cli.generate", "make images from a prompt"),
    "branch": ("studio.cli.branch", "go on from a step of a picture made before"),
    "replay": ("studio.cli.replay", "make an image again from its recipe and compare"),
    "race": ("studio.cli.race", "compare samplers on a prompt of yours"),
    "models": ("studio.cli.models", "list the models on disk"),
    "train": ("studio.cli.train", "train a model from a recipe"),
    "runs": ("studio.cli.runs", "list, export and report training runs"),
    "annotate": ("studio.cli.annotate", "make a control image from a picture"),
    "evaluate": ("studio.cli.evaluate", "measure a model"),
}


def main(argv: list[str] | None = None) -> int:
    """The exit status: 0 done, 1 the work failed, 2 the input was wrong, 130 interrupted."""
    arguments = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a character that the terminal lacks is shown as its number
    try:
        return _run(arguments)
    except (KeyboardInterrupt, Cancelled):
        print("Interrupted.", file=sys.stderr)
        return 130
    except StudioError as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, InvalidRequest) else 1
    except BrokenPipeError:
        # The reader of the output has ended (`| head`); Python would print another error while it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(arguments: list[str]) -> int:
    command, *rest = arguments or ["--help"]
    if command in ("-h", "--help"):
        print(_usage())
        return 0
    if command == "--version":
        print(__version__)
        return 0
    if command not in COMMANDS:
        raise InvalidRequest(f"There is no command {command[:40]!r}. Choose one of: {', '.join(COMMANDS)}.")
    module = importlib.import_module(COMMANDS[command][0])
    return int(module.main(rest))


def _usage() -> str:
    rows = [f"  {name:<10} {help}" for name, (_, help) in COMMANDS.items()]
    lines = ["usage: python -m studio COMMAND ...", "", *rows, "", "python -m studio COMMAND --help says more."]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
