"""The process from its first line to its exit code."""

from __future__ import annotations

import signal
import socket
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from lictor_process import Start, clean_environment


def test_it_says_where_the_api_is_and_how_a_client_gets_there(start: Start) -> None:
    lictor = start().until_ready()
    first, second = lictor.announcement.splitlines()
    assert lictor.url in first
    assert str(lictor.home) in first
    assert second.endswith(f"prefect config set PREFECT_API_URL={lictor.url}")
    assert lictor.ask("/health") == (200, b"true")


def test_log_lines_that_are_sent_again_after_a_kill_are_there_once(start: Start) -> None:
    line = {"name": "n", "level": 20, "message": "m", "timestamp": "2026-11-21T12:00:00.123456Z"}
    batch = [{**line, "flow_run_id": "0190a000-0000-7000-8000-000000000001"}]
    lictor = start().until_ready()
    assert lictor.ask("/logs/", batch)[0] == 201
    lictor.signal(signal.SIGKILL)
    lictor.ended()
    lictor = start().until_ready()
    # The client whose answer was cut off cannot know that its lines were stored.
    assert lictor.ask("/logs/", batch)[0] == 201
    assert len(msgspec.json.decode(lictor.ask("/logs/filter", {})[1])) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_ends_with_0(start: Start, number: signal.Signals) -> None:
    lictor = start().until_ready()
    lictor.signal(number)
    code, _, log = lictor.ended()
    assert code == 0
    messages = [msgspec.json.decode(line)["message"] for line in log.splitlines()]
    assert messages[-1] == "stopped"
    assert not (lictor.home / "lictor.db-wal").exists()


def test_a_second_signal_ends_at_once(start: Start) -> None:
    lictor = start("--log-level", "info", LICTOR_DRAIN_S="600").until_ready()
    address = lictor.url.removeprefix("http://").partition("/")[0].split(":")
    with socket.create_connection((address[0], int(address[1]))) as slow:
        # Answered 100-continue: the server is in the middle of this request when the signal comes.
        slow.sendall(
            b"POST /api/flows/ HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            b"expect: 100-continue\r\ncontent-length: 100\r\n\r\n"
        )
        assert slow.recv(100).startswith(b"HTTP/1.1 100")
        lictor.signal()
        lictor.until_logged("stopping")
        lictor.signal()
        assert lictor.ended()[0] == 128 + signal.SIGTERM


def test_what_was_acknowledged_survives_a_kill(start: Start) -> None:
    lictor = start().until_ready()
    status, body = lictor.ask("/flows/", {"name": "kept"})
    assert status == 201
    lictor.signal(signal.SIGKILL)
    lictor.ended()
    again = start().until_ready()
    assert again.ask("/flows/", {"name": "kept"}) == (200, body)


def test_everything_in_the_home_is_private(start: Start) -> None:
    lictor = start().until_ready()
    assert stat.S_IMODE(lictor.home.stat().st_mode) == 0o700
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in lictor.home.iterdir()}
    assert "lictor.db" in modes
    assert set(modes.values()) == {0o600}, modes


def test_the_home_may_come_from_systemd_and_never_from_prefect(
    start: Start, tmp_path: Path
) -> None:
    lictor = start(
        "--home",
        str(tmp_path / "flag"),
        PREFECT_HOME=str(tmp_path / "prefect"),
        STATE_DIRECTORY=str(tmp_path / "state"),
    ).until_ready()
    assert lictor.stop()[0] == 0
    assert {path.name for path in tmp_path.iterdir()} == {"flag"}


def test_systemd_is_told_of_readiness_life_and_stop(start: Start, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        lictor = start(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="30000000")
        lictor.until_ready()
        assert systemd.recv(1000) == f"READY=1\nSTATUS=Serving {lictor.url}".encode()
        assert systemd.recv(1000) == b"WATCHDOG=1"
        lictor.signal()
        assert systemd.recv(1000) == b"STOPPING=1"
        assert lictor.ended()[0] == 0


BROKEN = """
from lictor.actors.journal import Journal
async def run(self, *, task_status):
    task_status.started()
    raise KeyError("a bug")
Journal.run = run
from lictor.daemon.__main__ import main
main()
"""


def test_a_fault_of_a_core_actor_ends_the_process_and_says_whose(start: Start) -> None:
    code, _, log = start(program=[sys.executable, "-c", BROKEN]).ended()
    assert code == 70
    line = msgspec.json.decode(log.splitlines()[-1])
    assert line["level"] == "critical"
    assert "the journal failed: KeyError: 'a bug'" in line["message"]
    assert "KeyError" in line["error"]


def test_serving_loads_neither_rich_nor_what_pages_and_http2_need() -> None:
    program = (
        "import sys, lictor.daemon.commands, lictor.daemon.process\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    command = [sys.executable, "-c", program]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert "trio" in loaded
    unwanted = {"rich", "hypercorn", "quart", "quart_trio", "flask", "jinja2", "h2", "cryptography"}
    assert unwanted & set(loaded) == set()


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lictor.daemon", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=clean_environment(**environment),
    )


def test_check_prints_each_value_with_its_origin_and_hides_secrets(tmp_path: Path) -> None:
    ended = run(
        "check",
        "--home",
        str(tmp_path / "home"),
        PREFECT_SERVER_API_PORT="4300",
        LICTOR_API_AUTH_STRING="me:hush",
        PREFECT_UI_ENABLED="1",
    )
    assert ended.returncode == 0
    lines = {line.split()[0]: line for line in ended.stdout.splitlines()}
    assert lines["port"].split()[1:] == ["4300", "environment", "PREFECT_SERVER_API_PORT"]
    assert lines["host"].split()[1:] == ["127.0.0.1", "default"]
    assert lines["api_auth_string"].split()[1] == "********"
    assert "hush" not in ended.stdout + ended.stderr
    assert "PREFECT_UI_ENABLED has no effect" in ended.stderr
    assert not (tmp_path / "home").exists()


def test_check_fails_when_the_settings_cannot_be_used() -> None:
    ended = run("check", "--port", "70000", LICTOR_PROT="1")
    assert ended.returncode == 78
    assert ended.stdout == ""
    assert len(ended.stderr.splitlines()) == 2


def test_check_fails_where_serve_would_refuse_the_home_or_the_certificate(tmp_path: Path) -> None:
    (tmp_path / "prefect.db").touch()
    assert run("check", "--home", str(tmp_path)).returncode == 78
    absent = str(tmp_path / "absent.pem")
    ended = run("check", LICTOR_HOME=str(tmp_path / "home"), LICTOR_TLS_CERTIFICATE=absent)
    assert ended.returncode == 78
    assert absent in ended.stderr


def test_version_and_settings_are_printed() -> None:
    assert run("version").stdout.startswith("lictor 0.")
    assert "## `drain_s`" in run("settings").stdout


def test_a_command_that_does_not_exist_is_a_wrong_command_line() -> None:
    assert run("sevre").returncode == 2


def test_an_answer_is_in_the_database_before_it_is_sent(start: Start) -> None:
    lictor = start().until_ready()
    assert lictor.ask("/flows/", {"name": "seen"})[0] == 201
    with closing(sqlite3.connect(lictor.home / "lictor.db")) as database:
        assert database.execute("SELECT count(*) FROM flow").fetchone() == (1,)


def test_it_serves_with_nobody_listening_to_its_output(start: Start, tmp_path: Path) -> None:
    silent = ["sh", "-c", 'exec "$@" 1>&- 2>&-', "sh", sys.executable, "-m", "lictor.daemon"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        lictor = start(program=silent, NOTIFY_SOCKET=str(tmp_path / "notify"))
        lictor.url = systemd.recv(1000).decode().rpartition(" ")[2]
        assert lictor.ask("/health") == (200, b"true")
        assert lictor.stop() == (0, "", "")
