"""How a command asks a running server, over HTTP."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

DEFAULT_URL = "http://127.0.0.1:4200/api"
URL_VARIABLE = "PREFECT_API_URL"
AUTH_VARIABLE = "PREFECT_API_AUTH_STRING"
TIMEOUT_S = 10.0


class NoAnswer(Exception):
    """The server gave no answer that is of use; the text says why, and what to do."""


class Refusal(NoAnswer):
    """The server refused; `detail` is what it said, None if that was nothing to be understood."""

    def __init__(self, text: str, status: int, detail: object) -> None:
        super().__init__(text)
        self.status = status
        self.detail = detail


class ApiClient:
    """Asks one server. `url` is the API's; without it that of the environment, where Prefect's
    clients look, or the default port of this machine.

    Raises:
        NoAnswer: that is not the address of an API.
    """

    def __init__(self, url: str | None, environment: Mapping[str, str]) -> None:
        self.base = (url or environment.get(URL_VARIABLE) or DEFAULT_URL).rstrip("/")
        if not self.base.startswith(("http://", "https://")):
            said = f"{self.base} is not the address of an API; give one like {DEFAULT_URL}."
            raise NoAnswer(said)
        self._headers = {"Content-Type": "application/json"}
        if credentials := environment.get(AUTH_VARIABLE):
            encoded = base64.b64encode(credentials.encode()).decode()
            self._headers["Authorization"] = f"Basic {encoded}"

    def ask(self, path: str, body: object = None) -> Any:
        """The decoded answer to a GET, or with a body to a POST.

        Raises:
            Refusal: the server refuses.
            NoAnswer: it cannot be reached, or does not speak JSON.
        """
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.base}{path}", data, self._headers)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error) from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            said = f"No answer from {self.base}: {reason}. Is the server running?"
            raise NoAnswer(said) from error

    def _refusal(self, error: urllib.error.HTTPError) -> Refusal:
        try:
            detail = json.load(error).get("detail")
        except (OSError, ValueError, AttributeError):
            detail = None
        said = f"{self.base} answered {error.code}."
        if error.code == 401:
            said = f"{self.base} asks for credentials: set {AUTH_VARIABLE}."
        elif isinstance(detail, str):
            said = f"{self.base} answered {error.code}: {detail}"
        return Refusal(said, error.code, detail)
