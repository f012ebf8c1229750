"""Trains the tiny models of presets/training/zoo-*.yaml one after another and puts each among the studio's models.

    python scripts/zoo.py [NAME ...] [--list]          NAME as lcm or zoo-lcm; without one, all (`make zoo ARGS=lcm`)

A model that is there is left as it is; an interrupted run goes on from its newest checkpoint.
"""

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from studio.core.errors import StudioError  # noqa: E402
from studio.training.config import load  # noqa: E402
from studio.training.runs import Runs  # noqa: E402

RECIPES = ROOT / "presets" / "training"


def recipes(names: list[str]) -> list[Path]:
    """Those of these names, or all. Raises ValueError."""
    found = {path.stem.removeprefix("zoo-"): path for path in sorted(RECIPES.glob("zoo-*.yaml"))}
    names = [name.removeprefix("zoo-") for name in names]
    if unknown := sorted(set(names) - set(found)):
        raise ValueError(f"There is no {unknown[0]!r} in the zoo; choose of {', '.join(found)}.")
    return [found[name] for name in names or found]


def make(recipe: Path, runs: Runs) -> str:
    """Train the recipe to its end, unless it was, and export it; the model's id."""
    name, folder = recipe.stem, runs.folder / recipe.stem
    if (ROOT / "models" / "trained" / name / "model_index.json").is_file():
        return f"trained/{name}"
    if not (folder / "model").is_dir():
        resumed = ["--resume"] if (folder / "config.yaml").exists() else []
        command = [sys.executable, "-m", "studio", "train", str(recipe), "--run", str(folder), *resumed]
        subprocess.run(command, cwd=ROOT, check=True)
    return runs.export(name)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--list", action="store_true", help="what there is to train")
    args = parser.parse_args(argv)
    runs = Runs(ROOT / "runs", RECIPES, ROOT / "models")
    try:
        for recipe in recipes(args.names):
            config = load(recipe)
            print(f"{recipe.stem.removeprefix('zoo-')}: {config.title}", flush=True)
            if not args.list:
                print(f"ready: {make(recipe, runs)}", flush=True)
    except (StudioError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
