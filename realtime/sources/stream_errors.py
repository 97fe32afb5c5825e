"""Why a stream cannot be opened or went away, in a sentence that helps.

PyAV's own messages hold the whole address, password included: none of them is ever quoted.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from urllib.parse import urlsplit

import av
from av.error import ExitError, HTTPForbiddenError, HTTPNotFoundError, HTTPUnauthorizedError, InvalidDataError

from tsfmicro.errors import SourceError
from tsfmicro.redaction import without_credentials


def reason_of(error: Exception) -> str:
    """The failure in the words of ffmpeg, without the address it repeats."""
    return str(getattr(error, "strerror", None) or type(error).__name__)


def is_timeout(error: Exception) -> bool:
    """True where a wait was cut short: PyAV's own limit, or ffmpeg's."""
    return isinstance(error, ExitError | TimeoutError) or getattr(error, "errno", None) == errno.ETIMEDOUT


def opening_error(error: Exception, url: str, waited_s: float, limit_s: float) -> SourceError:
    """What to tell the user when a stream does not open.

    Args:
        error: what PyAV raised.
        url: as typed, credentials included.
        waited_s: how long it took to fail; some of ffmpeg's readers call a timeout invalid data.
        limit_s: how long it was allowed to take.
    """
    return SourceError(f"{without_credentials(url)} {_sentence(error, url, waited_s >= 0.95 * limit_s, limit_s)}")


def _sentence(error: Exception, url: str, late: bool, limit_s: float) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return "is no address; expected something like rtsp://HOST:554/PATH."
    if isinstance(error, HTTPUnauthorizedError | HTTPForbiddenError):
        if "@" in parts.netloc:
            return "does not accept this user name and password; check both, and write special characters as %XX."
        return f"asks for a user name and a password; write {parts.scheme}://USER:PASSWORD@{parts.netloc}..."
    if isinstance(error, HTTPNotFoundError):
        return "answers, but has no stream of that path (404); look the path up in the camera's manual."
    if isinstance(error, ConnectionRefusedError):
        return "refuses the connection; check that the camera is on, its address, and the port."
    if is_timeout(error) or (late and isinstance(error, InvalidDataError)):
        return f"did not answer within {limit_s:g} s; check the address, the cable, and that no firewall is between."
    if not isinstance(error, av.FFmpegError):
        return f"is no address that can be opened ({reason_of(error)}); expected something like rtsp://HOST:554/PATH."
    if _is_unknown(host):
        return f"names a host that is not known here ({host}); check the spelling, or give its number."
    if isinstance(error, InvalidDataError):
        return "answers, but not with video; check the path of the address."
    return f"cannot be opened ({reason_of(error)}); check the address, and that the camera is on."


def _is_unknown(host: str | None) -> bool:
    with contextlib.suppress(UnicodeError, ValueError):
        try:
            socket.getaddrinfo(host or "", None)
        except socket.gaierror:
            return True
    return False
