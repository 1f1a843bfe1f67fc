"""Whatever stands in the environment or the file: settings, or a refusal that names the fault."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from lictor.config.load import Loaded, Misconfigured, load
from lictor.config.settings import declared
from lictor.config.values import Unreadable, seconds

NOWHERE = Path("/nonexistent/lictor.toml")
VARIABLES = sorted(name for setting in declared() for name in setting.variables)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])) | st.from_regex(
    r"[-+]?[0-9_]{1,9}(\.[0-9]*)?|P?T?[0-9.]*[WDHMS]*|[0-9]+:[0-9]+:[0-9]+|true|off"
)


def outcome(environment: dict[str, str], config: Path | None = None) -> Loaded | None:
    try:
        return load({}, environment, config=config, system_file=NOWHERE)
    except Misconfigured:
        return None


@given(st.sampled_from(VARIABLES), TEXT)
@example("LICTOR_PORT", "9" * 5_000)
@example("LICTOR_PORT", "٣")
@example("LICTOR_KEEP_ALIVE_S", "9" * 500)
@example("LICTOR_DRAIN_S", "P" + "9" * 500 + "W")
@example("LICTOR_DRAIN_S", "9" * 5_000 + ":00:00")
@example("LICTOR_HOME", "~nobody-of-that-name/x")
def test_any_text_in_a_variable_is_a_value_or_a_refusal(name: str, text: str) -> None:
    got = outcome({name: text})
    if got is not None and text:
        assert name in " ".join(got.origins.values())


TOML_VALUE = st.one_of(
    st.integers(),
    st.booleans(),
    st.floats().map(lambda number: repr(number)),
    st.sampled_from(["[]", "{}", "1979-05-27", '"x"', '"\\u0000"', '""', "'PT1H'"]),
)


@given(st.sampled_from([setting.name for setting in declared()]), TOML_VALUE)
def test_any_value_in_the_file_is_a_value_or_a_refusal(name: str, value: object) -> None:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "lictor.toml"
        file.write_text(f"{name} = {str(value).lower()}\n", encoding="utf-8")
        got = outcome({}, file)
        assert got is None or got.origins[name] == f"file {file}"


@given(st.binary())
def test_any_bytes_as_a_file_are_settings_or_a_refusal(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "lictor.toml"
        file.write_bytes(data)
        outcome({}, file)


@given(st.floats(min_value=0, max_value=1e9).map(lambda number: round(number, 6)))
def test_the_three_forms_of_a_duration_mean_the_same(number: float) -> None:
    hours, rest = divmod(number, 3600)
    minutes, tail = divmod(rest, 60)
    clock = f"{int(hours)}:{int(minutes):02d}:{min(tail, 59.999999):09.6f}"
    assert abs(seconds(clock) - number) < 1e-3
    assert abs(seconds(f"PT{number:.6f}S") - number) < 1e-3
    assert abs(seconds(f"{number:.6f}") - number) < 1e-3


@given(st.text())
def test_any_text_is_a_duration_or_unreadable(text: str) -> None:
    with contextlib.suppress(Unreadable):
        assert isinstance(seconds(text), float)
