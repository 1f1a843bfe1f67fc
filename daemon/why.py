"""`lictor why`: asks a running server, over HTTP, why a run is not running."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from lictor.daemon.api_client import ApiClient, NoAnswer, Refusal


def ask(run_id: UUID, url: str | None, environment: Mapping[str, str]) -> dict[str, Any]:
    """The explanation, as `schema.wire.explanations.Explanation` has it.

    Raises:
        NoAnswer: the server cannot be reached, or does not know the run.
    """
    client = ApiClient(url, environment)
    try:
        answer: dict[str, Any] = client.ask(f"/lictor/flow_runs/{run_id}/why")
    except Refusal as refusal:
        if refusal.status != 404:
            raise
        if refusal.detail == "Flow run not found":
            raise NoAnswer(f"There is no flow run {run_id} at {client.base}.") from refusal
        said = f"{client.base} is not the API of a lictor that can explain runs."
        raise NoAnswer(said) from refusal
    return answer
