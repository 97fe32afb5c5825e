"""Passwords out of whatever is shown, logged or written."""

from __future__ import annotations

import re

_URL = re.compile(r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'<>]+")
_LOGIN = re.compile(r"(?<=://)[^/\s]*@")
_LOGIN_WITH_SLASH = re.compile(r"(?<=://)[^/\s:@]*:(?!\d*(?:[/?#]|$))[^\s@]*@")
"""A password that holds a slash: what follows the colon is no port."""
_SECRET = re.compile(
    r"((?<![A-Za-z])[A-Za-z_-]*"
    r"(?:pass|pwd|pw|secret|token|key|auth|user|usr|login|account|cred|sig|session)"
    r"[A-Za-z0-9_-]*=)[^&;#\s]*",
    re.IGNORECASE,
)
MASK = "***"


def without_credentials(text: str) -> str:
    """The text with ``user:password@`` taken out of every URL in it, and the values of what looks like a secret masked.

    Some cameras take ``/user=admin_password=...`` in the path; that is masked up to the next ``&``.

    >>> without_credentials("cannot open rtsp://bob:hunter2@cam/live?channel=1&token=abc")
    'cannot open rtsp://cam/live?channel=1&token=***'
    """
    return _URL.sub(lambda url: _masked(url.group()), text)


def _masked(url: str) -> str:
    url = _LOGIN.sub("", url)
    url = _LOGIN_WITH_SLASH.sub("", url)
    return _SECRET.sub(rf"\1{MASK}", url)
