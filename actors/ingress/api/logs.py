"""Log lines: store, search, download. Source: `prefect.server.api.logs`."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from functools import partial
from urllib.parse import quote

from lictor.actors.ingress.api.paging import limit_of, offset_of
from lictor.actors.ingress.http import Response
from lictor.actors.ingress.operations import Call, Operation
from lictor.actors.readers import Readers
from lictor.schema.backends.tx import ReadTx
from lictor.schema.errors import NotFound
from lictor.schema.events.codec import unpack_moment
from lictor.schema.tables import logs
from lictor.schema.wire.logs import Log, LogCreate, LogSearch

CSV_PAGE_LINES = 1000
CSV_HEADER = b"timestamp,level,flow_run_id,task_run_id,message\r\n"


async def create(call: Call[list[LogCreate]]) -> None:
    """Store a batch of lines."""
    await call.services.logs.write(call.body, len(call.request.body))


async def search(call: Call[LogSearch]) -> list[Log]:
    """The lines that match."""
    body, services = call.body, call.services
    return await services.readers.read(
        partial(
            logs.search,
            criteria=body.logs,
            sort=body.sort or "TIMESTAMP_ASC",
            limit=limit_of(body.limit, services.settings),
            offset=offset_of(body.offset),
        )
    )


async def download(call: Call[None]) -> Response:
    """Every line of a flow run as CSV, oldest first.

    Source: `download_logs` in `prefect.server.api.flow_runs`.
    """
    id_, readers = call.params[0], call.services.readers
    name = readers.inline(partial(_run_name, id_=id_))
    if name is None:
        raise NotFound("Flow run not found")
    return Response(
        200,
        media_type=b"text/csv; charset=utf-8",
        headers=((b"content-disposition", _disposition(name)),),
        stream=_csv(readers, id_),
    )


def _run_name(tx: ReadTx, id_: str) -> str | None:
    row = tx.one("SELECT name FROM flow_run WHERE id = ?", (id_,))
    return None if row is None else row[0]


def _disposition(run_name: str) -> bytes:
    """A plain file name for every client, and the run's own for those that read RFC 6266."""
    own = quote(f"{run_name}-logs.csv", safe="")
    return f"attachment; filename=\"flow-run-logs.csv\"; filename*=UTF-8''{own}".encode()


async def _csv(readers: Readers, flow_run_id: str) -> AsyncIterator[bytes]:
    yield CSV_HEADER
    cursor: logs.Cursor | None = logs.BEGINNING
    while cursor is not None:
        page, cursor = await readers.read(
            partial(
                logs.page_of_flow_run, flow_run_id=flow_run_id, after=cursor, limit=CSV_PAGE_LINES
            )
        )
        text = io.StringIO(newline="")
        csv.writer(text).writerows(
            (_csv_moment(timestamp), level, flow_run_id, task_run_id, message)
            for timestamp, level, task_run_id, message in page
        )
        if page:
            yield text.getvalue().encode()


def _csv_moment(timestamp_us: int) -> str:
    """`2024-01-01 00:00:00.123456+00:00`; whole seconds have no fraction."""
    text = unpack_moment(timestamp_us)
    return f"{text[:10]} {text[11:-1].removesuffix('.000000')}+00:00"


OPERATIONS = (
    Operation(
        "POST",
        "/logs/",
        create,
        body=list[LogCreate],
        status=201,
        summary="Create log lines",
    ),
    Operation(
        "POST",
        "/logs/filter",
        search,
        body=LogSearch,
        result=list[Log],
        optional_body=True,
        summary="Search log lines",
    ),
    Operation(
        "GET",
        "/flow_runs/{id}/logs/download",
        download,
        summary="Download the log lines of a flow run as CSV",
    ),
)
