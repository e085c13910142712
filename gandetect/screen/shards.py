"""Shards: a list of files goes in, one Parquet file comes out; the unit of work of a cluster.

    process_shard(sources, settings, folder + part_name(sources, settings))

is a pure function. The part's name follows from what decides its content: the files as they are
(path, size, time of change), the model, the options, the false-alarm rate. It appears whole or not
at all, and a shard whose part is there costs nothing; so a shard may be done twice, by two nodes at
once, or by a second attempt after the first was lost.

Inside, the files run through the same supervised workers as on one machine: one that crashes its
decoder becomes a row of its own, not a lost shard.

A part holds the rows of an export (`gandetect.screen.schema.COLUMNS`), of each file its frames and
then itself, and rows of kind `skip` for what turned out to be no media. Verdicts in it are those of
the run that made it; who reads it with `read_part` judges anew.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import pickle
import secrets
import tempfile
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import IO, Any, NamedTuple

import numpy as np

import gandetect
from gandetect.detect.calibration import CONFIDENCE
from gandetect.screen.decode import FileEnd
from gandetect.screen.export import Row, parquet_schema
from gandetect.screen.frames import Frames
from gandetect.screen.pipeline import Engine, Outcome, ScreenOptions, run_over, score_key
from gandetect.screen.pool import Chunk, Limits, Pool
from gandetect.screen.schema import COLUMNS, StoreError, disk_message, file_path, text_path
from gandetect.screen.sources import Found, Skipped, Source
from gandetect.screen.store import iter_rows
from gandetect.screen.verdict import Scorer
from gandetect.screen.work import WorkSettings, prepare
from gandetect.screen.writer import fitting

FORMAT = 4
SUFFIX = ".parquet"
_METADATA = b"gandetect.part"
_GROUP_ROWS = 50_000
_READ_ROWS = 8192
_COPY_BYTES = 1 << 20
_UNKNOWN = -1
_KEY_COLUMNS = ("path", "path_hex", "size", "mtime_ns")
# In the order of `Frames.rows`.
_FRAME_COLUMNS = (
    "frame", "time_s", "width", "height", "reason", "logit", "n_tiles", "key_frame", "pict_type",
    "shot", "delivery",
)  # fmt: skip
_READ_COLUMNS = ("kind", *dict.fromkeys((*_KEY_COLUMNS, *_FRAME_COLUMNS, *FileEnd._fields)))


class Key(NamedTuple):
    """A file as it was found; a changed file has another one."""

    path: str
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, source: Source) -> Key:
        """The key of a file, with a time of change that fits into 64 bits."""
        mtime_ns = fitting(source.mtime_ns)
        return cls(source.path, source.size, _UNKNOWN if mtime_ns is None else mtime_ns)


@dataclass(frozen=True)
class ShardSettings:
    """Everything that `process_shard` needs besides the files; it pickles.

    model: what scores, an object. options: see `ScreenOptions`. batch_size, device: as in `screen`.
    workers: supervised processes for one shard. limits: what one file may cost. fpr, confidence:
    for the verdicts in the part. version: of the package, which must be one on all machines.
    """

    model: Scorer
    options: ScreenOptions = field(default_factory=ScreenOptions)
    batch_size: int = 64
    workers: int = 1
    limits: Limits | None = None
    fpr: float = 0.05
    device: str = "cpu"
    version: str = gandetect.__version__
    confidence: float | None = CONFIDENCE

    def work(self) -> WorkSettings:
        """What the supervised processes are told."""
        return self.options.work(self.model, self.batch_size, self.device, self.fpr)

    @functools.cached_property
    def key(self) -> str:
        """What decides the scores of a file besides its content, as text."""
        # A model that was never saved has no hash of its own.
        model = self.model.sha256 or hashlib.sha256(pickle.dumps(self.model)).hexdigest()
        options = score_key(self.model, self.options, self.fpr)
        return json.dumps({"format": FORMAT, "model": model, "options": options})


def part_name(sources: Sequence[Source], settings: ShardSettings) -> str:
    """The name of a shard's part, the same for the same files, model, options, rate and
    confidence."""
    digest = hashlib.sha256(f"{settings.key}\0{settings.fpr!r}\0{settings.confidence!r}".encode())
    for source in sources:
        key = Key.of(source)
        digest.update(b"\0%b" % os.fsencode(key.path))
        digest.update(f"\0{key.size}\0{key.mtime_ns}\0{source.wanted:d}".encode())
    return f"part-{digest.hexdigest()[:20]}{SUFFIX}"


def process_shard(
    sources: Sequence[Source],
    settings: ShardSettings,
    part: str,
    replace: bool = False,
    keep_workers: bool = False,
) -> str:
    """Screen `sources` and write their rows to `part`, a path or URI (file://, s3://, gs://).

    Returns `part`. Where it is there already nothing is done, unless `replace`. `keep_workers`: the
    supervised processes wait for the next shard of this process, or its end. Raises StoreError
    where it cannot be written, PoolError where workers cannot be started; nothing that a file could
    cause.
    """
    if settings.version != gandetect.__version__:
        raise StoreError(
            f"gandetect {gandetect.__version__} is installed here, and {settings.version} where "
            "the run was started; install the same version on all machines"
        )
    if not replace and is_whole(part, settings):
        return part
    with _pool(settings, keep_workers) as pool:
        _write_part(screened_rows(sources, settings, supervised(pool)), part, settings)
    return part


# The workers that wait for another shard, and what they were prepared for.
_kept: tuple[Any, Pool[Source, Any]] | None = None


@contextlib.contextmanager
def _pool(settings: ShardSettings, keep: bool) -> Iterator[Pool[Source, Any]]:
    """Workers for a shard: those of the last one, where they are of the same kind."""
    global _kept
    kind = (settings.key, settings.batch_size, settings.workers, settings.limits, settings.device)
    kept, _kept = _kept, None
    if kept is not None and kept[0] == kind:
        pool = kept[1]
    else:
        if kept is not None:
            kept[1].close()
        pool = Pool(prepare, settings.work(), settings.workers, settings.limits)
    try:
        yield pool
    except BaseException:
        # They may be in the middle of something.
        pool.close()
        raise
    if keep:
        _kept = kind, pool
    else:
        pool.close()


def supervised(pool: Pool[Source, Any]) -> Engine:
    """The engine that `pool` is."""

    def scored(chunks: Iterator[Chunk[Source]]) -> Iterator[Outcome]:
        for outcome in pool.run(chunks):
            yield outcome if outcome is not None else pool.steps

    return scored


def screened_rows(
    found: Iterable[Found], settings: ShardSettings, engine: Engine
) -> Generator[Row, None, None]:
    """The rows of some files, in their order, and of kind `skip` what was not screened.

    They pass through a results file in the temporary folder, so that memory does not grow with
    their number.
    """
    skips: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="gandetect-") as folder:
        db = os.path.join(folder, "shard.sqlite")
        run_over(
            _noting_skips(found, skips), _noting_skips_of(engine, skips), settings.model,
            settings.options, db=db, fpr=settings.fpr, fdr=None, workers=settings.workers,
            again=False, retry_errors=False, progress=None, args={},
            confidence=settings.confidence,
        )  # fmt: skip
        yield from iter_rows(db)
        # By name, not in the order in which workers came to them.
        yield from sorted(skips, key=lambda row: str(row["path"]))


def _noting_skips(found: Iterable[Found], skips: list[Row]) -> Iterator[Found]:
    for item in found:
        if isinstance(item, Skipped):
            skips.append(_skip_row(Key(item.path, _UNKNOWN, _UNKNOWN), item.reason))
        yield item


def _noting_skips_of(engine: Engine, skips: list[Row]) -> Engine:
    """What workers find to be no media is known to no results file by size and time."""

    def noting(chunks: Iterator[Chunk[Source]]) -> Iterator[Outcome]:
        for outcome in engine(chunks):
            if not isinstance(outcome, int):
                chunk, scored = outcome
                ends = getattr(scored, "ends", ())
                for source, end in zip(chunk.items, ends, strict=False):
                    if isinstance(end, Skipped):
                        skips.append(_skip_row(Key.of(source), end.reason))
            yield outcome

    return noting


def _skip_row(key: Key, reason: str) -> Row:
    path, path_hex = text_path(key.path)
    return dict.fromkeys(COLUMNS) | {
        "path": path,
        "path_hex": path_hex or None,
        "kind": "skip",
        "reason": reason,
        "size": key.size,
        "mtime_ns": key.mtime_ns,
    }


def is_whole(part: str, settings: ShardSettings) -> bool:
    """Whether `part` is there, was written to its end, and was made with this model and options."""
    try:
        with _opened(part) as file:
            return file is not None and _metadata_key(file) == settings.key
    except _damage():
        return False


def part_keys(part: str, settings: ShardSettings, with_errors: bool = True) -> list[Key]:
    """The files whose rows are in `part`; none where it is not whole or was made otherwise.

    `with_errors`: those without a result, too.
    """
    keys = []
    try:
        with _opened(part) as file:
            if file is None or _metadata_key(file) != settings.key:
                return []
            for batch in _batches(file, ["kind", "status", *_KEY_COLUMNS]):
                for row in _file_rows(batch):
                    if with_errors or row["status"] not in ("error", "quarantined"):
                        keys.append(_key(row))
    except _damage():
        return []
    return keys


def read_part(part: str) -> Generator[tuple[Key, FileEnd | Skipped, Frames], None, None]:
    """Each file of a part with how it ended and its frames, as the workers gave them.

    One file is in memory at a time. Raises StoreError where the part is missing or damaged.
    """
    try:
        with _opened(part) as file:
            if file is None:
                raise StoreError(
                    f"{part}: the part of a finished shard is not there; the folder of parts must "
                    "be one that all machines share"
                )
            if _metadata_key(file) is None:
                raise ValueError("not the columns of a part")
            frames = Frames()
            for batch in _batches(file, list(_READ_COLUMNS)):
                columns = [batch.column(name).to_pylist() for name in ("kind", *_FRAME_COLUMNS)]
                ends = iter(_file_rows(batch))
                for kind, *row in zip(*columns, strict=True):
                    if kind == "frame":
                        frames.add_scored(row)
                        continue
                    end = next(ends)
                    yield _key(end), _end(end), frames
                    frames = Frames()
    except _damage() as error:
        raise StoreError(f"{part}: damaged ({error}); remove it and run again") from error


def _batches(file: Any, columns: list[str]) -> Iterator[Any]:
    """Some rows at a time. The checksum of a page leaves its header out, and a damaged header may
    end a column early without an error: so the rows are counted."""
    count = 0
    for batch in file.iter_batches(_READ_ROWS, columns=columns):
        count += batch.num_rows
        yield batch
    if count != file.metadata.num_rows:
        raise ValueError(f"{count} of {file.metadata.num_rows} rows can be read")


def _file_rows(batch: Any) -> list[Row]:
    """The rows of a batch that are not of frames."""
    import pyarrow.compute as pc

    rows: list[Row] = batch.filter(pc.not_equal(batch.column("kind"), "frame")).to_pylist()
    return rows


def _end(row: Row) -> FileEnd | Skipped:
    if row["kind"] == "skip":
        return Skipped(file_path(row["path"], row["path_hex"]), row["reason"])
    values = {name: row[name] for name in FileEnd._fields}
    if row["status"] in ("ok", "partial"):
        # The row's reason is that of a verdict.
        values["reason"] = "partial" if row["status"] == "partial" else None
    return FileEnd(**values)


def _key(row: Row) -> Key:
    return Key(file_path(row["path"], row["path_hex"]), row["size"], row["mtime_ns"])


class PartIndex:
    """Which part of a folder holds which file: 12 bytes a file, however many there are.

    Files are kept by a 64-bit hash. Two that share one are told apart by whoever reads the part.
    """

    def __init__(self, folder: str, settings: ShardSettings, with_errors: bool = True) -> None:
        """Look through all parts; of a file in several the latest holds."""
        self.parts = list_parts(folder)
        hashes, owners = [], []
        for number, part in enumerate(self.parts):
            keys = part_keys(part, settings, with_errors)
            hashes.append(np.fromiter(map(_hash, keys), np.uint64, len(keys)))
            owners.append(np.full(len(keys), number, np.int32))
        every = np.concatenate([np.empty(0, np.uint64), *hashes])
        order = np.argsort(every, kind="stable")
        self._hashes = every[order]
        self._owners = np.concatenate([np.empty(0, np.int32), *owners])[order]

    def __len__(self) -> int:
        return len(self._hashes)

    def part_of(self, key: Key) -> str | None:
        """The part that holds a file, or None."""
        wanted = np.uint64(_hash(key))
        # Parts are in the order of their time, and equal hashes in that of their parts.
        at = int(np.searchsorted(self._hashes, wanted, side="right")) - 1
        if at < 0 or self._hashes[at] != wanted:
            return None
        return self.parts[self._owners[at]]


def _hash(key: Key) -> int:
    data = b"%b\0%d\0%d" % (os.fsencode(key.path), key.size, key.mtime_ns)
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def list_parts(folder: str) -> list[str]:
    """The parts in a folder or below a URI, the oldest first."""
    fs = _arrow_fs()
    with _io_errors(folder):
        system, path = _file_system(folder)
        found = system.get_file_info(fs.FileSelector(path, allow_not_found=True))
        parts = [
            (info.mtime_ns or 0, info.base_name)
            for info in found
            if info.is_file and info.base_name.startswith("part-") and info.extension == "parquet"
        ]
    return [join(folder, name) for _, name in sorted(parts)]


def make_folder(folder: str) -> None:
    """The folder of parts; object stores need none."""
    system, path = _file_system(folder)
    if system.type_name == "local":
        with _io_errors(folder):
            os.makedirs(path, exist_ok=True)


def join(folder: str, name: str) -> str:
    """The place of a part in a folder or below a URI."""
    return f"{folder.rstrip('/')}/{name}" if "://" in folder else os.path.join(folder, name)


def _write_part(rows: Generator[Row, None, None], part: str, settings: ShardSettings) -> None:
    """Rows as a part, whole or not at all."""
    system, path = _file_system(part)
    with contextlib.closing(rows), _io_errors(part):
        if system.type_name == "local":
            _write_beside(rows, path, settings)
        else:
            _upload(rows, system, path, settings)


def _write_beside(rows: Iterator[Row], path: str, settings: ShardSettings) -> None:
    """By a name of its own: two machines may write the same part at once."""
    folder, name = os.path.split(path)
    partial = os.path.join(folder, f".{name}.{secrets.token_hex(8)}")
    try:
        with open(partial, "wb") as file:
            _write_parquet(rows, file, settings)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)


def _upload(rows: Iterator[Row], system: Any, path: str, settings: ShardSettings) -> None:
    """Made here first: an object appears when its upload ends, and this one must not end early."""
    with tempfile.TemporaryFile() as file:
        _write_parquet(rows, file, settings)
        file.seek(0)
        with system.open_output_stream(path) as stream:
            while block := file.read(_COPY_BYTES):
                stream.write(block)


def _write_parquet(rows: Iterator[Row], file: IO[bytes], settings: ShardSettings) -> None:
    """With a checksum of every page, for damage that leaves the end of a file intact."""
    schema = parquet_schema().with_metadata({_METADATA: settings.key})
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True) as writer:
        while group := list(islice(rows, _GROUP_ROWS)):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))


@contextlib.contextmanager
def _opened(part: str) -> Iterator[Any]:
    """A part as a pyarrow ParquetFile; None where there is none."""
    parquet_schema()
    import pyarrow.parquet as pq

    system, path = _file_system(part)
    try:
        source = system.open_input_file(path)
    except FileNotFoundError:
        yield None
        return
    with source, pq.ParquetFile(source, page_checksum_verification=True) as file:
        yield file


def _metadata_key(file: Any) -> str | None:
    """The settings that a part says it was made with; None where it is none of ours."""
    value = (file.schema_arrow.metadata or {}).get(_METADATA)
    if value is None or not file.schema_arrow.equals(parquet_schema()):
        return None
    return str(value, errors="replace")


def _file_system(place: str) -> tuple[Any, str]:
    """A pyarrow file system and the path in it."""
    fs = _arrow_fs()
    if "://" not in place:
        return fs.LocalFileSystem(), os.path.abspath(place)
    try:
        system, path = fs.FileSystem.from_uri(place)
    except (ValueError, NotImplementedError, OSError) as error:
        raise StoreError(f"{place}: {error}") from error
    return system, path


def _arrow_fs() -> Any:
    parquet_schema()
    from pyarrow import fs

    return fs


def _damage() -> tuple[type[Exception], ...]:
    """What reading a file raises that is no Parquet, or was cut or changed."""
    import pyarrow as pa

    return (OSError, pa.ArrowException, ValueError)


@contextlib.contextmanager
def _io_errors(place: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(disk_message(place, error)) from error
