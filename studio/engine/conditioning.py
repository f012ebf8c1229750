"""What a prompt in the prompt language changes of a stock pipeline's run, from outside.

A prompt of plain words is the pipeline's own affair: nothing is changed. Weights give embeddings (`text_encoding.py`);
a schedule switches them at the denoiser's door, step by step; `AND` adds the guidance of each conjunct (Liu et al. 2022,
"Compositional Visual Generation with Composable Diffusion Models", eq. 11) by further forwards of the conditional half.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils import _pytree

from studio.core.errors import InvalidRequest
from studio.engine.effects import Context
from studio.engine.observers import Observer
from studio.engine.tap import TapStep
from studio.engine.text_encoding import FAMILIES, Embeddings, Encoder
from studio.manager.families import accepted
from studio.prompts import Composition, Conjunct, parse

UNAPPLIED = "the prompt was read as it is written: weights and schedules have no effect with this model"


class Conditioning(Observer):
    """The prompts of one call. `notes` say what could not be applied."""

    def __init__(self, context: Context):
        self._context, request = context, context.request
        self.family, self.images = context.loaded.family, len(context.images)
        self.steps = request.task.steps_run(request.steps, context.loaded.info.capabilities.partial_steps)
        self.step = 1  # that is being made
        self.notes: tuple[str, ...] = ()
        self._rows: list[dict[str, list[Embeddings]]] = []  # by step: "" and "negative_" -> of each conjunct

    def on_step(self, step: TapStep) -> None:
        self.step = step.index + 2

    @contextmanager
    def applied(self, arguments: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The call's arguments with the prompts as they are meant; all modules are as before on leaving."""
        with _readable_layers(getattr(self._context.pipeline, "text_encoder", None)), self._meant(arguments) as meant:
            yield meant

    @contextmanager
    def _meant(self, arguments: dict[str, Any]) -> Iterator[dict[str, Any]]:
        request = self._context.request
        if request.syntax == "literal" or "prompt" not in arguments or self.family.prompt_help:
            yield arguments
            return
        prompts = {"": parse(request.prompt), "negative_": parse(request.negative_prompt)}
        words = {f"{name}prompt": each.words for name, each in prompts.items()}
        plain = all(text is not None for text in words.values())
        if self.family.name not in FAMILIES:
            self.notes = () if plain else (UNAPPLIED,)
            yield arguments | ({n: text for n, text in words.items() if n in arguments} if plain else {})
            return
        encoder = self._encoder(arguments)
        if plain and all(len(encoder.chunks(text)) == 1 for text in self._texts(prompts)):
            yield arguments | {name: text for name, text in words.items() if name in arguments}
            return
        self._refuse(prompts)
        with self._hooked(encoder, prompts, arguments) as changed:
            yield changed

    def _encoder(self, arguments: dict[str, Any]) -> Encoder:
        options: dict[str, Any] = {
            name: arguments[name] for name in ("clip_skip", "clean_caption") if name in arguments
        }
        return Encoder(self._context.pipeline, self.family.name, options)

    def _texts(self, prompts: dict[str, Composition]) -> Iterator[str]:
        """All that is read at any step."""
        for composition in prompts.values():
            for conjunct in composition.conjuncts:
                yield from dict.fromkeys(text for _, text in conjunct.schedule.rows(self.steps))

    def _refuse(self, prompts: dict[str, Composition]) -> None:
        if len(prompts["negative_"].conjuncts) > 1:
            raise InvalidRequest(
                "AND joins prompts; it has no meaning in a negative prompt. Write \\AND or leave it out.",
                field="negative_prompt",
            )
        if len(prompts[""].conjuncts) == 1:
            return
        title = self._context.loaded.info.title
        if self.family.guidance != "batch":
            raise InvalidRequest(f"{title} predicts without guidance, so AND has nothing to add to.", field="prompt")
        if self._context.request.guidance_scale <= 1:
            raise InvalidRequest("AND adds guidance; set CFG above 1.", field="guidance_scale")

    @contextmanager
    def _hooked(
        self, encoder: Encoder, prompts: dict[str, Composition], arguments: dict[str, Any]
    ) -> Iterator[dict[str, Any]]:
        self._rows = self._encoded(encoder, prompts)
        pipeline, inputs = self._context.pipeline, encoder.inputs
        denoiser = getattr(pipeline, self.family.denoiser)
        hooks: list[Any] = []
        if any(each.changes for each in prompts.values()):
            control = getattr(pipeline, "controlnet", None) if inputs.chunked else None
            for module in filter(None, (denoiser, control)):
                hooks.append(module.register_forward_pre_hook(self._switch, with_kwargs=True))
        if len(prompts[""].conjuncts) > 1:
            # Before the tap's own, so that it sees the prediction that guidance is made of.
            hook = _Composed(self, [each.weight for each in prompts[""].conjuncts])
            hooks.append(denoiser.register_forward_hook(hook, prepend=True, with_kwargs=True))
        try:
            yield self._arguments(arguments, inputs.repeats)
        finally:
            for each in hooks:
                each.remove()

    def _encoded(self, encoder: Encoder, prompts: dict[str, Composition]) -> list[dict[str, list[Embeddings]]]:
        chunks = max(len(encoder.chunks(text)) for text in self._texts(prompts))
        scheduled = {name: [self._by_step(each) for each in made.conjuncts] for name, made in prompts.items()}
        return [
            {name: [encoder.encode(texts[step], chunks, name) for texts in all_] for name, all_ in scheduled.items()}
            for step in range(self.steps)
        ]

    def _by_step(self, conjunct: Conjunct) -> list[str]:
        texts: list[str] = []
        for last, text in conjunct.schedule.rows(self.steps):
            texts += [text] * (last - len(texts))
        return texts

    def _arguments(self, arguments: dict[str, Any], repeats: bool) -> dict[str, Any]:
        """Embeddings in place of the prompts."""
        known, count = accepted(self._context.pipeline), self.images
        changed: dict[str, Any] = {"prompt": None, "negative_prompt": None}
        for prefix, conjuncts in self._rows[0].items():
            changed |= {prefix + n: e if repeats else _repeated(e, count) for n, e in conjuncts[0].items()}
        if not repeats:
            changed["num_images_per_prompt"] = 1
        return arguments | {name: value for name, value in changed.items() if name in known}

    def at_step(self, prefix: str, conjunct: int) -> Embeddings:
        """The embeddings of the step that is being made; steps that the sampler adds are as the last one."""
        return self._rows[min(self.step, self.steps) - 1][prefix][conjunct]

    def _switch(self, module: torch.nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        for name, path in FAMILIES[self.family.name].inputs.items():
            given = _at(kwargs, path)
            if given is None:
                continue
            cond = _repeated(self.at_step("", 0)[name], self.images).to(given)
            if len(given) == 2 * self.images:
                uncond = _repeated(self.at_step("negative_", 0)[name], self.images).to(given)
                cond = torch.cat([cond, uncond] if self.family.conditional_first else [uncond, cond])
            if cond.shape == given.shape:
                kwargs = _put(kwargs, path, cond)
        return args, kwargs


class _Composed:
    """A forward hook: the conditional half becomes uncond + sum of w (cond_i - uncond), so that guidance adds them all."""

    def __init__(self, conditioning: Conditioning, weights: list[float]):
        self.conditioning, self.weights = conditioning, weights

    def __call__(self, module: Any, args: Any, kwargs: dict[str, Any], output: Any) -> Any:
        prediction, count, own = output[0], self.conditioning.images, self.conditioning.family.conditional_first
        if len(prediction) != 2 * count:
            return None
        rows = slice(0, count) if own else slice(count, 2 * count)  # of the conditional half
        uncond = prediction[count:] if own else prediction[:count]
        cond = uncond + self.weights[0] * (prediction[rows] - uncond)
        half = _pytree.tree_map(
            lambda leaf: (
                leaf[rows] if isinstance(leaf, torch.Tensor) and leaf.ndim and len(leaf) == 2 * count else leaf
            ),
            (args, kwargs),
        )
        for number, weight in enumerate(self.weights[1:], 1):
            given = half[1]
            for name, path in FAMILIES[self.conditioning.family.name].inputs.items():
                embeds = _repeated(self.conditioning.at_step("", number)[name], count)
                given = _put(given, path, embeds.to(_at(given, path)))
            cond = cond + weight * (module.forward(*half[0], **given)[0] - uncond)
        combined = torch.cat([cond, uncond] if own else [uncond, cond])
        if isinstance(output, tuple):
            return (combined, *output[1:])
        output.sample = combined
        return output


@contextmanager
def _readable_layers(encoder: Any) -> Iterator[None]:
    """diffusers' clip skip reads `text_model` of CLIP, which transformers 5 has made one with the encoder itself."""
    if not hasattr(encoder, "final_layer_norm") or hasattr(encoder, "text_model"):
        yield
        return
    vars(encoder)["text_model"] = encoder
    try:
        yield
    finally:
        del vars(encoder)["text_model"]


def _repeated(embeds: torch.Tensor, count: int) -> torch.Tensor:
    return embeds.repeat(count, *[1] * (embeds.ndim - 1))


def _at(kwargs: dict[str, Any], path: tuple[str, ...]) -> torch.Tensor | None:
    value: Any = kwargs
    for name in path:
        value = (value or {}).get(name)
    return value


def _put(kwargs: dict[str, Any], path: tuple[str, ...], value: torch.Tensor) -> dict[str, Any]:
    """A copy with the value at the path."""
    name, *rest = path
    return kwargs | {name: _put(kwargs[name], tuple(rest), value) if rest else value}
