"""Builds the application: our routes, the page mounted on them, the guard around both.

The page is given as a function that mounts it, so nothing here depends on Gradio.
"""

from collections.abc import Callable

from fastapi import FastAPI

from studio import __version__
from studio.core.protocol import Studio
from studio.server.gallery_routes import build_gallery_router
from studio.server.guard import Guard
from studio.server.image_routes import build_image_router
from studio.server.policy import Policy
from studio.server.race_routes import build_race_router
from studio.server.routes import add_error_answers, build_router
from studio.server.run_routes import build_run_router
from studio.server.trace_routes import build_trace_router

Mount = Callable[[FastAPI], FastAPI]


def build_app(studio: Studio, mount: Mount, policy: Policy) -> Guard:
    """The finished ASGI application. Our routes come before the page's, which may therefore sit at `/`."""
    # FastAPI's own documentation pages load their scripts from another host, so they stay off.
    app = FastAPI(title="Unnoise", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    add_error_answers(app)
    app.include_router(build_router(studio))
    app.include_router(build_image_router(studio))
    app.include_router(build_gallery_router(studio))
    app.include_router(build_run_router(studio))
    app.include_router(build_race_router(studio))
    app.include_router(build_trace_router(studio))
    return Guard(mount(app), policy)
