"""Every setting is declared, documented, and loaded from the strongest source that names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lictor.config import prefect
from lictor.config.document import markdown
from lictor.config.load import Loaded, Misconfigured, load
from lictor.config.settings import Settings, declared

TREE = Path(__file__).parents[2]
NOWHERE = Path("/nonexistent/lictor.toml")


def loaded(
    environment: dict[str, str] | None = None,
    flags: dict[str, str] | None = None,
    **options: Any,
) -> Loaded:
    options.setdefault("system_file", NOWHERE)
    return load({"home": "/nonexistent", **(flags or {})}, environment or {}, **options)


def problems(
    environment: dict[str, str] | None = None,
    flags: dict[str, str] | None = None,
    **options: Any,
) -> str:
    with pytest.raises(Misconfigured) as caught:
        loaded(environment, flags, **options)
    return str(caught.value)


def test_without_any_source_every_setting_has_its_default() -> None:
    got = load({}, {}, system_file=NOWHERE)
    assert got.settings == Settings()
    assert set(got.origins.values()) == {"default"}
    assert got.warnings == []


def test_every_default_is_in_its_own_range() -> None:
    import msgspec

    for setting in declared():
        assert msgspec.convert(setting.default, setting.checked) == setting.default, setting.name


def test_every_setting_has_a_reason_and_its_unit_ends_its_name() -> None:
    for setting in declared():
        assert setting.reason.endswith("."), setting.name
        assert (setting.unit == "s") == setting.name.endswith("_s"), setting.name
        assert (setting.unit == "bytes") == ("_bytes" in setting.name), setting.name


def test_no_two_settings_share_a_variable() -> None:
    variables = [name for setting in declared() for name in setting.variables]
    assert len(variables) == len(set(variables))


def test_the_page_of_settings_is_the_one_the_command_writes() -> None:
    page = (TREE / "docs/settings.md").read_text(encoding="utf-8")
    assert page.strip() == markdown().strip(), "run `make docs`"


def test_flags_beat_the_environment_which_beats_the_file_which_beats_defaults(
    tmp_path: Path,
) -> None:
    file = tmp_path / "some.toml"
    file.write_text("port = 1\ndrain_s = 1.5\nhost = '127.0.0.2'\n")
    got = loaded({"LICTOR_PORT": "2", "LICTOR_HOST": "127.0.0.3"}, {"port": "3"}, config=file)
    assert (got.settings.port, got.origins["port"]) == (3, "flag --port")
    assert got.settings.host == "127.0.0.3"
    assert got.origins["host"] == "environment LICTOR_HOST"
    assert (got.settings.drain_s, got.origins["drain_s"]) == (1.5, f"file {file}")
    assert (got.settings.log_level, got.origins["log_level"]) == ("info", "default")


def test_lictors_variable_beats_prefects_and_the_canonical_name_its_alias() -> None:
    names = {
        "PREFECT_API_DEFAULT_LIMIT": "10",
        "PREFECT_SERVER_API_DEFAULT_LIMIT": "20",
        "LICTOR_API_DEFAULT_LIMIT": "30",
    }
    for value in (30, 20, 10):
        got = loaded(names)
        assert got.settings.api_default_limit == value
        del names[got.origins["api_default_limit"].removeprefix("environment ")]


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("PREFECT_SERVER_API_HOST", "::1", "host", "::1"),
        ("PREFECT_SERVER_API_PORT", "4300", "port", 4300),
        ("PREFECT_SERVER_API_BASE_PATH", "/flows/api", "api_base_path", "/flows/api"),
        ("PREFECT_SERVER_API_AUTH_STRING", "me:pass word ", "api_auth_string", "me:pass word "),
        ("PREFECT_SERVER_API_KEEPALIVE_TIMEOUT", "7", "keep_alive_s", 7.0),
        ("PREFECT_SERVER_API_MAX_PARAMETER_SIZE", "0", "api_parameter_bytes_max", 0),
        ("PREFECT_SERVER_LOGGING_LEVEL", "WARNING", "log_level", "warning"),
        ("PREFECT_SERVER_LOGGING_LEVEL", "CRITICAL", "log_level", "error"),
        ("PREFECT_LOGGING_SERVER_LEVEL", "DEBUG", "log_level", "debug"),
        ("PREFECT_API_TASK_CACHE_KEY_MAX_LENGTH", "99", "task_cache_key_length_max", 99),
        ("PREFECT_EVENTS_MAXIMUM_SIZE_BYTES", "2048", "events_bytes_max", 2048),
        ("PREFECT_EVENTS_MAXIMUM_WEBSOCKET_BACKFILL", "00:10:00", "events_backfill_s", 600.0),
        ("PREFECT_SERVER_EVENTS_MAXIMUM_WEBSOCKET_BACKFILL", "PT5M", "events_backfill_s", 300.0),
        ("PREFECT_API_MAX_FLOW_RUN_GRAPH_NODES", "5", "graph_nodes_max", 5),
        ("PREFECT_SERVER_API_WEBSOCKET_PING_INTERVAL", "3", "websocket_ping_interval_s", 3.0),
    ],
)
def test_the_variables_of_a_prefect_server_are_honoured(
    name: str, text: str, field: str, value: object
) -> None:
    assert getattr(loaded({name: text}).settings, field) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("90", 90.0),
        ("1.5", 1.5),
        ("00:01:30", 90.0),
        ("00:00:01.25", 1.25),
        ("PT1M30S", 90.0),
        ("PT0.5S", 0.5),
        ("PT0.1H", 360.0),
    ],
)
def test_a_duration_has_three_forms(text: str, value: float) -> None:
    assert loaded({"LICTOR_DRAIN_S": text}).settings.drain_s == value


def test_a_day_and_a_week_are_durations_too() -> None:
    assert loaded({"LICTOR_EVENTS_BACKFILL_S": "P1D"}).settings.events_backfill_s == 86_400.0
    assert "at most 86400" in problems({"LICTOR_EVENTS_BACKFILL_S": "P1W"})


@pytest.mark.parametrize("text", ["", "P", "PT", "P1M", "1h", "90 s", "1:2", "nan", "inf", "P1DT"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    from lictor.config.values import Unreadable, seconds

    with pytest.raises(Unreadable, match="HH:MM:SS"):
        seconds(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("1", True), ("Yes", True), ("false", False), ("0", False), ("no", False)],
)
def test_a_switch_has_prefects_spellings(text: str, value: bool) -> None:
    assert loaded({"LICTOR_HTTP_FAST_LANE": text}).settings.http_fast_lane is value


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("LICTOR_PORT", "70000", "at most 65535"),
        ("LICTOR_PORT", "-1", "at least 0"),
        ("LICTOR_PORT", "4200.0", "a whole number"),
        ("LICTOR_DRAIN_S", "-1", "at least 0"),
        ("LICTOR_DRAIN_S", "soon", "seconds (90)"),
        ("LICTOR_LOG_LEVEL", "loud", "debug, info, warning, error"),
        ("LICTOR_HTTP_FAST_LANE", "perhaps", "true or false"),
        ("LICTOR_API_BASE_PATH", "api", "matching ^(/"),
        ("LICTOR_API_BASE_PATH", "/api/", "matching ^(/"),
        ("PREFECT_SERVER_API_PORT", "web", "PREFECT_SERVER_API_PORT"),
    ],
)
def test_a_value_out_of_range_stops_the_start_and_says_what_is_allowed(
    name: str, text: str, said: str
) -> None:
    told = problems({name: text})
    assert said in told
    assert text in told
    assert name in told


def test_an_unknown_variable_of_lictor_stops_the_start_with_the_likely_name() -> None:
    assert "LICTOR_PROT; did you mean LICTOR_PORT?" in problems({"LICTOR_PROT": "1"})
    assert "LICTOR_ZZZ; remove it" in problems({"LICTOR_ZZZ": "1"})


def test_an_unknown_variable_of_prefect_is_passed_over() -> None:
    assert loaded({"PREFECT_SERVER_NO_SUCH_THING": "1", "PREFECT_HOME": "/x"}).warnings == []


def test_an_empty_variable_counts_as_unset() -> None:
    got = loaded({"LICTOR_PORT": "", "PREFECT_SERVER_API_HOST": ""})
    assert (got.settings.port, got.settings.host) == (4200, "127.0.0.1")


def test_everything_wrong_is_told_at_once() -> None:
    told = problems({"LICTOR_PROT": "1", "LICTOR_PORT": "x"}, {"log_level": "loud"})
    assert len(told.splitlines()) == 3


def test_a_secret_is_never_repeated_in_a_problem(tmp_path: Path) -> None:
    file = tmp_path / "lictor.toml"
    file.write_text("api_auth_string = 12345678\n")
    told = problems(config=file)
    assert "api_auth_string" in told
    assert "12345678" not in told


@pytest.mark.parametrize("name", prefect.DATABASE_NAMES)
def test_a_database_of_prefect_is_refused_with_what_to_do(name: str) -> None:
    for text in (
        "postgresql+asyncpg://u:secret@db/prefect",
        "sqlite+aiosqlite:////data/prefect.db",
    ):
        told = problems({name: text})
        assert f"Unset {name}" in told
        assert text not in told


def test_the_names_of_the_database_are_those_prefect_reads() -> None:
    assert "PREFECT_SERVER_DATABASE_CONNECTION_URL" in prefect.DATABASE_NAMES
    assert "PREFECT_API_DATABASE_CONNECTION_URL" in prefect.DATABASE_NAMES
    assert "PREFECT_SERVER_DATABASE_HOST" in prefect.DATABASE_NAMES


@pytest.mark.parametrize(
    "name",
    [
        "PREFECT_SERVER_EVENTS_MESSAGING_BROKER",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE",
        "PREFECT_SERVER_DOCKET_URL",
        "PREFECT_REDIS_MESSAGING_HOST",
        "PREFECT_SERVER_SERVICES_SCHEDULER_INSERT_BATCH_SIZE",
        "PREFECT_API_SERVICES_FOREMAN_LOOP_SECONDS",
        "PREFECT_UI_ENABLED",
    ],
)
def test_a_variable_that_promises_what_lictor_does_not_do_warns(name: str) -> None:
    (warning,) = loaded({name: "1"}).warnings
    assert name in warning


def test_a_switch_that_lictor_does_not_have_warns_only_when_it_asks_for_the_other_way() -> None:
    name = "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED"
    assert loaded({name: "True"}).warnings == []
    (warning,) = loaded({name: "false"}).warnings
    assert f"{name}=false changes nothing" in warning


def test_no_honoured_variable_is_also_warned_about() -> None:
    for setting in declared():
        for name in setting.prefect:
            assert prefect.warning(name, "false") is None, name


def test_listening_on_the_network_without_a_password_warns() -> None:
    (warning,) = loaded(flags={"host": "0.0.0.0"}).warnings
    assert "LICTOR_API_AUTH_STRING" in warning
    assert loaded({"LICTOR_API_AUTH_STRING": "a:b"}, {"host": "0.0.0.0"}).warnings == []
    assert loaded(flags={"host": "::1"}).warnings == []
