"""How much slower are the studio's worker, the command line and the trainer while other programs keep processors busy?

Compares how OpenMP's threads wait: as the studio sets it, and as torch's OpenMP does by itself (it spins). The programs live
through the whole comparison and take turns: alone, beside one busy loop, beside two. The busy loops have a session of their
own, as a person's other programs do: Linux shares its processors among sessions first (autogroup, sched(7)).
Targets, on two cores: beside one busy loop at most 2.2 times the time of alone; alone, nothing lost.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from common import ROOT, announce

BUSY = (0, 1, 2)  # busy loops beside the program
# A person's own setting goes before the studio's; this one is what GNU OpenMP does when nobody sets anything.
WAITS = {"studio": {}, "spinning": {"GOMP_SPINCOUNT": "300000"}}
PROMPT = "a large red heart, striped yellow background"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20, help="of a picture; a fifth as many of the training")
    parser.add_argument("--only", choices=sorted(PROGRAMS), help="compare one program alone")
    parser.add_argument("--child", choices=sorted(PROGRAMS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return serve(PROGRAMS[options.child], options.steps)
    announce()
    missed = 0
    for program in [options.only] if options.only else PROGRAMS:
        missed += compare(program, options.rounds, options.steps)
    return 1 if missed else 0


def compare(program: str, rounds: int, steps: int) -> bool:
    """Run `program` under both settings in turn and print the report; whether a target was missed."""
    times: dict[tuple[str, int], list[float]] = {(wait, busy): [] for wait in WAITS for busy in BUSY}
    with busy_loops(max(BUSY)) as keep_busy, children(program, steps) as runs:
        for _ in range(rounds):
            for busy in BUSY:
                keep_busy(busy)
                for wait, run in runs.items():
                    times[wait, busy].append(run())
    print(f"{program}: least seconds of {rounds} (times alone)")
    for wait in WAITS:
        least = [min(times[wait, busy]) for busy in BUSY]
        columns = (f"{busy} busy {seconds:7.3f} s ({seconds / least[0]:5.2f})" for busy, seconds in enumerate(least))
        print(f"  {wait:9}", "   ".join(columns), flush=True)
    beside_one = min(times["studio", 1]) / min(times["studio", 0])
    lost = min(times["studio", 0]) / min(times["spinning", 0])
    print(f"  beside one busy loop {beside_one:.2f} times alone (target 2.2); alone {lost:.3f} of spinning (target 1)")
    return beside_one > 2.2


@contextmanager
def busy_loops(count: int) -> Iterator[Callable[[int], None]]:
    """Programs that do nothing but compute; the function says how many of them run."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True) for _ in range(count)]

    def keep_busy(number: int) -> None:
        for index, loop in enumerate(loops):
            os.kill(loop.pid, signal.SIGCONT if index < number else signal.SIGSTOP)

    keep_busy(0)
    try:
        yield keep_busy
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


@contextmanager
def children(program: str, steps: int) -> Iterator[dict[str, Callable[[], float]]]:
    """For each setting a process that has the program ready, as a function that runs it once and gives its seconds."""
    command = [sys.executable, __file__, "--child", program, "--steps", str(steps)]
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_WAIT", "GOMP_", "KMP_"))}
    processes = {
        wait: subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=bare | own, cwd=ROOT)
        for wait, own in WAITS.items()
    }

    def ask(process: subprocess.Popen[bytes]) -> float:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        return float(process.stdout.readline())

    try:
        for process in processes.values():
            ask(process)  # to warm up
        yield {wait: lambda process=process: ask(process) for wait, process in processes.items()}
    finally:
        for process in processes.values():
            process.stdin.close()
            process.wait(60)


def serve(program: Callable[[Path, int], Iterator[None]], steps: int) -> int:
    """A child: a line of input runs the program once, whose seconds are the answer."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the program itself prints is no answer
    with tempfile.TemporaryDirectory() as folder:
        runs = program(Path(folder), steps)
        next(runs)  # ready
        for _ in sys.stdin:
            began = time.perf_counter()
            next(runs)
            print(time.perf_counter() - began, file=answers, flush=True)
        runs.close()
    return 0


def worker(folder: Path, steps: int) -> Iterator[None]:
    """A job, from its request to its end, in the studio's worker process."""
    from studio.core.request import GenerationRequest
    from studio.core.settings import Settings
    from studio.studio import Studio

    studio = Studio(Settings(models=(ROOT / "models",), outputs=folder, device="cpu"))
    try:
        for seed in range(10**9):
            yield
            request = GenerationRequest(prompt=PROMPT, steps=steps, seed=seed, dtype="fp32")
            last = [*studio.follow(studio.submit(request))][-1]
            if last.kind != "done":
                raise SystemExit(f"the job ended otherwise: {last}")
    finally:
        studio.close()


def command_line(folder: Path, steps: int) -> Iterator[None]:
    """Four pictures by `generate`, once it has everything imported."""
    from studio.cli.generate import main

    flags = [
        "--steps", str(steps), "--count", "4", "--dtype", "fp32", "--device", "cpu", "--out", str(folder / "pictures"),
        "--outputs", str(folder),
    ]  # fmt: skip
    while True:
        yield
        main([PROMPT, *flags])


def trainer(folder: Path, steps: int) -> Iterator[None]:
    """Optimizer steps of the starter's recipe, with fewer pictures."""
    from studio.training import builtin  # noqa: F401  (fills the registries)
    from studio.training.config import load
    from studio.training.trainer import Metrics, Trainer

    starter = str(ROOT / "models" / "starter" / "tinyworld-pixart")
    every = max(1, steps // 5)
    fewer = {
        "steps": 10**7, "batch": 16, "threads": 0, "compile": False, "log_every": every, "sample_every": 10**7,
        "save_every": 10**7, "task.autoencoder": f"{starter}/vae", "task.text": starter, "task.pictures": 256,
    }  # fmt: skip
    recipe = load(ROOT / "presets" / "training" / "starter-pixart.yaml", fewer)
    reports = (report for report in Trainer(recipe, folder / "run").run() if isinstance(report, Metrics))
    while True:
        yield
        next(reports)


PROGRAMS = {"worker": worker, "command line": command_line, "trainer": trainer}

if __name__ == "__main__":
    sys.exit(main())
