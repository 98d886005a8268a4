"""TLS over memory, so that the socket stays ours and its reads keep their kernel stamps."""

from __future__ import annotations

import ssl


class TlsLayer:
    """The client side of one TLS connection: bytes in, bytes out, no socket."""

    __slots__ = ("_in", "_object", "_out", "ended")

    def __init__(self, context: ssl.SSLContext, server_name: str) -> None:
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._in, self._out, server_hostname=server_name)
        self.ended = False

    def handshake(self, data: bytes | None) -> bool:
        """Take bytes of the handshake; true when it is done. Raises ssl.SSLError if it fails."""
        if data:
            self._in.write(data)
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    @property
    def alpn(self) -> str | None:
        """The protocol that the handshake agreed on; None if the server named none."""
        return self._object.selected_alpn_protocol()

    def outgoing(self) -> bytes:
        """Bytes that have to be sent to the server."""
        return self._out.read()

    def encrypt(self, data: bytes) -> bytes:
        self._object.write(data)
        return self._out.read()

    def decrypt(self, data: bytes) -> bytes:
        """Take bytes from the server and give the plain ones they complete. Raises ssl.SSLError if they are forged."""
        self._in.write(data)
        plain = b""
        while True:
            try:
                piece = self._object.read(65536)
            except ssl.SSLWantReadError:
                return plain
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                self.ended = True
                return plain
            if not piece:
                self.ended = True
                return plain
            plain = plain + piece if plain else piece
