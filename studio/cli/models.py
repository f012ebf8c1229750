"""`models list`, `inspect MODEL`, `plan MODEL`, `import MODEL`, `convert FILE`: models on disk and the memory they need.

The first three read headers and load nothing; `import` converts a single file ahead of its first use; `convert` turns a
pickle into safetensors, if the person trusts it.
"""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from studio.cli.flags import Parser, size_of
from studio.cli.settings import add_settings, settings_from
from studio.core.errors import InvalidRequest
from studio.core.models import ModelInfo
from studio.core.options import find_model, resolve
from studio.core.request import Dtype, parse_request
from studio.core.settings import Settings, parse_bytes

if TYPE_CHECKING:
    from studio.manager.disk.catalog import Catalog
    from studio.manager.memory.planning import Forecast

WIDEST = 48  # letters of a column
ACTIONS = ("list", "inspect", "plan", "import", "convert")


def main(argv: list[str]) -> int:
    parser = Parser(prog="python -m studio models", description="What models are on disk, and what they need.")
    parser.add_argument("action", metavar="ACTION", help=f"one of: {', '.join(ACTIONS)}")
    parser.add_argument("model", nargs="?", metavar="MODEL", help="a model's id, or a file or folder")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--budget", default=None, help="plan: memory, like 8GiB; this device's own if not given")
    parser.add_argument("--size", default=None, help="plan: like 1024x1024; the model's own if not given")
    parser.add_argument("--batch", type=int, default=1, help="plan: images at once")
    parser.add_argument(
        "--dtype",
        choices=get_args(Dtype),
        help="plan: number format, bf16 if not given; import: the one it runs in here",
    )
    parser.add_argument("--hidden", action="store_true", help="list: what was hidden too")
    parser.add_argument("--trust", action="store_true", help="convert: read a pickle file, whose author you trust")
    add_settings(parser, skip=("host", "port", "presets", "memory_budget", "auth", "allow_hosts", "open_browser"))
    arguments = parser.parse_args(argv)
    if arguments.action not in ACTIONS:
        raise InvalidRequest(f"There is no action {arguments.action[:40]!r}. Choose one of: {', '.join(ACTIONS)}.")
    settings = settings_from(arguments)

    from studio.jobs.storage import PRIVATE
    from studio.manager.disk.catalog import Catalog

    catalog = Catalog(settings.models, settings.outputs / PRIVATE / "catalog.db")
    if arguments.action == "list":
        shown = [model for model in catalog.models() if arguments.hidden or not model.hidden]
        show_list(shown, settings, arguments.json)
        return 0
    if not arguments.model:
        raise InvalidRequest(f"models {arguments.action} needs a model: its id, or a file or folder.")
    info, path = found(catalog, arguments.model)
    if arguments.action == "import":
        from studio.cli.model_import import import_model

        import_model(path, settings, arguments.dtype or "auto", as_json=arguments.json)
    elif arguments.action == "convert":
        from studio.manager.conversion.pickles import convert_pickle

        print(convert_pickle(path, consent=arguments.trust).name)
    elif arguments.action == "inspect":
        show_details(info, path, arguments.json)
    else:
        dtype = "bf16" if arguments.dtype in (None, "auto") else arguments.dtype
        how = {"budget": arguments.budget, "size": arguments.size, "batch": arguments.batch}
        show_plan(catalog, info, path, dtype=dtype, as_json=arguments.json, **how)
    return 0


def found(catalog: "Catalog", name: str) -> tuple[ModelInfo, Path]:
    """A model of the catalog, or a file or folder anywhere."""
    from studio.manager.disk.describe import describe_path

    place = Path(os.path.abspath(os.path.expanduser(name)))
    if place.name and os.path.lexists(place):
        listed = next((model for model in catalog.models() if catalog.path(model.id) == place), None)
        if listed:
            return listed, place
        return describe_path(place.parent, place), place
    info = find_model(catalog.models(), name)
    path = catalog.path(info.id)
    if path is None:
        raise InvalidRequest(f"{info.title} is no longer there.", field="model")
    return info, path


def show_list(models: list[ModelInfo], settings: Settings, as_json: bool) -> None:
    if as_json:
        for model in models:
            print(json.dumps(model.model_dump(mode="json"), ensure_ascii=False))
    else:
        absent = [folder.name for folder in settings.models if not folder.is_dir()]
        print(table(models) if models else f"No models were found in {', '.join(f.name for f in settings.models)}.")
        if absent:
            print(f"There is no folder {', '.join(absent)}.", file=sys.stderr)


def show_details(info: ModelInfo, path: Path, as_json: bool) -> None:
    if as_json:
        print(json.dumps(info.model_dump(mode="json"), ensure_ascii=False))
        return
    from studio.manager.disk.safe_files import readable

    rows = {
        "title": info.title,
        "file": readable(path.name),
        "kind": info.kind,
        "family": info.family or "-",
        "variant": info.variant or "-",
        "predicts": info.capabilities.prediction,
        "dtype": info.dtype or "-",
        "size": f"{info.bytes / 2**20:,.0f} MiB",
        "does": ", ".join(task.replace("_", " ") for task in info.capabilities.tasks) or "-",
        "own size": f"{info.defaults.width}x{info.defaults.height}" if info.capabilities.tasks else "-",
        "enlarged": ", ".join(f"by {each.id}" for each in info.cascade.enlargers) if info.cascade else "-",
        "sha256": info.sha256 or "-",
        "problem": info.problem or "-",
    }
    print("\n".join(f"{name:9} {value}" for name, value in rows.items()))


def show_plan(
    catalog: "Catalog",
    info: ModelInfo,
    path: Path,
    *,
    budget: str | None,
    size: str | None,
    batch: int,
    dtype: str,
    as_json: bool,
) -> None:
    """Print the plan of a run; raises InvalidRequest for a request that would be refused."""
    from studio.manager.memory.limits import host_budget
    from studio.manager.memory.planning import forecasts

    try:
        most = parse_bytes(budget) if budget is not None else host_budget()
    except ValueError as error:
        raise InvalidRequest(f"--budget: {error}.") from None
    values: dict[str, Any] = {"model": info.id, "batch_size": batch, "count": batch}
    asked = parse_request(values | (size_of(size) if size is not None else {}))
    planned = forecasts(catalog, resolve(asked, info, catalog.models()), info, path, most, dtype, "cpu")
    print(json.dumps(plan_as_json(planned)) if as_json else plan_as_text(planned))


def plan_as_json(planned: "list[Forecast]") -> dict[str, Any]:
    return {
        "budget": planned[0].budget,
        "peak": max(forecast.plan.peak for forecast in planned),
        "whole": all(forecast.whole for forecast in planned),
        "notes": list(dict.fromkeys(note for forecast in planned for note in forecast.notes)),
        "stages": [
            {
                "model": forecast.info.id,
                "stage": stage.name,
                "resident": forecast.plan.resident[stage.name],
                "working": stage.activation,
                "peak": forecast.plan.peaks[stage.name],
                "moves": [[move.kind, move.key, move.bytes] for move in forecast.plan.of_stage(stage.name)],
            }
            for forecast in planned
            for stage in forecast.stages
        ],
    }


def plan_as_text(planned: "list[Forecast]") -> str:
    """A table for each model that the run takes."""
    if len(planned) == 1:
        return plan_table(planned[0])
    heads = [f"{each.info.title}, {each.shape.width} x {each.shape.height}" for each in planned]
    return "\n\n".join(f"{head}\n{plan_table(each)}" for head, each in zip(heads, planned, strict=True))


def plan_table(forecast: "Forecast") -> str:
    from studio.manager.memory.planner import mib

    plan, rows = forecast.plan, [("stage", "in memory", "working memory", "together")]
    for stage in forecast.stages:
        resident = plan.resident[stage.name].items()
        names = [f"{key} {mib(size)}{' (streamed)' if key in plan.streamed else ''}" for key, size in resident]
        rows.append((stage.name, ", ".join(names), mib(stage.activation), mib(plan.peaks[stage.name])))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    how = ", ".join(["all of it stays in memory" if forecast.whole else "stage by stage", *forecast.notes])
    return "\n".join([*lines, f"peak {mib(plan.peak)} of {mib(forecast.budget)}; {how}"])


def table(models: list[ModelInfo]) -> str:
    """Aligned columns; a model that cannot be used shows why instead of its size."""
    rows = [("model", "family", "kind", "size", "makes")]
    for model in models:
        makes = model.problem or (
            f"{model.defaults.width}x{model.defaults.height}" if model.capabilities.tasks else "-"
        )
        rows.append((model.id, model.family or "-", model.kind, f"{model.bytes / 2**20:,.0f} MiB", makes))
    widths = [
        min(max(map(len, column)), WIDEST) for column in zip(*rows, strict=True)
    ]  # a longer name shifts its own row
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
