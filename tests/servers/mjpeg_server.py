"""Plays the pictures of `camera_feed` as a camera with a web page would: http://127.0.0.1:PORT/camera.

usage: python mjpeg_server.py PORT      prints the port, then serves until it is killed
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2

sys.path.insert(0, str(Path(__file__).parent))
from camera_feed import draw, jpegs

DRAWN = draw()


class Camera(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        try:
            for jpeg in jpegs(DRAWN):
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                self.wfile.write(head.encode() + jpeg + b"\r\n")
        except OSError:
            return

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    cv2.setNumThreads(1)
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Camera)
    print(server.server_address[1], flush=True)
    server.serve_forever()
