"""What a trace costs a run, how large it is, what recorded attention adds, and what a branch costs against its share of a run.

Targets: a traced run at most 1.10 of an untraced one; a branch at step k of n at most 1.10 (n - k) / n of one; 50 steps of a
512x512 latent model under 20 MB (reported for the model that is run, and computed for one of 4 x 64 x 64 latents).
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

from common import announce, arguments, in_turn, model_folder, ratio, seconds

SEED = 42
PROMPT = "a large red heart, striped yellow background"
MB = 1e6


def main() -> int:
    parser = arguments(__doc__ or "", rounds=3)
    parser.add_argument("--size", type=int, default=None, help="pixels a side; the model's own if not given")
    options = parser.parse_args()
    announce()
    import torch

    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        return compare(options, Path(folder))


def compare(options: Any, folder: Path) -> int:
    from studio.core.branching import attention_of, branch_of
    from studio.core.options import find_model, resolve
    from studio.core.request import GenerationRequest
    from studio.core.settings import Settings
    from studio.execution import execute
    from studio.jobs.archive import Archive
    from studio.jobs.database import Database
    from studio.jobs.inputs import InputStore
    from studio.jobs.traces import TraceStore
    from studio.manager.manager import Manager

    models, name = model_folder(folder, options.model)
    outputs = folder / "outputs"
    manager = Manager(Settings(models=(models,), outputs=outputs, device="cpu"))
    info = find_model(manager.catalog.models(), name)
    database = Database(outputs / ".unnoise" / "studio.db")
    archive, inputs = Archive(outputs, database), InputStore(outputs / ".unnoise" / "inputs")
    traces = TraceStore(outputs / ".unnoise" / "traces", 2**30)
    asked = GenerationRequest(
        model=info.id, prompt=PROMPT, sampler=options.sampler, steps=options.steps, seed=SEED, dtype=options.dtype,
        width=options.size, height=options.size, previews=False,
    )  # fmt: skip

    def run(request: GenerationRequest, traced: bool = True) -> str:
        events: list[Any] = []
        execute(
            "benchmark", resolve(request, info, [info]), manager=manager, catalog=manager.catalog, archive=archive, frames=None,
            inputs=inputs, emit=events.append, traces=traces if traced else None,
        )  # fmt: skip
        if events[-1].kind != "done":
            raise SystemExit(f"the run failed: {events[-1]}")
        return next(event.id for event in events if event.kind == "image")

    recipe = archive.recipe(run(asked))
    size = traces.path(recipe.pixels or "").stat().st_size
    places = [options.steps // 4, options.steps // 2, 3 * options.steps // 4]
    runs = {"untraced": lambda: run(asked, traced=False), "traced": lambda: run(asked)}
    runs |= {
        "attention": lambda: run(attention_of(recipe, {})),
        "heads": lambda: run(attention_of(recipe, {"heads": True})),
    }
    runs |= {f"from {k}": lambda k=k: run(branch_of(recipe, k, {"guidance_scale": 7.0})) for k in places}
    times = in_turn(runs, options.rounds)
    sizes = {}
    for each in ("attention", "heads"):
        runs[each]()
        sizes[each] = traces.path(recipe.pixels or "").stat().st_size - size
    same = archive.recipe(run(branch_of(recipe, places[1], {}))).pixels == recipe.pixels
    database.close()
    print(
        f"{info.id}, {options.sampler}, {options.steps} steps, {recipe.request.width}x{recipe.request.height}, {options.rounds} rounds"
    )
    for each in runs:
        print(f"  {each:9} {seconds(times, each)}")
    for clock, word in enumerate(("wall", "CPU ")):
        middle, low, high = ratio(times, "traced", "untraced", clock)
        print(f"  traced {word} ratio {middle:.3f} (quartiles {low:.3f} to {high:.3f}); target 1.10")
        for each, more in sizes.items():
            middle, low, high = ratio(times, each, "traced", clock)
            print(
                f"  {each} {word} ratio {middle:.3f} to a traced run ({low:.3f} to {high:.3f}); {more / MB:.2f} MB more"
            )
        for k in places:
            middle, low, high = ratio(times, f"from {k}", "untraced", clock)
            share = (options.steps - k) / options.steps
            print(
                f"  branch at {k} {word} ratio {middle:.3f} ({low:.3f} to {high:.3f}); its share {share:.3f}, + 10 % {share + 0.1:.3f}"
            )
    print(f"  trace: {size / MB:.2f} MB; 50 steps of 4 x 64 x 64 latents in fp32 with CFG: {_large() / MB:.1f} MB")
    print(f"  an unchanged branch: {'bit-identical' if same else 'DIFFERS'}")
    return 0 if same else 1


def _large() -> int:
    """Bytes of such a trace, written and measured."""
    import torch
    from safetensors.torch import save

    from studio.core.recipe import Recipe
    from studio.core.request import GenerationRequest
    from studio.core.traces import metadata_of
    from studio.engine.tap import TapCall, TapStep
    from studio.engine.trace_recorder import trace_of

    x, steps = torch.randn(1, 4, 64, 64), []
    for number in range(50):
        pair, used = torch.randn(2, 4, 64, 64), torch.randn(1, 4, 64, 64)
        call = TapCall(float(number), (pair,), used)
        steps.append(
            TapStep(number, 50, (0,), float(number), 1.0, 0.1, 0.1, x, x, pair[1:], pair[:1], 1.0, 0.5, used, (call,))
        )
    recipe = Recipe(
        request=GenerationRequest(prompt=PROMPT), index=0, seed=0, model="m", model_title="M", family="f", pipeline="P",
        scheduler="S", weights={}, dtype="fp32", device="cpu", libraries={}, pixels="0" * 64,
    )  # fmt: skip
    made = trace_of(steps, recipe, "epsilon")
    assert made is not None
    return len(save(made[0], metadata_of(made[1])))


if __name__ == "__main__":
    sys.exit(main())
