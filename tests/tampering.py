"""Small files of every kind that is read, and what somebody may do to them."""

import numpy as np
from table_files import TABLES, parquet
from table_files import stream as arrow_stream
from upload_files import colour, gray, idx, many, npy, npz, packed, picture, stack, tarred, zipped

FILES = {
    "npy": npy(many()),
    "npy columns": npy(np.asfortranarray(many().astype(np.float32))),
    "npz": npz(images=many(), labels=np.arange(7)),
    "packed npz": npz(compressed=True, images=many(), labels=np.arange(7)),
    "idx": idx(many()),
    "packed idx": packed(idx(many())),
    "zip": zipped({"a/1.png": picture(gray()), "b/2.jpg": picture(colour(), "JPEG")}),
    "tar": tarred({"a/1.png": picture(gray()), "b/2.bmp": picture(gray(), "BMP")}),
    "tar.gz": tarred({"a/1.png": picture(gray())}, "w:gz"),
    "png": picture(colour()),
    "jpeg": picture(colour(), "JPEG"),
    "webp": picture(colour(), "WEBP"),
    "tiff": stack([gray(), gray(seed=1)]),
    "bmp": picture(gray(), "BMP"),
    **{f"arrow {name}": arrow_stream(table) for name, (table, _) in TABLES.items()},
    "packed arrow": arrow_stream(TABLES["nested lists"][0], "zstd"),
    "parquet": parquet(TABLES["{bytes, path}"][0]),
    "packed parquet": parquet(TABLES["nested lists"][0], compression="zstd"),
}


def tampered(body: bytes, steps: list[tuple[str, float, int]]) -> bytes:
    for what, where, value in steps:
        at = int(where * max(len(body) - 1, 0))
        if what == "cut":
            body = body[:at]
        elif what == "flip" and body:
            body = body[:at] + bytes([body[at] ^ value]) + body[at + 1 :]
        elif what == "insert":
            body = body[:at] + bytes([value]) + body[at:]
        elif what == "repeat":
            body = body[:at] + body[at : at + value] * 2 + body[at + value :]
    return body
