"""Where the server listens: may it, and is the port free?"""

import errno
import ipaddress
import socket

from pinwheel.up.problems import CannotStart


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`. A name counts only if it is `localhost`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_exposure(host: str, allowed: bool) -> None:
    """`allowed`: keys are asked for, or somebody said so. Raises `CannotStart`."""
    if not allowed and not is_loopback(host):
        raise CannotStart(
            f"Refusing to listen on {host}: other machines could reach it, and whoever can may train, read "
            "and delete. Use 127.0.0.1, set PINWHEEL_API_KEYS (`pinwheel key` makes one), or add --insecure if the "
            "network is trusted.",
            exit_code=2,
        )


def free_port(host: str, port: int) -> int:
    """`port` itself if nobody listens there, or a free one for 0. Raises `CannotStart`."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise CannotStart(f"There is no address {host!r} on this machine: {error.strerror or error}.") from error
    with socket.socket(family, kind, protocol) as probe:
        # As the server will: connections of the last run that are still closing do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            # macOS lets two sockets share an address until one of them listens.
            probe.listen(1)
        except OSError as error:
            raise CannotStart(_why(error, host, port)) from error
        return int(probe.getsockname()[1])


def as_url(host: str, port: int) -> str:
    """The address that a browser on this machine can open."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def _why(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} on {host} is taken by another program. Choose one with --port, or any free one with --port 0."
        )
    if error.errno == errno.EACCES:
        return f"Port {port} on {host} needs more rights than this user has. Choose one above 1023 with --port."
    return f"Cannot listen on {host}:{port}: {error.strerror}."
