"""Uploads of encoded images and archives of them."""

import io
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin
from upload_files import (
    LIMITS,
    bomb,
    colour,
    convert_here,
    gray,
    npy,
    packed,
    picture,
    stack,
    stored,
    tarred,
    zipped,
)

from pinwheel.builtin import BUILTIN
from pinwheel.errors import InvalidDataset, PayloadTooLarge, UnsupportedMediaType


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "WEBP"])
def test_one_image_of_a_lossless_format_is_stored_pixel_for_pixel(tmp_path: Path, format: str) -> None:
    options = {"lossless": True} if format == "WEBP" else {}
    manifest = convert_here(tmp_path, {"body": picture(colour(), format, **options)})
    assert manifest["images"] == {"count": 1, "shape": [5, 4, 3], "dtype": "uint8", "variable_size": False}
    assert np.array_equal(stored(tmp_path)[0], colour())


def test_a_jpeg_comes_close_to_what_was_encoded(tmp_path: Path) -> None:
    convert_here(tmp_path, {"body": picture(np.full((16, 16, 3), 90, np.uint8), "JPEG", quality=95)})
    assert np.abs(stored(tmp_path).astype(int) - 90).max() <= 2


def test_a_tiff_stack_is_as_many_images_as_it_has_pages(tmp_path: Path) -> None:
    pages = [gray(seed=seed) for seed in range(5)]
    assert convert_here(tmp_path, {"body": stack(pages)})["images"]["count"] == 5
    assert np.array_equal(stored(tmp_path)[..., 0], pages)


def test_several_files_are_taken_in_their_order_and_may_differ_in_size(tmp_path: Path) -> None:
    sent = [gray(3, 4), gray(6, 2, seed=1), gray(3, 4, seed=2)]
    manifest = convert_here(tmp_path, {"file": [picture(each) for each in sent]})
    varied = {"count": 3, "shape": None, "dtype": "uint8", "variable_size": True}
    assert manifest["images"] == varied | {"smallest": [3, 2], "channels": 1}
    pixels, offsets, shapes = (stored(tmp_path, name) for name in ("images", "offsets", "shapes"))
    assert pixels.ndim == 1
    assert offsets.tolist() == [0, 12, 24, 36]
    assert (offsets.dtype, shapes.dtype) == (np.int64, np.int32)
    for number, each in enumerate(sent):
        found = pixels[offsets[number] : offsets[number + 1]].reshape(shapes[number])
        assert np.array_equal(found[..., 0], each)


def deep_png() -> bytes:
    return picture(Image.fromarray(np.array([[0, 4095], [32768, 65535]], np.uint16)))


def test_sixteen_bits_become_float32_that_lose_nothing(tmp_path: Path) -> None:
    assert convert_here(tmp_path, {"body": deep_png()})["images"]["dtype"] == "float32"
    assert np.rint(stored(tmp_path)[0, :, :, 0] * 65535).astype(int).tolist() == [[0, 4095], [32768, 65535]]


def test_float_tiffs_are_taken_as_they_are_and_must_be_finite(tmp_path: Path) -> None:
    values = np.array([[-1.5, 2.5]], np.float32)
    convert_here(tmp_path / "good", {"body": picture(values, "TIFF")})
    assert stored(tmp_path / "good")[0, :, :, 0].tolist() == values.tolist()
    values[0, 1] = np.nan
    with pytest.raises(InvalidDataset, match="holds nan"):
        convert_here(tmp_path / "bad", {"body": picture(values, "TIFF")})


def test_thirty_two_bit_integers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataset, match="32-bit integer pixels; 8 and 16 bits and floats"):
        convert_here(tmp_path, {"body": picture(np.array([[1, 2]], np.int32), "TIFF")})


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    half = np.array([[[0, 0, 0, 255], [0, 0, 0, 0], [0, 0, 0, 128]]], np.uint8)
    convert_here(tmp_path / "rgba", {"body": picture(half)})
    assert stored(tmp_path / "rgba")[0, 0, :, 0].tolist() == [0, 255, 127]
    convert_here(tmp_path / "la", {"body": picture(half[..., 2:])})
    assert stored(tmp_path / "la")[0, 0].tolist() == [[0], [255], [127]]


def test_palettes_are_undone_and_stay_gray_when_all_their_colours_are(tmp_path: Path) -> None:
    coloured = Image.fromarray(colour()).quantize(8)
    convert_here(tmp_path / "rgb", {"body": picture(coloured)})
    assert np.array_equal(stored(tmp_path / "rgb")[0], np.asarray(coloured.convert("RGB")))
    grays = Image.fromarray(gray()).quantize(16)
    convert_here(tmp_path / "gray", {"body": picture(grays)})
    assert stored(tmp_path / "gray").shape == (1, 5, 4, 1)
    convert_here(tmp_path / "one", {"body": picture(Image.fromarray(np.eye(4, dtype=bool)))})
    assert stored(tmp_path / "one")[0, :, :, 0].tolist() == (255 * np.eye(4, dtype=int)).tolist()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_the_orientation_that_a_camera_noted_is_applied(tmp_path: Path, format: str, orientation: int) -> None:
    half = np.zeros((16, 32), np.uint8)
    half[:, 16:] = 255
    tag = TiffImagePlugin.ImageFileDirectory_v2() if format == "TIFF" else Image.Exif()
    tag[0x0112] = orientation
    options = {"tiffinfo": tag} if format == "TIFF" else {"exif": tag}
    convert_here(tmp_path, {"body": picture(half, format, **options)})
    turns = {3: 2, 6: 3, 8: 1}
    found, expected = stored(tmp_path)[0, :, :, 0], np.rot90(half, turns[orientation])
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() < 20


def test_color_makes_mixed_images_alike_and_without_it_they_are_refused(tmp_path: Path) -> None:
    body = zipped({"a.png": picture(gray()), "b.png": picture(colour())})
    for color, channels in (("gray", 1), ("rgb", 3)):
        assert convert_here(tmp_path / color, {"body": body}, color=color)["images"]["shape"] == [5, 4, channels]
    for on_bad_file in ("fail", "skip"):
        with pytest.raises(InvalidDataset, match=r"'b.png' has 3 channels, the images before it have 1; color=gray or"):
            convert_here(tmp_path / on_bad_file, {"body": body}, on_bad_file=on_bad_file)


def test_mixed_number_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataset, match="float32 pixels, the images before it hold uint8"):
        convert_here(tmp_path, {"body": zipped({"a.png": picture(gray()), "b.png": deep_png()})})


CLASSES = {
    "set/cat/1.png": picture(gray(seed=1)),
    "set/dog/a/1.png": picture(gray(seed=2)),
    "set/ape/7.png": picture(gray(seed=3)),
    "set/cat/0.png": picture(gray(seed=4)),
    "set/.hidden/x.txt": b"no image",
    "__MACOSX/set/cat/._1.png": b"no image",
    "set/cat/.DS_Store": b"no image",
    "set/Thumbs.db": b"no image",
}


@pytest.mark.parametrize("way", ["zip", "stored zip", "tar", "tar.gz", "shuffled tar"])
def test_folders_name_classes_and_every_kind_of_archive_gives_the_same_data_set(tmp_path: Path, way: str) -> None:
    body = {
        "zip": lambda: zipped(CLASSES),
        "stored zip": lambda: zipped(CLASSES, zipfile.ZIP_STORED),
        "tar": lambda: tarred(CLASSES),
        "tar.gz": lambda: tarred(CLASSES, "w:gz"),
        "shuffled tar": lambda: tarred(dict(reversed(CLASSES.items()))),
    }[way]()
    manifest = convert_here(tmp_path / "this", {"body": body})
    assert manifest["labels"] == {"count": 4, "classes": 3, "names": ["ape", "cat", "dog"]}
    assert stored(tmp_path / "this", "labels").tolist() == [0, 1, 1, 2]
    assert manifest["skipped"] == []
    assert np.array_equal(stored(tmp_path / "this")[..., 0], [gray(seed=seed) for seed in (3, 4, 1, 2)])
    assert manifest["digest"] == convert_here(tmp_path / "zip", {"body": zipped(CLASSES)})["digest"]


@pytest.mark.parametrize("names", [["a.png", "b.png"], ["one/a.png", "one/b.png"], ["cat/a.png", "b.png"]])
def test_without_a_class_folder_for_every_image_there_are_no_labels(tmp_path: Path, names: list[str]) -> None:
    files = {name: picture(gray(seed=seed)) for seed, name in enumerate(names)}
    assert convert_here(tmp_path, {"body": zipped(files)})["labels"] is None


def test_files_that_are_no_images_fail_by_name_or_are_listed(tmp_path: Path) -> None:
    cut = picture(colour(60, 60))[:-40]
    body = zipped({"a.png": picture(gray()), "b.txt": b"hello", "c.png": cut, "d.png": b"\x89PNG\r\n\x1a\nrubbish"})
    with pytest.raises(InvalidDataset, match=r"'b.txt' is no image \(it starts with b'hello'\); on_bad_file=skip"):
        convert_here(tmp_path / "fail", {"body": body})
    manifest = convert_here(tmp_path / "skip", {"body": body}, on_bad_file="skip")
    assert manifest["images"]["count"] == 1
    assert [skipped["name"] for skipped in manifest["skipped"]] == ["b.txt", "c.png", "d.png"]
    assert "truncated" in manifest["skipped"][1]["reason"]


def test_the_list_of_skipped_files_ends_after_a_thousand(tmp_path: Path) -> None:
    body = zipped({"a.png": picture(gray()), **{f"{number:04d}.txt": b"x" for number in range(1005)}})
    skipped = convert_here(tmp_path, {"body": body}, on_bad_file="skip")["skipped"]
    assert len(skipped) == 1001
    assert skipped[-1] == {"name": "…", "reason": "and 5 more"}


def test_several_files_skip_the_bad_ones_when_asked(tmp_path: Path) -> None:
    sent = {"file": [picture(gray()), b"nothing", npy(gray())]}
    with pytest.raises(UnsupportedMediaType, match=r"'file-1.bin' starts with b'nothing'"):
        convert_here(tmp_path / "fail", sent)
    manifest = convert_here(tmp_path / "skip", sent, on_bad_file="skip")
    assert [skipped["name"] for skipped in manifest["skipped"]] == ["file-1.bin", "file-2.bin"]


def test_an_archive_without_a_single_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataset, match="holds no image; at least 1 is needed"):
        convert_here(tmp_path / "empty", {"body": zipped({})})
    with pytest.raises(InvalidDataset, match=r"holds no image.*The first was refused: 'a.txt' is no image"):
        convert_here(tmp_path / "text", {"body": zipped({"a.txt": b"x"})}, on_bad_file="skip")


@pytest.mark.parametrize("path", ["../x.png", "a/../../x.png", "/etc/x.png", "..\\x.png", "C:\\x.png", "\\x.png"])
@pytest.mark.parametrize("make", [zipped, tarred])
def test_paths_that_lead_out_of_the_archive_are_refused(tmp_path: Path, path: str, make: object) -> None:
    body = make({"a.png": picture(gray()), path: picture(gray())})  # type: ignore[operator]
    with pytest.raises(InvalidDataset, match=r"holds the path .*; only paths inside the archive are allowed"):
        convert_here(tmp_path, {"body": body}, on_bad_file="skip")


def test_links_and_devices_are_refused(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("link.png")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(InvalidDataset, match=r"'link.png' in The body is a link or a device"):
        convert_here(tmp_path / "zip", {"body": out.getvalue()}, on_bad_file="skip")
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        member = tarfile.TarInfo("link.png")
        member.type, member.linkname = kind, "/etc/passwd"
        with pytest.raises(InvalidDataset, match=r"'link.png' in The body is a link or a device"):
            convert_here(tmp_path / f"tar{kind!r}", {"body": tarred({}, members=[member])}, on_bad_file="skip")


@pytest.mark.parametrize(
    "inner",
    [zipped({"a.png": b""}), tarred({"a.png": b"x"}), packed(b"x"), b"7z\xbc\xaf\x27\x1c"],
    ids=["zip", "tar", "gzip", "7z"],
)
def test_archives_inside_archives_are_refused(tmp_path: Path, inner: bytes) -> None:
    with pytest.raises(InvalidDataset, match=r"'inner.png' is an archive inside the archive"):
        convert_here(tmp_path, {"body": zipped({"inner.png": inner})}, on_bad_file="skip")


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    body = bytearray(zipped({"a.png": picture(gray())}))
    body[body.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(InvalidDataset, match=r"'a.png' in The body is encrypted; send the archive without a password"):
        convert_here(tmp_path, {"body": bytes(body)})


def test_a_bomb_of_ten_gigabytes_is_refused_early(tmp_path: Path) -> None:
    start = picture(gray(), "BMP")
    with pytest.raises(PayloadTooLarge, match=r"'bomb.bmp' unpacks to more than \d+ bytes from \d+; at most 200 times"):
        convert_here(tmp_path / "ratio", {"body": bomb(start, 64 * 2**20)}, replace(LIMITS, max_bytes=2**40))
    with pytest.raises(PayloadTooLarge, match=rf"as far as 'bomb.bmp': \d+ bytes; at most {LIMITS.max_bytes} bytes"):
        convert_here(tmp_path / "total", {"body": bomb(start, 10 * 2**30)})


def test_small_entries_that_are_too_much_together_are_refused(tmp_path: Path) -> None:
    blank = picture(np.zeros((1000, 1000), np.uint8), "BMP")
    body = zipped({f"{number}.bmp": blank for number in range(5)})
    with pytest.raises(PayloadTooLarge, match=r"at most 3000000 bytes are allowed"):
        convert_here(tmp_path, {"body": body}, replace(LIMITS, max_bytes=3_000_000))
    assert sum(path.stat().st_size for path in (tmp_path / "out").iterdir()) <= 3_000_200


def test_a_packed_tar_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    body = packed(tarred({"a.bmp": bytes(8 * 2**20)}))
    with pytest.raises(PayloadTooLarge, match="at most 1000000 bytes"):
        convert_here(tmp_path, {"body": body}, replace(LIMITS, max_bytes=1_000_000))


def test_more_entries_than_images_are_allowed_are_refused_before_they_are_read(tmp_path: Path) -> None:
    files = {f"{number}.png": b"never read" for number in range(8)}
    for make in (zipped, tarred):
        with pytest.raises(PayloadTooLarge, match="8 images or more; at most 7"):
            convert_here(tmp_path / make.__name__, {"body": make(files)}, replace(LIMITS, max_images=7))


def png_header(height: int, width: int) -> bytes:
    """A PNG that ends after it has said how large it is."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return start + struct.pack(">I", 100) + b"IDAT"


def test_an_image_of_too_many_pixels_is_refused_by_its_header(tmp_path: Path) -> None:
    for side in (9000, 60_000, 10**6):
        with pytest.raises(PayloadTooLarge, match=f"{side}×{side} = {side * side} pixels; at most 1000000 are"):
            convert_here(tmp_path / str(side), {"body": png_header(side, side)})
    with pytest.raises(PayloadTooLarge, match="1200×1000 = 1200000 pixels; at most 1000000"):
        convert_here(tmp_path / "two", {"body": picture(Image.new("L", (1000, 1200)))})


def bmp_header(height: int, width: int) -> bytes:
    sizes = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 100, 0, 0, 54) + sizes + bytes(46)


def tiff_header(height: int, width: int) -> bytes:
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 200, 277: 1, 278: height, 279: 100}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(100)


def webp_header(height: int, width: int) -> bytes:
    frame = struct.pack("<BI", 0x2F, (width - 1) | ((height - 1) << 14)) + bytes(51)
    return b"RIFF" + struct.pack("<I", 12 + len(frame)) + b"WEBPVP8L" + struct.pack("<I", len(frame)) + frame


@pytest.mark.parametrize("header", [bmp_header, tiff_header, webp_header])
def test_the_header_is_enough_to_refuse_in_every_format(tmp_path: Path, header: Callable[[int, int], bytes]) -> None:
    with pytest.raises(PayloadTooLarge, match="16000×15000 = 240000000 pixels; at most 1000000 are"):
        convert_here(tmp_path, {"body": header(16_000, 15_000)})


def test_images_cut_short_are_refused_by_name(tmp_path: Path) -> None:
    for format in ("PNG", "JPEG", "TIFF", "BMP", "WEBP"):
        whole = picture(colour(40, 40), format)
        with pytest.raises(InvalidDataset, match=r"The body(.*)is no image that can be read"):
            convert_here(tmp_path / format, {"body": whole[: len(whole) * 2 // 3]})


def test_archives_cut_short_are_refused(tmp_path: Path) -> None:
    files = {f"{number}.png": picture(gray(seed=number)) for number in range(5)}
    for way, body in {"zip": zipped(files), "tar": tarred(files), "tar.gz": tarred(files, "w:gz")}.items():
        cut = body[: len(body) // 4]
        with pytest.raises(InvalidDataset, match="damaged or cut short"):
            convert_here(tmp_path / way, {"body": cut})


def test_a_tar_with_a_damaged_header_in_its_middle_is_refused(tmp_path: Path) -> None:
    body = bytearray(tarred({f"{number}.png": picture(gray(seed=number)) for number in range(5)}))
    body[2 * 1024 + 150] ^= 255
    with pytest.raises(InvalidDataset, match="damaged or cut short: there is no end mark at byte 2048"):
        convert_here(tmp_path, {"body": bytes(body)})


@pytest.mark.parametrize(("name", "smallest"), [("photos", [300, 451]), ("photos-small", [100, 150])])
def test_the_photographs_that_come_with_pinwheel_convert(tmp_path: Path, name: str, smallest: list[int]) -> None:
    manifest = convert_here(tmp_path, {"body": BUILTIN[name].read_bytes()})
    varied = {"count": 8, "shape": None, "dtype": "uint8", "variable_size": True}
    assert manifest["images"] == varied | {"smallest": smallest, "channels": 1}
    assert (manifest["labels"], manifest["skipped"]) == (None, [])
    assert (stored(tmp_path, "shapes")[:, 2] == 1).all()


@pytest.mark.parametrize(("name", "count"), [("digits", 20_000), ("digits-test", 2000)])
def test_the_digits_that_come_with_pinwheel_convert(tmp_path: Path, name: str, count: int) -> None:
    manifest = convert_here(tmp_path, {"body": BUILTIN[name].read_bytes()}, replace(LIMITS, max_images=count))
    assert manifest["images"] == {"count": count, "shape": [28, 28, 1], "dtype": "uint8", "variable_size": False}
    assert manifest["labels"] == {"count": count, "classes": 10, "names": None}
