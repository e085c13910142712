// What is left of up-sampling and a convolution once the channels were mixed at low resolution.
//
// Interpolation acts on pixels and is linear, the mixing of channels acts on channels: they
// commute. torch's matrix product made Z[n, ty, tx, o] = sum over c of w[o, c, ty, tx] x[n, c], one
// low-resolution plane for each tap. An output row Y is a list of (tap ty, source row h, weight), a
// column X a list of (tap tx, source column w, weight): where each tap falls in the up-sampled
// image, and what that place is interpolated from. Taps that fall into the zero padding are in no
// list.
//
//   V[tx, w] = sum over the list of Y of weight Z[n, ty, tx, o, h, w]
//   y[n, o, Y, X] = act(sum over the list of X of weight V[tx, w] + bias[o])
//
// A list has 1, 2 or 4 entries per tap (nearest, bilinear, bicubic): with both steps in one the
// 3 x 3 bicubic would take 144 terms an output, in two steps it takes 12 + 18 for a scale of 2.
//
// A group of threads owns a piece of one output row: V in shared memory, barrier, then V outputs a
// thread, barrier. Planar layout: 1 channel and up to 32 threads times V columns; interleaved: 32
// channels and some columns. The part of a row of V that the piece needs is walked in windows of a
// fixed capacity, usually one, so that any scale and any dilation fit into shared memory; windows
// follow from the shape alone, and so does the order of every sum.
//
// Memory: an output is written once, 16 bytes at a time; Z is read from the cache (the caller cuts
// the batch so that it stays there), in runs along w, or along o, as long as the piece needs. The
// tables are shared by all images and channels. Entry e of list i lies at [e][i], so neighboring
// threads read neighbors; a list ends at a tap of -1.
#pragma once

#include "common/device.h"
#include "upsample/ending.cuh"
#include "upsample/sweep.cuh"

namespace gandetect::upsample::device {

constexpr int kTapThreads = 256;
constexpr int kTapChannels = 32;  // of a piece, interleaved
constexpr int kInterleavedLanes = 128;
constexpr int kTapBatch = 4;  // sums that a thread forms at a time in the first step

template <typename Real>
struct TapTables {
  const int32_t* rows;  // (2, row_length, out_height): taps, then sources
  const Real* row_weights;
  const int32_t* columns;  // (2, column_length, out_width)
  const Real* column_weights;
  const int32_t* span;  // (2, out_width): least source from X on, largest up to X
};

struct TapGrid {
  int64_t image;  // strides of Z; one image holds fewer than 2^31 numbers
  int tap_y, tap_x, channel, row, column;
  unsigned lines;  // output rows: of each channel in planar layout, of each image else
  unsigned tiles;  // pieces of a line: along the columns, then along the channels
  unsigned column_tiles;
  int channels, out_height, out_width;
  int row_length, column_length;
  int kernel_width, window;  // window: columns of V that shared memory holds
};

// Sums of the first step: item i of a window is V[tx, w] of channel o.
template <typename Real, bool kInterleaved>
__device__ inline void sum_rows(const Real* __restrict__ z, const TapTables<Real>& t,
                                const TapGrid& g, int y, int channels, int columns, int lane,
                                int lanes, Real* sums) {
  const int per_column = kInterleaved ? kTapChannels : 1;
  const int items = g.kernel_width * columns * per_column;
  for (int first = lane; first < items; first += kTapBatch * lanes) {
    int from[kTapBatch];
    Real sum[kTapBatch];
    GD_UNROLL
    for (int u = 0; u < kTapBatch; ++u) {
      const int item = first + u * lanes;
      const int o = item % per_column, slot = item / per_column;
      const int tx = slot / columns, w = slot % columns;
      // What is not there is read from the first one's place, and dropped.
      from[u] = item < items && o < channels ? tx * g.tap_x + w * g.column + o * g.channel
                                             : (u == 0 ? 0 : from[0]);
      sum[u] = 0;
    }
    for (int e = 0; e < g.row_length; ++e) {
      const int at = e * g.out_height + y;
      const int tap = t.rows[at];
      if (tap < 0) break;
      const int offset = tap * g.tap_y + t.rows[g.row_length * g.out_height + at] * g.row;
      const Real weight = t.row_weights[at];
      GD_UNROLL
      for (int u = 0; u < kTapBatch; ++u) sum[u] += weight * z[offset + from[u]];
    }
    GD_UNROLL
    for (int u = 0; u < kTapBatch; ++u)
      if (first + u * lanes < items) sums[first + u * lanes] = sum[u];
  }
}

// Adds what the window holds of V outputs: columns x, x + 1, .. in planar layout, channels c, c +
// 1,
// .. of column x in interleaved.
template <typename Real, int V, bool kInterleaved>
__device__ inline void add_columns(const TapTables<Real>& t, const TapGrid& g, const Real* sums,
                                   int x, int c, int first_column, int columns,
                                   Pack<Real, V>& out) {
  GD_UNROLL
  for (int k = 0; k < (kInterleaved ? 1 : V); ++k) {
    if (x + k >= g.out_width) break;
    for (int e = 0; e < g.column_length; ++e) {
      const int at = e * g.out_width + x + k;
      const int tap = t.columns[at];
      if (tap < 0) break;
      const int w = t.columns[g.column_length * g.out_width + at] - first_column;
      if (w < 0 || w >= columns) continue;
      const Real weight = t.column_weights[at];
      if constexpr (kInterleaved) {
        GD_UNROLL
        for (int i = 0; i < V; ++i)
          out.v[i] += weight * sums[(tap * columns + w) * kTapChannels + c + i];
      } else {
        out.v[k] += weight * sums[tap * columns + w];
      }
    }
  }
}

// Four blocks to a multiprocessor: left to itself, the compiler aims at more and spills for it.
// grid: tiles * (lines / groups, rounded up); block: (lanes, groups), kTapThreads together; shared:
// groups * kernel_width * window (* kTapChannels where interleaved) reals
template <typename Real, int V, bool kInterleaved>
__global__ void __launch_bounds__(kTapThreads, 4)
    tap_gather_kernel(const Real* __restrict__ z, TapTables<Real> t, Ending<Real> ending, TapGrid g,
                      Real* __restrict__ out) {
  GD_DYN_SHARED(shared);
  const int lane = threadIdx.x, lanes = blockDim.x, group = threadIdx.y;
  Real* const sums = reinterpret_cast<Real*>(shared) +
                     group * g.kernel_width * g.window * (kInterleaved ? kTapChannels : 1);
  const unsigned tile = blockIdx.x % g.tiles;
  const unsigned line = blockIdx.x / g.tiles * blockDim.y + group;
  const bool has_line = line < g.lines;
  const int y = static_cast<int>(line % g.out_height);
  const unsigned plane = line / g.out_height;

  // The outputs of this thread, and the channels and columns of its group.
  constexpr int kPacks = kTapChannels / V;
  const int tile_columns = kInterleaved ? lanes / kPacks : lanes * V;
  const int first_x = static_cast<int>(tile % g.column_tiles) * tile_columns;
  const int last_x = min(first_x + tile_columns, g.out_width) - 1;
  const int c = kInterleaved ? lane % kPacks * V : 0;
  const int x = first_x + (kInterleaved ? lane / kPacks : lane * V);
  const unsigned image = kInterleaved ? plane : plane / g.channels;
  const int first_channel = kInterleaved ? static_cast<int>(tile / g.column_tiles) * kTapChannels
                                         : static_cast<int>(plane % g.channels);
  const int channels = kInterleaved ? min(kTapChannels, g.channels - first_channel) : 1;
  const Real* const from = z + image * g.image + first_channel * g.channel;

  Pack<Real, V> values;
  GD_UNROLL
  for (int k = 0; k < V; ++k) values.v[k] = 0;
  // The windows, and with them the barriers, are those of the tile and so of the whole block.
  const int last_column = t.span[g.out_width + last_x];
  for (int w = t.span[first_x]; w <= last_column; w += g.window) {
    const int columns = min(g.window, last_column - w + 1);
    if (has_line)
      sum_rows<Real, kInterleaved>(from + w * g.column, t, g, y, channels, columns, lane, lanes,
                                   sums);
    __syncthreads();
    if (has_line && x <= last_x)
      add_columns<Real, V, kInterleaved>(t, g, sums, x, c, w, columns, values);
    __syncthreads();
  }
  if (!has_line || x > last_x || c >= channels) return;

  GD_UNROLL
  for (int k = 0; k < V; ++k) {
    if (kInterleaved && c + k >= channels) break;
    values.v[k] = finish(ending, values.v[k],
                         static_cast<unsigned>(first_channel + (kInterleaved ? c + k : 0)));
  }
  const int64_t at =
      kInterleaved ? (static_cast<int64_t>(line) * g.out_width + x) * g.channels + first_channel + c
                   : static_cast<int64_t>(line) * g.out_width + x;
  store(out + at, values, kInterleaved ? channels - c : last_x + 1 - x);
}

}  // namespace gandetect::upsample::device
