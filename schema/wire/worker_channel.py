"""The frames of the worker channel, both ways. Unknown keys are an error on either side.

A frame from a worker is decoded in two steps: `FrameHead` says its type, then the decoder of that
type reads the whole.
Source: `prefect.client.schemas.worker_channel`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from lictor.schema.wire.coerce import Fault
from lictor.schema.wire.workers import INTERVAL_MAX_S

VERSION = "work_pool_worker_channel.v1"
REQUIRED_CAPABILITIES = ("worker_heartbeat.v1", "work_pool_snapshot.v1")
CLEANUP_DELIVERY = "cleanup_delivery.v1"
CANCELLING_TIMEOUT: Literal["cancelling_timeout_teardown.v1"] = "cancelling_timeout_teardown.v1"
"""The clean-up of a run that did not confirm its cancellation in time."""
NAMES_MAX = 1000
"""Names in one list of a hello. Each queue is looked up."""

Name = Annotated[str, Meta(min_length=1)]
Names = Annotated[list[Name], Meta(max_length=NAMES_MAX)]
SomeNames = Annotated[list[Name], Meta(min_length=1, max_length=NAMES_MAX)]
PositiveInterval = Annotated[int, Meta(gt=0, le=INTERVAL_MAX_S)]
Concurrency = Annotated[int, Meta(ge=0, le=2**31 - 1)]
CleanupKind = Literal["cancelling_timeout_teardown.v1", "pending_claim_teardown.v1"]
CleanupKinds = Annotated[list[CleanupKind], Meta(max_length=NAMES_MAX)]
Operation = Literal["ack", "release", "renew"]
Outcome = Literal[
    "accepted",
    "not_current",
    "not_found",
    "expired",
    "invalid_token",
    "unauthorized",
    "dead_lettered",
    "error",
]
FrameType = Literal[
    "worker.ready.v1",
    "work_pool.snapshot.v1",
    "cleanup.message.v1",
    "cleanup.operation_result.v1",
]
"""What the server says."""
SnapshotReason = Literal["initial", "work_pool_updated", "heartbeat_reconciliation"]
CloseReason = Literal[
    "authentication_failed",
    "authorization_failed",
    "unsupported_version",
    "protocol_error",
    "heartbeat_persistence_failed",
    "transient_server_error",
]
"""Why the server ends a channel. The first four a worker takes as final."""


class FrameHead(msgspec.Struct):
    """What says how to read a frame."""

    type: Any = None


# What workers say.


class _Strict(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A struct that takes no other keys than its own."""


class _WorkerFrame(_Strict):
    id: UUID
    sent_at: datetime


class Hello(_Strict):
    """Who connects, and what it wants of the channel.

    `max_cleanup_concurrency`: a worker that handles kinds and does not say how many messages it
    takes at once is sent one at a time.
    """

    consumer_id: UUID
    worker_name: Name
    worker_type: Name
    heartbeat_interval_seconds: PositiveInterval
    supported_channel_versions: SomeNames
    requested_capabilities: SomeNames
    work_queue_names: Names = []
    handled_cleanup_kinds: CleanupKinds = []
    max_cleanup_concurrency: Concurrency | UnsetType = UNSET
    create_pool_if_not_found: bool = False
    default_base_job_template: dict[str, Any] = {}
    worker_metadata: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        missing = set(REQUIRED_CAPABILITIES).difference(self.requested_capabilities)
        if missing:
            raise Fault(f"Value error, the channel requires {sorted(missing)}")
        takes_cleanup = CLEANUP_DELIVERY in self.requested_capabilities
        if self.max_cleanup_concurrency is UNSET:
            self.max_cleanup_concurrency = int(takes_cleanup and bool(self.handled_cleanup_kinds))
        if not takes_cleanup and (self.handled_cleanup_kinds or self.max_cleanup_concurrency):
            raise Fault(f"Value error, clean-up messages require {CLEANUP_DELIVERY!r}")

    @property
    def cleanup_concurrency(self) -> int:
        """Clean-up messages that the worker takes at once; 0 if it takes none."""
        if not self.handled_cleanup_kinds or self.max_cleanup_concurrency is UNSET:
            return 0
        return self.max_cleanup_concurrency


class HelloFrame(_WorkerFrame):
    """The first frame of a worker."""

    type: Literal["worker.hello.v1"]
    payload: Hello


class Heartbeat(_Strict):
    """The worker is there; it names itself as it did in its hello."""

    consumer_id: UUID
    worker_name: Name
    heartbeat_interval_seconds: PositiveInterval


class HeartbeatFrame(_WorkerFrame):
    """Sent every `heartbeat_interval_seconds`; there is no answer."""

    type: Literal["worker.heartbeat.v1"]
    payload: Heartbeat


class CleanupOperation(_Strict):
    """What the worker does with the clean-up message it has reserved."""

    message_id: UUID
    reservation_token: Name


class CleanupRelease(CleanupOperation):
    """The worker gives a message back, and says why."""

    reason: Name


class AckFrame(_WorkerFrame):
    """The clean-up is done."""

    type: Literal["cleanup.ack.v1"]
    payload: CleanupOperation


class ReleaseFrame(_WorkerFrame):
    """Let the message be delivered again."""

    type: Literal["cleanup.release.v1"]
    payload: CleanupRelease


class RenewFrame(_WorkerFrame):
    """The worker needs more time."""

    type: Literal["cleanup.renew.v1"]
    payload: CleanupOperation


# What the server says.


class ResolvedQueue(msgspec.Struct, frozen=True):
    """A queue the worker serves."""

    id: str
    name: str


class Snapshot(msgspec.Struct, frozen=True):
    """The pool as it is; `snapshot_sequence` counts from 1 on each connection."""

    snapshot_sequence: int
    reason: SnapshotReason
    work_pool: Raw


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a hello."""

    consumer_id: UUID
    worker_id: None = None
    selected_channel_version: str = VERSION
    effective_heartbeat_interval_seconds: int
    accepted_capabilities: list[str]
    rejected_capabilities: list[str]
    effective_max_cleanup_concurrency: int
    resolved_work_queues: list[ResolvedQueue]
    initial_snapshot: Snapshot


class CleanupMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker is to tear down. It has until `lease_expires_at`, unless it renews."""

    message_id: str
    kind: CleanupKind
    reservation_token: str
    lease_expires_at: str
    delivery_count: int
    work_queue_id: str | None
    target: Raw
    data: Raw


class OperationResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an operation on a clean-up message.

    `lease_expires_at` is there for an accepted renewal alone, `reason` for all that is refused.
    """

    request_frame_id: UUID
    message_id: UUID
    operation: Operation
    status: Outcome
    lease_expires_at: str | None = None
    reason: str | None = None
    detail: str | None = None


class ServerFrame(msgspec.Struct, frozen=True):
    """The envelope of what the server says."""

    type: FrameType
    id: str
    sent_at: str
    payload: Ready | Snapshot | CleanupMessage | OperationResult
