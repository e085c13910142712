"""What only a GPU can answer: streams, graphs, devices and memory. Not run on one yet."""

from __future__ import annotations

import pytest
import torch
from ops_table import OPS, SPECTRAL_MEANS, as_tuple

from gandetect import ops

pytestmark = pytest.mark.gpu
LONG_IN_CYCLES = 100_000_000


def calls(device: str):
    """Each op with a call whose first argument may be filled later."""
    for case in OPS:
        first, *rest = list(case.samples(torch.float32))[-1]
        rest = [a.to(device) if isinstance(a, torch.Tensor) else a for a in rest]
        yield case, first.to(device), rest


def assert_same(actual, wanted) -> None:
    for a, w in zip(as_tuple(actual), as_tuple(wanted), strict=True):
        assert torch.equal(a, w)


def test_kernels_run_on_the_current_stream(gpu):
    """On any other they would not wait for what is still to be written, and read zeros."""
    for case, first, rest in calls(gpu):
        wanted = case.op(first, *rest)
        late = torch.zeros_like(first)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            torch.cuda._sleep(LONG_IN_CYCLES)
            late.copy_(first)
            actual = case.op(late, *rest)
        stream.synchronize()
        assert_same(actual, wanted)


def test_nothing_waits_for_the_gpu(gpu):
    """A call returns while the stream is still busy with what came before it."""
    for case, first, rest in calls(gpu):
        case.op(first, *rest)
        torch.cuda.synchronize()
        torch.cuda._sleep(LONG_IN_CYCLES)
        done = torch.cuda.Event()
        done.record()
        case.op(first, *rest)
        assert not done.query(), f"{case} waits"
        torch.cuda.synchronize()


def test_graph_capture(gpu):
    """Captured once and replayed over other images, as a training step or a server does."""
    for case, first, rest in calls(gpu):
        other = first.flip(0) * 0.5
        wanted = case.op(other, *rest)
        static = first.clone()
        warm = torch.cuda.Stream()
        warm.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(warm):
            case.op(static, *rest)
        torch.cuda.current_stream().wait_stream(warm)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            captured = case.op(static, *rest)
        static.copy_(other)
        graph.replay()
        torch.cuda.synchronize()
        assert_same(captured, wanted)


def test_bytes_make_no_float_copy_of_the_batch(gpu):
    images = torch.randint(0, 256, (64, 3, 512, 512), dtype=torch.uint8, device=gpu)
    ops.spectral_profile(images)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    ops.spectral_profile(images)
    # One float32 grey copy of the batch alone would be 64 MiB, one of all channels 192 MiB.
    assert torch.cuda.max_memory_allocated() - before < 4 * images.numel()


def test_everything_on_one_device(gpu):
    images, maps, *rest = next(SPECTRAL_MEANS.samples(torch.float64))
    with pytest.raises(RuntimeError, match="CUDA device"):
        SPECTRAL_MEANS.op(images.to(gpu), maps, *rest)


def test_a_device_that_is_not_the_current_one(gpu):
    if torch.cuda.device_count() < 2:
        pytest.skip("there is one GPU")
    images = torch.rand(2, 3, 32, 40, dtype=torch.float64)
    profile = ops.spectral_profile(images.to("cuda:1"))
    assert profile.device == torch.device("cuda:1")
    assert torch.cuda.current_device() == 0
    torch.testing.assert_close(profile.cpu(), ops.spectral_profile(images), rtol=1e-10, atol=0)
