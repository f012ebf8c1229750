"""HTTP routes of the gallery: pages of pictures, what is done with many of them, a zip, a picture's descent, the trash.

Depends on the Studio for all of it.
"""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path as File
from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from pydantic import TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool

from studio.core.errors import InvalidRequest, StudioError
from studio.core.gallery import Act, Done, GalleryQuery, ImageId
from studio.core.protocol import Studio
from studio.server.bodies import json_object
from studio.server.image_routes import NEVER
from studio.server.zipping import zipped

Id = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,100}$")]
IDS = TypeAdapter(list[ImageId])
HEADERS = NEVER | {"content-security-policy": "default-src 'none'; sandbox; frame-ancestors 'none'"}


def build_gallery_router(studio: Studio) -> APIRouter:
    router = APIRouter()

    @router.get("/gallery")
    def gallery(query: Annotated[GalleryQuery, Query()]) -> JSONResponse:
        """A page of pictures; the first one with their total."""
        return JSONResponse(studio.gallery(query).model_dump(mode="json"), headers=NEVER)

    @router.get("/gallery/counts")
    def counts(trash: bool = False) -> JSONResponse:
        """How many pictures there are, by model, task, sampler, size and LoRA."""
        return JSONResponse(studio.gallery_counts(trash=trash).model_dump(mode="json"), headers=NEVER)

    @router.get("/gallery/ids")
    def ids(query: Annotated[GalleryQuery, Query()]) -> JSONResponse:
        """The ids of all pictures that the filters fit."""
        return JSONResponse(studio.gallery_ids(query), headers=NEVER)

    @router.post("/gallery/zip")
    async def download(request: Request) -> StreamingResponse:
        """The files of many pictures; the body is a form whose `images` are their ids, with commas between."""
        form = parse_qs((await request.body()).decode("utf-8", "replace"))
        chosen = _checked((form.get("images") or [""])[0].split(","))
        name = time.strftime("unnoise-%Y-%m-%d-%H%M%S.zip")
        headers = HEADERS | {"content-disposition": f'attachment; filename="{name}"'}
        return StreamingResponse(zipped(_files(studio, chosen)), media_type="application/zip", headers=headers)

    @router.post("/gallery/{act}")
    async def change(act: Act, request: Request) -> Done:
        """Do something with many pictures; the body is {"images": ids}."""
        chosen = _checked((await json_object(request)).get("images"))
        return await run_in_threadpool(_done, studio, act, chosen)

    @router.get("/images/{image}/relatives")
    def relatives(image: Id) -> JSONResponse:
        """What the picture was made from, and what was made from it."""
        found = studio.relatives(image).model_dump(mode="json")
        kinds = ("made_from", "made_into")
        listed: dict[str, Any] = {kind: [_tile(view) for view in found[kind]] for kind in kinds}
        return JSONResponse(listed | {"source": found["source"]}, headers=NEVER)

    @router.get("/trash/{image}")
    def trashed(image: Id) -> FileResponse:
        """A picture that is in the trash."""
        return FileResponse(studio.trashed_file(image), media_type="image/png", headers=HEADERS)

    return router


def _checked(images: Any) -> list[str]:
    try:
        return IDS.validate_python(images, strict=True)
    except ValidationError:
        raise InvalidRequest("images: name the pictures by their ids.", field="images") from None


def _done(studio: Studio, act: Act, images: list[str]) -> Done:
    """One after the other: what cannot be done with one is no reason to leave out the others."""
    acts = {
        "trash": studio.delete_image,
        "restore": studio.restore_image,
        "favour": lambda image: studio.set_favourite(image, True),
        "unfavour": lambda image: studio.set_favourite(image, False),
        "purge": studio.purge_image,
    }
    problems = []
    for image in images:
        try:
            acts[act](image)
        except StudioError as error:
            problems.append(str(error))
    return Done(done=len(images) - len(problems), problem=problems[0] if problems else "")


def _files(studio: Studio, images: Iterable[str]) -> Iterator[File]:
    for image in images:
        try:
            yield studio.image_file(image)
        except StudioError:
            continue  # moved to the trash meanwhile


def _tile(view: dict[str, Any]) -> dict[str, Any]:
    kept = ("id", "width", "height", "created")
    return {name: view[name] for name in kept} | {"seed": str(view["seed"]), "prompt": view["request"]["prompt"]}
