"""The server: listens, gives each connection its lane, and stops without cutting answers off.

Owns    the listeners, and a task for every open connection (at most `http_connections_max`).
Serves  the API's `Handle` and socket handlers, on plain HTTP/1.1 by the fast lane; HTTP/2 (and
        everything, with the fast lane switched off) by hypercorn, which is imported only then.
Timer   the watch's tick, each second.
Fails   a port that is taken is the caller's OSError; a fault in a connection ends that connection.
"""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from lictor.actors.ingress import response_writer as writer
from lictor.actors.ingress.fastlane import Lane
from lictor.actors.ingress.http import Handle, Response
from lictor.actors.ingress.site import Site
from lictor.actors.ingress.socket import SocketHandler
from lictor.actors.ingress.watch import Watch
from lictor.actors.ingress.wire import Gone, TcpWire, TlsWire
from lictor.config.settings import Settings

if TYPE_CHECKING:
    from lictor.actors.ingress.hypercorn_lane import HypercornLane

BACKLOG: Final = 1024
TLS_HANDSHAKE_S: Final = 10.0
_log = logging.getLogger("lictor.ingress")
_FULL: Final = Response(
    503, b'{"exception_message":"Service Unavailable"}', headers=((b"retry-after", b"1"),)
)


async def serve(
    settings: Settings,
    handle: Handle,
    sockets: Mapping[str, SocketHandler],
    *,
    shutdown: trio.Event,
    listening: Sequence[socket.socket] | None = None,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `shutdown`, then for at most `settings.drain_s` what is in flight.

    `handle` gets every request below `settings.api_base_path`; `sockets` maps paths below it to
    their handlers. `listening`: sockets that listen already; without them, host and port of the
    settings are bound. `task_status` is given the URLs that are bound.

    Raises:
        OSError: the address cannot be bound, or the TLS files cannot be read.
    """
    tls = _tls_context(settings)
    if listening is None:
        listeners = await trio.open_tcp_listeners(
            settings.port, host=settings.host, backlog=BACKLOG
        )
    else:
        listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(s)) for s in listening]
    watch = Watch()
    server = Server(Site(settings, handle, sockets), watch, tls)
    async with trio.open_nursery() as timers:
        timers.start_soon(watch.run)
        async with trio.open_nursery() as connections:
            async with trio.open_nursery() as accepting:
                accept = partial(
                    trio.serve_listeners,
                    server.connection,
                    listeners,
                    handler_nursery=connections,
                )
                await accepting.start(accept)
                task_status.started([_url(each, tls is not None) for each in listeners])
                await shutdown.wait()
                accepting.cancel_scope.cancel()
            connections.cancel_scope.deadline = trio.current_time() + settings.drain_s
            await server.stop()
        timers.cancel_scope.cancel()


class Server:
    """What the connections of one `serve` share."""

    def __init__(self, site: Site, watch: Watch, tls: ssl.SSLContext | None) -> None:
        self._site = site
        self._watch = watch
        self._tls = tls
        self._connections = 0
        self._hypercorn: HypercornLane | None = None

    async def connection(self, stream: trio.SocketStream) -> None:
        """Serve one connection to its end; whatever is wrong with it stays with it."""
        if self._connections >= self._site.settings.http_connections_max:
            await self._turn_away(stream)
            return
        self._connections += 1
        try:
            if self._tls is None:
                await self._plain(stream)
            else:
                await self._encrypted(stream, self._tls)
        except* Gone:
            pass  # the peer left
        except* Exception:
            _log.exception("A connection failed; the others go on.")
        finally:
            self._connections -= 1
            await trio.aclose_forcefully(stream)

    async def stop(self) -> None:
        """Begin to end all connections."""
        self._watch.stop()
        if self._hypercorn is not None:
            await self._hypercorn.stop()

    async def _plain(self, stream: trio.SocketStream) -> None:
        wire = TcpWire(stream)
        try:
            lane = self._lane(wire, _peer(stream), "http")
            read = await lane.run()
        finally:
            wire.release()
        if read is not None:
            await self._to_hypercorn(stream, read)

    async def _encrypted(self, tcp: trio.SocketStream, context: ssl.SSLContext) -> None:
        stream = trio.SSLStream(tcp, context, server_side=True, https_compatible=True)
        with trio.move_on_after(TLS_HANDSHAKE_S) as patience:
            try:
                await stream.do_handshake()
            except trio.BrokenResourceError as error:
                raise Gone from error
        if patience.cancelled_caught:
            return
        if stream.selected_alpn_protocol() == "h2":
            await self._to_hypercorn(stream, b"")
            return
        read = await self._lane(TlsWire(stream), _peer(tcp), "https").run()
        if read is not None:
            await self._to_hypercorn(stream, read)

    def _lane(self, wire: TcpWire | TlsWire, peer: str | None, scheme: str) -> Lane:
        fast = self._site.settings.http_fast_lane
        return Lane(self._site, self._watch, wire, peer, scheme, http=fast)

    async def _to_hypercorn(
        self, stream: trio.SocketStream | trio.SSLStream[trio.SocketStream], read: bytes
    ) -> None:
        if self._hypercorn is None:
            from lictor.actors.ingress.hypercorn_lane import HypercornLane

            self._hypercorn = HypercornLane(self._site)
            if self._watch.stopping:
                await self._hypercorn.stop()
        await self._hypercorn.serve(stream, read)

    async def _turn_away(self, stream: trio.SocketStream) -> None:
        limit = self._site.settings.http_connections_max
        _log.warning("Refused a connection: %d are open (http_connections_max).", limit)
        if self._tls is None:
            answer = writer.whole(_FULL, self._watch.date, to_head=False, closes=True)
            wire = TcpWire(stream)
            try:
                await wire.send(answer)
                await wire.finish()
            except Gone:
                pass  # it did not wait for the answer
            finally:
                wire.release()
        await trio.aclose_forcefully(stream)


def _peer(stream: trio.SocketStream) -> str | None:
    try:
        address = stream.socket.getpeername()
    except OSError as error:
        raise Gone from error
    return str(address[0]) if isinstance(address, tuple) else None


def _url(listener: trio.SocketListener, encrypted: bool) -> str:
    host, port, *_ = listener.socket.getsockname()
    scheme = "https" if encrypted else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _tls_context(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls_certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context
