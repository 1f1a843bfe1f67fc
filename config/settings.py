"""Every setting, declared once: its type, default, unit, range, reason and Prefect names.

The documentation (docs/settings.md), the loader (`config/load.py`) and `lictor check` all read this
declaration; a test fails when one of them knows less than it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from lictor.config.concurrency import ConcurrencySettings
from lictor.config.declaration import Setting, about, declarations


class Settings(ConcurrencySettings, frozen=True, kw_only=True):
    """What the operator decided. Loaded by `config/load.py`; never changed while running."""

    home: Annotated[
        Path,
        about(
            "Directory of the database and everything else lictor keeps. From --home, "
            "LICTOR_HOME or systemd's STATE_DIRECTORY; never Prefect's own home."
        ),
    ] = Path.home() / ".lictor"
    host: Annotated[
        str,
        about(
            "Address to listen on. Only this machine reaches the default; 0.0.0.0 is every "
            "IPv4 address, :: every address.",
            prefect=("SERVER_API_HOST",),
            min_length=1,
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int,
        about(
            "TCP port to listen on, the Prefect server's by default; 0 lets the system choose.",
            prefect=("SERVER_API_PORT",),
            ge=0,
            le=65_535,
        ),
    ] = 4200
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        about(
            "Least severity that is logged. debug adds every report of every actor.",
            prefect=("SERVER_LOGGING_LEVEL", "LOGGING_SERVER_LEVEL"),
        ),
    ] = "info"
    log_format: Annotated[
        Literal["auto", "human", "json"],
        about("Form of a log line; auto is human on a terminal and one JSON object otherwise."),
    ] = "auto"
    synchronous: Annotated[
        Literal["full", "normal"],
        about(
            "What an acknowledgement promises. full: a power loss loses nothing acknowledged. "
            "normal: it may lose the last moments, for slow disks."
        ),
    ] = "full"
    api_base_path: Annotated[
        str,
        about(
            "Path in front of every route of the API, for a server behind a proxy.",
            prefect=("SERVER_API_BASE_PATH",),
            pattern=r"^(/[A-Za-z0-9._~-]+)+$",
        ),
    ] = "/api"
    api_default_limit: Annotated[
        int,
        about(
            "Objects in one page when a request names no limit, and the most it may name.",
            prefect=("SERVER_API_DEFAULT_LIMIT", "API_DEFAULT_LIMIT"),
            ge=1,
            le=10_000,
        ),
    ] = 200
    api_auth_string: Annotated[
        str | None,
        about(
            "user:password that every request must carry; the clients' PREFECT_API_AUTH_STRING. "
            "Without it everyone who reaches the port may do everything.",
            prefect=("SERVER_API_AUTH_STRING",),
            secret=True,
        ),
    ] = None
    api_body_bytes_max: Annotated[
        int,
        about(
            "Largest request body; a larger one is refused with 413. Bounds memory.",
            unit="bytes",
            ge=65_536,
            le=1_073_741_824,
        ),
    ] = 16 * 1024 * 1024
    api_parameter_bytes_max: Annotated[
        int,
        about(
            "Largest parameters of a flow run, as JSON; 0 is no limit but the body's.",
            unit="bytes",
            prefect=("SERVER_API_MAX_PARAMETER_SIZE",),
            ge=0,
        ),
    ] = 524_288
    keep_alive_s: Annotated[
        float,
        about(
            "Silence after which an idle connection is closed. Long, because a client that keeps "
            "its connection saves a handshake.",
            unit="s",
            prefect=("SERVER_API_KEEPALIVE_TIMEOUT",),
            gt=0,
            le=86_400,
        ),
    ] = 60.0
    http_fast_lane: Annotated[
        bool,
        about(
            "Serve plain HTTP/1.1 by the C parser; off sends everything through hypercorn, "
            "several times slower, should the lane ever be suspected."
        ),
    ] = True
    http_request_s: Annotated[
        float,
        about(
            "Time a request may take to arrive, besides what its body needs at 8 KiB/s; then it is "
            "answered 408. Keeps slow senders from holding connections.",
            unit="s",
            gt=0,
            le=3600,
        ),
    ] = 30.0
    http_connections_max: Annotated[
        int,
        about(
            "Connections open at once, sockets included; one more is answered 503. Bounds memory.",
            ge=1,
            le=100_000,
        ),
    ] = 1000
    http_compression: Annotated[
        Literal["auto", "off"],
        about(
            "auto compresses large answers for clients on other machines; on the loopback it costs "
            "more than it saves."
        ),
    ] = "auto"
    tls_certificate: Annotated[
        Path | None,
        about("PEM file of the server's certificate chain. With it the port speaks TLS only."),
    ] = None
    tls_key: Annotated[
        Path | None,
        about("PEM file of the certificate's key, when it is not in the certificate's file."),
    ] = None
    requests_in_flight_max: Annotated[
        int,
        about(
            "API requests under way at once; one more is refused with 503. Bounds memory.",
            ge=1,
            le=100_000,
        ),
    ] = 1024
    api_csrf_protection_enabled: Annotated[
        bool,
        about(
            "Whether writing requests must carry a token of /csrf-token. For servers that a "
            "browser reaches with credentials of its own.",
            prefect=("SERVER_API_CSRF_PROTECTION_ENABLED", "SERVER_CSRF_PROTECTION_ENABLED"),
        ),
    ] = False
    api_csrf_token_expiration_s: Annotated[
        float,
        about(
            "How long a CSRF token is good for.",
            unit="s",
            prefect=("SERVER_API_CSRF_TOKEN_EXPIRATION", "SERVER_CSRF_TOKEN_EXPIRATION"),
            gt=0,
        ),
    ] = 3600.0
    api_cors_allowed_origins: Annotated[
        str,
        about(
            "Origins whose pages may call the API, separated by commas; * is every origin.",
            prefect=("SERVER_API_CORS_ALLOWED_ORIGINS", "SERVER_CORS_ALLOWED_ORIGINS"),
        ),
    ] = "*"
    api_cors_allowed_methods: Annotated[
        str,
        about(
            "Methods that pages of those origins may use, separated by commas; * is every method.",
            prefect=("SERVER_API_CORS_ALLOWED_METHODS", "SERVER_CORS_ALLOWED_METHODS"),
        ),
    ] = "*"
    api_cors_allowed_headers: Annotated[
        str,
        about(
            "Headers that pages of those origins may send, separated by commas; * is every header.",
            prefect=("SERVER_API_CORS_ALLOWED_HEADERS", "SERVER_CORS_ALLOWED_HEADERS"),
        ),
    ] = "*"
    task_cache_key_length_max: Annotated[
        int,
        about(
            "Longest cache key of a task run.",
            unit="characters",
            prefect=("SERVER_TASKS_MAX_CACHE_KEY_LENGTH", "API_TASK_CACHE_KEY_MAX_LENGTH"),
            ge=1,
        ),
    ] = 2000
    task_queue_scheduled_max: Annotated[
        int,
        about(
            "Most background runs of one task that wait for a task worker; then scheduling is "
            "refused with 503.",
            prefect=(
                "SERVER_TASKS_SCHEDULING_MAX_SCHEDULED_QUEUE_SIZE",
                "TASK_SCHEDULING_MAX_SCHEDULED_QUEUE_SIZE",
            ),
            ge=1,
        ),
    ] = 1000
    task_queue_retry_max: Annotated[
        int,
        about(
            "Most background runs of one task that wait for a task worker to retry them.",
            prefect=(
                "SERVER_TASKS_SCHEDULING_MAX_RETRY_QUEUE_SIZE",
                "TASK_SCHEDULING_MAX_RETRY_QUEUE_SIZE",
            ),
            ge=1,
        ),
    ] = 100
    task_hold_s: Annotated[
        float,
        about(
            "Time after a start for which a background run is left to the task worker that "
            "acknowledged it before the stop and has not begun it; then another gets it. A worker "
            "that is busy for longer may run it a second time.",
            unit="s",
            ge=0,
            le=86_400,
        ),
    ] = 60.0
    events_bytes_max: Annotated[
        int,
        about(
            "Largest event; a larger one is refused.",
            unit="bytes",
            prefect=("SERVER_EVENTS_MAXIMUM_SIZE_BYTES", "EVENTS_MAXIMUM_SIZE_BYTES"),
            ge=1024,
        ),
    ] = 1_500_000
    events_name_length_max: Annotated[
        int,
        about(
            "Longest name of an event.",
            unit="characters",
            prefect=("SERVER_EVENTS_MAXIMUM_EVENT_NAME_LENGTH",),
            ge=1,
        ),
    ] = 1024
    events_labels_max: Annotated[
        int,
        about(
            "Most labels of one resource in an event.",
            prefect=(
                "SERVER_EVENTS_MAXIMUM_LABELS_PER_RESOURCE",
                "EVENTS_MAXIMUM_LABELS_PER_RESOURCE",
            ),
            ge=1,
        ),
    ] = 500
    events_related_max: Annotated[
        int,
        about(
            "Most related resources of one event.",
            prefect=("SERVER_EVENTS_MAXIMUM_RELATED_RESOURCES", "EVENTS_MAXIMUM_RELATED_RESOURCES"),
            ge=1,
        ),
    ] = 100
    events_backfill_s: Annotated[
        float,
        about(
            "How far back a new subscriber of events is served from the store.",
            unit="s",
            prefect=(
                "SERVER_EVENTS_MAXIMUM_WEBSOCKET_BACKFILL",
                "EVENTS_MAXIMUM_WEBSOCKET_BACKFILL",
            ),
            ge=0,
            le=86_400,
        ),
    ] = 900.0
    websocket_ping_interval_s: Annotated[
        float,
        about(
            "Time between two pings that find out whether the peer of a socket still lives.",
            unit="s",
            prefect=("SERVER_API_WEBSOCKET_PING_INTERVAL",),
            gt=0,
            le=3600,
        ),
    ] = 20.0
    websocket_ping_timeout_s: Annotated[
        float,
        about(
            "Time a peer has to answer a ping before its socket is closed.",
            unit="s",
            prefect=("SERVER_API_WEBSOCKET_PING_TIMEOUT",),
            gt=0,
            le=3600,
        ),
    ] = 20.0
    graph_nodes_max: Annotated[
        int,
        about(
            "Most nodes in the graph of a flow run; a larger graph is refused.",
            prefect=("SERVER_FLOW_RUN_GRAPH_MAX_NODES", "API_MAX_FLOW_RUN_GRAPH_NODES"),
            ge=1,
        ),
    ] = 10_000
    graph_artifacts_max: Annotated[
        int,
        about(
            "Most artifacts in the graph of a flow run.",
            prefect=("SERVER_FLOW_RUN_GRAPH_MAX_ARTIFACTS", "API_MAX_FLOW_RUN_GRAPH_ARTIFACTS"),
            ge=1,
        ),
    ] = 10_000
    read_time_limit_s: Annotated[
        float,
        about(
            "Time one search may take before it is interrupted and refused with 503.",
            unit="s",
            gt=0,
            le=3600,
        ),
    ] = 30.0
    drain_s: Annotated[
        float,
        about(
            "Time a stop waits for requests in flight and for what is queued; then it is cut off. "
            "Keep it under the 60 s that systemd waits.",
            unit="s",
            ge=0,
            le=600,
        ),
    ] = 10.0


@cache
def declared() -> tuple[Setting, ...]:
    """Every setting in the order of its declaration."""
    return declarations(Settings)
