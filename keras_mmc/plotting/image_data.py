"""An image as a `data:` address, for an `<img>` of a page that loads nothing."""

import base64
import struct
import zlib

import numpy as np


def image_data(image: np.ndarray, box: tuple[float, float]) -> str:
    """An image `(H, W, 1)` or `(H, W, 3)` as a PNG; `box` holds the values of black and white."""
    values = np.clip((np.asarray(image, "float64") - box[0]) / (box[1] - box[0]), 0, 1)
    pixels = np.round(255 * values).astype("uint8")
    content = _png(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def _png(pixels):
    """Pixels `(H, W, 3)` as a PNG, ISO/IEC 15948."""
    height, width, _ = pixels.shape
    # A byte before each row says that it is stored as it is.
    rows = np.pad(pixels.reshape(height, 3 * width), [(0, 0), (1, 0)])
    header = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)  # 8 bits of red, green and blue
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def _chunk(name, content):
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)
