"""Makes one folder of what `scripts/cuda.py` needs on a bare machine: the files of the project it uses, small wheels, emoji pictures.

    python scripts/cuda_pack.py [FOLDER] [--python 3.12] [--without NAME ...] [--starters tinyworld-sd ...]

Copy the folder to the machine and run `python scripts/cuda.py` in it. Torch, NumPy and OpenCV are not in it: the machine must have
them. `--without` leaves out wheels of what it has as well. At most 64 MiB in all, or it is an error that says what is large.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from cuda import CARRIED  # noqa: E402

MOST = 64 * 2**20
# What of the project is taken. The page, the browser tests and the pictures of the guide are not needed there.
NEEDED = ("studio/", "scripts/", "benchmarks/", "presets/", "tests/conftest.py", "tests/sweeps.py", "tests/cuda/", "tests/models/",
          "tests/training/conftest.py", "pyproject.toml", "requirements", "LICENSE", "README.md")  # fmt: skip
LEFT_OUT = ("studio/ui/static/", "presets/training/cards/")
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux1_x86_64")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("cuda-pack"))
    parser.add_argument("--python", default="3.12", help="the machine's version of Python")
    parser.add_argument("--without", nargs="*", default=[], metavar="NAME", help="packages that the machine has")
    parser.add_argument(
        "--starters", nargs="*", default=["tinyworld-sd"], metavar="NAME", help="starter models to test"
    )
    options = parser.parse_args()
    shutil.rmtree(options.folder, ignore_errors=True)
    copy(options.folder, options.starters)
    emoji(options.folder / "wheels")
    wheels(options.folder / "wheels", options.python, set(options.without))
    sizes = {part: size(options.folder / part) for part in sorted(p.name for p in options.folder.iterdir())}
    print("\n".join(f"{bytes_ / 2**20:8.1f} MiB  {part}" for part, bytes_ in sizes.items()))
    total = sum(sizes.values())
    print(f"{total / 2**20:8.1f} MiB  in all, of {MOST / 2**20:.0f}")
    if total > MOST:
        print("too large: name what the machine has with --without, or fewer --starters", file=sys.stderr)
    return int(total > MOST)


def needed(starters: list[str]) -> list[str]:
    """The tracked files that the script uses, relative to the project."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    wanted = (*NEEDED, *(f"models/starter/{name}/" for name in starters))
    return [f for f in listed.stdout.split("\0") if f.startswith(wanted) and not f.startswith(LEFT_OUT)]


def copy(folder: Path, starters: list[str]) -> None:
    for name in needed(starters):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)


def emoji(folder: Path) -> None:
    """The pictures of the emoji scenes, where this machine has the font."""
    from studio.core.errors import StorageError
    from studio.training.datasets.emoji.glyphs import write_zip

    folder.mkdir(parents=True, exist_ok=True)
    try:
        write_zip(folder / "emoji.zip")
    except StorageError as error:
        (folder / "emoji.zip").unlink(missing_ok=True)
        print(f"no emoji pictures, so the flagship cannot be trained there: {error}")


def wheels(folder: Path, version: str, without: set[str]) -> None:
    """Wheels of the packages, in the versions that are installed here, for the machine's Python on x86-64 Linux."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    platform = [flag for name in PLATFORMS for flag in ("--platform", name)]
    pip = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        "--only-binary=:all:",
        "--python-version",
        version,
    ]
    for name in CARRIED.values():
        if name in without:
            continue
        try:
            exact = f"{name}=={installed(name)}"
        except PackageNotFoundError:
            exact = name
        if subprocess.run(
            [*pip, *platform, "--implementation", "cp", "-d", str(folder), exact], check=False
        ).returncode:
            print(f"no wheel of {exact}: the machine must have it")


def size(path: Path) -> int:
    return sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) if path.is_dir() else path.stat().st_size


if __name__ == "__main__":
    sys.exit(main())
