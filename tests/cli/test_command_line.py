"""The command line from outside: exit codes, one line a failure, nothing heavy for help."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from faceloom.cli.main import COMMANDS, build_app, run_command
from faceloom.core.errors import CancelledError, FaceloomError
from faceloom.workspace.layout import create_workspace
from tiny_clips import write_clip


def faceloom(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "faceloom.cli.main", *arguments],
        cwd=cwd,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from faceloom.cli.main import COMMANDS, run_command\n"
        "assert run_command(['--help']) == 0\n"
        "assert all(run_command([name, '--help']) == 0 for name in COMMANDS)\n"
        "heavy = {'torch', 'cv2', 'av', 'numpy', 'c2pa', 'onnxruntime'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    for name in COMMANDS:
        assert name in result.stdout


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_shows_an_example(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert run_command([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Example" in shown
    assert f"faceloom {name}" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["extrat"], "did you mean 'extract'"),
        (["-v", "doctor"], "give the command first"),
        (["--bogus"], "unknown option --bogus"),
        (["new"], "WORKSPACE"),
        (["new", "w", "extra"], "extra"),
        (["new", "w", "--src-rights", "fair-use"], "fair-use"),
        (["new", "w", "--nope"], "--nope"),
        (["new", "w", "--src", "a", "--dst", "b"], "--src-rights is needed"),
        (["inspect"], "FILE"),
        (["extract", "src", "--set", "bogus=1"], "faceloom extract --help"),
        (["extract", "src", "--restart", "--set", "detector=ssd"], "unknown detector 'ssd'"),
        (["encode", "--preset", "foo"], "ultrafast"),
        (["encode", "--codec", "ffv1", "--crf", "3"], "fixed quality"),
        (["merge", "--set", "codec=h265"], "add --to-video"),
        (["merge", "--codec", "h265"], "add --to-video"),
        (["run", "--set", "foo=1"], "stage.key=value"),
        (["weights", "fetch", "--nope"], "faceloom weights"),
    ],
)
def test_wrong_usage_is_two(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert run_command(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("faceloom: ") and captured.err.count("\n") == 1
    assert message in captured.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--set", "bogus=1"],
        ["train", "--set", "resolution=100"],
        ["train", "Quick96", "--set", "ae_dims=64"],
        ["run", "--set", "extract.bogus=1"],
        ["run", "--set", "train.bogus=1"],
        ["run", "--set", "encode.crf=x"],
        ["merge", "--set", "blur=x"],
        ["frames", "src", "--set", "fps"],
    ],
)
def test_a_bad_setting_is_two_in_every_command(
    arguments: list[str],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    create_workspace(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    assert run_command(arguments) == 2
    told = capsys.readouterr().err
    assert "--set" in told and told.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before
    (tmp_path / "faceloom.toml").write_text("[train.settings]\nbogus = 1\n")
    if arguments[0] == "train":
        assert run_command(["train"]) == 1


@pytest.mark.parametrize("arguments", [["doctor"], ["inspect", __file__]])
def test_a_missing_workspace_is_told(
    arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run_command([*arguments, "-w", str(tmp_path / "nowhere")]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"faceloom: {tmp_path / 'nowhere'}: no such folder\n"


def test_help_shows_no_defaults_that_say_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for name in [*COMMANDS, "weights fetch", "weights list", "weights add"]:
        assert run_command([*name.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    for nothing in ("()", "False", '""', "None", "."):
        assert f"[default: {nothing}]" not in shown
    # Not eaten as Markdown's emphasis.
    assert "[default: learned-prd*learned-dst]" in " ".join(shown.replace("│", " ").split())


def fake_command(monkeypatch: pytest.MonkeyPatch, outcome: BaseException | int | None) -> None:
    def doctor() -> int | None:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setattr("faceloom.cli.stage.stage_command", lambda stage, **_: doctor)


@pytest.mark.parametrize(
    ("outcome", "code", "message"),
    [
        (None, 0, ""),
        (3, 3, ""),
        (FaceloomError("a\nb"), 1, "faceloom: a b\n"),
        (CancelledError("stopped"), 130, "faceloom: stopped\n"),
        (KeyboardInterrupt(), 130, "faceloom: cancelled\n"),
        (OSError(28, "No space left on device", "x.mp4"), 1, "faceloom: x.mp4: No space left"),
        (MemoryError(), 1, "faceloom: out of memory"),
        (BrokenPipeError(), 0, ""),
    ],
)
def test_every_ending_has_its_code(
    outcome: BaseException | int | None,
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fake_command(monkeypatch, outcome)
    monkeypatch.setattr("faceloom.cli.main._silence", lambda stream: None)
    assert run_command(["doctor"]) == code
    shown = capsys.readouterr().err
    assert shown.startswith(message) and shown.count("\n") == bool(message)


def test_a_bug_is_one_line_and_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FACELOOM_CACHE", str(tmp_path))
    fake_command(monkeypatch, ValueError("x" * 1000))
    assert run_command(["doctor"]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("faceloom: this is a bug in Faceloom (ValueError: xxx")
    assert shown.count("\n") == 1 and "Traceback" not in shown
    (log,) = (tmp_path / "crashes").iterdir()
    assert str(log) in shown
    assert "Traceback" in log.read_text() and "faceloom doctor" in log.read_text()


def test_new_and_inspect_from_outside(tmp_path: Path) -> None:
    for name in ("a 女.mp4", "b.mp4"):
        write_clip(tmp_path / name)
    arguments = ["new", "cast", "--src", "a 女.mp4", "--dst", "b.mp4"]
    result = faceloom(
        *arguments, "--src-rights", "own", "--dst-rights", "own", "--json", cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["rights"]["src"]["ground"] == "own"
    result = faceloom("inspect", "b.mp4", cwd=tmp_path)
    assert result.returncode == 0
    assert "credentials: none" in result.stdout
    for wrong in ("nothing.mp4", "cast"):
        result = faceloom("inspect", wrong, cwd=tmp_path)
        assert result.returncode == 1
        assert result.stderr.startswith(f"faceloom: {wrong}: ") and result.stderr.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="uses a shell pipe")
def test_closed_pipe_is_quiet(tmp_path: Path) -> None:
    command = f"'{sys.executable}' -m faceloom.cli.main doctor --json | true"
    result = subprocess.run(
        ["sh", "-c", command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in result.stderr and "BrokenPipe" not in result.stderr


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("stops", [True, False])
def test_ctrl_c_saves_then_aborts(tmp_path: Path, stops: bool) -> None:
    """The first signal lets the stage save; a second one ends one that does not listen."""
    code = (
        "import os, signal, sys, time\n"
        "from pathlib import Path\n"
        "import faceloom.cli.main, faceloom.cli.stage\n"
        "from faceloom.cli.common import run_stage\n"
        "from faceloom.core import Settings\n"
        "def run(config, *, progress, cancel):\n"
        "    progress.start('work', 100, 'items')\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        f"    if {stops}:\n"
        "        Path('saved').write_text('')\n"
        "        cancel.check()\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(30)\n"
        "def doctor(): run_stage(run, Settings())\n"
        "faceloom.cli.stage.stage_command = lambda stage, **_: doctor\n"
        "sys.exit(faceloom.cli.main.run_command(['doctor']))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert result.returncode == 130
    assert "stopping: saving what is done" in result.stderr
    assert "Traceback" not in result.stderr
    assert (tmp_path / "saved").exists() is stops
    assert ("faceloom: cancelled" in result.stderr) is stops


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--image-size huge", "--image-size: must be a whole number or estimated (got 'huge')."),
        ("--image-size 3", "--image-size: must be at least 64 or estimated (got 3)."),
        ("--smooth huge", "--smooth: must be a number (got 'huge')."),
        ("--face-type whole_fac", "--face-type: unknown value 'whole_fac'; did you mean"),
        ("--set image_size=3", "--set image_size: must be at least 64 or estimated (got 3)."),
        ("--set imagesize=3", "--set: unknown setting 'imagesize'; did you mean 'image_size'?"),
        ("--imag-size 3", "unknown option --imag-size; did you mean --image-size?"),
        ("--smooth 1 --smooth 0", "--smooth is given more than once."),
        ("--image-size", "--image-size needs a value."),
        ("more", "unexpected argument 'more'."),
        ("--restart --redo faces", "--redo and --restart: "),
        ("--restart --set redo=faces", "--restart and --set redo: "),
    ],
)
def test_a_value_that_does_not_fit_names_its_place(
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    create_workspace(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert run_command(["extract", "DST", *arguments.split()]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"faceloom: {message}"), shown
    assert shown.endswith("See: faceloom extract --help\n") and shown.count("\n") == 1


def test_a_wrong_value_in_the_file_names_file_and_table(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = create_workspace(tmp_path)
    monkeypatch.chdir(tmp_path)
    command = ["extract", "dst", "-w", "."]

    def reason(text: str, *more: str) -> str:
        workspace.file.write_text(text)
        code = run_command([*command, *more])
        shown = capsys.readouterr().err.removeprefix("faceloom: ").strip()
        assert code == (2 if "See:" in shown else 1)
        return shown

    place = "faceloom.toml, [extract"
    wrong = "[extract]\nimage_size = 3\n"
    assert reason(wrong) == f"{place}] image_size: must be at least 64 (got 3)"
    # A flag that wins mends it.
    assert "image_size" not in reason(wrong, "--image-size", "128")
    assert reason("[extract]\nsize = 3\n").startswith(f"{place}]: unknown setting 'size'; ")
    # The table of the other side is not looked at.
    parts = "[extract.src]\nimage_size = 3\n[extract.dst]\nsmooth = 7\n"
    assert reason(parts) == f"{place}.dst] smooth: must be at most 1 (got 7)"
    both = reason("[extract]\nrestart = true\n", "--redo", "faces")
    assert both.startswith(f"{place}] restart and --redo: ")


def test_ctrl_c_while_the_parser_loads_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "cyclopts.py").write_text(
        "import os, signal, time\n"
        # Whoever runs the tests in the background has them ignore the signal.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "os.kill(os.getpid(), signal.SIGINT)\ntime.sleep(30)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", "from faceloom.cli.main import main; main()", "doctor"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (result.returncode, result.stderr) == (130, "faceloom: cancelled\n")


def test_commands_name_functions_that_exist() -> None:
    for name in COMMANDS:
        assert build_app(name)[name] is not None


def test_settings_of_the_workspace_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    create_workspace(tmp_path).file.write_text("[encode]\ncrf = 99\n")
    monkeypatch.chdir(tmp_path)
    assert run_command(["encode"]) == 1
    assert "crf" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_completion_knows_commands_options_and_words(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["completion", shell]) == 0
    script = capsys.readouterr().out
    # Of a group in a group, of a command with its own module, of a stage's choices.
    for word in ("metadata", "restore", "face-type", "whole_face", "mask-mode", "learned-prd"):
        assert word in script
    assert run_command(["completion", "tcsh"]) == 2


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What bash itself offers after a part of a command line."""
    assert run_command(["completion", "bash"]) == 0
    script = tmp_path / "faceloom.bash"
    script.write_text(capsys.readouterr().out)

    def offered(*words: str) -> set[str]:
        line = " ".join(["faceloom", *words])
        code = (
            f"source {script}; COMP_WORDS=(faceloom {' '.join(repr(word) for word in words)}); "
            f"COMP_CWORD={len(words)}; COMP_LINE={line!r}; COMP_POINT={len(line)}; "
            "$(complete -p faceloom | sed 's/.*-F \\([^ ]*\\).*/\\1/'); "
            "printf '%s\\n' \"${COMPREPLY[@]}\""
        )
        shown = subprocess.run(["bash", "-c", code], capture_output=True, text=True, timeout=60)
        return set(shown.stdout.split())

    assert offered("ext") == {"extract"}
    assert "whole_face" in offered("extract", "src", "--face-type", "who")
    assert "--redo" in offered("extract", "src", "--re")
    assert offered("faceset", "metadata", "sa") == {"save"}
