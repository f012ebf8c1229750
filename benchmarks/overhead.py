"""The studio's run, from request to saved file, against bare diffusers: same model, sampler, seed and dtype, in one process.

Targets: time ratio at most 1.05 with previews on and 1.02 with them off; pixels identical, or this ends with an error.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

from common import announce, arguments, in_turn, model_folder, ratio, seconds

SEED = 42
PROMPT = "a large red heart, striped yellow background"


def main() -> int:
    parser = arguments(__doc__ or "")
    parser.add_argument("--guidance", type=float, default=5.0)
    options = parser.parse_args()
    announce()
    import torch

    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        return compare(options, Path(folder))


def compare(options: Any, folder: Path) -> int:
    import diffusers
    import torch

    from studio.core.options import find_model, resolve
    from studio.core.recipe import pixel_hash
    from studio.core.request import GenerationRequest
    from studio.core.settings import Settings
    from studio.engine.effects import Context, call_arguments, no_images
    from studio.engine.samplers import scheduler_class_of
    from studio.execution import execute
    from studio.jobs.archive import Archive
    from studio.jobs.database import Database
    from studio.jobs.frames import FrameStore
    from studio.jobs.inputs import InputStore
    from studio.manager.manager import Manager

    models, name = model_folder(folder, options.model)
    outputs = folder / "outputs"
    manager = Manager(Settings(models=(models,), outputs=outputs, device="cpu"))
    info = find_model(manager.catalog.models(), name)
    database = Database(outputs / ".unnoise" / "studio.db")
    archive, frames = Archive(outputs, database), FrameStore(outputs / ".unnoise" / "frames", database)
    asked = GenerationRequest(
        model=info.id, prompt=PROMPT, sampler=options.sampler, steps=options.steps, seed=SEED, dtype=options.dtype,
        guidance_scale=options.guidance,
    )  # fmt: skip
    request = resolve(asked, info)
    inputs = InputStore(outputs / ".unnoise" / "inputs")
    made: dict[str, set[str]] = {"bare": set(), "off": set(), "on": set()}

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[options.dtype]
    pipeline = diffusers.DiffusionPipeline.from_pretrained(manager.catalog.path(info.id), dtype=dtype)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = scheduler_class_of(options.sampler).from_config(pipeline.scheduler.config)
    with manager.lease(info, options.dtype, lambda what, fraction: None) as loaded:
        call = call_arguments(Context(request, loaded, pipeline, (0,), {}, no_images))

    def bare() -> None:
        image = pipeline(**call, generator=torch.Generator().manual_seed(SEED)).images[0]
        image.save(outputs / "bare.png")
        made["bare"].add(pixel_hash(image.mode, image.size, image.tobytes()))

    def studio(previews: bool) -> None:
        events: list[Any] = []
        asked = request.model_copy(update={"previews": previews})
        execute(
            f"bench-{previews}", asked, manager=manager, catalog=manager.catalog, archive=archive, frames=frames,
            inputs=inputs, emit=events.append,
        )  # fmt: skip
        if events[-1].kind != "done":
            raise SystemExit(f"the studio's run failed: {events[-1]}")
        made["on" if previews else "off"] |= {event.sha256 for event in events if event.kind == "image"}

    runs = {"bare": bare, "off": lambda: studio(False), "on": lambda: studio(True)}
    times = in_turn(runs, options.rounds)
    database.close()
    print(
        f"{info.id}, {options.sampler}, {options.steps} steps, {request.width}x{request.height}, {options.dtype}, {options.rounds} rounds"
    )
    for run in runs:
        print(f"  {run:5} {seconds(times, run)}")
    for run, target in (("off", 1.02), ("on", 1.05)):
        for clock, word in enumerate(("wall", "CPU ")):
            middle, low, high = ratio(times, run, "bare", clock)
            print(f"  previews {run:3} {word} ratio {middle:.3f} (quartiles {low:.3f} to {high:.3f}); target {target}")
    same = len(set.union(*made.values())) == 1
    print(f"  pixels: {'identical in all three' if same else f'DIFFER: {made}'}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
