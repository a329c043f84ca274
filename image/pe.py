"""A UKI without its signature: what two builds of one commit have to agree on.

Authenticode (Windows Authenticode Portable Executable Signature Format, "Calculating the PE Image
Hash") leaves three things out: the checksum, the entry that points to the certificates, and the
certificates themselves, which come last.
"""

from __future__ import annotations

import struct

from goni_core.errors import BadInput

PE32_PLUS = 0x20B
CHECKSUM, CERTIFICATES = 64, 144
"""Offsets in the optional header (PE Format, "Optional Header"), for PE32+."""


def unsigned(data: bytes) -> bytes:
    """``data``, a PE32+ file, with those three removed; :class:`BadInput` for anything else."""
    header = _header(data)
    at, size = struct.unpack_from("<II", data, header + CERTIFICATES)
    blank = bytearray(data[:at] if at and size else data)
    blank[header + CHECKSUM : header + CHECKSUM + 4] = bytes(4)
    blank[header + CERTIFICATES : header + CERTIFICATES + 8] = bytes(8)
    return bytes(blank)


def sections(data: bytes) -> dict[str, bytes]:
    """Every section by its name."""
    header = _header(data)
    count, length = struct.unpack_from("<H", data, header - 18)[0], 40
    table = header + struct.unpack_from("<H", data, header - 4)[0]
    found = {}
    for start in range(table, table + count * length, length):
        name, virtual, _, size, at = struct.unpack_from("<8sIIII", data, start)
        found[name.rstrip(b"\0").decode("ascii", "replace")] = data[at : at + min(size, virtual)]
    return found


def _header(data: bytes) -> int:
    """Where the optional header begins."""
    try:
        start = int(struct.unpack_from("<I", data, 0x3C)[0])
        kind = struct.unpack_from("<H", data, start + 24)[0]
    except struct.error as error:
        raise BadInput("not a PE file: it is too short") from error
    if data[:2] != b"MZ" or data[start : start + 4] != b"PE\0\0" or kind != PE32_PLUS:
        raise BadInput("not a PE32+ file")
    count, length = struct.unpack_from("<H12xH", data, start + 6)
    if length < CERTIFICATES + 8 or len(data) < start + 24 + length + 40 * count:
        raise BadInput("not a whole PE32+ file")
    return start + 24
