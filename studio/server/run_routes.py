"""HTTP routes of training runs: what there is, what is asked of a run, its figures and samples."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, Response

from studio.core.errors import InvalidRequest
from studio.core.protocol import Studio
from studio.core.training import RecipeView, RunView
from studio.server.bodies import json_object

Run = Annotated[str, Path(pattern=r"^[A-Za-z0-9][\w.-]{0,80}$")]
ACTIONS = ("pause", "resume", "sample_now", "delete")


def build_run_router(studio: Studio) -> APIRouter:
    router = APIRouter()

    @router.get("/recipes")
    def recipes() -> list[RecipeView]:
        return studio.runs.recipes()

    @router.get("/runs")
    def runs() -> list[RunView]:
        return studio.runs.all()

    @router.post("/runs", status_code=202)
    async def start(request: Request) -> dict[str, str]:
        """Start a run: {"recipe": its name, "changes": {"optimizer.learning_rate": 0.001, ...}}."""
        values = await json_object(request)
        recipe, changes = values.get("recipe"), values.get("changes", {})
        if not isinstance(recipe, str) or not isinstance(changes, dict):
            raise InvalidRequest("A run needs a recipe by its name, and changes as names with values.")
        return {"id": await run_in_threadpool(studio.runs.start, recipe, changes)}

    @router.get("/runs/{run}")
    def one(run: Run) -> RunView:
        return studio.runs.get(run)

    @router.get("/runs/{run}/metrics")
    def metrics(run: Run, after: Annotated[int, Query(ge=0)] = 0) -> dict[str, Any]:
        position, rows = studio.runs.metrics(run, after)
        return {"after": position, "rows": rows}

    @router.get("/runs/{run}/samples/{step}.png")
    def sample(run: Run, step: Annotated[int, Path(ge=0)]) -> FileResponse:
        return FileResponse(studio.runs.sample(run, step), media_type="image/png")

    @router.get("/runs/{run}/report.html")
    def report(run: Run) -> Response:
        """As a file to keep: what it shows is the run's, not the studio's page."""
        name = {"content-disposition": f'attachment; filename="{run}.html"'}
        return Response(studio.runs.report(run), media_type="text/html", headers=name)

    @router.get("/runs/{run}/weights/{step}.safetensors")
    def weights(run: Run, step: Annotated[int, Path(ge=0)]) -> FileResponse:
        return FileResponse(studio.runs.weights(run, step), media_type="application/octet-stream")

    @router.post("/runs/{run}/export")
    def export(run: Run) -> dict[str, str]:
        return {"model": studio.runs.export(run)}

    @router.post("/runs/{run}/fork")
    def fork(run: Run) -> dict[str, str]:
        return {"id": studio.runs.fork(run)}

    @router.post("/runs/{run}/{action}")
    def act(run: Run, action: Annotated[str, Path(pattern=f"^({'|'.join(ACTIONS)})$")]) -> dict[str, str]:
        getattr(studio.runs, action)(run)
        return {"id": run}

    return router
