"""Shards by themselves, without a Ray: names, parts, damage."""

from __future__ import annotations

import dataclasses
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from making_media import image_bytes, noise, write_clip
from odd_models import Poisonable
from ray_helpers import descendants, processes, stamps

import gandetect
from gandetect.detect import Model
from gandetect.screen import StoreError, shards
from gandetect.screen.decode import FileEnd
from gandetect.screen.pipeline import ScreenOptions
from gandetect.screen.shards import Key, PartIndex, ShardSettings, part_name, process_shard
from gandetect.screen.sources import Skipped, Source, find_files


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Source]:
    folder = tmp_path_factory.mktemp("few")
    for i in range(4):
        (folder / f"{i}.jpg").write_bytes(image_bytes(noise(96, 96, i), "JPEG"))
    write_clip(folder / "a.mp4", 12)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "notes").write_text("nothing to see")
    return [found for found in find_files([folder]) if isinstance(found, Source)]


@pytest.fixture
def settings(model: Model) -> ShardSettings:
    return ShardSettings(model)


def told(part: str) -> dict[str, tuple[Any, int]]:
    return {Path(key.path).name: (end, len(f)) for key, end, f in shards.read_part(part)}


def test_names_follow_from_what_decides_the_content(
    sources: list[Source], settings: ShardSettings, model_file: Path
) -> None:
    name = part_name(sources, settings)
    assert name.startswith("part-")
    assert len(name) == len("part-") + 20 + len(".parquet")
    assert part_name([dataclasses.replace(s) for s in sources], settings) == name

    def changed(**values: Any) -> str:
        return part_name(sources, dataclasses.replace(settings, **values))

    touched = dataclasses.replace(sources[0], mtime_ns=sources[0].mtime_ns + 1)
    grown = dataclasses.replace(sources[0], size=sources[0].size + 1)
    named = dataclasses.replace(sources[-1], wanted=not sources[-1].wanted)
    others = [
        part_name(sources[1:], settings),
        part_name([*sources[:-1], named], settings),
        part_name([touched, *sources[1:]], settings),
        part_name([grown, *sources[1:]], settings),
        changed(options=ScreenOptions(every=0.5)),
        changed(model=Model.load(model_file)),
        changed(fpr=0.1),
        changed(confidence=None),
    ]
    assert len({name, *others}) == 1 + len(others)
    # What decides only how it is done.
    assert changed(workers=7, batch_size=3) == name


def test_a_part_gives_back_what_workers_found(
    sources: list[Source], settings: ShardSettings, tmp_path: Path
) -> None:
    part = process_shard(sources, settings, str(tmp_path / part_name(sources, settings)))
    found = told(part)
    assert set(found) == {Path(source.path).name for source in sources}
    ends = {name: end for name, (end, _) in found.items()}
    assert isinstance(ends["notes"], Skipped)
    assert ends["notes"].reason == "not_media"
    assert ends["broken.png"].status == "error"
    assert ends["broken.png"].reason == "corrupt"
    image = ends["0.jpg"]
    assert isinstance(image, FileEnd)
    assert (image.status, image.reason, image.media) == ("ok", None, "image")
    assert len(image.sha256 or "") == 64
    assert found["a.mp4"][1] == ends["a.mp4"].n_decoded == 12
    assert {key for key, *_ in shards.read_part(part)} == {Key.of(s) for s in sources}


def test_a_part_that_is_there_is_not_made_again(
    sources: list[Source], settings: ShardSettings, tmp_path: Path
) -> None:
    part = str(tmp_path / part_name(sources, settings))
    process_shard(sources, settings, part)
    before = stamps(tmp_path)
    assert process_shard(sources, settings, part) == part
    assert stamps(tmp_path) == before
    process_shard(sources, settings, part, replace=True)
    assert stamps(tmp_path) != before
    # Nothing else stays behind.
    assert [path.name for path in tmp_path.iterdir()] == [Path(part).name]


def test_a_torn_part_is_made_again(
    sources: list[Source], settings: ShardSettings, tmp_path: Path
) -> None:
    part = tmp_path / part_name(sources, settings)
    process_shard(sources, settings, str(part))
    whole = part.read_bytes()
    for torn in (b"", whole[: len(whole) // 2], whole[:-1], b"PAR1"):
        part.write_bytes(torn)
        assert not shards.is_whole(str(part), settings)
        assert shards.part_keys(str(part), settings) == []
        with pytest.raises(StoreError, match="damaged"):
            list(shards.read_part(str(part)))
    process_shard(sources, settings, str(part))
    assert len(told(str(part))) == len(sources)


def test_damage_inside_a_part_is_noticed(
    sources: list[Source], settings: ShardSettings, tmp_path: Path
) -> None:
    part = tmp_path / "part-x.parquet"
    process_shard(sources, settings, str(part))

    def everything() -> list[Any]:
        return [(key, end, list(f.rows())) for key, end, f in shards.read_part(str(part))]

    whole, expected = part.read_bytes(), everything()
    noticed = 0
    # The pages; of what stands at the end only the sizes are known.
    footer = 8 + int.from_bytes(whole[-8:-4], "little")
    for at in range(8, len(whole) - footer, 7):
        part.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        try:
            assert everything() == expected
        except StoreError:
            noticed += 1
    assert noticed > 10


def test_parts_of_other_models_and_options_do_not_count(
    sources: list[Source], settings: ShardSettings, tmp_path: Path
) -> None:
    part = process_shard(sources, settings, str(tmp_path / "part-x.parquet"))
    other = dataclasses.replace(settings, options=ScreenOptions(max_tiles=1))
    assert shards.is_whole(part, dataclasses.replace(settings, fpr=0.1))
    assert not shards.is_whole(part, other)
    assert len(PartIndex(str(tmp_path), settings)) == len(sources)
    assert len(PartIndex(str(tmp_path), other)) == 0


def test_the_latest_part_of_a_file_holds(
    sources: list[Source], settings: ShardSettings, tmp_path: Path
) -> None:
    parts = [str(tmp_path / f"part-{name}.parquet") for name in "zay"]
    for i, part in enumerate(parts):
        process_shard(sources[i:5], settings, part)
        os.utime(part, (i, i))
    index = PartIndex(str(tmp_path), settings)
    owners = [index.part_of(Key.of(source)) for source in sources]
    assert owners == [parts[0], parts[1], parts[2], parts[2], parts[2], None, None]


def test_files_without_a_result_can_be_left_out(
    sources: list[Source], settings: ShardSettings, tmp_path: Path
) -> None:
    part = process_shard(sources, settings, str(tmp_path / "part-x.parquet"))
    failed = set(shards.part_keys(part, settings)) - set(shards.part_keys(part, settings, False))
    assert {Path(key.path).name for key in failed} == {"broken.png"}


def test_parts_have_uris(sources: list[Source], settings: ShardSettings, tmp_path: Path) -> None:
    folder = (tmp_path / "below" / "parts").as_uri()
    shards.make_folder(folder)
    part = process_shard(sources[:2], settings, shards.join(folder, "part-x.parquet"))
    assert part == f"{folder}/part-x.parquet"
    assert (tmp_path / "below" / "parts" / "part-x.parquet").is_file()
    assert shards.list_parts(folder) == [part]
    assert len(told(part)) == 2
    with pytest.raises(StoreError, match="nonsense"):
        process_shard(sources[:1], settings, "nonsense://a/part-x.parquet")


def test_a_poisonous_file_costs_a_row(
    sources: list[Source], model: Model, poison: bytes, tmp_path: Path
) -> None:
    (tmp_path / "poison.png").write_bytes(poison)
    source = next(found for found in find_files([tmp_path]) if isinstance(found, Source))
    settings = ShardSettings(Poisonable(model))
    part = process_shard([*sources[:4], source], settings, str(tmp_path / "part-x.parquet"))
    statuses = {name: end.status for name, (end, _) in told(part).items()}
    assert statuses.pop("poison.png") == "quarantined"
    assert set(statuses.values()) == {"ok"}
    assert len(statuses) == 4


def test_workers_can_be_kept_for_the_next_shard(
    sources: list[Source], settings: ShardSettings, tmp_path: Path
) -> None:
    def screened(name: str, settings: ShardSettings, keep: bool) -> set[int]:
        before = descendants(os.getpid())
        process_shard(sources, settings, str(tmp_path / name), keep_workers=keep)
        after = descendants(os.getpid())
        return {pid for pid in set(after) - set(before) if "forkserver" in after[pid]}

    screened("part-0.parquet", settings, keep=False)
    first = screened("part-a.parquet", settings, keep=True)
    assert len(first) == 1
    assert screened("part-b.parquet", settings, keep=True) == set()
    assert first <= set(processes())
    # One that dies meanwhile is replaced.
    os.kill(next(iter(first)), signal.SIGKILL)
    second = screened("part-c.parquet", settings, keep=True)
    assert len(second) == 1
    # Others of another kind take their place, and these are not kept.
    other = dataclasses.replace(settings, options=ScreenOptions(max_tiles=1))
    assert screened("part-d.parquet", other, keep=False) == set()
    assert not second & set(processes())
    tiles = [
        max(max(frames.n_tiles, default=0) for _, _, frames in shards.read_part(str(path)))
        for path in (tmp_path / "part-c.parquet", tmp_path / "part-d.parquet")
    ]
    assert tiles[0] > tiles[1] == 1
    assert told(str(tmp_path / "part-c.parquet")) == told(str(tmp_path / "part-0.parquet"))


def test_failures_to_write_are_errors(
    sources: list[Source], settings: ShardSettings, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="Not a directory"):
        process_shard(sources[:1], settings, str(tmp_path / "file" / "part-x.parquet"))
    other = dataclasses.replace(settings, version="0")
    with pytest.raises(StoreError, match=f"gandetect {gandetect.__version__} is installed here"):
        process_shard(sources[:1], other, str(tmp_path / "part-x.parquet"))
