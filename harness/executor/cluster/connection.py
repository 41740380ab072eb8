"""The connection to a Ray cluster: made quickly or refused with the reason, and silent."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ...errors import UserError, refused
from ...strict import given

# Ray alone tries for two minutes.
_CONNECT_S = 5.0
# A client of HTTP/2, and so of gRPC, begins with these; the other side answers with its settings.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
_SETTINGS = 4
_CLIENT = "ray://"
_START = (
    "start one with `ray start --head`, further nodes with `ray start --address=HOST:6379`, or name"
    " one with --address"
)


def check_installed() -> None:
    """UserError if there is no Ray."""
    if importlib.util.find_spec("ray") is None:
        raise UserError("--executor ray: not installed: ray (pip install gradrace[ray])")


class Connection:
    """To a cluster, until `close`; a connection that this process had before stays.

    address: as of --address, "" for the cluster that runs here. UserError if there is none, or one
    of another Ray or Python."""

    def __init__(self, address: str) -> None:
        check_installed()
        _silence()
        import ray

        self._own = not ray.is_initialized()
        if self._own:
            self._print = _hushed()
            try:
                _connect(ray, address or "auto")
            except BaseException:
                _hushed(self._print)
                raise

    def close(self) -> None:
        """Safe to call twice."""
        import ray

        if self._own:
            self._own = False
            ray.shutdown()
            _hushed(self._print)


def _silence() -> None:
    """Before Ray is imported: it tells its makers that it is used, and takes the GPUs' variable
    from actors that ask for none."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")


def _hushed(new: Any = lambda *args, **options: None) -> Any:
    """Replaces the function with which Ray prints to standard output, which is ours, what happens
    to nodes; the one before."""
    from ray._private import worker

    module: Any = worker
    before = module.print_to_stdstream
    module.print_to_stdstream = new
    return before


def _connect(ray: Any, address: str) -> None:
    try:
        _check_answers(_found(address))
        if not address.startswith(_CLIENT):
            _check_node_here()
        with _own_signals():
            ray.init(address=address, logging_level=logging.CRITICAL, log_to_driver=False)
    except (ConnectionError, ValueError) as error:
        raise UserError(f"{_named(address)}: {_first_line(error)}; {_START}") from None
    # Another Python or Ray there, a password that is missing, no gRPC for ray://.
    except Exception as error:
        text = " ".join(str(error).split())
        if re.search("version", text, re.IGNORECASE):
            text += "; use the same Python and Ray here and there"
        raise UserError(f"{_named(address)}: {text}") from None


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ray would take SIGTERM for itself."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        # Only the main thread may, and only there Ray does.
        with suppress(ValueError):
            signal.signal(signal.SIGTERM, before)


def _named(address: str) -> str:
    return "no Ray cluster" if address == "auto" else f"no Ray cluster at {given(address)}"


def _found(address: str) -> str:
    """HOST:PORT of the cluster; ConnectionError if none runs here."""
    if address != "auto":
        return address.removeprefix(_CLIENT).partition("/")[0]
    from ray._private import services

    try:
        return str(services.canonicalize_bootstrap_address_or_die(address))
    except ConnectionError:
        raise ConnectionError("none was started on this machine") from None


def _check_answers(address: str) -> None:
    """ConnectionError unless something that speaks HTTP/2 listens there."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ConnectionError("expected auto, HOST:PORT or ray://HOST:PORT")
    if os.environ.get("RAY_USE_TLS", "0") != "0":
        return
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S) as opened:
            opened.sendall(_PREFACE)
            answer = opened.recv(9)
    except OSError as error:
        raise ConnectionError(f"{address} cannot be reached: {refused(error)}") from None
    if len(answer) < _SETTINGS or answer[3] != _SETTINGS:
        raise ConnectionError(f"what listens at {address} is no Ray")


def _check_node_here() -> None:
    """ConnectionError if no node runs on this machine: Ray would look for one for a minute."""
    from ray._private import services

    if not services.find_node_ids():
        raise ConnectionError(
            "no node of it runs on this machine, so this machine must join it, or connect by"
            " ray://HOST:10001"
        )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
