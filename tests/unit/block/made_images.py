"""made_images - images of formats that no program at hand makes: bochs, cloop, dmg.

Each function takes the bytes of a disk and gives the bytes of a file. Also the makers of the
fuzzer's seeds: `made_images.py DIRECTORY KILN-IMG` writes them.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import base64
import os
import struct
import subprocess
import sys
import tempfile
import zlib

SECTOR = 512
SEED_MAX = 66049


def bochs(disk, version=0x00020000, extent=65536):
    """A growing image; sectors of zeroes are left out."""
    bitmap = max(extent // SECTOR // 8, 1)
    bitmap_room = -(-bitmap // SECTOR) * SECTOR
    entries = -(-len(disk) // extent)
    catalog, data = [], b""
    for i in range(entries):
        part = disk[i * extent:(i + 1) * extent].ljust(extent, b"\0")
        if not any(part):
            catalog.append(0xffffffff)
            continue
        catalog.append(len(data) // (bitmap_room + extent))
        bits = bytearray(bitmap_room)
        for s in range(extent // SECTOR):
            if any(part[s * SECTOR:(s + 1) * SECTOR]):
                bits[s // 8] |= 1 << s % 8
        data += bytes(bits) + part
    head = b"Bochs Virtual HD Image".ljust(32, b"\0") + b"Redolog".ljust(16, b"\0")
    head += b"Growing".ljust(16, b"\0")
    head += struct.pack("<5I", version, SECTOR, entries, bitmap, extent)
    head += struct.pack("<IQ" if version == 0x00020000 else "<Q",
                        *((0, len(disk)) if version == 0x00020000 else (len(disk),)))
    return head.ljust(SECTOR, b"\0") + struct.pack("<%dI" % entries, *catalog) + data


def cloop(disk, block=32768):
    """Version 2.0; the disk is filled up to whole blocks."""
    disk = disk.ljust(-(-len(disk) // block) * block, b"\0")
    blocks = [zlib.compress(disk[i:i + block]) for i in range(0, len(disk), block)]
    head = (b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && "
            b"mount -r -t iso9660 /dev/cloop $1\n").ljust(128, b"\0")
    at = 128 + 8 + 8 * (len(blocks) + 1)
    offsets = [at]
    for packed in blocks:
        offsets.append(offsets[-1] + len(packed))
    return (head + struct.pack(">II", block, len(blocks)) +
            struct.pack(">%dQ" % len(offsets), *offsets) + b"".join(blocks))


def dmg(disk, chunk=65536):
    """Chunks of zeroes, raw ones and zlib in turn; two tables in the property list."""
    data, tables = b"", []
    half = len(disk) // 2 // chunk * chunk
    for first, part in ((0, disk[:half]), (half // SECTOR, disk[half:])):
        entries = b""
        for i in range(0, len(part), chunk):
            piece = part[i:i + chunk]
            where = (i // SECTOR, len(piece) // SECTOR)
            if not any(piece):
                entries += struct.pack(">IIQQQQ", 2, 0, *where, len(data), 0)
                continue
            kind, packed = ((1, piece) if i // chunk % 3 == 0 else
                            (0x80000005, zlib.compress(piece)))
            entries += struct.pack(">IIQQQQ", kind, 0, *where, len(data), len(packed))
            data += packed
        entries += struct.pack(">IIQQQQ", 0xffffffff, 0, len(part) // SECTOR, 0, len(data), 0)
        mish = struct.pack(">4sIQQQII", b"mish", 1, first, len(part) // SECTOR, 0, 0, 0)
        mish = mish.ljust(200, b"\0") + struct.pack(">I", len(entries) // 40) + entries
        tables.append("<dict><key>Data</key><data>\n%s\n</data></dict>" %
                      base64.encodebytes(mish).decode())
    plist = ("<?xml version=\"1.0\"?><plist><dict><key>resource-fork</key><dict><key>blkx</key>"
             "<array>%s</array></dict></dict></plist>" % "".join(tables)).encode()
    koly = struct.pack(">4sIII", b"koly", 4, 512, 1) + struct.pack(">QQQ", 0, 0, len(data))
    koly = koly.ljust(216, b"\0") + struct.pack(">QQ", len(data), len(plist))
    koly = koly.ljust(492, b"\0") + struct.pack(">Q", len(disk) // SECTOR)
    return data + plist + koly.ljust(512, b"\0")


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def vhdx_with_log(image):
    """@image (the bytes of a vhdx whose log is empty) as it was before the first sector of its block
    table was written, with that write in the log."""
    image = bytearray(image)
    bat_guid = bytes.fromhex("6677c22d23f600429d64115e9bfd4a08")
    head = max((65536, 131072), key=lambda at: struct.unpack_from("<Q", image, at + 8))
    log_at, = struct.unpack_from("<Q", image, head + 72)
    bat_at, = struct.unpack_from("<Q", image, image.index(bat_guid, 196608) + 16)
    sector = bytes(image[bat_at:bat_at + 4096])
    image[bat_at:bat_at + 4096] = bytes(4096)
    guid = bytes(range(1, 17))
    entry = bytearray(struct.pack("<4sIIIQII16sQQ", b"loge", 0, 8192, 0, 1, 1, 0, guid, len(image),
                                  len(image)))
    entry += struct.pack("<4s4s8sQQ", b"desc", sector[-4:], sector[:8], bat_at, 1)
    entry = entry.ljust(4096, b"\0") + struct.pack("<4sI", b"data", 0) + sector[8:-4]
    entry += struct.pack("<I", 1)
    struct.pack_into("<I", entry, 4, crc32c(entry))
    image[log_at:log_at + len(entry)] = entry
    image[head + 48:head + 64] = guid
    struct.pack_into("<I", image, head + 4, 0)
    struct.pack_into("<I", image, head + 4, crc32c(image[head:head + 4096]))
    return bytes(image)


def seeds(kiln_img):
    """(name, format, bytes) of small images, as fuzz_images.c wants them."""
    disk = b"boot" * 128 + bytes(4096) + bytes(range(256)) * 16
    with tempfile.TemporaryDirectory() as where:
        raw = os.path.join(where, "raw")
        with open(raw, "wb") as stream:
            stream.write(disk)
        for name, options in (("vdi", ""), ("vpc", ""), ("vpc", "subformat=fixed"), ("vmdk", ""),
                              ("vmdk", "subformat=streamOptimized")):
            out = os.path.join(where, "out")
            subprocess.run([kiln_img, "convert", "-f", "raw", "-O", name, "-S", "512",
                            *(["-o", options] if options else []), raw, out], check=True)
            with open(out, "rb") as stream:
                image = stream.read()
            # what is cut off reads as zeroes
            yield name + options.replace("subformat=", "-"), name, image[:SEED_MAX]
        subprocess.run([kiln_img, "create", "-q", "-f", "vhdx", "-o", "block_size=1M", out, "9M"],
                       check=True)
        with open(out, "rb") as stream:
            image = stream.read()
        mib = 1 << 20  # the parts that fuzz_images.c puts together
        yield "vhdx", "vhdx", b"".join(
            image[at:at + size] for at, size in
            ((65536, 128), (196608, 256), (2 * mib, 256), (2 * mib + 65536, 64), (3 * mib, 256)))
    yield "bochs", "bochs", bochs(disk, extent=4096)
    yield "bochs1", "bochs", bochs(disk, 0x00010000, 4096)
    yield "cloop", "cloop", cloop(disk, 4096)
    yield "dmg", "dmg", dmg(disk, 4096)
    head = struct.pack("<4sIIIQQQQQII", b"QED\0", 4096, 1, 1, 0, 0, 0, 4096, 1 << 20, 0, 0)
    l1 = struct.pack("<Q", 8192).ljust(4096, b"\0")
    l2 = struct.pack("<QQQ", 12288, 1, 0).ljust(4096, b"\0")
    yield "qed", "qed", head.ljust(4096, b"\0") + l1 + l2 + disk[:4096]
    head = struct.pack("<16sIIIIIQIIIQ", b"WithouFreSpacExt", 2, 16, 10, 8, 4, 32, 0, 1, 0, 0)
    yield "parallels", "parallels", (head + struct.pack("<4I", 1, 0, 2, 0)).ljust(
        4096, b"\0") + disk
    packed = zlib.compressobj(9, zlib.DEFLATED, -12)
    data = packed.compress(disk[:512] * 1) + packed.flush()
    head = struct.pack(">4sIQIIQBBHIQ", b"QFI\xfb", 1, 0, 0, 0, 1 << 16, 9, 6, 0, 0, 48)
    l1 = struct.pack(">2Q", 64, 0)
    table = struct.pack(">2Q", 1 << 63 | len(data) << 54 | 1024, 1536).ljust(512, b"\0")
    yield "qcow", "qcow", (head + l1 + table).ljust(1024, b"\0") + data.ljust(512, b"\0") + disk[:512]


def main():
    directory, kiln_img = sys.argv[1:]
    for name, kind, data in seeds(kiln_img):
        corpus = os.path.join(directory, "image_" + kind)
        os.makedirs(corpus, exist_ok=True)
        with open(os.path.join(corpus, name), "wb") as stream:
            stream.write(b"\0" + data)  # to be written, too


if __name__ == "__main__":
    main()
