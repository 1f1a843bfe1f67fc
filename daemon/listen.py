"""The sockets the API listens on: handed over by systemd, or bound before the disk is touched."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Mapping

from msgspec.structs import replace

from lictor.config.settings import Settings
from lictor.daemon.exits import CannotStart, Exit

BACKLOG = 1024
FIRST_HANDED_OVER = 3
"""The number of the first descriptor that systemd passes. Source: sd_listen_fds(3)."""
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}


def listeners(settings: Settings) -> list[socket.socket]:
    """Listening, non-blocking sockets: one for each address that `settings.host` stands for.

    Clients that connect wait in the backlog until the first is accepted.

    Raises:
        CannotStart: an address is taken, not this machine's, or not permitted.
    """
    host, port = settings.host, settings.port
    opened: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )
        for family, _, _, _, address in dict.fromkeys(found):
            chosen = opened[0].getsockname()[1] if opened else port
            opened.append(_listener(family, str(address[0]), chosen))
    except (OSError, UnicodeError) as error:
        for each in opened:
            each.close()
        raise CannotStart(Exit.PORT, _reason(error, host, port)) from error
    return opened


def handed_over(environment: Mapping[str, str]) -> list[socket.socket]:
    """The listening sockets that systemd has opened for this process; none without a socket unit.

    They stay open when this process ends, however it ends: clients that come while the next one
    starts wait in the backlog, where otherwise they would be refused.
    Source: sd_listen_fds(3)

    Raises:
        CannotStart: one of them is not a listening TCP socket.
    """
    count = environment.get("LISTEN_FDS", "")
    if environment.get("LISTEN_PID") != str(os.getpid()) or not count.isdecimal():
        return []
    found: list[socket.socket] = []
    for number in range(FIRST_HANDED_OVER, FIRST_HANDED_OVER + int(count)):
        try:
            found.append(_handed_over(number))
        except OSError as error:
            for each in found:
                each.close()
            raise CannotStart(
                Exit.PORT,
                f"what systemd hands over as descriptor {number} is not a listening TCP socket: "
                "the socket unit may have ListenStream= with an address and a port, and Accept=no.",
            ) from error
    return found


def at(settings: Settings, listening: socket.socket) -> Settings:
    """The settings with host and port of a socket that was handed over."""
    host, port = listening.getsockname()[:2]
    return replace(settings, host=host, port=port)


def check_tls(settings: Settings) -> None:
    """Raises:
    CannotStart: the certificate or its key cannot be read, or they do not belong together.
    """
    if settings.tls_certificate is None:
        return
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            settings.tls_certificate, settings.tls_key
        )
    except (OSError, ssl.SSLError) as error:
        raise CannotStart(
            Exit.CONFIGURATION,
            f"tls_certificate {settings.tls_certificate} and its key cannot be used: {error}.",
        ) from error


def url(settings: Settings, listening: socket.socket) -> str:
    """Where the API is, as a client on this machine reaches it."""
    host = _WILDCARDS.get(settings.host, settings.host)
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    scheme = "https" if settings.tls_certificate else "http"
    return f"{scheme}://{host}:{listening.getsockname()[1]}{settings.api_base_path}"


def _listener(family: int, address: str, port: int) -> socket.socket:
    each = socket.socket(family, socket.SOCK_STREAM)
    try:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and address != "::":
            each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        each.bind((address, port))
        each.listen(BACKLOG)
        each.setblocking(False)
    except OSError:
        each.close()
        raise
    return each


def _handed_over(number: int) -> socket.socket:
    each = socket.socket(fileno=number)
    listens = each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if each.family not in (socket.AF_INET, socket.AF_INET6) or not listens:
        each.close()
        raise OSError(errno.EINVAL, "not a listening TCP socket")
    each.set_inheritable(False)
    each.setblocking(False)
    return each


def _reason(error: OSError | UnicodeError, host: str, port: int) -> str:
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return f"the host {host!r} is not an address: {error}. Choose another with --host."
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is taken by another program. Stop that, or choose another port "
            "with --port (--port 0: any free one)."
        )
    if error.errno == errno.EACCES:
        return f"this user may not listen on port {port}. Choose one above 1023 with --port."
    return f"cannot listen on {host} port {port}: {error.strerror}. Choose another --host."
