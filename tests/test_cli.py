"""The command line: one sentence and status 2 for bad input, JSON where a program reads, no torch where none is needed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from studio.__main__ import COMMANDS, main
from studio.cli.serve import parse
from studio.core.settings import Settings

ROOT = Path(__file__).resolve().parent.parent


def run(*arguments: str, program: tuple[str, ...] = ("-m", "studio")) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *program, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)


def one_sentence(text: str) -> bool:
    return text.count("\n") == 1 and text.endswith(".\n") and "Traceback" not in text and str(ROOT) not in text


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
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
    ],
)
def test_bad_input_is_one_sentence_and_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert one_sentence(said.err), said.err
    assert said.out == ""


def test_app_py_takes_the_flags_of_serve() -> None:
    app, serve = run("--help", program=("app.py",)), run("serve", "--help")
    assert app.stdout == serve.stdout
    for flag in ("--host", "--port", "--models", "--outputs", "--device", "--memory-budget", "--auth", "--no-browser"):
        assert flag in app.stdout


def test_an_open_bind_is_refused_as_a_process() -> None:
    refused = run("--host", "0.0.0.0", "--no-browser", program=("app.py",))
    assert refused.returncode == 2
    assert one_sentence(refused.stderr)
    assert "--auth" in refused.stderr


def test_flags_become_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNNOISE_AUTH", raising=False)
    monkeypatch.chdir(tmp_path)
    flags = "--host ::1 --port 0 --models a --models /b --outputs o --memory-budget 2GiB --auth u:p:q --no-browser"
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
    empty = run("models", "list", "--json", "--models", str(tmp_path), "--outputs", str(tmp_path / "out"))
    assert (empty.returncode, empty.stdout, empty.stderr) == (0, "", "")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "model_index.json").write_text("{")
    listed = run("models", "list", "--json", "--models", str(tmp_path), "--outputs", str(tmp_path / "out"))
    model = json.loads(listed.stdout)
    assert (model["id"], bool(model["problem"])) == ("broken", True)
    shown = run("models", "list", "--models", str(tmp_path), "--outputs", str(tmp_path / "out"))
    assert shown.stdout.splitlines()[0].split() == ["model", "family", "kind", "size", "makes"]
    assert str(tmp_path) not in shown.stdout


def test_a_closed_pipe_is_no_error() -> None:
    shell = f"{sys.executable} -m studio --help | true"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", shell], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
