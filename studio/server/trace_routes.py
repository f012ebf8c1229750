"""HTTP routes of traces: the record of an archived picture's run, its attention, and going on from one of its steps."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import FileResponse, JSONResponse
from starlette.concurrency import run_in_threadpool

from studio.core.errors import InvalidRequest
from studio.core.protocol import Studio
from studio.server.bodies import json_object

Id = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,100}$")]
NEVER = {"cache-control": "no-store"}
A_WHILE = {"cache-control": "private, max-age=3600", "content-security-policy": "default-src 'none'; sandbox"}


def build_trace_router(studio: Studio) -> APIRouter:
    router = APIRouter()

    @router.get("/traces/{image}")
    def trace(image: Id) -> FileResponse:
        """The trace's file, whole or in ranges."""
        path = studio.trace_file(image)
        return FileResponse(path, media_type="application/octet-stream", headers=A_WHILE, filename=path.name)

    @router.get("/traces/{image}/info")
    def info(image: Id) -> JSONResponse:
        """Its metadata and the names of its tensors."""
        return JSONResponse(studio.trace_info(image), headers=NEVER)

    @router.get("/training-set")
    def training_set(model: Annotated[str, Query(min_length=1, max_length=300)]) -> FileResponse:
        """The pictures that a model was trained on, in its own space; drawn the first time, which takes up to some minutes."""
        return FileResponse(studio.training_set(model), media_type="application/octet-stream", headers=A_WHILE)

    @router.post("/images/{image}/branch", status_code=202)
    async def branch(image: Id, request: Request) -> dict[str, str]:
        """Queue a branch of the picture from `step` on; the body holds that and what changes."""
        values: dict[str, Any] = await json_object(request)
        step = values.pop("step", None)
        if not isinstance(step, int) or isinstance(step, bool):
            raise InvalidRequest("A branch needs step: the number of the first step to compute.", field="step")

        def submitted() -> str:
            return studio.submit(studio.branch_request(image, step, values))

        return {"id": await run_in_threadpool(submitted)}

    @router.post("/images/{image}/attention", status_code=202)
    async def attention(image: Id, request: Request) -> dict[str, str]:
        """Queue the picture's run once more, whose attention its trace gains; the body may hold "side" and "heads"."""
        values: dict[str, Any] = await json_object(request)
        return {"id": await run_in_threadpool(lambda: studio.submit(studio.attention_request(image, values)))}

    return router
