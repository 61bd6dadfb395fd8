"""ICC profiles of closed form, for pictures that tests write (ICC.1:2001-04)."""

import struct

import numpy as np

D50 = (0.9642, 1.0, 0.8249)
# Red, green and blue as Apple's "Display P3" and the ICC's own "sRGB" have them, seen under D50.
P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
# CSS Color 4: linear Display P3 to linear sRGB, both of which have D65.
P3_TO_SRGB = np.array(
    [[1.22494, -0.22494, 0.0], [-0.04206, 1.04206, 0.0], [-0.01964, -0.07864, 1.09827]]
)


def light(signal: np.ndarray) -> np.ndarray:
    """sRGB's curve, which Display P3 has too."""
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def signal(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def srgb_of_p3(colour: tuple[int, ...]) -> np.ndarray:
    """What a Display P3 colour of eight bits is in sRGB, not rounded."""
    return 255 * signal((P3_TO_SRGB @ light(np.array(colour) / 255)).clip(0, 1))


def rgb_profile(primaries: tuple[tuple[float, ...], ...]) -> bytes:
    """A screen of these primaries with sRGB's curve, in 1024 steps as old profiles have it."""
    steps = np.rint(65535 * light(np.arange(1024) / 1023)).astype(">u2")
    curve = b"curv" + struct.pack(">II", 0, 1024) + steps.tobytes()
    tags = {b"rXYZ": primaries[0], b"gXYZ": primaries[1], b"bXYZ": primaries[2], b"wtpt": D50}
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    return _profile(b"RGB ", {name: _xyz(value) for name, value in tags.items()} | curves)


def grey_profile(gamma: float) -> bytes:
    curve = b"curv" + struct.pack(">IIH", 0, 1, round(256 * gamma)) + bytes(2)
    return _profile(b"GRAY", {b"wtpt": _xyz(D50), b"kTRC": curve})


def ink_profile(cyan: tuple[float, float, float]) -> bytes:
    """A press whose full cyan ink has that CIE Lab colour; paper is white, all else black."""
    straight = bytes(range(256))
    corners = [(100.0, 0.0, 0.0), *[(0.0, 0.0, 0.0)] * 15]
    corners[8] = cyan
    table = np.rint([(255 * light / 100, a + 128, b + 128) for light, a, b in corners])
    unit = struct.pack(">9i", *(65536 * np.eye(3, dtype=int)).ravel().tolist())
    head = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + unit
    lut = head + 4 * straight + table.astype(np.uint8).tobytes() + 3 * straight
    return _profile(b"CMYK", {b"wtpt": _xyz(D50), b"A2B0": lut}, b"prtr", b"Lab ")


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ " + struct.pack(">I3i", 0, *(round(65536 * value) for value in values))


def _profile(
    space: bytes, tags: dict[bytes, bytes], device: bytes = b"mntr", connection: bytes = b"XYZ "
) -> bytes:
    start = 128 + 4 + 12 * len(tags)
    table, data = struct.pack(">I", len(tags)), b""
    for name, value in tags.items():
        table += name + struct.pack(">II", start + len(data), len(value))
        data += value
    size = start + len(data)
    head = struct.pack(">I4sI4s4s4s", size, b"", 0x02400000, device, space, connection)
    head += struct.pack(">6H4s28x", 2026, 1, 1, 0, 0, 0, b"acsp")
    head += struct.pack(">3i", *(round(65536 * value) for value in D50)) + bytes(48)
    assert len(head) == 128
    return head + table + data
