"""The scheduler's defaults, and the bodies of polls."""

from __future__ import annotations

import msgspec
import pytest

from lictor.config.scheduler import SchedulerSettings
from lictor.schema.wire.polls import DeploymentsPoll, PoolPoll


def test_a_schedule_reaches_as_far_ahead_as_prefects() -> None:
    settings = SchedulerSettings()
    assert (settings.scheduler_runs_min, settings.scheduler_runs_max) == (3, 100)
    assert settings.scheduler_ahead_min_s == 3600
    assert settings.scheduler_ahead_max_s == 100 * 86_400


def test_a_worker_need_not_say_anything_and_a_runner_names_its_deployments() -> None:
    assert msgspec.json.decode(b"{}", type=PoolPoll).work_queue_names is None
    with pytest.raises(msgspec.ValidationError, match="deployment_ids"):
        msgspec.json.decode(b"{}", type=DeploymentsPoll)
