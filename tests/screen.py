"""screen - pictures of a guest's screen: fetched by RFB, and read as text by the font that the VGA
BIOS of package seabios draws with.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import socket
import struct

ROM = "/usr/share/seabios/vgabios-stdvga.bin"
# The letter A of IBM's 8x16 font, by which the font is found in the ROM.
LETTER_A = bytes((0, 0, 0x10, 0x38, 0x6C, 0xC6, 0xC6, 0xFE, 0xC6, 0xC6, 0xC6, 0xC6, 0, 0, 0, 0))


class Picture:
    """@pixel(x, y) gives (red, green, blue)."""

    def __init__(self, width, height, data, size, order):
        self.width, self.height = width, height
        self.data, self.size, self.order = data, size, order

    def pixel(self, x, y):
        at = (y * self.width + x) * self.size
        return tuple(self.data[at + i] for i in self.order)

    def text(self):
        """Lines of an 80x25 text screen; what is no character of the font is '?'."""
        with open(ROM, "rb") as stream:
            rom = stream.read()
        font = rom.index(LETTER_A) - 16 * ord("A")
        glyphs = {}
        for code in range(126, 31, -1):
            glyphs[rom[font + 16 * code:font + 16 * code + 16]] = chr(code)
        dots = self.width // 80
        return ["".join(self.cell(column * dots, row * 16, glyphs) for column in range(80)).rstrip()
                for row in range(self.height // 16)]

    def cell(self, x, y, glyphs):
        back = self.pixel(x + 7, y)
        rows = bytes(sum(128 >> i for i in range(8) if self.pixel(x + i, y + row) != back)
                     for row in range(16))
        return glyphs.get(rows, "?")


def read_ppm(data):
    """A P6 file."""
    magic, width, height, most, pixels = data.split(maxsplit=4) if b"#" not in data[:40] else [None] * 5
    if magic != b"P6" or most != b"255":
        raise AssertionError("not a PPM file: %r" % data[:40])
    width, height = int(width), int(height)
    head = b"P6\n%d %d\n255\n" % (width, height)
    if not data.startswith(head) or len(data) != len(head) + width * height * 3:
        raise AssertionError("a PPM file of a wrong length")
    return Picture(width, height, data[len(head):], 3, (0, 1, 2))


class Rfb:
    """A viewer that takes whole pictures, raw."""

    def __init__(self, address):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.settimeout(20)
        self.socket.connect(address)
        if self.take(12) != b"RFB 003.008\n":
            raise AssertionError("no RFB 3.8")
        self.socket.sendall(b"RFB 003.008\n")
        self.types = self.take(self.take(1)[0])

    def enter(self):
        self.socket.sendall(b"\1")
        if self.take(4) != bytes(4):
            raise AssertionError("refused")
        self.socket.sendall(b"\1")
        self.width, self.height = struct.unpack(">HH", self.take(4))
        self.take(16)
        self.name = self.take(struct.unpack(">I", self.take(4))[0]).decode()
        return self

    def take(self, n):
        data = b""
        while len(data) < n:
            more = self.socket.recv(n - len(data))
            if not more:
                raise AssertionError("the server closed the connection")
            data += more
        return data

    def key(self, keysym):
        for down in (1, 0):
            self.socket.sendall(struct.pack(">BBHI", 4, down, 0, keysym))

    def picture(self):
        """The whole screen, at the size it had when the viewer entered."""
        self.socket.sendall(struct.pack(">BBHi", 2, 0, 1, 0))
        self.socket.sendall(struct.pack(">BBHHHH", 3, 0, 0, 0, self.width, self.height))
        seen, pixels = 0, bytearray(self.width * self.height * 4)
        while seen < self.width * self.height:
            kind, _, n = struct.unpack(">BBH", self.take(4))
            if kind != 0:
                raise AssertionError("message %d" % kind)
            for _ in range(n):
                x, y, w, h, encoding = struct.unpack(">HHHHi", self.take(12))
                if encoding != 0:
                    raise AssertionError("encoding %d" % encoding)
                data = self.take(w * h * 4)
                for row in range(h):
                    at = ((y + row) * self.width + x) * 4
                    pixels[at:at + w * 4] = data[row * w * 4:(row + 1) * w * 4]
                seen += w * h
        return Picture(self.width, self.height, bytes(pixels), 4, (2, 1, 0))

    def close(self):
        self.socket.close()
