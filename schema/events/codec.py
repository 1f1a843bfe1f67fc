"""How events are packed into the columns of the `event` tables, and unpacked.

Ids become 16 bytes, moments integer microseconds since 1970, JSON a body: one byte that names the
format, then the text, plain or deflated with a preset dictionary of what events of lictor and its
clients have in common. Bodies of every format ever written stay readable: a new dictionary is a new
format byte, and `DICTIONARY` itself never changes.
"""

from __future__ import annotations

import zlib
from datetime import UTC, datetime, timedelta
from typing import Final

from lictor.schema.times import Timestamp

PLAIN: Final = b"\x00"
DEFLATED_1: Final = b"\x01"
DEFLATE_FROM_BYTES = 48
"""Shorter texts are kept as they are: deflating them gains nothing."""

LEVEL, WINDOW_BITS, MEMORY = 3, -13, 5
"""Measured best for bodies of a kilobyte: a small window starts quickly (storage-format.md)."""

DICTIONARY: Final = (
    b'"prefect.version":"prefect.worker-type":"process"prefect.runner.cancelled-flow-run'
    b'"prefect.resource.role":"creator""prefect.resource.role":"task-run"prefect.task-run.'
    b'"prefect.resource.role":"work-queue","prefect.resource.name":"default"prefect.work-queue.'
    b'"prefect.resource.role":"work-pool","prefect.work-pool.type":"prefect.work-pool.'
    b'[{"prefect.resource.id":"prefect.flow-run.","prefect.resource.role":"flow-run",'
    b'"prefect.resource.name":"},{"prefect.resource.id":"prefect.flow.",'
    b'"prefect.resource.role":"flow","prefect.resource.name":"'
    b'},{"prefect.resource.id":"prefect.deployment.","prefect.resource.role":"deployment"'
    b'},{"prefect.resource.id":"prefect.tag.","prefect.resource.role":"tag"}]'
    b'"SCHEDULED""Scheduled""Late""AwaitingRetry""Retrying""CANCELLING""Cancelling""CANCELLED"'
    b'"Cancelled""PAUSED""Paused""Suspended""CRASHED""Crashed""FAILED""Failed""Cached"'
    b'"pause_reschedule":"false""message":"Task run encountered an exception '
    b'"state_details":{"cache_key":"","cache_expiration":"","task_parameters_id":"'
    b'"retriable":true,"untrackable_result":false,"traceparent":"}'
    b'"data":{"type":"unpersisted"}"data":{"serializer":{"type":"pickle"},"expiration":null,'
    b'"prefect_version":"3.","storage_key":"","storage_block_id":null}'
    b'"task_inputs":{"x":[{"input_type":"task_run","id":"'
    b'"initial_state":null,"validated_state":{"type":"PENDING","name":"Pending",'
    b'[{"prefect.resource.name":"","prefect.run-count":"1","prefect.state-message":"",'
    b'"prefect.state-name":"Completed","prefect.state-timestamp":"2026-",'
    b'"prefect.state-type":"COMPLETED","prefect.orchestration":"client"},'
    b'{"intended":{"from":"RUNNING","to":"COMPLETED"},'
    b'"initial_state":{"type":"RUNNING","name":"Running","message":null,"state_details":{}},'
    b'"validated_state":{"type":"COMPLETED","name":"Completed","message":null,'
    b'"state_details":{},"data":null},"task_run":{"name":"-0","task_key":"","dynamic_key":"0",'
    b'"empirical_policy":{"max_retries":0,"retry_delay_seconds":0.0,"retries":0,"retry_delay":0,'
    b'"retry_jitter_factor":null},"tags":[],'
    b'"labels":{"prefect.flow.id":"","prefect.flow-run.id":"},"task_inputs":{},"run_count":1,'
    b'"flow_run_run_count":1,"expected_start_time":"2026-","start_time":"2026-","end_time":"2026-'
    b'","total_run_time":0.0}}]'
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_NAIVE = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)


class CorruptBody(Exception):
    """A stored body has a format byte that this program does not know."""


def pack(text: bytes) -> bytes:
    """The body that holds `text`."""
    if len(text) < DEFLATE_FROM_BYTES:
        return PLAIN + text
    packer = zlib.compressobj(
        LEVEL, zlib.DEFLATED, WINDOW_BITS, MEMORY, zlib.Z_DEFAULT_STRATEGY, DICTIONARY
    )
    return DEFLATED_1 + packer.compress(text) + packer.flush()


def unpack(body: bytes) -> bytes:
    """The text in `body`.

    Raises:
        CorruptBody: written by a newer lictor, or not by lictor.
    """
    form = body[:1]
    if form == DEFLATED_1:
        return zlib.decompressobj(WINDOW_BITS, DICTIONARY).decompress(memoryview(body)[1:])
    if form == PLAIN:
        return body[1:]
    raise CorruptBody(f"An event is stored in the unknown format {form!r}.")


def pack_id(id_: str) -> bytes:
    """The 16 bytes of a canonical UUID text."""
    return bytes.fromhex(id_.replace("-", ""))


def unpack_id(packed: bytes) -> str:
    """The canonical UUID text of 16 bytes."""
    text = packed.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def pack_moment(stamp: Timestamp) -> int:
    """Microseconds since 1970 of a canonical text; negative before."""
    return microseconds(datetime.fromisoformat(stamp))


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970 of an aware moment."""
    return (moment - _EPOCH) // _MICROSECOND


def unpack_moment(since_epoch: int) -> Timestamp:
    """The canonical text of so many microseconds since 1970."""
    moment = _EPOCH_NAIVE + timedelta(microseconds=since_epoch)
    return moment.isoformat(timespec="microseconds") + "Z"
