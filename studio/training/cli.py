"""The command line of training: `studio train RECIPE [--run DIR] [--resume] [--dry-run] [--json] [--set key=value]`,
and `studio train --speedrun TRACK`.

Reads flags, prints reports and passes SIGTERM on as a request to stop. Independent of how training works.
"""

import json
import signal
import sys
from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from studio.core.arguments import Parser
from studio.core.errors import InvalidRequest, StudioError
from studio.training.config import TrainConfig, load
from studio.training.runs import held
from studio.training.sharing import wait_for_pictures
from studio.training.speedrun import TRACKS, record, row, speedrun

if TYPE_CHECKING:
    from studio.training.trainer import Report


def run(config: TrainConfig, run_dir: Path, resume: bool = False) -> "Generator[Report]":
    """Train `config` in `run_dir`; SIGTERM and Ctrl+C write a checkpoint and end it."""
    from studio import compat

    with compat.loading_libraries():
        from studio.training import builtin  # noqa: F401  (fills the registries)
        from studio.training.allocator import keep_memory
        from studio.training.trainer import Trainer

    keep_memory()
    trainer = Trainer(config, run_dir, resume)
    if config.waits:
        trainer.wait = lambda: wait_for_pictures(run_dir.resolve().parent, lambda: trainer.stopping)
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: trainer.stop())
        signal.signal(signal.SIGUSR1, lambda *_: trainer.sample_now())
    except ValueError:
        pass  # not the main thread: the caller stops by not iterating further
    yield from trainer.run()


def parser() -> Parser:
    out = Parser(prog="python -m studio train", description="Train a model by a recipe.")
    out.add_argument("recipe", type=Path, nargs="?", metavar="RECIPE", help="YAML file, as under presets/training/")
    out.add_argument(
        "--speedrun", metavar="TRACK", help=f"clock the recipe, or the track's own, to a target: {', '.join(TRACKS)}"
    )
    out.add_argument("--record", action="store_true", help="add the speedrun to docs/speedrun.md")
    out.add_argument("--run", type=Path, metavar="DIR", help="run folder (default: runs/NAME)")
    out.add_argument("--resume", action="store_true", help="go on from the folder's newest checkpoint")
    out.add_argument("--dry-run", action="store_true", help="print the resolved recipe and stop")
    out.add_argument("--json", action="store_true", help="one JSON object a line")
    out.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a value: optimizer.decay=0.2"
    )
    return out


def changes(assignments: list[str]) -> dict[str, Any]:
    """["steps=10"] -> {"steps": 10}; values are read as YAML."""
    out = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InvalidRequest(f"--set takes KEY=VALUE, not {text!r}.")
        try:
            out[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise InvalidRequest(f"--set {name}: {value[:40]!r} is not a value in YAML.") from None
    return out


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if args.speedrun is not None:
        return _speedrun(args)
    if args.recipe is None:
        raise InvalidRequest("Name a recipe; those that are shipped lie in presets/training.")
    if not args.recipe.is_file():
        raise InvalidRequest(
            f"There is no recipe {args.recipe.name!r}; those that are shipped lie in presets/training."
        )
    try:
        config = load(args.recipe, changes(args.set))
        if args.dry_run:
            print(json.dumps(config.model_dump(mode="json")) if args.json else config.to_yaml(), end="\n")
            return 0
        folder = args.run or Path("runs") / config.name
        with held(folder):
            for report in run(config, folder, args.resume):
                print(json.dumps(asdict(report)) if args.json else _line(report), flush=True)
    except StudioError as error:
        print(json.dumps({"error": str(error)}) if args.json else error, file=sys.stderr)
        return 2 if isinstance(error, InvalidRequest) else 1
    return 0


def _speedrun(args: Any) -> int:
    from studio import compat

    compat.prepare()
    from studio.training import builtin, trainer  # noqa: F401  (loading torch is not clocked)

    result = speedrun(args.speedrun, changes(args.set), run, args.run or Path("runs/speedrun"), args.recipe)
    print(json.dumps(asdict(result)) if args.json else row(result).rstrip())
    if args.record:
        record(result)
    return 0


def _line(report: "Report") -> str:
    if report.kind != "metrics":
        return f"{report.kind} of step {report.step}: {report.path}"
    figures = "  ".join(f"{name} {value:.4g}" for name, value in report.figures.items())
    return (
        f"step {report.step}/{report.steps}  {figures}  rate {report.rate:.3f}  "
        f"{report.step_seconds:.3f} s/step  {report.left / 60:.1f} min left"
    )


if __name__ == "__main__":
    sys.exit(main())
