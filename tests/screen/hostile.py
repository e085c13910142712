"""A folder of odd and hostile files, the same for the same seed:

    python tests/screen/hostile.py FOLDER [--seed N] [--count 2000]

`FOLDER/kinds` holds one file for each entry of KINDS, which says what must become of it;
`FOLDER/damaged` fills up to `count` with good files that were cut or had bits flipped. Claims of
great size are made in small files.
"""

from __future__ import annotations

import argparse
import io
import os
import stat
import struct
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "media"))

import numpy as np
from making_media import flip_bits, image_bytes, noise, write_clip, write_sound, write_video
from PIL import Image

os.environ.setdefault("SVT_LOG", "0")  # the AV1 encoder writes pages of its settings otherwise

LONG = "n" * 246 + ".jpg"
DEEP = "files/deep/" + "d/" * 120 + "a.jpg"
# The first folder whose path is too long for the system, however short the path of the corpus.
TOO_DEEP = "files/too_deep"
UNREADABLE = "ok" if hasattr(os, "geteuid") and os.geteuid() == 0 else "unreadable"

# Name -> what becomes of it: ok, partial, the reason of an error, skip: and a reason, or any.
KINDS: dict[str, str] = {}


def _expect(folder: str, fates: dict[str, str]) -> None:
    for fate, names in fates.items():
        KINDS.update({f"{folder}/{name}": fate for name in names.split()})


_expect(
    "jpeg",
    {
        "ok": "good.jpg progressive.jpg gray.jpg cmyk.jpg ycck.jpg restart.jpg appended.jpg "
        "turned.jpg glued.jpg mpo.jpg exif_bomb.jpg exif_bomb_cmyk.jpg zip_appended.jpg "
        "comment.jpg one_wide.jpg one_pixel.jpg named.mp4 named.png no_extension",
        "truncated": "half.jpg progressive_half.jpg cmyk_half.jpg last_byte.jpg "
        "in_header.jpg segment_beyond.jpg taller.jpg",
        "corrupt": "start.jpg zero_height.jpg zero_width.jpg twelve_bit.jpg lossless.jpg "
        "no_tables.jpg",
        "too_large": "huge.jpg sparse.jpg",
        "not_media": "one_byte.jpg two_bytes.jpg",
    },
)
_expect(
    "png",
    {
        "ok": "good.png sixteen.png sixteen_rgb.png one_bit.png palette.png alpha.png "
        "gray_alpha.png interlaced.png animated.png trailing.png many_chunks.png named.jpg",
        "truncated": "half.png in_header.png small_bomb.png",
        "corrupt": "no_data.png bad_crc.png zero_size.png garbage.png",
        "too_large": "bomb.png text_bomb.png profile_bomb.png",
        "any": "palette_short.png",
    },
)
_expect(
    "gif",
    {
        "ok": "good.gif animated.gif many_frames.gif named.webm",
        "too_large": "huge_screen.gif outside.gif",
        "truncated": "half.gif",
        "corrupt": "header.gif garbage.gif",
    },
)
_expect(
    "tiff",
    {
        "ok": "good.tif sixteen.tif multi.tif lzw.tif deflate.tif jpeg.tif big_tiff.tif "
        "big_endian.tif",
        "unsupported": "float.tif integers.tif",
        "too_large": "huge.tif",
        "truncated": "half.tif",
        "corrupt": "beyond.tif",
        "any": "circular.tif huge_strips.tif many_tags.tif",
    },
)
_expect(
    "other",
    {
        "ok": "good.webp lossless.webp animated.webp good.bmp top_down.bmp one_bit.bmp good.jp2 "
        "good.j2k good.ppm good.qoi sixteen.pgm good.avif",
        "too_large": "tall.bmp least_height.bmp huge.jp2 huge.ppm huge.qoi huge.webp",
        "truncated": "half.ppm half.bmp half.qoi",
        "corrupt": "half.webp half.avif no_maximum.ppm long_number.ppm",
        "not_media": "ascii.ppm",
        "unsupported": "wrong.heic",
        "any": "rle.bmp half.jp2 riff_lies.webp",
    },
)
_expect(
    "text",
    {
        "empty": "zero.jpg zero.mp4",
        "not_media": "text.jpg text.mp4 random.jpg nulls.mp4 sparse.mp4 list.mp4 list_passwd.mp4 "
        "list_http.mp4 concat.mp4 concat_passwd.mp4 session.mp4 dash.mp4 drawing.jpg drawing.png "
        "script.jpg document.jpg archive.jpg archive.png tape.jpg pickle.jpg icon.png page.mp4 "
        "sound.mp4 song.mp4",
        "skip:not_media": "text.txt list.m3u8 list.ffconcat session.sdp drawing.svg script.eps "
        "document.pdf archive.zip tape.tar",
        "skip:empty": "zero.bin",
    },
)
_expect(
    "video",
    {
        "ok": "good.mp4 good.mkv good.avi good.mjpeg.avi good.flv good.ts good.h264 good.hevc "
        "vp9.webm vp8.webm av1.mp4 av1.mkv mpeg2.mpg wmv.asf variable.mkv odd.mkv ten_bit.mp4 "
        "interlaced.mp4 one_frame.mp4 named.jpg no_extension grows.h264 grows.ts "
        "backwards.ts last_byte.mkv more_samples.mp4 "
        "wide_header.mp4 other_file.mp4 long_duration.mp4 zero_duration.mp4",
        "partial": "faststart_cut.mp4 hole.mp4 cut.mkv long_duration.mkv half.flv half.webm",
        "truncated": "cut.mp4 only_type.mp4 in_header.mkv",
        "corrupt": "nested.mp4 endless_samples.mp4",
        "no_video": "sound.mp4 sound.mkv sound.flv sound.ts cover.mp4",
        "too_large": "huge.y4m",
        "not_media": "one_byte.mp4 late_sync.m2ts",
        "skip:not_media": "sound.m4a",
        "any": "endless_box.mp4 in_header.avi half.ts half.h264 no_key_frame.h264 raw_lies.avi",
    },
)
_expect(
    "files",
    {
        "ok": "link.jpg folder.jpg/a.jpg -rf.jpg --help.jpg %d.mp4 http:x.jpg con.jpg",
        "skip:fifo": "fifo.jpg",
        "skip:socket": "socket.jpg",
        "skip:broken_link": "gone.jpg ring.jpg",
        "skip:device": "zero.jpg null.mp4",
        "skip:loop": "loop/self loop/parent",
        "skip:seen_before": "twice",
        "skip:hidden": ".hidden.jpg .hidden",
    },
)
KINDS |= {
    DEEP: "ok",
    f"files/{LONG}": "ok",
    "files/mode_000.jpg": UNREADABLE,
    "files/line\nbreak.jpg": "ok",
    "files/tab\t space .jpg": "ok",
    "files/\x1b[31mred\x1b]0;title\x07.jpg": "ok",
    os.fsdecode(b"files/caf\xe9\xff.jpg"): "ok",
    "files/\u202egpj.exe.jpg": "ok",
    TOO_DEEP: "unreadable",
}


def make_hostile(folder: Path, seed: int = 0, count: int = 2000) -> None:
    """Write the corpus: every kind, and damaged files until there are `count` in all."""
    kinds = folder / "kinds"
    with tempfile.TemporaryDirectory() as scratch:
        videos = _Videos(Path(scratch))
        groups = {
            "jpeg": _jpegs(),
            "png": _pngs(),
            "gif": _gifs(),
            "tiff": _tiffs(),
            "other": _other_images(),
            "text": _texts(),
            "video": videos.kinds(),
        }
        for name, files in groups.items():
            _write(kinds / name, files)
        _make_sparse(kinds)
        _make_file_system(kinds / "files", groups["jpeg"]["good.jpg"], groups["video"]["good.mp4"])
    _write(folder / "damaged", _damaged(groups, seed, count - len(KINDS)))


def _write(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


def _jpegs() -> dict[str, bytes]:
    rgb = noise(96, 80)
    good = image_bytes(rgb, "JPEG")
    cmyk = image_bytes(rgb, "JPEG", mode="CMYK")
    progressive = image_bytes(rgb, "JPEG", progressive=True)
    turned = Image.Exif()
    turned[0x0112] = 6
    scan, frame = good.index(b"\xff\xda"), good.index(b"\xff\xc0")
    return {
        "good.jpg": good,
        "named.mp4": good,
        "named.png": good,
        "no_extension": good,
        "progressive.jpg": progressive,
        "gray.jpg": image_bytes(rgb[:, :, 0], "JPEG"),
        "cmyk.jpg": cmyk,
        "ycck.jpg": _patched(cmyk, cmyk.index(b"Adobe") + 11, b"\x02"),
        "restart.jpg": image_bytes(rgb, "JPEG", restart_marker_blocks=1),
        "appended.jpg": good + bytes(range(250)) * 4,
        "zip_appended.jpg": good + _zip(),
        "turned.jpg": image_bytes(rgb, "JPEG", exif=turned),
        "glued.jpg": good + image_bytes(noise(64, 48, 1), "JPEG"),
        "mpo.jpg": _animation("MPO"),
        "comment.jpg": good[:2] + b"\xff\xfe\xff\xff" + bytes(0xFFFD) + good[2:],
        "exif_bomb.jpg": good[:2] + 3 * _exif_bomb() + good[2:],
        "exif_bomb_cmyk.jpg": cmyk[:2] + 3 * _exif_bomb() + cmyk[2:],
        "one_wide.jpg": image_bytes(noise(300, 1), "JPEG"),
        "one_pixel.jpg": image_bytes(noise(1, 1), "JPEG"),
        "half.jpg": good[: len(good) // 2],
        "progressive_half.jpg": progressive[: len(progressive) // 2],
        "cmyk_half.jpg": cmyk[: len(cmyk) // 2],
        "last_byte.jpg": good[:-2],
        "in_header.jpg": good[: frame + 4],
        "start.jpg": good[:3],
        "one_byte.jpg": good[:1],
        "two_bytes.jpg": good[:2],
        "segment_beyond.jpg": good[:scan] + b"\xff\xe5\xff\xff" + good[scan:],
        "taller.jpg": _patched(good, frame + 5, struct.pack(">H", 2000)),
        "huge.jpg": _patched(good, frame + 5, struct.pack(">HH", 65000, 65000)),
        "zero_height.jpg": _patched(good, frame + 5, bytes(2)),
        "zero_width.jpg": _patched(good, frame + 7, bytes(2)),
        "twelve_bit.jpg": _patched(good, frame + 4, b"\x0c"),
        "lossless.jpg": _patched(good, frame + 1, b"\xc3"),
        "no_tables.jpg": good[:2] + good[frame:],
    }


def _exif_bomb() -> bytes:
    """A segment of 64 KB whose directory names itself as the next and claims endless values."""
    entry = struct.pack("<HHII", 0x8769, 4, 0xFFFFFFFF, 8)
    directory = struct.pack("<H", 5000) + entry * 5000 + struct.pack("<I", 8)
    body = b"Exif\0\0II*\0" + struct.pack("<I", 8) + directory
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


def _pngs() -> dict[str, bytes]:
    rgb = noise(96, 80)
    deep = rgb.astype(">u2") * 257
    good = image_bytes(rgb, "PNG")
    alpha = np.concatenate([rgb, rgb[:, :, :1]], axis=2)
    indices = noise(96, 80)[:, :, 0]
    rows = _filtered(rgb)
    bomb = zlib.compress(bytes(40_000_000), 9)
    data = good.index(b"IDAT")
    return {
        "good.png": good,
        "named.jpg": good,
        "sixteen.png": image_bytes(rgb[:, :, 0].astype(np.uint16) * 257, "PNG"),
        "sixteen_rgb.png": _png(80, 96, _filtered(deep), depth=16),
        "one_bit.png": image_bytes(rgb, "PNG", mode="1"),
        "palette.png": image_bytes(rgb, "PNG", mode="P"),
        "palette_short.png": _png(
            80, 96, _filtered(indices), color=3, before=_chunk(b"PLTE", bytes(range(12)))
        ),
        "alpha.png": image_bytes(alpha, "PNG"),
        "gray_alpha.png": image_bytes(rgb[:, :, :2], "PNG"),
        "interlaced.png": _png(80, 96, _interlaced(rgb), interlace=1),
        "animated.png": _animation("PNG"),
        "trailing.png": good + bytes(1000),
        "many_chunks.png": _png(80, 96, rows, before=_chunk(b"tEXt", b"a\0b") * 5000),
        "half.png": good[: len(good) // 2],
        "in_header.png": good[:20],
        "no_data.png": good[: data - 4],
        "small_bomb.png": _png(12000, 12000, rows, color=0),
        "bomb.png": _png(50000, 50000, rows),
        "bad_crc.png": _patched(good, good.index(b"IHDR") + 17, b"\0\0\0\0"),
        "zero_size.png": _png(0, 0, b""),
        "text_bomb.png": _png(80, 96, rows, before=_chunk(b"zTXt", b"a\0\0" + bomb)),
        "profile_bomb.png": _png(80, 96, rows, before=_chunk(b"iCCP", b"a\0\0" + bomb)),
        "garbage.png": _patched(good, data + 4, bytes(range(200))),
    }


def _png(
    width: int,
    height: int,
    rows: bytes,
    *,
    depth: int = 8,
    color: int = 2,
    interlace: int = 0,
    before: bytes = b"",
) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlace)
    chunks = _chunk(b"IHDR", header) + before + _chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunks + _chunk(b"IEND", b"")


def _chunk(kind: bytes, body: bytes) -> bytes:
    crc = struct.pack(">I", zlib.crc32(kind + body))
    return struct.pack(">I", len(body)) + kind + body + crc


def _filtered(pixels: np.ndarray) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in pixels)


def _interlaced(pixels: np.ndarray) -> bytes:
    """The seven passes of an interlaced PNG, each with every `step`th pixel."""
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2)]
    passes.append((1, 0, 2, 1))
    return b"".join(_filtered(pixels[top::down, left::right]) for top, left, down, right in passes)


def _gifs() -> dict[str, bytes]:
    good = image_bytes(noise(96, 80), "GIF")
    first = good.index(b"\x2c\0\0\0\0")
    dot = b"\x21\xf9\x04\0\1\0\0\0\x2c\0\0\0\0\1\0\1\0\0\2\2\x4c\1\0"
    return {
        "good.gif": good,
        "named.webm": good,
        "animated.gif": _animation("GIF"),
        "many_frames.gif": good[:-1] + dot * 3000 + b";",
        "huge_screen.gif": _patched(good, 6, b"\xff\xff\xff\xff"),
        "garbage.gif": _patched(good, first + 40, bytes(range(255)) * 4),
        "outside.gif": _patched(good, first + 1, b"\xf0\xf0\xf0\xf0"),
        "half.gif": good[: len(good) // 2],
        "header.gif": good[:13],
    }


def _tiffs() -> dict[str, bytes]:
    rgb = noise(96, 80)
    good = image_bytes(rgb, "TIFF")
    directory = struct.unpack("<I", good[4:8])[0]
    n_tags = struct.unpack("<H", good[directory : directory + 2])[0]
    huge = _patched(good, _tag(good, 256) + 8, struct.pack("<I", 60000))
    return {
        "good.tif": good,
        "sixteen.tif": image_bytes(rgb[:, :, 0].astype(np.uint16) * 257, "TIFF"),
        "float.tif": image_bytes(rgb[:, :, 0].astype(np.float32), "TIFF"),
        "integers.tif": image_bytes(rgb[:, :, 0].astype(np.int32) << 20, "TIFF"),
        "multi.tif": _animation("TIFF"),
        "lzw.tif": image_bytes(rgb, "TIFF", compression="tiff_lzw"),
        "deflate.tif": image_bytes(rgb, "TIFF", compression="tiff_adobe_deflate"),
        "jpeg.tif": image_bytes(rgb, "TIFF", compression="jpeg"),
        "big_tiff.tif": image_bytes(rgb, "TIFF", big_tiff=True),
        "big_endian.tif": _big_endian_tiff(rgb[:, :, 0]),
        "huge.tif": _patched(huge, _tag(huge, 257) + 8, struct.pack("<I", 60000)),
        "circular.tif": _patched(good, directory + 2 + 12 * n_tags, good[4:8]),
        "huge_strips.tif": _patched(good, _tag(good, 279) + 8, b"\xff\xff\xff\xff"),
        "beyond.tif": _patched(good, 4, b"\xff\xff\xff\x7f"),
        "many_tags.tif": _patched(good, directory, b"\xff\xff"),
        "half.tif": good[: len(good) // 2],
    }


def _tag(data: bytes, number: int) -> int:
    """Where the entry of tag `number` begins in the first directory of a little-endian TIFF."""
    directory = struct.unpack("<I", data[4:8])[0]
    (n_tags,) = struct.unpack("<H", data[directory : directory + 2])
    starts = range(directory + 2, directory + 2 + 12 * n_tags, 12)
    return next(s for s in starts if data[s : s + 2] == struct.pack("<H", number))


def _big_endian_tiff(gray: np.ndarray) -> bytes:
    height, width = gray.shape
    start = 8 + 2 + 12 * 7 + 4
    tags = [
        (256, width),
        (257, height),
        (258, 8),
        (259, 1),
        (262, 1),
        (273, start),
        (279, gray.size),
    ]
    entries = b"".join(struct.pack(">HHII", tag, 4, 1, value) for tag, value in tags)
    head = b"MM\0*" + struct.pack(">IH", 8, len(tags))
    return head + entries + bytes(4) + gray.tobytes()


def _other_images() -> dict[str, bytes]:
    rgb = noise(96, 80)
    kinds = {"webp": "WEBP", "bmp": "BMP", "jp2": "JPEG2000", "ppm": "PPM", "qoi": "QOI"}
    good = {name: image_bytes(rgb, kind) for name, kind in (kinds | {"avif": "AVIF"}).items()}
    files = {f"good.{name}": data for name, data in good.items()}
    files |= {f"half.{name}": data[: len(data) // 2] for name, data in good.items()}
    bmp, jp2, webp = good["bmp"], good["jp2"], good["webp"]
    animated = _animation("WEBP")
    size = jp2.index(b"\xff\x51") + 6
    files |= {
        "lossless.webp": image_bytes(rgb, "WEBP", lossless=True),
        "animated.webp": animated,
        "riff_lies.webp": _patched(webp, 4, b"\xff\xff\xff\x7f"),
        "huge.webp": _patched(animated, animated.index(b"VP8X") + 12, b"\xff\xff\xff" * 2),
        "top_down.bmp": _patched(bmp, 22, struct.pack("<i", -96)),
        "one_bit.bmp": image_bytes(rgb, "BMP", mode="1"),
        "tall.bmp": _patched(bmp, 22, struct.pack("<i", 2**31 - 1)),
        "least_height.bmp": _patched(bmp, 22, struct.pack("<i", -(2**31))),
        "rle.bmp": _patched(image_bytes(rgb, "BMP", mode="P"), 30, b"\1"),
        "good.j2k": image_bytes(rgb, "JPEG2000", no_jp2=True),
        "huge.jp2": _huge_jpeg2000(jp2, size),
        "huge.ppm": b"P6 60000 60000 255\n" + bytes(100),
        "ascii.ppm": b"P3 2 2 255\n" + b"1 2 3 " * 4,
        "sixteen.pgm": b"P5 80 96 65535\n" + (rgb[:, :, 0].astype(">u2") * 257).tobytes(),
        "no_maximum.ppm": b"P6 8 8 0\n" + bytes(192),
        "long_number.ppm": b"P6 " + b"9" * 5000 + b" 8 255\n",
        "huge.qoi": b"qoif" + struct.pack(">II", 60000, 60000) + b"\3\0" + bytes(100),
        "wrong.heic": b"\0\0\0\x18ftypheic" + bytes(500),
    }
    return files


def _huge_jpeg2000(data: bytes, size: int) -> bytes:
    """Both the box and the code stream claim 60,000 x 60,000 pixels."""
    huge = struct.pack(">II", 60000, 60000)
    return _patched(_patched(data, data.index(b"ihdr") + 4, huge), size, huge)


def _animation(kind: str) -> bytes:
    pictures = [Image.fromarray(noise(64, 64, seed)) for seed in range(3)]
    buffer = io.BytesIO()
    pictures[0].save(buffer, kind, save_all=True, append_images=pictures[1:])
    return buffer.getvalue()


def _texts() -> dict[str, bytes]:
    text = b"hello, world\n" * 200
    drawing = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg">'
    drawing += b'<image href="file:///etc/passwd"/><image href="http://127.0.0.1:9/a.png"/></svg>'
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9.0,\n{}\n#EXT-X-ENDLIST\n"
    concat = "ffconcat version 1.0\nfile {}\n"
    session = b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n"
    script = (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n(/etc/passwd) (r) file\nshowpage\n"
    )
    document = b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\n%%EOF\n"
    dash = b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period/></MPD>'
    files = {
        "zero.jpg": b"",
        "zero.mp4": b"",
        "zero.bin": b"",
        "random.jpg": np.random.default_rng(1).bytes(5000),
        "nulls.mp4": bytes(5000),
        "list_passwd.mp4": playlist.format("file:///etc/passwd").encode(),
        "list_http.mp4": playlist.format("http://127.0.0.1:9/a.ts").encode(),
        "concat_passwd.mp4": concat.format("file:///etc/passwd").encode(),
        "dash.mp4": dash,
        # What unpickling it would do is end the process.
        "pickle.jpg": b"cos\n_exit\n(I7\ntR.",
        "icon.png": b"\0\0\1\0\1\0\x10\x10" + bytes(500),
        "page.mp4": b"<!doctype html><title>404</title>" + text,
        "sound.mp4": b"RIFF\x24\0\0\0WAVEfmt " + bytes(100),
        "song.mp4": b"ID3\3" + bytes(500),
    }
    for data, names in {
        text: "text.jpg text.mp4 text.txt",
        playlist.format("../video/good.ts").encode(): "list.mp4 list.m3u8",
        concat.format("../video/good.mp4").encode(): "concat.mp4 list.ffconcat",
        session: "session.mp4 session.sdp",
        drawing: "drawing.jpg drawing.png drawing.svg",
        script: "script.jpg script.eps",
        document: "document.jpg document.pdf",
        _zip(): "archive.jpg archive.png archive.zip",
        _tar(): "tape.jpg tape.tar",
    }.items():
        files |= dict.fromkeys(names.split(), data)
    return files


_INSIDE = ("a.jpg", "../escaped.jpg", "/tmp/escaped.jpg", "clip.mp4")


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in _INSIDE:
            archive.writestr(zipfile.ZipInfo(name), image_bytes(noise(16, 16), "JPEG"))
    return buffer.getvalue()


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in _INSIDE:
            archive.addfile(tarfile.TarInfo(name))
    return buffer.getvalue()


class _Videos:
    """Clips of a second or less, encoded in a scratch folder."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch

    def _clip(self, name: str, n: int = 20, size: int = 64, **options: Any) -> bytes:
        return write_clip(self._scratch / name, n, size, **options).read_bytes()

    def _sound(self, name: str, cover: bytes | None = None) -> bytes:
        return write_sound(self._scratch / name, cover=cover).read_bytes()

    def kinds(self) -> dict[str, bytes]:
        return self._good() | self._odd() | self._cut() | self._lies() | self._without_pictures()

    def _good(self) -> dict[str, bytes]:
        fast = {"g": "10", "cpu-used": "8", "deadline": "realtime"}
        # At its fastest this encoder looks at the clock, and no two files are alike.
        steady = {"deadline": "good", "cpu-used": "5"}
        av1 = {"preset": "12", "svtav1-params": "lp=1"}
        hevc = {"preset": "ultrafast", "x265-params": "log-level=none:pools=1:frame-threads=1"}
        good = self._clip("a.mp4")
        jpeg: dict[str, Any] = {"codec": "mjpeg", "pix_fmt": "yuvj420p"}
        return {
            "good.mp4": good,
            "named.jpg": good,
            "no_extension": good,
            "good.mkv": self._clip("a.mkv"),
            "good.avi": self._clip("a.avi", codec="mpeg4", options={"g": "10"}),
            "good.mjpeg.avi": self._clip("b.avi", 8, **jpeg),
            "good.flv": self._clip("a.flv"),
            "good.ts": self._clip("a.ts"),
            "good.h264": self._clip("a.h264", container_format="h264"),
            "good.hevc": self._clip(
                "a.hevc", container_format="hevc", codec="libx265", options=hevc
            ),
            "vp9.webm": self._clip("a.webm", codec="libvpx-vp9", options=fast),
            "vp8.webm": self._clip("b.webm", codec="libvpx", options=steady),
            "av1.mp4": self._clip("av1.mp4", 10, codec="libsvtav1", options=av1),
            "av1.mkv": self._clip("av1.mkv", 10, codec="libsvtav1", options=av1),
            "mpeg2.mpg": self._clip("a.mpg", codec="mpeg2video"),
            "wmv.asf": self._clip("a.asf", codec="wmv2"),
        }

    def _odd(self) -> dict[str, bytes]:
        times = [0, 10, 20, 500, 510, 900, 1400, 1401, 1402, 2000]
        pictures = [noise(64, 64, seed) for seed in range(len(times))]
        odd = [noise(131, 97, seed) for seed in range(10)]
        interlaced = {"x264-params": "interlaced=1:tff=1"}
        quick = {"preset": "ultrafast"}
        variable = write_video(self._scratch / "v.mkv", pictures, times_ms=times, options=quick)
        write_video(self._scratch / "o.mkv", odd, pix_fmt="yuv444p", options=quick)
        late = [8000 + 40 * i for i in range(len(pictures))]
        write_video(self._scratch / "late.ts", pictures, times_ms=late, options=quick)
        small, large = self._clip("s.ts", 10), self._clip("l.ts", 10, size=96)
        raw = self._clip("s.h264", 10, container_format="h264")
        fast = self._clip("f.mp4", container_options={"movflags": "faststart"})
        return {
            "variable.mkv": variable.read_bytes(),
            "odd.mkv": (self._scratch / "o.mkv").read_bytes(),
            "ten_bit.mp4": self._clip("t.mp4", pix_fmt="yuv420p10le"),
            "interlaced.mp4": self._clip("i.mp4", 10, options=interlaced),
            "one_frame.mp4": self._clip("one.mp4", 1),
            "grows.h264": raw + self._clip("l.h264", 10, size=96, container_format="h264"),
            "grows.ts": small + large,
            "backwards.ts": (self._scratch / "late.ts").read_bytes() + small,
            "other_file.mp4": _outside_reference(fast),
        }

    def _cut(self) -> dict[str, bytes]:
        whole = self._clip("w.mp4", 60)
        fast = self._clip("x.mp4", 60, container_options={"movflags": "faststart"})
        middle, hole = len(fast) // 2, len(fast) // 8
        mkv, webm = self._clip("w.mkv", 60), (self._scratch / "a.webm").read_bytes()
        names = {"half.flv": "a.flv", "half.ts": "a.ts", "half.h264": "a.h264"}
        files = {name: (self._scratch / of).read_bytes() for name, of in names.items()}
        second = files["half.h264"].index(b"\0\0\1\x41")
        return {name: data[: len(data) // 2] for name, data in files.items()} | {
            "cut.mp4": whole[: len(whole) // 2],
            "only_type.mp4": whole[:32],
            "one_byte.mp4": whole[:1],
            "faststart_cut.mp4": fast[:middle],
            "hole.mp4": fast[:middle] + bytes(hole) + fast[middle + hole :],
            "cut.mkv": mkv[: len(mkv) // 2],
            "last_byte.mkv": mkv[:-1],
            "in_header.mkv": mkv[:60],
            "in_header.avi": (self._scratch / "a.avi").read_bytes()[:100],
            "half.webm": webm[: len(webm) // 2],
            "late_sync.m2ts": (self._scratch / "a.ts").read_bytes()[100:],
            "no_key_frame.h264": b"\0\0\0\1\x09\x10" + files["half.h264"][second:],
        }

    def _lies(self) -> dict[str, bytes]:
        fast = (self._scratch / "x.mp4").read_bytes()
        sizes, times = fast.index(b"stsz"), fast.index(b"stts")
        entry = fast.rindex(b"avc1")
        avi = (self._scratch / "b.avi").read_bytes()
        mkv = (self._scratch / "w.mkv").read_bytes()
        return {
            "long_duration.mkv": _patched(
                mkv, mkv.index(b"\x44\x89\x88") + 3, struct.pack(">d", 1e6)
            ),
            "long_duration.mp4": _with_duration(fast, 100_000_000),
            "zero_duration.mp4": _with_duration(fast, 0),
            "wide_header.mp4": _patched(fast, entry + 28, struct.pack(">HH", 65535, 65535)),
            "more_samples.mp4": _patched(fast, times + 12, struct.pack(">I", 2**31 - 1)),
            "endless_samples.mp4": _patched(
                _patched(fast, sizes + 8, struct.pack(">II", 1, 2**20)),
                times + 12,
                struct.pack(">I", 2**20),
            ),
            "nested.mp4": fast[:32] + _nested(2000),
            "endless_box.mp4": fast[:32] + b"\xff\xff\xff\xffmoov" + bytes(200),
            "huge.y4m": b"YUV4MPEG2 W60000 H60000 F25:1 C420\nFRAME\n" + bytes(100),
            "raw_lies.avi": _patched(avi, avi.index(b"strf") + 12, b"\xff\xff\xff\x7f" * 2),
        }

    def _without_pictures(self) -> dict[str, bytes]:
        cover = image_bytes(noise(64, 64), "JPEG")
        kinds = ("mp4", "mkv", "flv", "ts", "m4a")
        files = {f"sound.{kind}": self._sound(f"s.{kind}") for kind in kinds}
        return files | {"cover.mp4": self._sound("c.mp4", cover)}


def _with_duration(data: bytes, ticks: int) -> bytes:
    """An MP4 file whose headers all claim `ticks` of their own clocks."""
    for box, offset in ((b"mvhd", 20), (b"tkhd", 24), (b"mdhd", 20)):
        data = _patched(data, data.index(box) + offset, struct.pack(">I", ticks))
    return data


def _nested(depth: int) -> bytes:
    size = 8 * depth
    return b"".join(struct.pack(">I", size - 8 * i) + b"moov" for i in range(depth))


def _outside_reference(data: bytes) -> bytes:
    """The samples are said to be in another file, of which no name is given."""
    return _patched(data, data.index(b"url \0\0\0\1") + 7, b"\0")


def _patched(data: bytes, position: int, new: bytes) -> bytes:
    return data[:position] + new + data[position + len(new) :]


def _make_sparse(kinds: Path) -> None:
    """Large files of which the disk holds next to nothing."""
    with open(kinds / "text" / "sparse.mp4", "wb") as file:
        file.truncate(1 << 27)
    with open(kinds / "jpeg" / "sparse.jpg", "wb") as file:
        file.write(image_bytes(noise(64, 64), "JPEG"))
        file.truncate((1 << 28) + 1)


def _make_file_system(folder: Path, photo: bytes, clip: bytes) -> None:
    names = [name.removeprefix("files/") for name, fate in KINDS.items() if fate == "ok"]
    (folder / "folder.jpg").mkdir(parents=True)
    (folder / DEEP.removeprefix("files/")).parent.mkdir(parents=True)
    here = [name for name in names if f"files/{name}" in KINDS and name != "link.jpg"]
    for name in [*here, "mode_000.jpg", ".hidden.jpg"]:
        (folder / name).write_bytes(clip if name.endswith(".mp4") else photo)
    (folder / "mode_000.jpg").chmod(0)
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "a.jpg").write_bytes(photo)
    os.mkfifo(folder / "fifo.jpg")
    os.mknod(folder / "socket.jpg", stat.S_IFSOCK | 0o600)
    (folder / "loop").mkdir()
    links: dict[str, str | Path] = {
        "link.jpg": folder.parent / "jpeg" / "good.jpg",
        "gone.jpg": folder / "not there",
        "ring.jpg": "ring.jpg",
        "zero.jpg": "/dev/zero",
        "null.mp4": "/dev/null",
        "loop/self": folder / "loop",
        "loop/parent": folder.parent,
        "twice": folder / "folder.jpg",
    }
    for name, target in links.items():
        (folder / name).symlink_to(target)
    _make_too_deep(folder)


def _make_too_deep(folder: Path) -> None:
    """Folders in folders until their path is longer than the system takes."""
    name = "f" * 250
    at = os.open(folder, os.O_RDONLY)
    for part in ["too_deep", *[name] * 20]:
        os.mkdir(part, dir_fd=at)
        inner = os.open(part, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(at)


_DAMAGED = {
    "jpeg": "good.jpg progressive.jpg cmyk.jpg gray.jpg restart.jpg",
    "png": "good.png sixteen.png palette.png interlaced.png animated.png",
    "gif": "good.gif animated.gif",
    "tiff": "good.tif lzw.tif jpeg.tif multi.tif",
    "other": "good.webp lossless.webp animated.webp good.bmp good.jp2 good.ppm good.qoi good.avif",
    "video": "good.mp4 good.mkv good.avi good.mjpeg.avi good.flv good.ts good.h264 good.hevc "
    "vp9.webm vp8.webm av1.mp4 av1.mkv mpeg2.mpg wmv.asf variable.mkv ten_bit.mp4",
}


def _damaged(groups: dict[str, dict[str, bytes]], seed: int, count: int) -> dict[str, bytes]:
    """Every other file cut, every other one with 1 to 100 bits flipped, of each format in turn."""
    rng = np.random.default_rng(seed)
    bases = [(name, groups[g][name]) for g, names in _DAMAGED.items() for name in names.split()]
    files = {}
    for i in range(max(0, count)):
        name, data = bases[i % len(bases)]
        if i // len(bases) % 2:
            files[f"{i:05d}_cut_{name}"] = data[: int(rng.integers(1, len(data)))]
        else:
            n_flips = int(10 ** rng.uniform(0, 2))
            files[f"{i:05d}_flipped_{name}"] = flip_bits(
                data, n_flips, seed=int(rng.integers(1 << 32))
            )
    return files


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=2000)
    options = parser.parse_args(None if arguments is None else list(arguments))
    make_hostile(options.folder, options.seed, options.count)
    print(f"{len(KINDS)} kinds, {max(options.count, len(KINDS))} files in {options.folder}")


if __name__ == "__main__":
    main()
