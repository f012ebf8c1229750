"""A workbench: the form, the canvas and the recent results, drawn once and used in several modes (`studio/ui/mode.py`).

Everything on the page belongs to one workbench: its name begins the ids, and its scripts look at nothing outside it. A page may
hold several, each with its own job.
"""

import itertools
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import gradio as gr
from gradio.components import Component

from studio.core.errors import StudioError
from studio.core.jobs import ImageView
from studio.core.protocol import Studio
from studio.core.request import GenerationRequest
from studio.ui import canvas as canvases
from studio.ui import folder_batch
from studio.ui.canvas import Canvas
from studio.ui.draft import Draft, kept
from studio.ui.fields import Switch
from studio.ui.fold import fold
from studio.ui.folder_batch import FolderBatch
from studio.ui.form import NONE, Form
from studio.ui.from_picture import FromPicture
from studio.ui.mode import Mode, ModeSwitch, panel
from studio.ui.notice import Notice, notice
from studio.ui.prepare import Prepare
from studio.ui.prompt_words import PromptWords
from studio.ui.size_note import SizeNote
from studio.ui.strip import Strip, recent_images
from studio.ui.weight_strip import WeightStrip, queued

BROKEN = "Something went wrong inside the studio; its log says what."
Updates = dict[Component, Any]
_NUMBERS = itertools.count(1)
log = logging.getLogger(__name__)


class Workbench:
    """Draws itself in the current Blocks context, in the first of its modes; `wire` connects it.

    `follows_newest`: while idle it shows jobs that were submitted elsewhere, and on a new page the studio's newest one.
    """

    def __init__(self, studio: Studio, name: str, modes: Mapping[str, Mode], *, follows_newest: bool = True):
        self.studio = studio
        self.name = name
        self.modes = modes
        self.form = Form(
            studio,
            {name: mode.task for name, mode in modes.items() if mode.task},
            large={name: (mode.part, *mode.also) for name, mode in modes.items() if mode.part},
        )
        self.model = gr.State("")  # the model before the one that is being chosen
        with gr.Column(elem_id=name, elem_classes=["workbench"]):
            self.mode = ModeSwitch([name for name, mode in modes.items() if mode.task])
            self._draw_prompt()
            with gr.Column(elem_classes=["canvas-panel"]):
                self.canvas = Canvas({key: asdict(mode) for key, mode in modes.items()}, follows_newest=follows_newest)
                self.weights = WeightStrip()
                self.strip = Strip(studio)
            self._draw_settings()

    def _draw_prompt(self) -> None:
        with gr.Column(elem_classes=["compose"]):
            self.form.draw("prompt")
            PromptWords(self.studio)
            self.form.draw("negative_prompt")
            with gr.Row(elem_classes=["actions"]):
                self.generate = gr.Button("Generate", variant="primary", elem_classes=["generate"])
                self.stop = gr.Button("Stop", elem_classes=["stop"])
                self.live = Switch(
                    "live",
                    False,
                    title="Live",
                    help="Render again at once, with the same seed, whenever a setting changes; in fewer steps while a slider "
                    "moves.",
                )
            self.notice = Notice()
            self.draft = Draft()

    def _draw_settings(self) -> None:
        with gr.Column(elem_classes=["settings"]):
            self.form.draw_tasks()
            with panel(*(name for name, mode in self.modes.items() if mode.task == folder_batch.TASK)):
                self.batch = FolderBatch()
            self.form.draw("model")
            Prepare(self.studio)
            self._draw_pairs(("preset", "style"))
            with fold("sampling", "Sampling", "{sampler}", "{steps} step(s)", "CFG {guidance_scale}"):
                self._draw_pairs(("steps", "guidance_scale"), ("sampler", "spacing"))
            with fold("output", "Output", "{width} × {height}", "{seed}", "{count} image(s)"):
                self._draw_pairs(("width", "height"))
                SizeNote(self.studio)
                self.form.draw("seed")
                self._draw_pairs(("count", "batch_size"))
            with fold("advanced", "Advanced", "{dtype} precision", "{previews}", opened=False):
                self._draw_pairs(("guidance_rescale", "dtype"), ("clip_skip", "syntax"))
                self.form.draw("previews")
                self.form.draw_rest()
            self.form.draw_parts()
            self.picture = FromPicture()

    def _draw_pairs(self, *pairs: tuple[str, str]) -> None:
        for pair in pairs:
            with gr.Row(elem_classes=["pair"]):
                self.form.draw(*pair)

    def wire(self, page: gr.Blocks) -> None:
        """Handlers are quick: they submit a request or set the form's fields."""
        form, fields = self.form, self.form.fields
        everything = {*form.inputs(), self.mode}
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        request: dict[str, Any] = {"inputs": everything, "outputs": self.canvas, "trigger_mode": "multiple", **quiet}
        self.generate.click(self.submit, **request)
        self.canvas.submit(self.submit_live, **request)
        filled = [*form.inputs(), self.mode, self.notice, self.model]
        fields["parts"].select(
            self.compare_weights, inputs=everything, outputs=[self.weights, self.canvas], trigger_mode="once", **quiet
        )
        self.batch.select(
            self.make_each, inputs=everything, outputs=[self.batch, self.canvas], trigger_mode="once", **quiet
        )
        self.weights.select(self.pick, outputs=[*filled, self.canvas], trigger_mode="multiple", **quiet)
        fields["model"].input(
            self.choose_model, inputs={*form.inputs(), self.model}, outputs=filled, trigger_mode="always_last", **quiet
        )
        fields["preset"].input(self.choose_preset, inputs=fields["preset"], outputs=filled, **quiet)
        self.strip.select(self.pick, outputs=[*filled, self.canvas], trigger_mode="multiple", **quiet)
        self.picture.select(self.take_settings, outputs=filled, trigger_mode="multiple", **quiet)
        self.mode.select(self.refresh, inputs=fields["model"], outputs=filled, **quiet)
        self.draft.submit(self.restore, inputs=self.draft, outputs=filled, trigger_mode="multiple", **quiet)
        opened = [*filled, self.draft, self.strip, self.canvas]
        page.load(self.open, inputs=self.draft, outputs=opened, js=kept(self.name), **quiet)

    def submit(self, data: dict[Component, Any]) -> Updates:
        return self._submit(data)

    def submit_live(self, data: dict[Component, Any], event: gr.EventData) -> Updates:
        """The page says which Live run this one takes the place of, and whether a quick sketch is enough."""
        return self._submit(data, live=True, replaces=event.replaces or None, sketch=bool(event.sketch))

    def _submit(self, data: dict[Component, Any], *, live: bool = False, **how: Any) -> Updates:
        try:
            job = self.studio.submit(self.form.read(data, data[self.mode]), **how)
        except StudioError as error:
            return {self.canvas: canvases.refuse(error)}
        except Exception:
            log.exception("submit failed")
            return {self.canvas: canvases.refuse(StudioError(BROKEN))}
        return {self.canvas: canvases.show(job, live=live)}

    def compare_weights(self, data: dict[Component, Any], event: gr.EventData) -> Updates:
        """The same picture at each of these weights of one part, whose card the page names by its place among all cards."""
        try:
            place = self.form.place_of_part(data, int(event.card))
            request = self.form.read(data, data[self.mode])
            return {self.weights: queued(self.studio, request, place, list(event.weights))}
        except StudioError as error:
            return {self.canvas: canvases.refuse(error)}

    def make_each(self, data: dict[Component, Any], event: gr.EventData) -> Updates:
        """A job for each of the stored pictures that the page names, in place of the one to start from."""
        source = self.form.tasks[folder_batch.TASK]["image"]

        def request_of(digest: str) -> GenerationRequest:
            return self.form.read({**data, source: digest}, data[self.mode])

        try:
            made = folder_batch.queued(self.studio, request_of, list(event.pictures))
        except StudioError as error:
            return {self.canvas: canvases.refuse(error)}
        return {self.batch: made, self.canvas: canvases.show(made["jobs"][0]["job"])}

    def choose_model(self, data: dict[Component, Any]) -> Updates:
        chosen = str(data[self.form.fields["model"]])
        try:
            return {**self.form.adopt(chosen, data[self.model], data), self.model: chosen}
        except StudioError as error:
            return {self.notice: notice(str(error))}

    def choose_preset(self, name: str) -> Updates:
        preset = next((each for each in self.studio.presets() if each.name == name), None)
        if preset is None or name == NONE:
            return {self.notice: notice("")}
        return {**self.form.fill(preset.values), self.notice: notice(preset.description, undo=True)}

    def pick(self, event: gr.EventData) -> Updates:
        """A result was clicked: its settings, its own seed, and itself on the canvas; or a stopped run, as it was requested."""
        try:
            if event.stopped:
                job = self.studio.job(str(event.stopped))
                shown = canvases.show_image(job.id, int(event.index))
                return {**self._fill(job.request.model_dump(), "Settings restored."), self.canvas: shown}
            image = self.studio.image(str(event.id))
            task = self._starting_from(image.id, str(event.to or ""))
        except StudioError as error:
            return {self.notice: notice(str(error))}
        values = image.request.model_dump() | {"seed": image.seed, "count": 1} | task
        filled = self._fill(values, "Settings restored.")
        return filled | self._shown(image)

    def _shown(self, image: ImageView) -> Updates:
        """The picture on the canvas, which plays jobs; nothing for one that was found again without its job."""
        try:
            self.studio.job(image.job)
        except StudioError:
            return {}
        return {self.canvas: canvases.show_image(image.job, image.index)}

    def _starting_from(self, image_id: str, mode: str) -> dict[str, Any]:
        """The task of this mode with the picture as the one to start from; nothing without a mode."""
        kind = self.modes[mode].task if mode in self.modes else ""
        if not kind:
            return {}
        return {"task": {"kind": kind, "image": self.studio.add_input(self.studio.image_file(image_id).read_bytes())}}

    def take_settings(self, event: gr.EventData) -> Updates:
        """The settings that the studio read from a picture."""
        values = dict(json.loads(event.settings))
        notes = [str(note) for note in values.pop("notes", ())]
        return self._fill(values, " ".join(["Settings restored.", *notes]))

    def open(self, draft: Any) -> Updates:
        """The page was opened or reloaded: offer what there is now, what was set at the last visit, and the newest job."""
        read: Updates = {self.draft: gr.update(read=next(_NUMBERS))}
        try:
            jobs = self.studio.jobs(limit=1)
            updates = self._restored(draft)
        except StudioError as error:
            return {**read, self.notice: notice(str(error)), self.canvas: canvases.newest(None)}
        newest = canvases.newest(jobs[0].id if jobs else None)
        return {**updates, **read, self.strip: recent_images(self.studio), self.canvas: newest}

    def restore(self, draft: Any) -> Updates:
        """One step back or forward among what stood in the form before settings were filled in."""
        try:
            return {**self._restored(draft), self.notice: notice("")}
        except StudioError as error:
            return {self.notice: notice(str(error))}

    def _restored(self, draft: Any) -> Updates:
        draft = draft if isinstance(draft, dict) else {}
        fields = draft.get("fields")
        updates = self.form.restored(fields if isinstance(fields, dict) else {})
        mode = {self.mode: draft["mode"]} if self.modes.get(str(draft.get("mode")), Mode()).task else {}
        return {**updates, **mode, self.model: updates[self.form.fields["model"]]["value"]}

    def refresh(self, model: str) -> Updates:
        """The workbench is shown again: models may have come, gone, or been hidden meanwhile."""
        try:
            updates = self.form.refreshed(model)
        except StudioError as error:
            return {self.notice: notice(str(error))}
        return {**updates, self.model: updates[self.form.fields["model"]]["value"]}

    def _fill(self, values: dict[str, Any], sentence: str) -> Updates:
        updates = self.form.fill(values)
        model = updates.get(self.form.fields["model"])
        if "model" in values and model is None:
            sentence = f"{sentence} Its model, {values['model']}, is not here; the chosen one stays."
        settled: Updates = {self.model: model["value"]} if model else {}
        task = dict(values.get("task", {})).get("kind")
        if mode := next((name for name, mode in self.modes.items() if task and mode.task == task), None):
            settled[self.mode] = mode
        return {**updates, **settled, self.notice: notice(sentence, undo=True)}
