"""The home and the file of settings: where they are looked for, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lictor.config.load import Misconfigured, load
from lictor.config.settings import Settings

NOWHERE = Path("/nonexistent/lictor.toml")


def test_the_home_is_the_flags_then_lictor_homes_then_systemds() -> None:
    environment = {"LICTOR_HOME": "/b", "STATE_DIRECTORY": "/c:/d", "PREFECT_HOME": "/e"}

    def home(flags: dict[str, str]) -> tuple[str, str]:
        got = load(flags, environment, system_file=NOWHERE)
        return str(got.settings.home), got.origins["home"]

    assert home({"home": "/a"}) == ("/a", "flag --home")
    assert home({}) == ("/b", "environment LICTOR_HOME")
    del environment["LICTOR_HOME"]
    assert home({}) == ("/c", "environment STATE_DIRECTORY")
    del environment["STATE_DIRECTORY"]
    assert home({}) == (str(Settings().home), "default")


def test_a_home_in_the_users_directory_may_be_written_with_a_tilde() -> None:
    assert load({"home": "~/x"}, {}, system_file=NOWHERE).settings.home == Path.home() / "x"


def test_a_relative_home_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load({"home": "data"}, {}, system_file=NOWHERE).settings.home == tmp_path / "data"


def test_the_file_is_the_flags_then_the_variables_then_the_homes_then_the_systems(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    files = [
        tmp_path / "flag.toml",
        tmp_path / "variable.toml",
        home / "lictor.toml",
        tmp_path / "system.toml",
    ]
    for port, file in enumerate(files):
        file.write_text(f"port = {port}\n")
    environment = {"LICTOR_HOME": str(home), "LICTOR_CONFIG": str(files[1])}

    def port(config: Path | None) -> int:
        return load({}, environment, config=config, system_file=files[3]).settings.port

    assert port(files[0]) == 0
    assert port(None) == 1
    del environment["LICTOR_CONFIG"]
    assert port(None) == 2
    files[2].unlink()
    assert port(None) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 1", "'prot'; did you mean port?"),
        ("home = '/x'", "home cannot be set in a file"),
        ("port = 'x'", "a whole number"),
        ("port = true", "a whole number"),
        ("port = 70000", "at most 65535"),
        ("http_fast_lane = 1", "true or false"),
        ("port =", "not valid TOML"),
        ("[server]\nport = 1", "'server'"),
    ],
)
def test_a_fault_in_the_file_stops_the_start_and_names_the_file(
    tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "lictor.toml"
    file.write_text(text)
    with pytest.raises(Misconfigured) as caught:
        load({"home": str(tmp_path)}, {}, system_file=NOWHERE)
    assert said in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_file_that_was_named_and_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"absent\.toml cannot be read: No such file"):
        load({}, {}, config=tmp_path / "absent.toml", system_file=NOWHERE)


def test_a_file_gives_paths_and_durations_as_text(tmp_path: Path) -> None:
    file = tmp_path / "lictor.toml"
    file.write_text('tls_certificate = "~/cert.pem"\ndrain_s = "PT5S"\nkeep_alive_s = 9\n')
    got = load({"home": str(tmp_path)}, {}, system_file=NOWHERE).settings
    assert got.tls_certificate == Path.home() / "cert.pem"
    assert (got.drain_s, got.keep_alive_s) == (5.0, 9.0)
