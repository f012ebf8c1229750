"""Which eviction policy moves least: LRU, smallest first and GreedyDual-Size on replayed sessions.

    python benchmarks/policies.py [--jobs 2000] [--json]

Pure: sizes of real models, a budget, and sessions drawn from a seed; the planner carries each job out on numbers. Printed
are gigabytes read back and seconds spent reading (bytes over a disk's bandwidth, plus what a cast costs where the file
is not in the run's dtype), each relative to LRU. The manager uses the winner.
"""

import argparse
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from studio.manager.memory.planner import (
    Part,
    Policy,
    Resident,
    Stage,
    cost_per_byte,
    greedy_dual_size,
    plan,
)


def least_recently_used(candidates: Sequence[Resident]) -> Resident:
    return min(candidates, key=lambda r: (r.last_use, r.key))


def smallest_first(candidates: Sequence[Resident]) -> Resident:
    return min(candidates, key=lambda r: (r.bytes, r.key))


GIB = 2**30
DISK = 2.0 * GIB  # bytes a second
CAST = 0.6 * GIB  # where the file has another dtype
POLICIES: dict[str, Policy] = {
    "lru": least_recently_used,
    "smallest": smallest_first,
    "greedy-dual-size": greedy_dual_size,
}


def model(name: str, encoders: dict[str, float], denoiser: float, vae: float, working: float) -> tuple[Stage, ...]:
    """A model's stages; sizes in GiB. Encoders and autoencoders named alike are shared between models."""
    parts = tuple(Part(key, int(size * GIB)) for key, size in encoders.items())
    return (
        Stage("encode", parts, GIB // 10),
        Stage("denoise", (Part(f"{name}.denoiser", int(denoiser * GIB)),), int(working * GIB)),
        Stage("decode", (Part(f"vae{vae}", int(vae * GIB)),), int(working * GIB)),
    )


MODELS: dict[str, tuple[Stage, ...]] = {
    **{f"sd15-{n}": model(f"sd15-{n}", {f"clip-l-{n % 2}": 0.23}, 1.6, 0.16, 0.5) for n in range(6)},
    **{f"sdxl-{n}": model(f"sdxl-{n}", {"clip-l": 0.23, f"clip-g-{n % 2}": 1.3}, 4.8, 0.17, 1.2) for n in range(3)},
    "pixart": model("pixart", {"t5": 8.9}, 1.1, 0.16, 0.6),
}
SLOW = {"sd15-2.denoiser", "sd15-4.denoiser", "clip-g-1"}  # stored in another dtype than they run in

# name -> (weight of each model, chance that the next job keeps the model)
SESSIONS: dict[str, tuple[dict[str, float], float]] = {
    "one at a time": (dict.fromkeys(MODELS, 1.0), 0.8),
    "comparing two": ({"sd15-0": 5, "sdxl-0": 5, "sd15-1": 1}, 0.2),
    "favourites": ({name: 1 / (rank + 1) for rank, name in enumerate(MODELS)}, 0.5),
    "a grid over all": (dict.fromkeys(MODELS, 1.0), 0.0),
}


@dataclass
class Cost:
    bytes: int = 0
    seconds: float = 0.0
    evictions: int = 0


@dataclass
class Memory:
    """What the residency keeps books on, without modules."""

    there: dict[str, Resident] = field(default_factory=dict)
    age: float = 0.0
    clock: int = 0


def reload_seconds(key: str, size: int) -> float:
    return size / (CAST if key in SLOW else DISK)


def run_job(memory: Memory, stages: tuple[Stage, ...], budget: int, policy: Policy, cost: Cost) -> None:
    made = plan(stages, list(memory.there.values()), budget, policy=policy)
    for move in made.moves:
        if move.kind == "evict":
            memory.age = max(memory.age, memory.there.pop(move.key).priority)
            cost.evictions += 1
        else:
            seconds = reload_seconds(move.key, move.bytes)
            cost.bytes, cost.seconds = cost.bytes + move.bytes, cost.seconds + seconds
            memory.there[move.key] = Resident(move.key, move.bytes, reload_seconds=seconds)
    for key in {part.key for stage in stages for part in stage.parts} & memory.there.keys():
        memory.clock += 1
        old = memory.there[key]
        memory.there[key] = Resident(
            key,
            old.bytes,
            last_use=memory.clock,
            reload_seconds=old.reload_seconds,
            priority=memory.age + cost_per_byte(old),
        )


def session(name: str, jobs: int, seed: int) -> list[str]:
    weights, keep = SESSIONS[name]
    rng = random.Random(seed)
    trace = [rng.choices(list(weights), list(weights.values()))[0]]
    while len(trace) < jobs:
        trace.append(trace[-1] if rng.random() < keep else rng.choices(list(weights), list(weights.values()))[0])
    return trace


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = []
    for name in SESSIONS:
        for budget in (6, 12, 16):
            trace = session(name, arguments.jobs, seed=0)
            trace = [job for job in trace if budget >= 12 or not job.startswith(("sdxl", "pixart"))]
            costs = {}
            for policy_name, policy in POLICIES.items():
                memory, cost = Memory(), Cost()
                for job in trace:
                    run_job(memory, MODELS[job], budget * GIB, policy, cost)
                costs[policy_name] = cost
            rows.append(
                {"session": name, "budget": budget, "jobs": len(trace)}
                | {key: {"GiB": round(c.bytes / GIB, 1), "seconds": round(c.seconds, 1)} for key, c in costs.items()}
            )
    if arguments.json:
        print(json.dumps(rows))
        return
    print(f"{'session':16} {'GiB':>4} {'jobs':>5}" + "".join(f"{name:>34}" for name in POLICIES))
    for row in rows:
        base = row["lru"]["seconds"] or 1
        cells = [
            f"{row[p]['GiB']:>10.1f} GiB {row[p]['seconds']:>9.1f} s ({row[p]['seconds'] / base:4.2f})"
            for p in POLICIES
        ]
        print(f"{row['session']:16} {row['budget']:>4} {row['jobs']:>5}" + "".join(f"{cell:>34}" for cell in cells))
    for policy in POLICIES:
        total = sum(row[policy]["seconds"] for row in rows) / sum(row["lru"]["seconds"] for row in rows)
        print(f"{policy:>18}: {total:.3f} of LRU's seconds over all sessions")


if __name__ == "__main__":
    main()
