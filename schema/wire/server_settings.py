"""The settings tree of `GET /admin/settings`, as clients and the pages know it from Prefect.

The table names every key of the tree with the value it has here: Prefect's default, or what is true
of lictor (log streaming is on, analytics and promotions are off, paths of the server's own machine
are null). Settings the operator decides are laid over it by their Prefect names.
Source: `prefect.settings.Settings` in its JSON form.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from lictor.config.declaration import Setting
from lictor.config.settings import Settings, declared

MASK = "**********"
"""What stands for a secret that is set."""

# `section: key=value key=value`, values in JSON without spaces; an indented line goes on.
_TABLE = """\
: home=null profiles_path=null debug_mode=false ui_url=null
    silence_api_url_misconfiguration=false
api: url=null auth_string=null key=null tls_insecure_skip_verify=false
    ssl_cert_file=null enable_http2=false request_timeout=60.0
cli: colors=true prompt=null wrap_lines=true
client: max_retries=5 retry_jitter_factor=0.2 retry_extra_codes=[] csrf_support_enabled=true
    custom_headers={} server_version_check_enabled=true
client.metrics: enabled=false port=4201
cloud: api_url="https://api.prefect.cloud/api" enable_orchestration_telemetry=true
    max_log_size=25000 ui_url="https://app.prefect.cloud"
deployments: clear_schedules_on_empty=false default_work_pool_name=null
    default_docker_build_namespace=null
events: worker_max_queue_size=0
experiments: warn=true
flows: heartbeat_frequency=180 default_retries=0 default_retry_delay_seconds=0
internal: logging_level="ERROR"
logging: level="INFO" config_path=null extra_loggers=[] log_prints=false
    colors=true markup=false
logging.to_api: enabled=true batch_interval=2.0 batch_size=4000000 max_log_size=1000000
    when_missing_flow="warn"
plugins: enabled=false allow=[] deny=[] setup_timeout_seconds=20.0 strict=false safe_mode=false
results: default_serializer="pickle" persist_by_default=false default_storage_block=null
    local_storage_path=null
runner: process_limit=5 poll_frequency=10 crash_on_cancellation_failure=false
    auto_install_dependencies=false
runner.server: enable=false host="localhost" port=8080 log_level="ERROR" missed_polls_tolerance=2
server: logging_level="WARNING" analytics_enabled=false metrics_enabled=false
    log_retryable_errors=false register_blocks_on_start=true memoize_block_auto_registration=true
    memo_store_path=null deployment_schedule_max_scheduled_runs=50
server.api: auth_string=null host="127.0.0.1" port=4200 base_path=null default_limit=200
    keepalive_timeout=5 csrf_protection_enabled=false csrf_token_expiration="PT1H"
    cors_allowed_origins="*" cors_allowed_methods="*" cors_allowed_headers="*"
    websocket_ping_interval=20.0 websocket_ping_timeout=20.0 max_parameter_size=524288
server.concurrency: lease_storage="prefect.server.concurrency.lease_storage.memory"
    initial_deployment_lease_duration=300.0 maximum_concurrency_slot_wait_seconds=30.0
server.database: connection_url=null driver=null host=null port=null user=null name=null
    password=null echo=false migrate_on_start=true timeout=10.0 connection_timeout=5.0
    migration_timeout=null
server.database.sqlalchemy: pool_size=5 pool_recycle=3600 pool_timeout=30.0 max_overflow=10
server.database.sqlalchemy.connect_args: application_name=null search_path=null
    statement_cache_size=null prepared_statement_cache_size=null
server.database.sqlalchemy.connect_args.tls: enabled=false ca_file=null cert_file=null
    key_file=null check_hostname=true
server.deployments: concurrency_slot_wait_seconds=30.0
server.docket: name="prefect-server" url="memory://"
server.ephemeral: enabled=true startup_timeout_seconds=20
server.events: stream_out_enabled=true related_resource_cache_ttl="PT5M"
    maximum_labels_per_resource=500 maximum_related_resources=100 maximum_size_bytes=1500000
    expired_bucket_buffer="PT1M" proactive_granularity="PT5S" retention_period="P7D"
    maximum_websocket_backfill="PT15M" websocket_backfill_page_size=250
    messaging_broker="prefect.server.utilities.messaging.memory"
    messaging_cache="prefect.server.utilities.messaging.memory"
    causal_ordering="prefect.server.events.ordering.memory" maximum_event_name_length=1024
server.flow_run_graph: max_nodes=10000 max_artifacts=10000
server.logs: stream_out_enabled=true stream_publishing_enabled=true
server.services.cancellation_cleanup: enabled=true loop_seconds=20.0
    cancelling_timeout_seconds=300.0
server.services.db_vacuum: enabled=["events"] loop_seconds=3600.0
    orphan_cleanup_loop_seconds=86400.0 retention_period="P90D" batch_size=200
    event_retention_overrides={"prefect.flow-run.heartbeat":"P7D"}
server.services.event_persister: enabled=true batch_size=20 read_batch_size=1 flush_interval=5.0
    queue_max_size=50000 max_flush_retries=5
server.services.event_logger: enabled=false
server.services.foreman: enabled=true loop_seconds=15.0 inactivity_heartbeat_multiple=3
    fallback_heartbeat_interval_seconds=30 deployment_last_polled_timeout_seconds=60
    work_queue_last_polled_timeout_seconds=60
server.services.late_runs: enabled=true loop_seconds=5.0 after_seconds="PT15S"
server.services.scheduler: enabled=true loop_seconds=60.0 deployment_batch_size=100 max_runs=100
    min_runs=3 max_scheduled_time="P100D" min_scheduled_time="PT1H" insert_batch_size=500
    recent_deployments_loop_seconds=5.0
server.services.pause_expirations: enabled=true loop_seconds=5.0
server.services.repossessor: enabled=true loop_seconds=15.0
server.services.cleanup_reconciler: enabled=true loop_seconds=5.0 batch_size=100
server.services.task_run_recorder: enabled=true read_batch_size=1 batch_size=1 flush_interval=5.0
server.services.triggers: enabled=true read_batch_size=1 pg_notify_reconnect_interval_seconds=10
    pg_notify_heartbeat_interval_seconds=5
server.tasks: tag_concurrency_slot_wait_seconds=10.0 max_cache_key_length=2000
server.tasks.scheduling: max_scheduled_queue_size=1000 max_retry_queue_size=100
    pending_task_timeout="PT0S"
server.ui: enabled=true v2_enabled=true api_url=null serve_base="/"
    static_directory=null show_promotional_content=false
server.worker_channel:
    cleanup_queue_storage="prefect.server.worker_communication.cleanup_queue.memory"
    cleanup_lease_seconds=30.0 cleanup_max_delivery_attempts=3
    cleanup_completed_idempotency_retention_seconds=null
tasks: refresh_cache=false default_no_cache=false disable_caching=false default_retries=0
    default_retry_delay_seconds=0 default_persist_result=null
tasks.runner: thread_pool_max_workers=null process_pool_max_workers=null
tasks.scheduling: default_storage_block=null delete_failed_submissions=true
telemetry: enable_resource_metrics=true resource_metrics_interval_seconds=10
testing: test_mode=false unit_test_mode=false unit_test_loop_debug=true test_setting="FOO"
worker: debug_mode=false heartbeat_seconds=30.0 query_seconds=10.0 prefetch_seconds=10.0
    enable_cancellation=false cancellation_poll_seconds=120.0
worker.webserver: host="0.0.0.0" port=8080
"""


def tree(settings: Settings) -> dict[str, Any]:
    """The whole tree for these settings, ready to encode; secrets are masked."""
    flat = dict(_rows())
    paths = {path.replace(".", "_").upper(): path for path in flat}
    flat["home"] = str(settings.home)
    for setting in declared():
        for name in setting.prefect:
            path = paths.get(name.removeprefix("PREFECT_"))
            if path is not None:
                flat[path] = _shown(setting, getattr(settings, setting.name), flat[path])
    return _nested(flat)


def _rows() -> Iterator[tuple[str, Any]]:
    """The table as (dotted path, value)."""
    section = ""
    for line in _TABLE.splitlines():
        if not line.startswith(" "):
            section, _, line = line.partition(":")
        for item in line.split():
            key, _, value = item.partition("=")
            path = f"{section}.{key}" if section else key
            yield path, msgspec.json.decode(value)


def _shown(setting: Setting, value: Any, default: Any) -> Any:
    """`value` in the form the tree has for it: that of its default."""
    if setting.secret:
        return None if value is None else MASK
    if isinstance(default, str) and default.startswith("P") and isinstance(value, (int, float)):
        return f"PT{value:g}S" if value % 1 else _iso_period(int(value))
    if isinstance(default, int) and isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, (str, int, float, type(None))):
        return value
    return str(value)


def _iso_period(seconds: int) -> str:
    """ISO 8601 in days, hours, minutes and seconds, as short as it goes."""
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    day = f"{days}D" if days else ""
    parts = ((hours, "H"), (minutes, "M"), (rest, "S"))
    clock = "".join(f"{amount}{unit}" for amount, unit in parts if amount)
    if not day and not clock:
        return "PT0S"
    return f"P{day}T{clock}" if clock else f"P{day}"


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path, value in flat.items():
        *sections, key = path.split(".")
        place = found
        for section in sections:
            place = place.setdefault(section, {})
        place[key] = value
    return found
