"""lines - the lines that go over a stream socket, both ways.

socket.makefile("rw") is no such thing: on each write it forgets what it has read ahead, so that an event
of QMP that came with an answer is lost when the next command is sent.

SPDX-License-Identifier: LGPL-2.1-or-later
"""


class Lines:
    def __init__(self, peer):
        self.reader = peer.makefile("r", encoding="utf-8")
        self.writer = peer.makefile("w", encoding="utf-8")

    def write(self, text):
        self.writer.write(text)
        self.writer.flush()

    def readline(self):
        """With its end; empty when the other side has ended."""
        return self.reader.readline()

    def close(self):
        self.reader.close()
        self.writer.close()
