"""Nine minutes on a machine with one CUDA device: its tests, its speed, and the emoji flagship trained on it. NOT RUN on CUDA so far.

    python scripts/cuda.py [--minutes 9] [--only a,b,c] [--out DIR] [--work DIR] [--resume] [--rehearse]

    a  the tests marked `cuda`                                      90 s
    b  speed and memory at SD 1.5, SDXL and FLUX size, the swap    150 s
    c  the flagship at 256 x 256, in pieces of at most 16 MB       the rest

Needs Python 3.11, torch, NumPy and OpenCV; smaller packages that are missing are installed from the folder wheels/, which
`scripts/cuda_pack.py` fills. No network, no page. Each section is a process with a time limit; one that fails ends none of the others. Into
--out ($OUT, else cuda-out) go log.txt, report.json, report.md, samples.png and model.tar.00, .01, ...; --resume goes on with
what a run before left in --work. `--rehearse` does all of it in miniature on two processor cores.
"""

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
START = 12.0  # seconds that a process takes to load torch and diffusers from a cold disk; not the section's own
# Module -> what pip calls it, in the order in which they build on each other.
CARRIED = {
    "yaml": "PyYAML", "PIL": "pillow", "psutil": "psutil", "regex": "regex", "requests": "requests", "filelock": "filelock",
    "annotated_types": "annotated-types", "typing_inspection": "typing-inspection", "typing_extensions": "typing-extensions",
    "pydantic_core": "pydantic-core", "pydantic": "pydantic", "httpx": "httpx", "importlib_metadata": "importlib-metadata",
    "safetensors": "safetensors", "tokenizers": "tokenizers", "huggingface_hub": "huggingface-hub", "accelerate": "accelerate",
    "transformers": "transformers", "diffusers": "diffusers", "sortedcontainers": "sortedcontainers",
    "hypothesis": "hypothesis", "iniconfig": "iniconfig", "pluggy": "pluggy", "pytest": "pytest",
}  # fmt: skip
NOT_CARRIED = {"torch": "torch", "numpy": "numpy", "cv2": "opencv-python-headless"}


@dataclass(frozen=True)
class Section:
    """`command` takes the seconds it has and the options; `read` makes figures of what it wrote to the work folder."""

    title: str
    seconds: float  # 0: what is left
    command: Callable[[float, argparse.Namespace], list[str]]
    read: Callable[[argparse.Namespace], dict[str, Any]]


def tests_command(seconds: float, options: argparse.Namespace) -> list[str]:
    plain = ["-o", "addopts=", "--import-mode=importlib", "-p", "no:cacheprovider", "-q", "-ra", "-m", "cuda"]
    chosen = ["tests/cuda/test_memory.py"] if options.rehearse else ["tests/cuda"]
    return [sys.executable, "-m", "pytest", *plain, f"--junitxml={options.work / 'tests.xml'}", *chosen]


def read_tests(options: argparse.Namespace) -> dict[str, Any]:
    suites = ElementTree.parse(options.work / "tests.xml").getroot().iter("testsuite")
    counts = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for suite in suites:
        for name in counts:
            counts[name] += int(suite.get(name, 0))
    return counts


def speed_command(seconds: float, options: argparse.Namespace) -> list[str]:
    small = ["--rehearse", "--only", "sd1"] if options.rehearse else []
    out = ["--json", str(options.work / "speed.json"), "--seconds", str(seconds)]
    return [sys.executable, "scripts/cuda_speed.py", *out, *small]


def train_command(seconds: float, options: argparse.Namespace) -> list[str]:
    out = ["--work", str(options.work / "train"), "--out", str(options.out), "--json", str(options.work / "train.json")]
    flags = [f"--{name}" for name in ("resume", "rehearse") if getattr(options, name)]
    return [sys.executable, "scripts/cuda_train.py", "--seconds", str(1 if options.rehearse else seconds), *out, *flags]


def read_json(name: str) -> Callable[[argparse.Namespace], dict[str, Any]]:
    return lambda options: json.loads((options.work / name).read_text(encoding="utf-8"))


SECTIONS = {
    "a": Section("Tests", 90, tests_command, read_tests),
    "b": Section("Speed and memory", 150, speed_command, read_json("speed.json")),
    "c": Section("The flagship", 0, train_command, read_json("train.json")),
}


class Log:
    """What is printed, kept in a file too."""

    def __init__(self, path: Path):
        self._file = path.open("a", encoding="utf-8")

    def __call__(self, line: str) -> None:
        print(line, flush=True)
        self._file.write(line + "\n")
        self._file.flush()


def main() -> int:
    options = parser().parse_args()
    began = time.monotonic()
    options.work, options.out = options.work.resolve(), options.out.resolve()
    for folder in (options.work, options.out):
        folder.mkdir(parents=True, exist_ok=True)
    log = Log(options.out / "log.txt")
    environment = prepare(options, log)
    if environment is None:
        return 1
    report: dict[str, Any] = {"machine": describe(environment, log), "rehearsal": options.rehearse, "sections": {}}
    chosen = [name for name in SECTIONS if name in options.only.split(",")]
    for name in chosen:
        left = 60 * options.minutes - (time.monotonic() - began)
        own = 0 if name == chosen[-1] or options.rehearse else SECTIONS[name].seconds
        budget = min(own, left) if own else left
        report["sections"][name] = run_section(SECTIONS[name], budget, options, environment, log)
        write(report, options.out)
    log(f"all of it took {time.monotonic() - began:.0f} s; {options.out.name}/report.md has the figures")
    return 0 if all(section["status"] == "done" for section in report["sections"].values()) else 1


def parser() -> argparse.ArgumentParser:
    out = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    out.add_argument("--minutes", type=float, default=9)
    out.add_argument("--only", default="a,b,c", help="sections, like b,c")
    out.add_argument("--out", type=Path, default=Path(os.environ.get("OUT") or "cuda-out"))
    out.add_argument("--work", type=Path, default=ROOT / "runs" / "cuda")
    out.add_argument("--wheels", type=Path, default=ROOT / "wheels")
    out.add_argument("--resume", action="store_true")
    out.add_argument("--rehearse", action="store_true")
    return out


def prepare(options: argparse.Namespace, log: Log) -> dict[str, str] | None:
    """The environment of the sections, missing packages installed; None, with the reason printed, where one cannot be had."""
    site, environment = options.work / "site", dict(os.environ)
    sys.path.insert(0, str(site))
    absent = [package for module, package in NOT_CARRIED.items() if importlib.util.find_spec(module) is None]
    missing = [package for module, package in CARRIED.items() if importlib.util.find_spec(module) is None]
    if missing and not absent:
        log(f"installing from {options.wheels.name}/: {', '.join(missing)}")
        pip = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--no-index",
            "--no-deps",
            "--find-links",
            str(options.wheels),
        ]
        for package in missing:
            if subprocess.run([*pip, "--target", str(site), package], check=False).returncode:
                absent.append(package)
    if absent:
        log(f"NOT RUN: this machine lacks {', '.join(absent)}, and {options.wheels.name}/ does not have it")
        return None
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), str(site), os.environ.get("PYTHONPATH")]))
    environment |= {"PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1"}
    if (pictures := ROOT / "wheels" / "emoji.zip").exists():
        environment.setdefault("UNNOISE_EMOJI", str(pictures))
    if options.rehearse:
        environment |= {"UNNOISE_REHEARSE": "1", "OMP_NUM_THREADS": "1"}
    return environment


def describe(environment: dict[str, str], log: Log) -> str:
    code = (
        "import os, torch; c = torch.cuda; print(c.get_device_name(0) if c.is_available() else 'no CUDA device',"
        " f'{c.get_device_properties(0).total_memory / 2**30:.0f} GiB' if c.is_available() else '', f'{os.cpu_count()} cores,',"
        " 'torch', torch.__version__)"
    )
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    log(machine := found.stdout.strip() or f"torch cannot be imported: {found.stderr.strip()[-200:]}")
    return machine


def run_section(
    section: Section, budget: float, options: argparse.Namespace, environment: dict[str, str], log: Log
) -> dict[str, Any]:
    """Run it within `budget` seconds; what it did, or why it did not."""
    if budget < 2 * START and not options.rehearse:
        log(f"{section.title}: NOT RUN, {budget:.0f} s are left")
        return {"title": section.title, "status": "not run", "reason": f"{budget:.0f} s were left"}
    log(f"-- {section.title}, {budget:.0f} s")
    began = time.monotonic()
    code = stream(section.command(budget - START, options), budget, environment, log)
    row: dict[str, Any] = {"title": section.title, "status": "done", "seconds": round(time.monotonic() - began, 1)}
    if code:
        row |= {
            "status": "failed",
            "reason": "its time was over" if code < 0 else f"it ended with {code}; log.txt says more",
        }
        log(f"{section.title}: {row['reason']}")
    try:
        row["figures"] = section.read(options)
    except (OSError, ValueError, ElementTree.ParseError):
        row["status"] = "failed"
    return row


def stream(command: list[str], limit: float, environment: dict[str, str], log: Log) -> int:
    """Run a command in a session of its own, its lines into the log; ended with its children when the time is over."""
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    reader = threading.Thread(target=lambda: [log(line.rstrip()) for line in process.stdout or ()], daemon=True)
    reader.start()
    try:
        process.wait(limit)
    except subprocess.TimeoutExpired:
        pass
    finally:
        end(process)
    reader.join(5)
    return process.returncode


def end(process: "subprocess.Popen[str]") -> None:
    """SIGTERM to the whole session, which trainings answer with a checkpoint; SIGKILL to what is left of it."""
    for number, patience in ((signal.SIGTERM, 8), (signal.SIGKILL, 8)):
        try:
            if process.poll() is None or number == signal.SIGKILL:
                os.killpg(process.pid, number)
            process.wait(patience)
        except (ProcessLookupError, PermissionError, subprocess.TimeoutExpired):
            continue


def write(report: dict[str, Any], out: Path) -> None:
    (out / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    lines = ["# CUDA report", "", report["machine"], ""]
    for section in report["sections"].values():
        lines += [f"## {section['title']}: {section['status']}", "", section.get("reason", ""), ""]
        figures = section.get("figures", {})
        lines += speed_table(figures) if "matmul_tflops" in figures else [f"- {k}: {v}" for k, v in figures.items()]
        lines.append("")
    (out / "report.md").write_text("\n".join(lines), encoding="utf-8")


def speed_table(figures: dict[str, Any]) -> list[str]:
    lines = [f"Matrix product in bf16: {figures['matmul_tflops']:.0f} TFLOP/s.", ""]
    lines += ["| model | way | s a step | share of that rate | peak GiB |", "|---|---|---|---|---|"]
    for name, row in figures.items():
        if not isinstance(row, dict):
            continue
        if "skipped" in row:
            lines.append(f"| {name} | NOT RUN: {row['skipped']} | | | |")
        for way, each in row.items():
            if isinstance(each, dict) and "seconds_a_step" in each:
                share = f"{each['share_of_matrix_rate']:.1%}"
                lines.append(f"| {name} | {way} | {each['seconds_a_step']:.4f} | {share} | {each['peak_gib']} |")
    swap = figures.get("swap", {}).get("lines", ())
    return [*lines, "", *(f"    {line}" for line in swap)]


if __name__ == "__main__":
    sys.exit(main())
