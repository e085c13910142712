"""What only a GPU can answer: streams, graphs, devices and memory. Not run on one yet."""

from __future__ import annotations

import pytest
import torch
from ops_table import ALL_OPS, SPECTRAL_MEANS, as_tuple

from gandetect import ops

pytestmark = pytest.mark.gpu
LONG_IN_CYCLES = 100_000_000


@pytest.fixture(autouse=True)
def reproducible():
    """Of torch's libraries, in which convolutions begin, the same bits on every stream."""
    with torch.backends.cudnn.flags(enabled=True, deterministic=True):
        yield


def calls(device: str):
    """Each op with a call whose first argument may be filled later."""
    for case in ALL_OPS:
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
    # One float32 gray copy of the batch alone would be 64 MiB, one of all channels 192 MiB.
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


def test_an_up_sampled_image_is_never_made(gpu):
    """The tap planes of a chunk and the result are all that is allocated."""
    x = torch.rand(32, 64, 64, 64, device=gpu)
    weight = torch.rand(64, 64, 3, 3, device=gpu)
    convolved = ops.upsample_conv2d(x, weight, padding=1)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    ops.upsample_conv2d(x, weight, padding=1)
    # The result has 128 MiB, as the up-sampled images would have; a chunk has 32 MiB.
    most = 4 * convolved.numel() * 3 // 2
    assert torch.cuda.max_memory_allocated() - before <= most


def test_a_transposed_convolution_ends_in_place(gpu):
    x = torch.rand(16, 64, 64, 64, device=gpu)
    weight, bias = torch.rand(64, 64, 4, 4, device=gpu), torch.rand(64, device=gpu)

    def peak(**ending):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        ops.conv_transpose2d(x, weight, stride=2, padding=1, **ending)
        return torch.cuda.max_memory_allocated() - before

    peak()
    assert peak(bias=bias, activation="tanh") <= peak() + (1 << 20)


@pytest.mark.parametrize("outside", [-1, 64, 2**40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_index_outside_leaves_the_device_alive(gpu, dtype, outside):
    """torch's own kernel would stop the whole process here; ours marks the plane."""
    x = torch.rand(2, 3, 4, 4, dtype=dtype, device=gpu)
    indices = torch.arange(16, device=gpu).view(4, 4).expand(x.shape).contiguous()
    call = (8, 8, None, 0, 0.0)
    wanted = torch.ops.gandetect.max_unpool2d(x, indices, *call)
    indices[1, 2, 0, 0] = outside
    actual = torch.ops.gandetect.max_unpool2d(x, indices, *call)
    assert actual[1, 2].isnan().all()
    actual[1, 2] = wanted[1, 2]
    assert_same(actual, wanted)
