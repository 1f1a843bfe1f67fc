"""Which Prefect this is: what clients read once and compare with themselves."""

from __future__ import annotations

API_VERSION = "0.8.4"
"""Version of the protocol. Source: `prefect.server.api.server.SERVER_API_VERSION`."""

API_VERSION_MIN = (0, 8, 0)
"""The oldest protocol a client may ask for in `X-PREFECT-API-VERSION`."""

PREFECT_VERSION = "3.9.1"
"""Version of the Prefect whose server lictor stands for, in PEP 440 form."""
