"""Settings are declared by subject, each in a file of its own, and are one Struct."""

from __future__ import annotations

import pytest

from lictor.config.concurrency import ConcurrencySettings
from lictor.config.deadlines import DeadlineSettings
from lictor.config.scheduler import SchedulerSettings
from lictor.config.settings import Settings
from lictor.config.work import WorkSettings


@pytest.mark.parametrize(
    "part", [ConcurrencySettings, DeadlineSettings, SchedulerSettings, WorkSettings]
)
def test_settings_hold_every_subject(part: type) -> None:
    assert issubclass(Settings, part)
    assert set(part.__struct_fields__) <= set(Settings.__struct_fields__)
