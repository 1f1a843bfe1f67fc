"""The API's WebSockets, by their paths below its prefix; `{}` stands for any one segment."""

from __future__ import annotations

from functools import partial

from lictor.actors.ingress.services import Services
from lictor.actors.ingress.socket import SocketHandler
from lictor.actors.ingress.sockets import events, logs, task_runs, workers


def build_sockets(services: Services) -> dict[str, SocketHandler]:
    """The handler of each socket."""
    return {
        "/events/in": partial(events.receive, services=services),
        "/events/out": partial(events.stream, services=services),
        "/logs/out": partial(logs.stream, services=services),
        "/task_runs/subscriptions/scheduled": partial(task_runs.deliver, services=services),
        "/work_pools/{}/workers/connect": partial(workers.connect, services=services),
    }
