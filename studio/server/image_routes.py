"""HTTP routes for what a person does with one archived picture: delete and restore, favourite, its recipe, its folder.

Depends on the Studio for all of it; only opening a folder happens here, and only for a visitor at this very machine.
"""

import ipaddress
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse

from studio.core import infotext
from studio.core.errors import InvalidRequest
from studio.core.protocol import Studio
from studio.core.recipe_rows import rows
from studio.server import reveal

Id = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,100}$")]
NEVER = {"cache-control": "no-store"}
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")  # set by a proxy: the visitor is elsewhere


def build_image_router(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/images/{image}")

    @router.delete("")
    def delete(image: Id) -> dict[str, str]:
        """Move the picture to the trash."""
        studio.delete_image(image)
        return {"id": image}

    @router.post("/restore")
    def restore(image: Id) -> dict[str, str]:
        """Take it out of the trash."""
        studio.restore_image(image)
        return {"id": image}

    @router.put("/favourite")
    def favour(image: Id) -> dict[str, bool]:
        studio.set_favourite(image, True)
        return {"favourite": True}

    @router.delete("/favourite")
    def no_longer_favour(image: Id) -> dict[str, bool]:
        studio.set_favourite(image, False)
        return {"favourite": False}

    @router.get("/recipe")
    def recipe(image: Id, request: Request) -> JSONResponse:
        """The recipe as rows to read, as JSON and as AUTOMATIC1111 text; where the file lies, and whether its folder can be
        opened for this visitor."""
        found, view = studio.recipe(image), studio.image(image)
        answer: dict[str, Any] = {
            "rows": rows(found),
            "recipe": found.model_dump(mode="json"),
            "text": infotext.write(found),
            "path": view.path,
            "favourite": view.favourite,
            "opens": is_here(request) and reveal.available(),
        }
        return JSONResponse(answer, headers=NEVER)

    @router.post("/reveal")
    def show_in_folder(image: Id, request: Request) -> dict[str, str]:
        """Open the picture's folder in the file manager."""
        if not is_here(request):
            raise InvalidRequest("Folders open only for a visitor at the machine that the studio runs on.")
        reveal.reveal(studio.image_file(image))
        return {"id": image}

    return router


def is_here(request: Request) -> bool:
    """Whether the visitor sits at this machine: called from its own address, and through no proxy."""
    if request.client is None or any(name in request.headers for name in FORWARDED):
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
