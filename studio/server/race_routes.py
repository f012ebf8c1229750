"""HTTP routes of sampler races: what can race, what it would take, start one, and what came of it."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse

from studio.core.protocol import Studio
from studio.core.race import Estimate, RaceView, parse_race
from studio.core.race_menu import RaceMenu, menu_of
from studio.core.request import DEFAULT
from studio.server.bodies import json_object

Race = Annotated[str, Path(pattern=r"^[a-z0-9-]{1,40}$")]
PICTURE = r"^[a-z0-9-]{1,20}$"
FOREVER = {"cache-control": "private, max-age=31536000, immutable"}


def build_race_router(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/races")

    @router.get("/menu")
    def menu(model: Annotated[str, Query(max_length=300)] = DEFAULT) -> RaceMenu:
        """What a race on that model can be made of."""
        return menu_of(studio.models(), model)

    @router.get("")
    def races() -> list[RaceView]:
        return studio.races.all()

    @router.post("", status_code=202)
    async def start(request: Request) -> dict[str, str]:
        """Start a race: {"request": fields of a GenerationRequest, "lanes": [{"sampler", "spacing"}], "evaluations": [4, 8],
        "reference_steps": 1000}; all but the request may be left out."""
        values = await json_object(request)
        return {"id": await run_in_threadpool(lambda: studio.races.start(parse_race(values)))}

    @router.post("/estimate")
    async def estimate(request: Request) -> Estimate:
        """What the same body would take, with nothing started."""
        values = await json_object(request)
        return await run_in_threadpool(lambda: studio.races.estimate(parse_race(values)))

    @router.get("/{race}")
    def one(race: Race) -> RaceView:
        return studio.races.get(race)

    @router.get("/{race}/{picture}.png")
    def picture(race: Race, picture: Annotated[str, Path(pattern=PICTURE)]) -> FileResponse:
        return FileResponse(studio.races.picture(race, picture), media_type="image/png", headers=FOREVER)

    @router.post("/{race}/delete")
    def delete(race: Race) -> dict[str, str]:
        studio.races.delete(race)
        return {"id": race}

    return router
