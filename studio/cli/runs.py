"""`runs list`, `show RUN`, `export RUN`, `report RUN`: the training runs, without the studio and without torch."""

import json
import shutil
from pathlib import Path

from studio.cli.flags import Parser
from studio.cli.settings import add_settings, settings_from
from studio.core.errors import InvalidRequest, StorageError
from studio.training.report import summary
from studio.training.runs import Runs

ACTIONS = ("list", "show", "export", "report")


def main(argv: list[str]) -> int:
    parser = Parser(
        prog="python -m studio runs", description="Training runs: what there is, and what came out of them."
    )
    parser.add_argument("action", metavar="ACTION", help=f"one of: {', '.join(ACTIONS)}")
    parser.add_argument("run", nargs="?", metavar="RUN", help="a run's id, as list shows it")
    parser.add_argument(
        "--out", type=Path, metavar="PATH", help="export: the folder to write; report: the file (RUN.html)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    add_settings(
        parser, skip=("host", "port", "outputs", "memory_budget", "auth", "allow_hosts", "open_browser", "device")
    )
    arguments = parser.parse_args(argv)
    if arguments.action not in ACTIONS:
        raise InvalidRequest(f"There is no action {arguments.action[:40]!r}. Choose one of: {', '.join(ACTIONS)}.")
    settings = settings_from(arguments)
    runs = Runs(settings.runs.expanduser().resolve(), settings.presets / "training", settings.models[0])
    if arguments.action == "list":
        for view in runs.all():
            print(view.model_dump_json() if arguments.json else f"{view.id:<44} {summary(view)}")
        return 0
    if not arguments.run:
        raise InvalidRequest(f"runs {arguments.action} needs a run's id; runs list shows them.")
    if arguments.action == "show":
        show(runs, arguments.run, arguments.json)
        return 0
    write = export if arguments.action == "export" else write_report
    done = write(runs, arguments.run, arguments.out)
    print(json.dumps(done) if arguments.json else next(iter(done.values())))
    return 0


def show(runs: Runs, run: str, as_json: bool) -> None:
    view, config = runs.get(run), runs.config(run)
    if as_json:
        print(json.dumps(view.model_dump(mode="json") | {"config": config.model_dump(mode="json")}))
        return
    figures = "  ".join(f"{name} {value:.4g}" for name, value in view.figures.items())
    print(f"{view.title}: {summary(view)}\n{figures}\n\n{config.to_yaml()}", end="")


def export(runs: Runs, run: str, out: Path | None) -> dict[str, str]:
    """Among the models, where the studio finds it, or to a new folder `out`: any model of a run that has ended."""
    if out is None:
        if runs.get(run).kind.startswith("density"):
            raise InvalidRequest(
                "A model of points makes no pictures: it opens in the 2-D laboratory; --out PATH writes it to a folder."
            )
        return {"model": runs.export(run)}
    model, out = runs.model(run), out.expanduser()
    if out.exists():
        raise InvalidRequest(f"{out.name} is there already; name a new folder.")
    try:
        shutil.copytree(model, out)
    except OSError as error:
        raise StorageError(f"{out.name} could not be written: {(error.strerror or 'no').lower()}.") from None
    return {"path": str(out)}


def write_report(runs: Runs, run: str, out: Path | None) -> dict[str, str]:
    text, path = runs.report(run), out.expanduser() if out else Path(f"{run}.html")
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{path.name} could not be written: {(error.strerror or 'no').lower()}.") from None
    return {"path": str(path)}
