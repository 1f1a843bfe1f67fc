"""Every setting: its type, default, unit and reason. One frozen Struct, flat."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator decided. Loaded by `config/load.py`; never changed while running."""

    home: Path = Path.home() / ".lictor"
    host: str = "127.0.0.1"
    port: int = 4200
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    synchronous: Literal["full", "normal"] = "full"
    api_base_path: str = "/api"
    api_default_limit: int = 200
    api_auth_string: str | None = None
    api_body_bytes_max: int = 16 * 1024 * 1024
    api_parameter_bytes_max: int = 524_288
    keep_alive_s: float = 60.0
    http_fast_lane: bool = True
    task_cache_key_length_max: int = 2000
    events_bytes_max: int = 1_500_000
    events_name_length_max: int = 1024
    events_labels_max: int = 500
    events_related_max: int = 100
    events_backfill_s: float = 900.0
    websocket_ping_interval_s: float = 20.0
    websocket_ping_timeout_s: float = 20.0
    graph_nodes_max: int = 10_000
    graph_artifacts_max: int = 10_000
    read_time_limit_s: float = 30.0
    drain_s: float = 10.0
