"""HTTP routes of training runs: what there is, what is asked of a run, its figures and samples."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, Response

from studio.core.errors import InvalidRequest, StorageError
from studio.core.protocol import Studio
from studio.core.training import DataView, RecipeView, RunView
from studio.server.bodies import json_object
from studio.server.image_routes import is_here

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
        recipe, changes = await _recipe(request)
        return {"id": await run_in_threadpool(studio.runs.start, recipe, changes, anywhere=is_here(request))}

    @router.post("/recipes/look")
    async def look(request: Request) -> DataView:
        """What such a run would be trained on; the body is that of `POST /runs`."""
        recipe, changes = await _recipe(request)
        return await run_in_threadpool(studio.runs.look, recipe, changes, anywhere=is_here(request))

    @router.post("/pictures")
    async def upload(request: Request, name: Annotated[str, Query(max_length=200)] = "pictures.zip") -> dict[str, str]:
        """Keep a zip of a person's own pictures, which is the body; what a recipe's `data.folder` is to be."""
        part = await run_in_threadpool(studio.runs.new_upload)
        try:
            with part.open("wb") as file:
                async for piece in request.stream():
                    await run_in_threadpool(file.write, piece)
            return {"folder": await run_in_threadpool(studio.runs.keep_upload, part, name)}
        except OSError as error:
            raise StorageError(f"The zip could not be kept: {error.strerror}.") from None
        finally:
            part.unlink(missing_ok=True)

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


async def _recipe(request: Request) -> tuple[str, dict[str, Any]]:
    """{"recipe": its name, "changes": {dotted name: value}}"""
    values = await json_object(request)
    recipe, changes = values.get("recipe"), values.get("changes", {})
    if not isinstance(recipe, str) or not isinstance(changes, dict):
        raise InvalidRequest("A run needs a recipe by its name, and changes as names with values.")
    return recipe, changes
