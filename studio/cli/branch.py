"""`branch`: goes on from a step of a picture made before. The steps before are played back from its trace."""

import argparse
from pathlib import Path
from typing import Any

from studio.cli.flags import Parser, add_fields
from studio.cli.generate import WINDOW_ONLY, add_results, session_of
from studio.cli.replay import read
from studio.cli.settings import add_settings, settings_from
from studio.core.branching import CHANGES, branch_of
from studio.core.errors import InvalidRequest
from studio.core.request import GenerationRequest


def main(argv: list[str]) -> int:
    arguments = _parser().parse_args(argv)
    session = session_of(arguments, settings_from(arguments))
    _, recipe = read(arguments.image)
    session.run(branch_of(recipe, _whole(arguments.step), _changes(arguments)))
    return 0


def _changes(arguments: argparse.Namespace) -> dict[str, Any]:
    return {name: value for name, value in vars(arguments).items() if name in CHANGES}


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise InvalidRequest(f"--step must be a whole number from 0; got {text[:40]!r}.", field="step")
    return int(text)


def _parser() -> Parser:
    parser = Parser(
        prog="python -m studio branch",
        description="Go on from a step of a picture made before; what is not given stays as it was.",
    )
    parser.add_argument("image", type=Path, metavar="IMAGE", help="a PNG that was made here")
    parser.add_argument(
        "--step", required=True, metavar="K", help="the first step to compute, from 0; those before are played back"
    )
    parser.add_argument("--seed", default=argparse.SUPPRESS, help="seed of the noise that the sampler adds from there")
    parser.add_argument("--prompt", default=argparse.SUPPRESS, help="the prompt from there on")
    skip = [name for name in GenerationRequest.model_fields if name not in CHANGES or name in ("prompt", "seed")]
    add_fields(parser, GenerationRequest, skip=skip)
    add_results(parser)
    add_settings(parser, skip=WINDOW_ONLY)
    return parser
