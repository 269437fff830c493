"""Plays an MJPEG AVI file as an RTSP camera would: rtsp://127.0.0.1:PORT/camera.

usage: /usr/bin/python3 rtsp_server.py FILE.avi        prints the port, then serves until it is killed

Runs under the system's Python, because GStreamer's bindings come from Debian packages (gir1.2-gst-rtsp-server-1.0,
python3-gi, gstreamer1.0-plugins-good).
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service("0")
factory = GstRtspServer.RTSPMediaFactory()
# Encoded again: RTP carries no Huffman tables (RFC 2435), and a file may have its own.
pipeline = "avidemux ! jpegdec ! jpegenc quality=90 ! rtpjpegpay name=pay0 pt=26"
factory.set_launch(f"( filesrc location={sys.argv[1]} ! {pipeline} )")
factory.set_shared(True)
server.get_mount_points().add_factory("/camera", factory)
server.attach(None)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
