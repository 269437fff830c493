"""Plays JPEG pictures from standard input as an RTSP camera would: rtsp://127.0.0.1:PORT/camera.

usage: python camera_feed.py | /usr/bin/python3 rtsp_server.py PORT      prints the port, then serves until it is killed

Runs under the system's Python, because GStreamer's bindings come from Debian packages (gir1.2-gst-rtsp-server-1.0,
python3-gi, gstreamer1.0-plugins-base, gstreamer1.0-plugins-good).
"""

import struct
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

CAPS = "image/jpeg,width=1920,height=1080,framerate=30/1"

Gst.init(None)
playing = []


def note_media(_factory, media):
    source = media.get_element().get_by_name("source")
    playing.append(source)
    media.connect("unprepared", lambda _media: playing.remove(source))


def pictures():
    while len(head := sys.stdin.buffer.read(4)) == 4:
        yield sys.stdin.buffer.read(struct.unpack(">I", head)[0])


def feed(coming):
    for jpeg in coming:
        for source in list(playing):
            source.emit("push-buffer", Gst.Buffer.new_wrapped(jpeg))


server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(sys.argv[1])
factory = GstRtspServer.RTSPMediaFactory()
source = f"appsrc name=source is-live=true do-timestamp=true format=time caps={CAPS}"
factory.set_launch(f"( {source} max-buffers=2 leaky-type=downstream ! rtpjpegpay name=pay0 pt=26 )")
factory.set_shared(True)
factory.connect("media-configure", note_media)
server.get_mount_points().add_factory("/camera", factory)
coming = pictures()
next(coming)  # a camera that answers gives pictures: who sends them may take seconds to begin
if not server.attach(None):
    sys.exit(f"port {sys.argv[1]} is taken")
threading.Thread(target=feed, args=(coming,), daemon=True).start()
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
