"""The form: reads what stands in its controls into one request, and fills them from any set of settings.

Core, tasks and parts are drawn from what their fields declare (`core_controls`, `task_controls`, `part_cards`). `read` and
`fill` are inverses: presets, a dropped picture, a click on a result and a change of model all go through `fill`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
from gradio.components import Component

from studio.core.fields import specs
from studio.core.models import ModelInfo, ModelOptions
from studio.core.presets import Style
from studio.core.protocol import Studio
from studio.core.request import DEFAULT, RANDOM_SEED, GenerationRequest, parse_request
from studio.core.tasks import TASKS
from studio.core.upgrade import upgrade
from studio.ui import core_controls, part_cards, task_controls
from studio.ui.core_controls import CORE, NONE, TEXT_LINES
from studio.ui.fields import MISSING, in_pairs, shown, standing, typed
from studio.ui.model_controls import known_options, model_choices, properties, unused, words
from studio.ui.part_cards import PartCards

Updates = dict[Component, Any]


@dataclass(frozen=True)
class Form:
    """The controls drawn so far; each method that draws adds some, where it is called.

    `modes`: mode of the workbench -> kind of its task. `large`: mode -> kinds of parts whose cards are large in it.
    """

    studio: Studio
    modes: Mapping[str, str] = field(default_factory=lambda: {k: k for k, task in TASKS.items() if task.offered})
    large: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fields: dict[str, Component] = field(default_factory=dict)  # of the core, and "preset", "style", "parts"
    tasks: dict[str, dict[str, Component]] = field(default_factory=dict)  # kind of task -> its fields

    def draw(self, *names: str) -> None:
        for name in names:
            self.fields[name] = core_controls.draw(self.studio, self.modes, name)

    def draw_rest(self) -> None:
        """All fields of the core that have not been drawn yet."""
        in_pairs([spec for name, spec in CORE.items() if name not in self.fields], lambda spec: self.draw(spec.name))

    def draw_tasks(self) -> None:
        self.tasks.update(task_controls.draw(self.studio, self.modes))

    def draw_parts(self) -> None:
        self.fields["parts"] = PartCards(part_cards.groups(self.studio, self._known_model(DEFAULT)), self.large)

    def inputs(self) -> set[Component]:
        return {*self.fields.values(), *(each for drawn in self.tasks.values() for each in drawn.values())}

    def read(self, data: dict[Component, Any], mode: str = "") -> GenerationRequest:
        """The request that the form asks for in this mode, else in the first. Raises InvalidRequest with the field at fault."""
        given = {name: data[component] for name, component in self.fields.items()}
        model = self._known_model(str(given.get("model", DEFAULT)))
        left_out = {name for name, why in unused(model).items() if why} if model else set()
        values = {n: typed(CORE[n], value) for n, value in given.items() if n in CORE and n not in left_out}
        if not str(values.get("seed", RANDOM_SEED)).strip():
            values["seed"] = RANDOM_SEED
        values["task"] = self._read_task(data, self.modes.get(mode) or next(iter(self.modes.values())))
        values["parts"] = part_cards.read(given.get("parts"), model)
        request = parse_request(values)
        style = next((each for each in self.studio.styles() if each.name == given.get("style")), None)
        styled = _styled(request, style) if style else {}
        return (
            parse_request(values | {n: text for n, text in styled.items() if n not in left_out}) if styled else request
        )

    def place_of_part(self, data: dict[Component, Any], card: int) -> int:
        """Among the request's parts, of the card at that place; -1 where it is not sent."""
        model = self._known_model(str(data.get(self.fields["model"], DEFAULT)))
        cards = list(data[self.fields["parts"]] or ())
        if not 0 <= card < len(cards) or not part_cards.read(cards[card : card + 1], model):
            return -1
        return len(part_cards.read(cards[:card], model))

    def _read_task(self, data: dict[Component, Any], kind: str) -> dict[str, Any]:
        fields = specs(TASKS[kind])
        values = {name: typed(fields[name], data[component]) for name, component in self.tasks.get(kind, {}).items()}
        return {"kind": kind} | {name: value for name, value in values.items() if value is not MISSING}

    def fill(self, values: dict[str, Any]) -> Updates:
        """Updates that put the settings in place and leave the others alone; the menus follow the model that is named."""
        values = upgrade(values)
        updates: Updates = {}
        if "model" in values:
            options = known_options(self.studio, str(values.pop("model")))
            if options and "model" in self.fields:  # the page's own menu may be older, or leave a hidden model out
                choices = model_choices(self.studio, self.modes, options.model)
                updates[self.fields["model"]] = gr.update(choices=choices, value=options.model.id)
            updates |= self._follow_model(options) if options else {}
        for component, value in self._standings(values).items():
            updates[component] = updates.get(component, {}) | gr.update(value=value)
        if "prompt" in values and (style := self.fields.get("style")) is not None:
            updates[style] = gr.update(value=NONE)  # its words are in the prompt already
        return updates

    def _standings(self, values: dict[str, Any]) -> Updates:
        """What is to stand in the controls that the values name."""
        core = {n: standing(CORE[n], value) for n, value in values.items() if n in CORE}
        parts = {"parts": part_cards.cards(values["parts"])} if "parts" in values else {}
        found = {self.fields[name]: value for name, value in (core | parts).items() if name in self.fields}
        task = dict(values.get("task", {}))
        drawn = self.tasks.get(str(task.get("kind")), {})
        fields = specs(TASKS[task["kind"]]) if drawn else {}
        return found | {drawn[n]: standing(fields[n], value) for n, value in task.items() if n in drawn}

    def adopt(self, model_id: str, before: str, data: dict[Component, Any]) -> Updates:
        """Updates after a person chose another model: its menus, and its own steps and guidance where the last model's
        own still stood."""
        values: dict[str, Any] = {
            "model": model_id,
            "sampler": DEFAULT,
            "spacing": DEFAULT,
            "width": None,
            "height": None,
        }
        old, new = self._known_model(before), self.studio.options(model_id).model.defaults
        for name in (name for name, spec in CORE.items() if spec.extra.per_model and name in self.fields):
            if old is None or str(data[self.fields[name]]) == shown(getattr(old.defaults, name)):
                values[name] = getattr(new, name)
        updates = self.fill(values)
        updates.pop(self.fields["model"], None)  # a person who walks through the menu is ahead of the answers
        return updates

    def refreshed(self, chosen: str) -> Updates:
        """Updates that offer what the studio has now; models may have come or gone since the page was drawn."""
        choices = model_choices(self.studio, self.modes)
        options = known_options(self.studio, chosen)
        if options is None or all(choice["name"] != options.model.id for choice in choices):
            options = known_options(self.studio, DEFAULT)
        menu = gr.update(choices=choices, value=options.model.id if options else DEFAULT)
        return {self.fields["model"]: menu} | (self._follow_model(options) if options else {})

    def controls(self) -> dict[str, Component]:
        """All that was drawn, by the keys that the page knows the controls by."""
        tasks = (each for drawn in self.tasks.values() for each in drawn.values())
        return self.fields | {str(component.props["field"]): component for component in tasks}

    def restored(self, standing: Mapping[str, Any]) -> Updates:
        """Updates that put back what stood in the controls, by their keys, with the menus of the model that was chosen."""
        updates = self.refreshed(str(standing.get("model", DEFAULT)))
        kept = {"parts": part_cards.known(standing.get("parts"))} if "parts" in standing else {}
        for name, component in self.controls().items():
            if name in standing and name != "model":
                updates[component] = updates.get(component, {}) | gr.update(value=kept.get(name, standing[name]))
        return updates

    def _known_model(self, name: str) -> ModelInfo | None:
        options = known_options(self.studio, name)
        return options.model if options else None

    def _follow_model(self, options: ModelOptions) -> Updates:
        """Menus, locks and the model's own values of the controls that depend on it."""
        changes = {n: words(n, options) if n in TEXT_LINES else properties(CORE[n], options) for n in CORE}
        changes["parts"] = {"groups": part_cards.groups(self.studio, options.model)}
        return {self.fields[n]: gr.update(**each) for n, each in changes.items() if each and n in self.fields}


def _styled(request: GenerationRequest, style: Style) -> dict[str, str]:
    negative = ", ".join(part for part in (request.negative_prompt, style.negative_prompt) if part)
    return {"prompt": style.prompt.replace("{prompt}", request.prompt), "negative_prompt": negative}
