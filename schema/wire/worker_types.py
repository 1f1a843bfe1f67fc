"""The types of workers that a work pool may be made for, in the form of Prefect's registry.

A description names the template that new pools of the type begin with; what workers of the type
`process` read of a run's configuration is theirs to say, the words here are lictor's own.

Source: the collection view `aggregate-worker-metadata`, `prefect.workers.process`.
"""

from __future__ import annotations

from typing import Any

_LOGO = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24'"
    " fill='none' stroke='%23475569' stroke-width='2'%3E%3Crect x='3' y='4' width='18' height='16'"
    " rx='2'/%3E%3Cpath d='M7 9l3 3-3 3M13 15h4'/%3E%3C/svg%3E"
)


def _text(title: str, description: str) -> dict[str, Any]:
    return {"title": title, "description": description, "type": "string"}


def _texts(title: str, description: str) -> dict[str, Any]:
    texts = {"type": "object", "additionalProperties": {"type": "string"}}
    return {"title": title, "description": description, **texts}


_VARIABLES: dict[str, Any] = {
    "name": _text("Name", "What the process of a run is called; the run's name if left out."),
    "env": _texts("Environment Variables", "Variables set for the process of a run."),
    "labels": _texts("Labels", "Labels put on what is started for a run."),
    "command": _text(
        "Command", "Command that executes a run. Leave it out to let the worker choose."
    ),
    "stream_output": {
        "title": "Stream Output",
        "description": "Whether the worker repeats the output of a run on its own.",
        "default": True,
        "type": "boolean",
    },
    "working_dir": {
        **_text("Working Directory", "Where a run is executed; without it, a temporary folder."),
        "format": "path",
    },
}

PROCESS: dict[str, Any] = {
    "type": "process",
    "display_name": "Process",
    "description": "Executes each flow run as a process on the machine of its worker.",
    "documentation_url": "https://docs.prefect.io/v3/concepts/workers",
    "logo_url": _LOGO,
    "install_command": "pip install prefect",
    "is_beta": False,
    "default_base_job_configuration": {
        "job_configuration": {name: f"{{{{ {name} }}}}" for name in _VARIABLES},
        "variables": {"type": "object", "properties": _VARIABLES},
    },
}

WORKER_TYPES: dict[str, dict[str, Any]] = {"prefect": {"process": PROCESS}}
"""Packages and the worker types each of them brings."""
