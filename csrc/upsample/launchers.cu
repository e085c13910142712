// Grid and shared-memory arithmetic of the up-sampling kernels. Built by nvcc for the extension and
// by g++ over the SIMT shim for the tests.
#include <algorithm>
#include <initializer_list>

#include "common/launch.h"
#include "upsample/launchers.cuh"
#include "upsample/tap_gather.cuh"
#include "upsample/unpool.cuh"

namespace gandetect::upsample::device {
namespace {

constexpr int64_t kMaxShared = 48 * 1024;

Divisor divisor_of(int64_t d) {
  int shift = 0;
  while ((int64_t{1} << shift) < d) ++shift;
  const uint64_t magic = ((((uint64_t{1} << shift) - d) << 32) / d) + 1;
  return {static_cast<unsigned>(d), static_cast<unsigned>(magic), shift};
}

// The product, or -1 where it does not fit one launch or a factor is negative.
template <typename... Factors>
int64_t numbers(Factors... factors) {
  int64_t product = 1;
  bool fits = true;
  for (const int64_t f : {static_cast<int64_t>(factors)...}) {
    fits = fits && f >= 0 && (f == 0 || product <= kMaxNumbers / f);
    if (fits) product *= f;
  }
  return fits ? product : -1;
}

template <typename Real>
Ending<Real> ending_of(const EndingArgs& args) {
  return {static_cast<const Real*>(args.bias), args.activation, static_cast<Real>(args.slope)};
}

bool is_valid(const EndingArgs& args) {
  return args.activation >= 0 && args.activation < kActivations;
}

template <typename Launch>
int launch_blocks(int64_t blocks, Launch launch) {
  if (blocks == 0) return kSuccess;
  if (blocks < 0 || blocks > kMaxGridX) return kInvalidConfiguration;
  launch(static_cast<unsigned>(blocks));
  return GD_STATUS();
}

bool is_aligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }

// Whole images, as many as one launch may number, as launch(first, images). Multiples of four keep
// the beginning of every slice aligned.
template <typename Launch>
int launch_slices(int64_t n, int64_t per_image, const Limit& limit, Launch launch) {
  int64_t images = limit.numbers / per_image;
  if (images > 4) images -= images % 4;
  if (images < 1) images = 1;
  for (int64_t first = 0; first < n; first += images) {
    const int status = launch(first, n - first < images ? n - first : images);
    if (status != kSuccess) return status;
  }
  return kSuccess;
}

// The wide kernel where the target and whatever else it packs are aligned.
template <typename Real, typename Source>
int sweep(const Source& source, const Ending<Real>& ending, bool wide_fits, Real* out,
          int64_t total, void* stream) {
  constexpr int kWide = wide<Real>();
  const int64_t per_block = kSweepThreads * (wide_fits ? kWide : 1);
  return launch_blocks(ceil_div(total, per_block), [&](unsigned grid) {
    if (wide_fits)
      GD_LAUNCH((sweep_kernel<Real, kWide, Source>), grid, kSweepThreads, 0, stream, source, ending,
                out, static_cast<unsigned>(total));
    else
      GD_LAUNCH((sweep_kernel<Real, 1, Source>), grid, kSweepThreads, 0, stream, source, ending,
                out, static_cast<unsigned>(total));
  });
}

Grid grid_of(int64_t channels, int64_t height, int64_t width, int64_t scale_y, int64_t scale_x) {
  return {divisor_of(channels),        divisor_of(width * scale_x), divisor_of(height * scale_y),
          divisor_of(scale_x),         divisor_of(scale_y),         static_cast<unsigned>(height),
          static_cast<unsigned>(width)};
}

template <typename Real, bool kInterleaved>
int bed_of_nails(const NailsArgs& args, void* stream) {
  const int64_t inputs = args.channels * args.height * args.width;
  const int64_t outputs = inputs * args.scale_height * args.scale_width;
  const Grid grid =
      grid_of(args.channels, args.height, args.width, args.scale_height, args.scale_width);
  return launch_slices(args.n, outputs, args.limit, [&](int64_t first, int64_t images) {
    const Real* x = static_cast<const Real*>(args.x) + first * inputs;
    Real* out = static_cast<Real*>(args.out) + first * outputs;
    return sweep(NailsSource<Real, kInterleaved>{x, grid}, ending_of<Real>(args.ending),
                 is_aligned(out), out, images * outputs, stream);
  });
}

template <typename Real, bool kInterleaved>
int pixel_shuffle(const ShuffleArgs& args, void* stream) {
  const int64_t numbers = args.channels * args.height * args.width * args.scale * args.scale;
  const Grid grid = grid_of(args.channels, args.height, args.width, args.scale, args.scale);
  return launch_slices(args.n, numbers, args.limit, [&](int64_t first, int64_t images) {
    const Real* x = static_cast<const Real*>(args.x) + first * numbers;
    Real* out = static_cast<Real*>(args.out) + first * numbers;
    return sweep(ShuffleSource<Real, kInterleaved>{x, grid}, ending_of<Real>(args.ending),
                 is_aligned(out), out, images * numbers, stream);
  });
}

template <typename Real, bool kInterleaved>
int bias_activation(const BiasActivationArgs& args, void* stream) {
  const int64_t numbers = args.channels * args.plane;
  return launch_slices(args.n, numbers, args.limit, [&](int64_t first, int64_t images) {
    const Real* x = static_cast<const Real*>(args.x) + first * numbers;
    Real* out = static_cast<Real*>(args.out) + first * numbers;
    const SameSource<Real, kInterleaved> source{x, divisor_of(args.plane),
                                                divisor_of(args.channels)};
    return sweep(source, ending_of<Real>(args.ending), is_aligned(x) && is_aligned(out), out,
                 images * numbers, stream);
  });
}

template <typename Integer>
int unpool_fill(Integer* winners, int64_t total, int32_t* faults, int64_t planes, void* stream) {
  constexpr int kWide = wide<Integer>();
  const bool wide_fits = is_aligned(winners);
  const int64_t packs = ceil_div(total, wide_fits ? kWide : 1);
  const int64_t threads = packs < planes ? planes : packs;
  return launch_blocks(ceil_div(threads, kSweepThreads), [&](unsigned grid) {
    if (wide_fits)
      GD_LAUNCH((unpool_fill_kernel<Integer, kWide>), grid, kSweepThreads, 0, stream, winners,
                static_cast<unsigned>(total), faults, static_cast<unsigned>(planes));
    else
      GD_LAUNCH((unpool_fill_kernel<Integer, 1>), grid, kSweepThreads, 0, stream, winners,
                static_cast<unsigned>(total), faults, static_cast<unsigned>(planes));
  });
}

template <typename Real, bool kInterleaved>
int max_unpool2d(const UnpoolArgs& args, void* stream) {
  using Integer = typename Winner<Real>::type;
  static_assert(sizeof(Integer) == sizeof(Real), "winners lie where reals will");
  const int64_t inputs = args.channels * args.inputs, outputs = args.channels * args.outputs;
  const int64_t larger = inputs < outputs ? outputs : inputs;
  return launch_slices(args.n, larger, args.limit, [&](int64_t first, int64_t images) {
    Real* out = static_cast<Real*>(args.out) + first * outputs;
    Integer* winners = reinterpret_cast<Integer*>(out);
    int32_t* faults = args.faults + first * args.channels;
    int status = unpool_fill(winners, images * outputs, faults, images * args.channels, stream);
    if (status != kSuccess) return status;
    const int64_t total = images * inputs;
    status = launch_blocks(ceil_div(total, kSweepThreads), [&](unsigned grid) {
      const ScatterGrid scatter{divisor_of(args.channels), divisor_of(args.inputs),
                                static_cast<unsigned>(args.outputs)};
      GD_LAUNCH((unpool_scatter_kernel<Integer, kInterleaved>), grid, kSweepThreads, 0, stream,
                args.indices + first * inputs, scatter, winners, faults,
                static_cast<unsigned>(total));
    });
    if (status != kSuccess) return status;
    const UnpoolSource<Real, kInterleaved> source{
        static_cast<const Real*>(args.x) + first * inputs, out, faults,
        grid_of(args.channels, 1, args.outputs, 1, 1), static_cast<unsigned>(args.inputs)};
    return sweep(source, ending_of<Real>(args.ending), is_aligned(out), out, images * outputs,
                 stream);
  });
}

// Threads along a line: enough for its outputs, so that short lines share a block.
int lanes_of(int64_t out_width, int outputs_per_thread) {
  int lanes = 8;
  while (lanes < 32 && lanes * outputs_per_thread < out_width) lanes *= 2;
  return lanes;
}

template <typename Real, int V, bool kInterleaved>
int tap_gather(const TapGatherArgs& args, void* stream) {
  const int64_t kernel_width = args.sizes[2], channels = args.sizes[3], width = args.sizes[5];
  const int lanes = kInterleaved ? kInterleavedLanes : lanes_of(args.out_width, V);
  const int groups = kTapThreads / lanes;
  const int64_t tile_columns = kInterleaved ? lanes / (kTapChannels / V) : lanes * V;
  const int64_t per_column = groups * kernel_width * static_cast<int64_t>(sizeof(Real)) *
                             (kInterleaved ? kTapChannels : 1);
  // What a piece of a row spans at this scale, and what one output adds to it.
  int64_t window = ceil_div(tile_columns * width, args.out_width) + args.column_length + 1;
  if (args.window > 0) window = args.window;
  window = std::min(std::min(window, width), kMaxShared / per_column);
  if (window < 1) return kInvalidValue;

  TapGrid g;
  g.image = args.strides[0];
  g.tap_y = static_cast<int>(args.strides[1]);
  g.tap_x = static_cast<int>(args.strides[2]);
  g.channel = static_cast<int>(args.strides[3]);
  g.row = static_cast<int>(args.strides[4]);
  g.column = static_cast<int>(args.strides[5]);
  g.lines = static_cast<unsigned>(args.sizes[0] * args.out_height * (kInterleaved ? 1 : channels));
  g.column_tiles = static_cast<unsigned>(ceil_div(args.out_width, tile_columns));
  g.tiles = g.column_tiles * (kInterleaved ? ceil_div(channels, kTapChannels) : 1);
  g.channels = static_cast<int>(channels);
  g.out_height = static_cast<int>(args.out_height);
  g.out_width = static_cast<int>(args.out_width);
  g.row_length = static_cast<int>(args.row_length);
  g.column_length = static_cast<int>(args.column_length);
  g.kernel_width = static_cast<int>(kernel_width);
  g.window = static_cast<int>(window);
  const TapTables<Real> tables{args.rows, static_cast<const Real*>(args.row_weights), args.columns,
                               static_cast<const Real*>(args.column_weights), args.span};
  return launch_blocks(ceil_div(g.lines, groups) * g.tiles, [&](unsigned grid) {
    GD_LAUNCH((tap_gather_kernel<Real, V, kInterleaved>), grid, dim3(lanes, groups),
              per_column * window, stream, static_cast<const Real*>(args.z), tables,
              ending_of<Real>(args.ending), g, static_cast<Real*>(args.out));
  });
}

template <typename Real, bool kInterleaved>
int tap_gather_of_width(const TapGatherArgs& args, void* stream) {
  constexpr int kWide = wide<Real>();
  const int64_t run = kInterleaved ? args.sizes[3] : args.out_width;
  return is_aligned(args.out) && run % kWide == 0
             ? tap_gather<Real, kWide, kInterleaved>(args, stream)
             : tap_gather<Real, 1, kInterleaved>(args, stream);
}

// Whether 32 bits reach every number of one image, for extents and strides that are not negative.
bool has_short_strides(const TapGatherArgs& args) {
  int64_t last = 0;
  for (int d = 1; d < 6; ++d) {
    if (args.sizes[d] < 1 || args.strides[d] < 0) return false;
    if (args.sizes[d] > kMaxNumbers || args.strides[d] > kMaxNumbers) return false;
    last += (args.sizes[d] - 1) * args.strides[d];
    if (last >= kMaxNumbers) return false;
  }
  return true;
}

}  // namespace

// Calls function<Real, interleaved>(args, stream).
#define GD_DISPATCH(function)                                                                   \
  (args.type == RealType::kFloat64 ? (args.interleaved ? function<double, true>(args, stream)   \
                                                       : function<double, false>(args, stream)) \
                                   : (args.interleaved ? function<float, true>(args, stream)    \
                                                       : function<float, false>(args, stream)))

int GD_NS(bed_of_nails)(const NailsArgs& args, void* stream) {
  const int64_t outputs =
      numbers(args.channels, args.height, args.width, args.scale_height, args.scale_width);
  if (outputs < 0 || args.scale_height < 1 || args.scale_width < 1 || !is_valid(args.ending))
    return kInvalidValue;
  if (args.n == 0 || outputs == 0) return kSuccess;
  return GD_DISPATCH(bed_of_nails);
}

int GD_NS(pixel_shuffle)(const ShuffleArgs& args, void* stream) {
  const int64_t outputs = numbers(args.channels, args.height, args.width, args.scale, args.scale);
  if (outputs < 0 || args.scale < 1 || !is_valid(args.ending)) return kInvalidValue;
  if (args.n == 0 || outputs == 0) return kSuccess;
  return GD_DISPATCH(pixel_shuffle);
}

int GD_NS(bias_activation)(const BiasActivationArgs& args, void* stream) {
  const int64_t outputs = numbers(args.channels, args.plane);
  if (outputs < 0 || !is_valid(args.ending)) return kInvalidValue;
  if (args.n == 0 || outputs == 0) return kSuccess;
  return GD_DISPATCH(bias_activation);
}

int GD_NS(max_unpool2d)(const UnpoolArgs& args, void* stream) {
  const int64_t inputs = numbers(args.channels, args.inputs);
  const int64_t outputs = numbers(args.channels, args.outputs);
  if (inputs < 0 || outputs < 0 || !is_valid(args.ending)) return kInvalidValue;
  if (args.n == 0 || outputs == 0) return kSuccess;
  return GD_DISPATCH(max_unpool2d);
}

int GD_NS(tap_gather)(const TapGatherArgs& args, void* stream) {
  const int64_t channels = args.sizes[3];
  const int64_t lines = numbers(args.sizes[0], args.out_height, args.interleaved ? 1 : channels);
  const bool tables_fit = numbers(2, args.row_length, args.out_height) >= 0 &&
                          numbers(2, args.column_length, args.out_width) >= 0;
  if (lines < 0 || !tables_fit || !is_valid(args.ending)) return kInvalidValue;
  if (lines == 0 || args.out_width == 0 || channels == 0) return kSuccess;
  if (!has_short_strides(args)) return kInvalidValue;
  return GD_DISPATCH(tap_gather_of_width);
}

#undef GD_DISPATCH

const char* GD_NS(status_text)(int status) { return GD_STATUS_TEXT(status); }

}  // namespace gandetect::upsample::device
