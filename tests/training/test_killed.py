"""kill -9 at any moment: the run goes on from its last whole checkpoint, and its trace is bit-equal to one never killed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from studio.training.config import load, parse
from studio.training.trainer import Trainer
from tests.sweeps import one_in
from tests.training.test_runs import RECIPE
from tests.training.test_trainer import trace

# Trains in children that a fresh process forks, so that torch is imported once. A child is killed as soon as the log has
# grown by a number of lines; where in its work it is then, a checkpoint's writing included, is up to the system.
KILLER = """
import os, random, signal, sys, time
from pathlib import Path
from studio import compat

compat.prepare()
from studio.training import builtin
from studio.training.config import load
from studio.training.trainer import Trainer
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel  # here, and not in each child anew

recipe, folder, kills = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
log, chance = folder / "metrics.jsonl", random.Random(kills)
size = lambda: log.stat().st_size if log.exists() else 0
for k in range(kills + 1):
    child = os.fork()
    if not child:
        for report in Trainer(load(recipe), folder, resume=(folder / "config.yaml").exists()).run():
            pass
        os._exit(0)
    if k == kills:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    seen, grown, wanted = size(), 0, chance.randint(1, 3)
    while grown < wanted and os.waitpid(child, os.WNOHANG) == (0, 0):
        time.sleep(0.002)
        now = size()
        grown, seen = grown + (now > seen), now
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    print("killed", flush=True)
"""


@pytest.mark.parametrize("kills", one_in(3, [1, 2, 20]))
def test_a_run_that_is_killed_again_and_again_ends_as_one_that_never_was(kills: int, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    often = {"steps": 8 * kills, "log_every": 2, "save_every": 3, "sample_every": 10_000}
    parse(RECIPE | often)
    recipe.write_text(yaml.safe_dump(RECIPE | often))
    list(Trainer(load(recipe), tmp_path / "whole").run())
    command = [sys.executable, "-c", KILLER, str(recipe), str(tmp_path / "killed"), str(kills)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.count("killed") == kills
    ends = {}
    for name in ("whole", "killed"):
        [path] = (tmp_path / name / "checkpoints").glob(f"step-{8 * kills:08d}.pt")
        ends[name] = torch.load(path, weights_only=True)
    steps = [json.loads(line)["step"] for line in (tmp_path / "killed" / "metrics.jsonl").read_text().splitlines()]
    assert sorted(set(steps)) == list(range(2, 8 * kills + 1, 2))
    assert trace(tmp_path / "killed") == trace(tmp_path / "whole")
    assert _same(ends["whole"], ends["killed"])


def _same(a: object, b: object) -> bool:
    """Of states: modules, optimizers, averages, sums."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    return a == b
