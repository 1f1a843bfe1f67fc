"""What the `PREFECT_*` names of a Prefect server mean to lictor, beyond those it honours.

Names that lictor honours are declared beside their setting (`settings.py`). A name found in none of
these tables is the client's affair or has no meaning here, and is passed over in silence:
deployments of Prefect set many, and none may stop lictor from starting.

Source: `prefect.settings.models.server`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lictor.config.values import FALSE, TRUE

OTHER_DATABASE = (
    "{name} names a database of the Prefect server, which lictor does not use: it keeps its own "
    "SQLite file in its home. Unset {name} (and the other PREFECT_…DATABASE… variables) to start. "
    "Runs recorded by Prefect stay readable with the Prefect server they belong to; lictor begins "
    "with an empty history."
)
_DATABASE = ("CONNECTION_URL", "DRIVER", "HOST", "PORT", "USER", "NAME", "PASSWORD")
DATABASE_NAMES = tuple(
    f"PREFECT_{prefix}API_DATABASE_{part}".replace("SERVER_API_", "SERVER_")
    for part in _DATABASE
    for prefix in ("SERVER_", "")
)

_ONE_STORE = "lictor keeps this in its own database, which survives restarts"
_NO_PEERS = "this lictor is one process and uses no broker"
_AT_ONCE = "a schedule that changes is looked at at once, alone"
DIFFERENT: Mapping[str, str] = {
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": _ONE_STORE,
    "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": _ONE_STORE,
    "PREFECT_SERVER_EVENTS_MESSAGING_BROKER": _NO_PEERS,
    "PREFECT_SERVER_EVENTS_MESSAGING_CACHE": _NO_PEERS,
    "PREFECT_MESSAGING_BROKER": _NO_PEERS,
    "PREFECT_MESSAGING_CACHE": _NO_PEERS,
    "PREFECT_SERVER_DOCKET_URL": _NO_PEERS,
    "PREFECT_SERVER_DOCKET_NAME": _NO_PEERS,
    "PREFECT_SERVER_WORKER_CHANNEL_CLEANUP_QUEUE_STORAGE": _ONE_STORE,
    "PREFECT_SERVER_SERVICES_REPOSSESSOR_LOOP_SECONDS": "leases are ended when they end",
    "PREFECT_SERVER_SERVICES_CLEANUP_RECONCILER_LOOP_SECONDS": "leases are ended when they end",
    "PREFECT_SERVER_SERVICES_CLEANUP_RECONCILER_BATCH_SIZE": "leases are ended when they end",
    "PREFECT_SERVER_SERVICES_FOREMAN_LOOP_SECONDS": "a status changes when its deadline passes",
    "PREFECT_API_SERVICES_FOREMAN_LOOP_SECONDS": "a status changes when its deadline passes",
    "PREFECT_SERVER_SERVICES_SCHEDULER_RECENT_DEPLOYMENTS_LOOP_SECONDS": _AT_ONCE,
    "PREFECT_SERVER_SERVICES_SCHEDULER_DEPLOYMENT_BATCH_SIZE": _AT_ONCE,
    "PREFECT_API_SERVICES_SCHEDULER_DEPLOYMENT_BATCH_SIZE": _AT_ONCE,
    "PREFECT_SERVER_SERVICES_SCHEDULER_INSERT_BATCH_SIZE": _AT_ONCE,
    "PREFECT_API_SERVICES_SCHEDULER_INSERT_BATCH_SIZE": _AT_ONCE,
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_QUEUE_MAX_SIZE": (
        "events are stored before they are acknowledged and none is dropped"
    ),
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_MAX_FLUSH_RETRIES": (
        "events are stored before they are acknowledged and none is dropped"
    ),
}
"""Accepted with a warning: the name promises something that lictor does differently."""

ABSENT: Mapping[str, str] = {
    "PREFECT_REDIS_MESSAGING_": _NO_PEERS,
    "PREFECT_SERVER_DEPLOYMENT_": "a schedule's max_scheduled_runs is 50 at most",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_": "this version has no retention: nothing is deleted",
    "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": "this version has no retention: nothing is deleted",
    "PREFECT_EVENTS_RETENTION_PERIOD": "this version has no retention: nothing is deleted",
    "PREFECT_SERVER_SERVICES_TRIGGERS_": "this version has no automations",
    "PREFECT_API_SERVICES_TRIGGERS_": "this version has no automations",
    "PREFECT_SERVER_METRICS_ENABLED": "this version has no metrics endpoint",
    "PREFECT_API_ENABLE_METRICS": "this version has no metrics endpoint",
    "PREFECT_SERVER_UI_": "this version serves no web pages",
    "PREFECT_UI_": "this version serves no web pages",
}
"""Prefixes of names that lictor will honour once it has what they configure."""


_STORED = "events and the task runs they tell of are stored in one transaction, always"
FIXED: Mapping[str, tuple[bool, str]] = {
    "PREFECT_SERVER_SERVICES_REPOSSESSOR_ENABLED": (True, "leases nobody renews are always ended"),
    "PREFECT_SERVER_SERVICES_CLEANUP_RECONCILER_ENABLED": (
        True,
        "leases nobody renews are always ended",
    ),
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_ENABLED": (True, _STORED),
    "PREFECT_API_SERVICES_TASK_RUN_RECORDER_ENABLED": (True, _STORED),
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED": (True, _STORED),
    "PREFECT_API_SERVICES_EVENT_PERSISTER_ENABLED": (True, _STORED),
    "PREFECT_SERVER_EVENTS_STREAM_OUT_ENABLED": (True, "events are always streamed"),
    "PREFECT_API_EVENTS_STREAM_OUT_ENABLED": (True, "events are always streamed"),
    "PREFECT_SERVER_SERVICES_EVENT_LOGGER_ENABLED": (False, "events are not printed"),
    "PREFECT_API_SERVICES_EVENT_LOGGER_ENABLED": (False, "events are not printed"),
    "PREFECT_SERVER_DATABASE_MIGRATE_ON_START": (True, "the schema is always brought up to date"),
    "PREFECT_API_DATABASE_MIGRATE_ON_START": (True, "the schema is always brought up to date"),
}
"""Switches that lictor does not have: what it always does, and why the other way is not taken."""


def refused(names: Iterable[str]) -> str | None:
    """Why the start is refused because of one of `names`; None when it is not."""
    present = set(names)
    for name in DATABASE_NAMES:
        if name in present:
            return OTHER_DATABASE.format(name=name)
    return None


def warning(name: str, text: str) -> str | None:
    """What the operator should know about the Prefect variable `name`; None for nothing."""
    if reason := DIFFERENT.get(name):
        return f"{name} changes nothing: {reason}."
    if fixed := FIXED.get(name):
        state, reason = fixed
        agrees = text.strip().lower() in (TRUE if state else FALSE)
        return None if agrees else f"{name}={text} changes nothing: {reason}."
    for prefix, reason in ABSENT.items():
        if name.startswith(prefix):
            return f"{name} has no effect: {reason}."
    return None
