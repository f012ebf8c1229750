"""The slim bar on top: the studio's name, the model in use, memory against its budget, and the queue."""

from typing import Any

import gradio as gr

from studio.core.desk import Desk
from studio.core.errors import StudioError
from studio.ui.assets import behaviour


class Bar(gr.HTML):
    """Has no value; the page asks `status` when something happened, and now and then while it is looked at."""

    def __init__(self, desk: Desk, **props: Any):
        def status(_: Any) -> dict[str, Any]:
            return current_status(desk)

        super().__init__(
            value="",
            html_template="<div class='bar-body'></div>",
            js_on_load=behaviour("bar.js"),
            apply_default_css=False,
            elem_id="bar",
            elem_classes=["bar-block"],
            server_functions=[status],
            **props,
        )

    def api_info(self) -> dict[str, Any]:
        return {"type": {}, "description": "none"}


def current_status(desk: Desk) -> dict[str, Any]:
    """Plain figures for the bar. `newest` is the job that an idle page may turn to."""
    try:
        memory, waiting = desk.memory(), desk.jobs(states=("queued",), limit=200)
        running, newest = desk.jobs(states=("running",), limit=5), desk.jobs(limit=1)
    except StudioError as error:
        return {"problem": str(error)}
    return {
        "used": memory.used,
        "budget": memory.budget,
        "device": memory.device,
        "residents": [list(each) for each in memory.residents],
        "waiting": len(waiting),
        "running": [job.id for job in running],
        "newest": newest[0].id if newest else None,
    }
