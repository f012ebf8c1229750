"""Our own HTTP routes: jobs and their events, step previews, archived images, inputs. All of them through the Studio.

Converts between HTTP and the Studio's values. Errors are JSON: `{"error": sentence, "field": name}`.
"""

import re
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, FastAPI, Header, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from pydantic import StringConstraints, ValidationError
from starlette.concurrency import run_in_threadpool

from studio import __version__
from studio.core.animation import FORMATS, animation
from studio.core.annotators import Annotation
from studio.core.errors import InvalidRequest, NotFound, StorageError, StudioError
from studio.core.fields import explain
from studio.core.frames import FRAMES, X0
from studio.core.jobs import TERMINAL, JobView
from studio.core.protocol import Studio
from studio.core.request import parse_request
from studio.server.bodies import json_object
from studio.server.stream import event_stream, joined, page_stream

ID = r"^[A-Za-z0-9_-]{1,100}$"
Id = Annotated[str, Path(pattern=ID)]
Digest = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]
Number = Annotated[int, Path(ge=0, le=1_000_000)]
FrameName = Annotated[str, Query(pattern=f"^({'|'.join(FRAMES)})$")]
POSITION = r"[A-Za-z0-9_-]{1,100}:[0-9]{1,9}"
FollowedJob = Annotated[str, StringConstraints(pattern=f"^{POSITION}$")]
FOLLOWED = re.compile(f"{POSITION}(,{POSITION})*")
FOLLOWED_AT_MOST = 16  # jobs of one page, each of which has a thread while it is followed

IMAGE_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
# What people stored may be shown as a picture, but never run as a page of ours.
FILE_CSP = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"
# What an id addresses never changes, so a browser need not ask twice.
FOREVER = {"cache-control": "private, max-age=31536000, immutable", "content-security-policy": FILE_CSP}
# A person may put another picture in its place.
A_WHILE = {"cache-control": "private, max-age=300", "content-security-policy": FILE_CSP}
NEVER = {"cache-control": "no-store"}


def build_router(studio: Studio) -> APIRouter:
    """Every route of ours, over one studio."""
    router = APIRouter()

    @router.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok", "version": __version__}

    @router.post("/jobs", status_code=202)
    async def submit(request: Request) -> dict[str, str]:
        """Queue a GenerationRequest; the body is its fields as JSON."""
        values = await json_object(request)
        return {"id": await run_in_threadpool(studio.submit, parse_request(values))}

    @router.get("/jobs/{job}")
    def job(job: Id) -> JobView:
        return studio.job(job)

    @router.get("/jobs/{job}/events")
    async def events(
        job: Id,
        after: Annotated[int, Query(ge=0)] = 0,
        last_event_id: Annotated[str, Header()] = "",
    ) -> StreamingResponse:
        """The job's events as server-sent events, from number `after` on; a browser that reconnects says where it was."""
        await run_in_threadpool(studio.job, job)  # an unknown job is refused before the stream begins
        return _streamed(event_stream(studio, job, _start(last_event_id, after)))

    @router.post("/jobs/{job}/cancel")
    def cancel(job: Id) -> dict[str, bool]:
        return {"cancelled": studio.cancel(job)}

    @router.post("/jobs/{job}/resume", status_code=202)
    def resume(job: Id) -> dict[str, str]:
        """Queue what a stopped run did not come to."""
        return {"id": studio.resume(job)}

    @router.post("/jobs/{job}/discard")
    def discard(job: Id) -> dict[str, str]:
        """List a stopped run no more; what it made stays."""
        studio.discard(job)
        return {"id": job}

    @router.post("/jobs/cancel")
    def cancel_all(running: bool = False) -> dict[str, int]:
        """Cancel every job that waits, and what runs too if `running`."""
        return {"cancelled": studio.cancel_all(running=running)}

    @router.get("/frames/{job}/{image}/{step}.jpg")
    def frame(job: Id, image: Number, step: Number, kind: FrameName = X0.name) -> Response:
        """The preview of one step of one of the job's images; no content while the job has not ended and it may yet come."""
        data = studio.frame(job, image, step, kind)
        if data is None:
            return Response(status_code=404 if studio.job(job).state in TERMINAL else 204, headers=NEVER)
        return Response(data, media_type="image/jpeg", headers=FOREVER)

    @router.get("/frames/{job}/{image}.film")
    def film(job: Id, image: Number, kind: FrameName = X0.name) -> StreamingResponse:
        """All previews of one of the job's images that are there: for each its step and its length, as two numbers of four
        bytes (the higher first), then the JPEG. Far apart ones come first."""
        over = studio.job(job).state in TERMINAL
        return StreamingResponse(
            joined(studio.film(job, image, kind)),
            media_type="application/octet-stream",
            headers=FOREVER if over else NEVER,
        )

    @router.get("/frames/{job}/{image}.{format}")
    def animated(job: Id, image: Number, format: Literal["gif", "webp"], kind: FrameName = X0.name) -> Response:
        """The same as one picture that moves."""
        over = studio.job(job).state in TERMINAL
        frames = list(studio.film(job, image, kind))
        if not frames:
            return Response(status_code=404, headers=NEVER)
        return Response(animation(frames, format), media_type=FORMATS[format], headers=FOREVER if over else NEVER)

    @router.get("/images/{image}")
    def image(image: Id, download: bool = False) -> Response:
        """An archived image, as it was saved, recipe included."""
        path = studio.image_file(image)
        media_type = IMAGE_TYPES.get(path.suffix.lower())
        if media_type is None or not path.is_file():
            raise NotFound("image", image)
        return FileResponse(
            path,
            media_type=media_type,
            headers=FOREVER,
            filename=path.name,
            content_disposition_type="attachment" if download else "inline",
        )

    @router.get("/thumbnails/{image}")
    def thumbnail(image: Id) -> Response:
        return Response(studio.thumbnail(image), media_type="image/jpeg", headers=FOREVER)

    @router.get("/previews")
    def preview(model: Annotated[str, Query(min_length=1, max_length=300)]) -> Response:
        """The small picture of a model of the catalog, which alone knows where it lies."""
        return Response(studio.preview(model), media_type="image/jpeg", headers=A_WHILE)

    @router.get("/events")
    async def page_events(
        job: Annotated[list[FollowedJob], Query(max_length=FOLLOWED_AT_MOST)] = [],  # noqa: B006
        last_event_id: Annotated[str, Header()] = "",
    ) -> StreamingResponse:
        """What a page follows: memory and queue, now and whenever they change, and the events of the jobs that it shows, each
        given as `{job}:{number of the last event it has}`."""
        jobs = _positions(job)
        if FOLLOWED.fullmatch(last_event_id):  # a browser that reconnects says how far it had read
            jobs |= {name: at for name, at in _positions(last_event_id.split(",")).items() if name in jobs}
        return _streamed(page_stream(studio, jobs))

    @router.post("/inputs", status_code=201)
    async def add_input(request: Request) -> dict[str, str]:
        """Store a picture (the body is the file itself) for use in requests; the answer is the hash that addresses it."""
        return {"id": await run_in_threadpool(studio.add_input, await request.body())}

    @router.post("/inputs/{digest}/annotate", status_code=201)
    async def annotate(digest: Digest, request: Request) -> dict[str, str]:
        """Make the control image of a stored picture; the body is the fields of an Annotation, the answer its hash."""
        values = await json_object(request)
        try:
            asked = Annotation(**values)
        except ValidationError as error:
            raise explain(error, Annotation, values) from None
        return {"id": await run_in_threadpool(studio.annotate, digest, asked)}

    @router.get("/annotators")
    def annotators() -> JSONResponse:
        """Every annotator, and why one cannot be used."""
        return JSONResponse([view.model_dump() for view in studio.annotators()], headers=NEVER)

    @router.post("/settings")
    async def settings_of_picture(request: Request) -> JSONResponse:
        """The settings that a picture carries (the body is the file itself), and `notes` on what could not be taken over."""
        found = await run_in_threadpool(studio.read_settings, await request.body())
        return JSONResponse(found, headers=NEVER)

    @router.get("/inputs/{digest}")
    def stored_input(digest: Digest) -> Response:
        """A stored picture."""
        path = studio.input_file(digest)
        if not path.is_file():
            raise NotFound("input", digest)
        return FileResponse(path, media_type="image/png", headers=FOREVER)

    return router


def _streamed(lines: AsyncIterator[str]) -> StreamingResponse:
    return StreamingResponse(lines, media_type="text/event-stream", headers=NEVER)


def _positions(texts: list[str]) -> dict[str, int]:
    return {job: int(number) for job, _, number in (text.partition(":") for text in texts)}


def _start(last_event_id: str, after: int) -> int:
    """A browser that reconnects says where it was."""
    return int(last_event_id) if re.fullmatch(r"[0-9]{1,9}", last_event_id) else after


def add_error_answers(app: FastAPI) -> None:
    """StudioErrors become JSON with one sentence and a fitting status."""

    @app.exception_handler(StudioError)
    def _studio_error(request: Request, error: StudioError) -> JSONResponse:
        return _error(_status(error, request.method), str(error), error.field)

    @app.exception_handler(RequestValidationError)
    def _bad_parameter(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        name = str(first["loc"][-1])
        return _error(404 if first["loc"][0] == "path" else 422, f"{name}: {first['msg']}.", name)


def _error(status: int, sentence: str, field: str | None = None) -> JSONResponse:
    return JSONResponse({"error": sentence, "field": field}, status_code=status, headers=NEVER)


def _status(error: StudioError, method: str) -> int:
    if isinstance(error, NotFound):
        return 404
    if isinstance(error, InvalidRequest):
        return 422
    if isinstance(error, StorageError):  # reading: the file is gone; writing: there is no room
        return 404 if method in ("GET", "HEAD") else 507
    return 500
