"""screen.py - a client of RFC 6143 (VNC) that measures: it asks for the whole screen again and again.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import socket
import struct
import time


class Screen:
    def __init__(self, address, encoding):
        self.socket = socket.create_connection(address, 30)
        self.read(12)
        self.socket.sendall(b"RFB 003.008\n")
        if 1 not in self.read(self.read(1)[0]):
            raise ValueError("the VNC server wants a password")
        self.socket.sendall(b"\1")
        if self.read(4) != bytes(4):
            raise ValueError("the VNC server refuses")
        self.socket.sendall(b"\1")
        self.width, self.height, *_, name = struct.unpack(">HH16sI", self.read(24))
        self.read(name)
        self.socket.sendall(struct.pack(">BxHI", 2, 1, encoding))

    def read(self, size):
        data = bytearray(size)
        view = memoryview(data)
        while view:
            got = self.socket.recv_into(view)
            if not got:
                raise ValueError("the VNC server ended")
            view = view[got:]
        return bytes(data)

    def update(self):
        """Asks for the whole screen, and returns when all of it has come."""
        self.socket.sendall(struct.pack(">BBHHHH", 3, 0, 0, 0, self.width, self.height))
        pixels = self.width * self.height
        while pixels > 0:
            kind = self.read(1)[0]
            if kind != 0:
                raise ValueError("message %d of the VNC server" % kind)
            for _ in range(struct.unpack(">xH", self.read(3))[0]):
                _, _, width, height, encoding = struct.unpack(">HHHHI", self.read(12))
                if encoding not in (0, 6):
                    raise ValueError("encoding %d was not asked for" % encoding)
                self.read(width * height * 4 if encoding == 0 else struct.unpack(">I", self.read(4))[0])
                pixels -= width * height


def updates(address, encoding, seconds):
    """Whole screens for each second."""
    screen = Screen(address, encoding)
    screen.update()
    begin, count = time.monotonic(), 0
    while time.monotonic() < begin + seconds:
        screen.update()
        count += 1
    rate = count / (time.monotonic() - begin)
    screen.socket.close()
    return rate
