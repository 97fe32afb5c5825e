"""A live RTSP server on loopback, for the tests. Run it with the system's Python: PyGObject is no wheel.

usage: rtsp_server.py PORT CLIP RATE [USER PASSWORD basic|digest]

CLIP is a folder with one H.264 picture per file (``00000.h264`` ...), played for ever, RATE pictures a second; or an
MP4 file, played once at its own pace. Either is at ``/cam``. Port 0 takes a free one. Says ``ready PORT`` on standard
output.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROLE = "viewer"


class Player:
    """Pushes the pictures of one client's stream, round and round; the sink paces them by their time stamps."""

    def __init__(self, gst: Any, pictures: list[bytes], rate: int) -> None:
        self._gst, self._pictures, self._step = gst, pictures, gst.SECOND // rate
        self._count = 0

    def push(self, source: Any, length: int) -> None:
        """The next picture."""
        buffer = self._gst.Buffer.new_wrapped(self._pictures[self._count % len(self._pictures)])
        buffer.pts = buffer.dts = self._count * self._step
        buffer.duration = self._step
        self._count += 1
        source.emit("push-buffer", buffer)


def guard(rtsp: Any, server: Any, factory: Any, user: str, password: str, kind: str) -> None:
    """Let in only who knows the password."""
    auth, token = rtsp.RTSPAuth(), rtsp.RTSPToken()
    token.set_string("media.factory.role", ROLE)
    if kind == "basic":
        auth.set_supported_methods(1)
        auth.add_basic(rtsp.RTSPAuth.make_basic(user, password), token)
    else:
        auth.set_supported_methods(2)
        auth.add_digest(user, password, token)
    server.set_auth(auth)
    permissions = rtsp.RTSPPermissions()
    permissions.add_permission_for_role(ROLE, "media.factory.access", True)
    permissions.add_permission_for_role(ROLE, "media.factory.construct", True)
    factory.set_permissions(permissions)


def main(port: str, clip: str, rate: str, *login: str) -> None:
    """Serve until killed."""
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtspServer

    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_shared(False)  # shared media hang when several clients open them cold
    if Path(clip).is_dir():
        pictures = [path.read_bytes() for path in sorted(Path(clip).iterdir())]
        played = (
            "appsrc name=pictures format=time is-live=true "
            f"caps=video/x-h264,stream-format=byte-stream,alignment=au,framerate={rate}/1"
        )

        def configure(factory: Any, media: Any) -> None:
            media.get_element().get_by_name("pictures").connect("need-data", Player(Gst, pictures, int(rate)).push)

        factory.connect("media-configure", configure)
    else:
        played = f"filesrc location={clip} ! qtdemux"
    factory.set_launch(f"( {played} ! h264parse config-interval=1 ! rtph264pay name=pay0 pt=96 )")
    if login:
        guard(GstRtspServer, server, factory, *login)
    server.get_mount_points().add_factory("/cam", factory)
    if not server.attach(None):
        sys.exit(f"port {port} is taken")
    print(f"ready {server.get_bound_port()}", flush=True)  # noqa: T201
    GLib.MainLoop().run()


if __name__ == "__main__":
    main(*sys.argv[1:])
