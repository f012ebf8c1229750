"""The command line: one sentence and status 2 for bad input, JSON where a program reads, no torch where none is needed."""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from studio.__main__ import COMMANDS, main
from studio.cli.serve import parse
from studio.cli.settings import add_settings, settings_from
from studio.core.errors import InvalidRequest
from studio.core.settings import Settings
from studio.jobs.archive import Archive
from studio.jobs.database import Database
from tests.models.tiny_models import stable_diffusion

ROOT = Path(__file__).resolve().parent.parent
RECIPE = ROOT / "presets" / "training" / "starter-unet.yaml"


def run(*arguments: str, program: tuple[str, ...] = ("-m", "studio")) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *program, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)


def one_sentence(text: str) -> bool:
    return text.count("\n") == 1 and text.endswith(".\n") and "Traceback" not in text and str(ROOT) not in text


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        assert main([command, "--help"]) == 0
    except SystemExit as ended:
        assert ended.code == 0
    assert "usage:" in capsys.readouterr().out


def test_without_a_command_the_commands_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    listed = capsys.readouterr().out
    assert all(command in listed for command in COMMANDS)


@pytest.mark.parametrize(
    "arguments",
    [
        ["paint"],
        ["serve", "--port", "abc"],
        ["serve", "--port", "70000"],
        ["serve", "--bogus"],
        ["serve", "--memory-budget", "lots"],
        ["serve", "--auth", "nocolon", "--no-browser"],
        ["serve", "--host", "0.0.0.0"],
        ["models", "paint"],
        ["models"],
        ["generate"],
        ["generate", "x", "--size", "128"],
        ["generate", "x", "--size", "0x0"],
        ["generate", "x", "--size", "513x512"],
        ["generate", "x", "--size", "-8x8"],
        ["generate", "x", "--steps", "nan"],
        ["generate", "x", "--steps", "1.5"],
        ["generate", "x", "--steps", "0"],
        ["generate", "x", "--steps", "1000000000"],
        ["generate", "x", "--cfg", "inf"],
        ["generate", "x", "--seed", str(2**70)],
        ["generate", "x", "--dtype", "int8"],
        ["generate", "x", "--device", "toaster"],
        ["generate", "x", "--device", "cuda:x"],
        ["generate", "x", "--device", "cuda:99"],
        ["generate", "x", "--outputs", ""],
        ["models", "list", "--models", ""],
        ["models", "plan", "tinyworld-sd", "--size", "0x0"],
        ["models", "plan", "tinyworld-sd", "--size", "13x128"],
        ["models", "plan", "tinyworld-sd", "--size", ""],
        ["models", "plan", "tinyworld-sd", "--batch", "65"],
        ["models", "plan", "tinyworld-sd", "--budget", ""],
        ["models", "plan", "tinyworld-sd", "--budget", "-8GiB"],
        ["generate", "x", "--model", "no/such/model"],
        ["generate", "x", "--model", "x" * 10_000],
        ["generate", "x" * 1_000_000],
        ["generate", "\udc80"],
        ["race", "x", "--samplers", "eulr"],
        ["race", "x", "--samplers", "ddim", "--spacings", "karras"],
        ["race", "x", "--evaluations", "0"],
        ["race", "x", "--evaluations", "four"],
        ["race", "x", "--model", "no/such/model"],
        ["replay", "no-such-file.png"],
        ["replay", __file__],
        ["train"],
        ["train", "no-such-recipe.yaml"],
        ["train", str(ROOT)],
        ["train", str(RECIPE), "--bogus"],
        ["train", str(RECIPE), "--run"],
        ["train", str(RECIPE), "--set", "steps"],
        ["train", str(RECIPE), "--set", "steps=["],
        ["train", str(RECIPE), "--set", "steps=many"],
        ["train", str(RECIPE), "--set", "nonsense=1"],
        ["evaluate", "paint"],
        ["evaluate", "adherence", "--bogus"],
        ["evaluate", "adherence", "no-such-model"],
        ["evaluate", "adherence", "--probe", "no-such-judge"],
        ["evaluate", "adherence", "--objects", "nine"],
        ["evaluate", "adherence", "--count", "0"],
        ["evaluate", "adherence", "--count", "many"],
        ["evaluate", "adherence", "--steps", "1.5"],
        ["evaluate", "adherence", "--seed", "-5"],
        ["evaluate", "adherence", "--guidance", "nan"],
    ],
)
def test_bad_input_is_one_sentence_and_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert one_sentence(said.err), said.err
    assert said.out == ""


@pytest.mark.sweep
def test_what_needs_no_preparing_is_refused_in_a_process_of_its_own_too() -> None:
    """The libraries are imported in their order there, and by nobody before."""
    ran = run("models", "import", "tinyworld-sd")
    assert ran.returncode == 1 and "is a folder already" in ran.stderr and "Traceback" not in ran.stderr


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Flags for a small random model and an outputs folder."""
    folder = tmp_path_factory.mktemp("models")
    stable_diffusion(folder / "tiny")
    return ["--only-models", str(folder), "--outputs", str(tmp_path_factory.mktemp("outputs")), "--model", "tiny"]


def test_generate_prints_an_image_a_line_and_replay_makes_it_again(
    tiny: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    wanted = [
        "a red heart, \u200fقلب",
        "--size",
        "64x64",
        "--steps",
        "2",
        "--seed",
        "7",
        "--count",
        "2",
        "--dtype",
        "fp32",
    ]
    assert main(["generate", *wanted, *tiny, "--out", str(tmp_path), "--json"]) == 0
    said = capfd.readouterr()
    assert said.err == ""
    images = [json.loads(line) for line in said.out.splitlines()]
    assert [image["seed"] for image in images] == [7, 8]
    assert {Path(image["path"]) for image in images} == set(tmp_path.iterdir())
    for image in images:
        assert image["recipe"]["request"]["prompt"] == wanted[0]
        with Image.open(image["path"]) as picture:
            assert picture.size == (64, 64)
            assert json.loads(picture.info["unnoise"]) == image["recipe"]
            assert "Steps: 2" in picture.info["parameters"]
    assert main(["replay", images[1]["path"], *tiny[:4], "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["identical"] is True


def test_advice_on_the_picture_goes_to_the_terminal_and_not_into_the_answer(
    tiny: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ["--size", "64x64", "--steps", "2", "--sampler", "heun", "--spacing", "karras", "--count", "2"]
    assert main(["generate", "x", *few, *tiny, "--out", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert said.err == "Below 6 steps, Heun with Karras spacing leaves noise or grey in the picture.\n"
    assert len(said.out.splitlines()) == 2


@pytest.fixture
def painted(tmp_path: Path) -> Path:
    """A folder with a photo, a mask over its middle, and some files that are no good for either."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.radial_gradient("L").convert("RGB").resize((150, 90)).save(folder / "a.png")
    mask = Image.new("L", (150, 90))
    mask.paste(255, (60, 30, 90, 60))
    mask.save(folder / "mask.webp", lossless=True)
    Image.new("L", (150, 90)).save(folder / "black.bmp")
    (folder / "cut.jpg").write_bytes((folder / "a.png").read_bytes()[:400])
    return folder


FEW = ["--size", "64x64", "--steps", "2", "--seed", "7", "--dtype", "fp32"]


def test_inpainting_names_its_parent_and_can_be_gone_on_with_and_replayed(
    tiny: list[str], painted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = [*tiny[:3], str(tmp_path / "outputs"), *tiny[4:]]
    flags = ["--mask", str(painted / "mask.webp"), "--mask-grow", "8", "--mask-feather", "12", "--context", "mask"]
    flags += ["--padding", "32", "--content", "noise", "--intent", "add", *FEW, *tiny, "--json"]
    assert main(["generate", "x", "--image", str(painted / "a.png"), *flags]) == 0
    first = json.loads(capsys.readouterr().out)
    assert main(["generate", "x", "--image", first["path"], *flags, "--strength", "0.9"]) == 0
    second = json.loads(capsys.readouterr().out)
    assert second["parent"] == first["recipe"]["pixels"] and first["parent"] == first["recipe"]["parent"]
    task = second["recipe"]["request"]["task"]
    assert (task["mask_feather"], task["context"], task["strength"]) == (12, "mask", 0.9)
    with Image.open(second["path"]) as made, Image.open(painted / "a.png") as source:
        assert made.size == (150, 90)
        assert made.crop((0, 0, 150, 14)).tobytes() == source.crop((0, 0, 150, 14)).tobytes()
    assert main(["replay", second["path"], *tiny[:4], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["identical"] is True
    archive = Archive(Path(tiny[3]), Database(Path(tiny[3]) / ".unnoise" / "studio.db"))
    newest = archive.images(limit=1)[0]
    assert [archive.recipe(each.id).pixels for each in archive.descent(newest.id)] == [second["parent"]]


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--image", "a.png", "--mask", "black.bmp"], "all black"),
        (["--image", "cut.jpg"], "not a picture|damaged"),
        (["--image", "none.png"], "none.png cannot be read"),
        (["--image", "a.png", "--intent", "remove"], "Mask is missing"),
        (["--image", "a.png", "--intent", "extend"], "by how many pixels"),
        (["--mask", "mask.webp"], "Picture is missing"),
        (["--image", "a.png", "--mask", "mask.webp", "--context", "box"], "Box is missing"),
        (["--image", "a.png", "--mask", "mask.webp", "--content", "void"], "original, fill, noise, neutral"),
    ],
)
def test_masks_and_pictures_that_are_no_good_are_refused_before_any_work(
    tiny: list[str], painted: Path, flags: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(painted / flag) if flag.endswith((".png", ".bmp", ".jpg", ".webp")) else flag for flag in flags]
    assert main(["generate", "x", *files, *FEW, *tiny]) == 2
    said = capsys.readouterr()
    assert said.out == "" and one_sentence(said.err) and re.search(sentence, said.err), said.err


def test_a_folder_is_a_batch_and_what_is_no_picture_is_left_out(
    tiny: list[str], painted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    (painted / "notes.txt").write_text("no picture")
    assert main(["generate", "x", "--image", str(painted), *FEW, *tiny, "--out", str(out), "--json"]) == 1
    said = capsys.readouterr()
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert len({row["parent"] for row in rows}) == len(rows) == 3 == len(list(out.iterdir()))
    assert "Left out: cut.jpg: This" in said.err and "1 of 4 pictures in pictures were left out." in said.err
    assert main(["generate", "x", "--image", str(out / ".."), *FEW, *tiny]) == 2
    assert "There is no picture in the folder" in capsys.readouterr().err


def test_replay_names_what_differs(tiny: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--size", "64x64", "--steps", "2", "--seed", "7", "--dtype", "fp32", *tiny, "--out", str(tmp_path)]
    assert main(["generate", "x", *flags]) == 0
    path = Path(capsys.readouterr().out.strip())
    with Image.open(path) as picture:
        recipe = json.loads(picture.info["unnoise"])
        recipe["request"]["seed"] = recipe["seed"] = 8
        recipe["libraries"]["torch"] = "0.4.1"
        info = PngInfo()
        info.add_text("unnoise", json.dumps(recipe))
        picture.save(path, pnginfo=info)
    assert main(["replay", str(path), *tiny[:4]]) == 1
    verdict = capsys.readouterr().out
    assert verdict.startswith("differs")
    assert "0.4.1" in verdict


def test_generate_without_a_folder_puts_the_image_into_the_archive(
    tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", "x", "--size", "64x64", "--steps", "2", *tiny]) == 0
    path = Path(capsys.readouterr().out.strip())
    outputs = Path(tiny[3])
    archive = Archive(outputs, Database(outputs / ".unnoise" / "studio.db"))
    assert [archive.file(view.id) for view in archive.images()] == [path]


def test_generate_says_in_one_sentence_that_a_folder_cannot_be_written(
    tiny: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["generate", "x", "--size", "64x64", "--steps", "2", *tiny, "--out", str(tmp_path / "file")]) == 1
    said = capsys.readouterr()
    assert one_sentence(said.err)
    assert str(tmp_path) not in said.err


def test_app_py_takes_the_flags_of_serve() -> None:
    app, serve = run("--help", program=("app.py",)), run("serve", "--help")
    assert app.stdout == serve.stdout
    for flag in (
        "--host",
        "--port",
        "--models",
        "--only-models",
        "--outputs",
        "--device",
        "--memory-budget",
        "--auth",
        "--no-browser",
    ):
        assert flag in app.stdout


def test_an_open_bind_is_refused_as_a_process() -> None:
    refused = run("--host", "0.0.0.0", "--no-browser", program=("app.py",))
    assert refused.returncode == 2
    assert one_sentence(refused.stderr)
    assert "--auth" in refused.stderr


def test_flags_become_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNNOISE_AUTH", raising=False)
    monkeypatch.chdir(tmp_path)
    flags = "--host ::1 --port 0 --only-models a --models /b --outputs o --memory-budget 2GiB --auth u:p:q --no-browser"
    settings = parse(flags.split())
    assert settings == Settings(
        host="::1",
        port=0,
        models=(tmp_path / "a", Path("/b")),
        outputs=tmp_path / "o",
        memory_budget=2 * 2**30,
        auth="u:p:q",
        open_browser=False,
    )
    assert parse([]) == Settings()
    assert "port" not in parse([]).model_fields_set, "a port that nobody named may give way to the next"


def test_the_password_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNNOISE_AUTH", "anna:secret")
    assert parse([]).auth == "anna:secret"
    assert parse(["--auth", "b:c"]).auth == "b:c"
    assert "secret" not in repr(parse([]))


def test_models_list_is_one_json_object_a_line(tmp_path: Path) -> None:
    empty = run("models", "list", "--json", "--only-models", str(tmp_path), "--outputs", str(tmp_path / "out"))
    assert (empty.returncode, empty.stdout, empty.stderr) == (0, "", "")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "model_index.json").write_text("{")
    listed = run("models", "list", "--json", "--only-models", str(tmp_path), "--outputs", str(tmp_path / "out"))
    model = json.loads(listed.stdout)
    assert (model["id"], bool(model["problem"])) == ("broken", True)
    shown = run("models", "list", "--only-models", str(tmp_path), "--outputs", str(tmp_path / "out"))
    assert shown.stdout.splitlines()[0].split() == ["model", "family", "kind", "size", "makes"]
    assert str(tmp_path) not in shown.stdout


def test_a_closed_pipe_is_no_error() -> None:
    shell = f"{sys.executable} -m studio --help | true"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", shell], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr


def test_a_models_folder_is_added_to_the_studios_own(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    add_settings(parser)
    own = Settings().models
    assert settings_from(parser.parse_args(["--models", str(tmp_path)])).models == (*own, tmp_path)
    assert settings_from(parser.parse_args(["--only-models", str(tmp_path)])).models == (tmp_path,)
    both = parser.parse_args(["--only-models", str(tmp_path), "--models", str(tmp_path / "more")])
    assert settings_from(both).models == (tmp_path, tmp_path / "more")
    with pytest.raises(InvalidRequest, match="--only-models names no folder"):
        settings_from(parser.parse_args(["--only-models", ""]))
