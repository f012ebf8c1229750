"""Mounts the page on a FastAPI application, at `/`, with those features of Gradio off that a studio does not need."""

import logging
import tempfile
from pathlib import Path

import gradio as gr
from fastapi import FastAPI

from studio.core.protocol import Studio
from studio.ui import assets
from studio.ui.shell import build
from studio.ui.theme import Quiet


def mount(app: FastAPI, studio: Studio) -> FastAPI:
    """The application with the page on it. Routes that are already there keep precedence."""
    # Every handler reports its own errors; httpx' line for each inner call would fill the terminal.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    assets.serve_static(app)
    page = build(studio)
    page.queue(api_open=False, default_concurrency_limit=None)
    return gr.mount_gradio_app(
        app,
        page,
        path="/",
        theme=Quiet(),
        head=assets.head(),
        run_history=False,
        footer_links=[],
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        show_error=False,
        blocked_paths=[str(Path(tempfile.gettempdir()).resolve().anchor)],
    )
