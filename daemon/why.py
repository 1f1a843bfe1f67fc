"""`lictor why`: asks a running server, over HTTP, why a run is not running."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from uuid import UUID

DEFAULT_URL = "http://127.0.0.1:4200/api"
URL_VARIABLE = "PREFECT_API_URL"
AUTH_VARIABLE = "PREFECT_API_AUTH_STRING"
TIMEOUT_S = 10.0


class NoAnswer(Exception):
    """There is no explanation; the text says why, and what to do."""


def ask(run_id: UUID, url: str | None, environment: Mapping[str, str]) -> dict[str, Any]:
    """The explanation, as `schema.wire.explanations.Explanation` has it.

    `url` is the API's; without it that of the environment, where Prefect's clients look, or the
    default port of this machine.

    Raises:
        NoAnswer: the server cannot be reached, or does not know the run.
    """
    base = (url or environment.get(URL_VARIABLE) or DEFAULT_URL).rstrip("/")
    if not base.startswith(("http://", "https://")):
        raise NoAnswer(f"{base} is not the address of an API; give one like {DEFAULT_URL}.")
    request = urllib.request.Request(f"{base}/lictor/flow_runs/{run_id}/why")
    if credentials := environment.get(AUTH_VARIABLE):
        encoded = base64.b64encode(credentials.encode()).decode()
        request.add_header("Authorization", f"Basic {encoded}")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            answer: dict[str, Any] = json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            raise NoAnswer(_of_status(error, run_id, base)) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise NoAnswer(f"No answer from {base}: {reason}. Is the server running?") from error
    return answer


def _of_status(error: urllib.error.HTTPError, run_id: UUID, base: str) -> str:
    if error.code == 401:
        return f"{base} asks for credentials: set {AUTH_VARIABLE}."
    if error.code == 404:
        try:
            known = json.load(error).get("detail") == "Flow run not found"
        except (ValueError, AttributeError):
            known = False
        if known:
            return f"There is no flow run {run_id} at {base}."
        return f"{base} is not the API of a lictor that can explain runs."
    return f"{base} answered {error.code}."
