"""`models list`: what is on disk, as a table for people or one JSON object a line. Reads headers; loads nothing."""

import json

from studio.cli.flags import Parser
from studio.cli.settings import add_settings, settings_from
from studio.core.errors import InvalidRequest
from studio.core.models import ModelInfo

ACTIONS = ("list",)


def main(argv: list[str]) -> int:
    parser = Parser(prog="python -m studio models", description="What models are on disk.")
    parser.add_argument("action", metavar="ACTION", help=f"one of: {', '.join(ACTIONS)}")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, a model each")
    add_settings(
        parser, skip=("host", "port", "presets", "device", "memory_budget", "auth", "allow_hosts", "open_browser")
    )
    arguments = parser.parse_args(argv)
    if arguments.action not in ACTIONS:
        raise InvalidRequest(f"There is no action {arguments.action[:40]!r}. Choose one of: {', '.join(ACTIONS)}.")
    settings = settings_from(arguments)

    from studio.jobs.storage import PRIVATE
    from studio.manager.catalog import Catalog

    models = Catalog(settings.models, settings.outputs / PRIVATE / "catalog.db").models()
    if arguments.json:
        for model in models:
            print(json.dumps(model.model_dump(mode="json"), ensure_ascii=False))
    else:
        print(table(models) if models else f"No models were found in {', '.join(f.name for f in settings.models)}.")
    return 0


def table(models: list[ModelInfo]) -> str:
    """Aligned columns; a model that cannot be used shows why instead of its size."""
    rows = [("model", "family", "kind", "size", "makes")]
    for model in models:
        makes = model.problem or f"{model.defaults.width}x{model.defaults.height}"
        rows.append((model.id, model.family or "-", model.kind, f"{model.bytes / 2**20:,.0f} MiB", makes))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
