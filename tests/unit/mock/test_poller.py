"""The stand-in for epoll on systems without it."""

import socket

from loadgen.mock.poller import IN, OUT, Selector


def test_it_says_what_epoll_would() -> None:
    near, far = socket.socketpair()
    poller = Selector()
    try:
        fd = near.fileno()
        poller.register(fd, IN)
        assert poller.poll(0) == []
        poller.modify(fd, IN | OUT)
        assert poller.poll(0) == [(fd, OUT)]
        far.send(b"x")
        assert poller.poll(-1) == [(fd, IN | OUT)]
        poller.unregister(fd)
        assert poller.poll(0) == []
    finally:
        poller.close()
        near.close()
        far.close()
