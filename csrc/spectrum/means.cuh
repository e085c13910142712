// Azimuthal, row-wise and column-wise means of a half plane in one sweep over it.
//
//   bins      out[n,k] = inverse_counts[k] sum over m, u, v with maps[m,u,v] = k of w(v) f(n,u,v)
//   rows      R[n,u] = 1/W sum_v w2(v) (f(n,u,v) + f(n,(H-u) mod H,v)) / 2,   u = 0..H/2
//   columns   C[n,v] = 1/H sum_u f(n,u,v),                                    v = 0..V-1
//   dc        f(n,0,0)
//
// w2 is 2 where a column stands for its mirror image as well (0 < v, 2v < W) and 1 elsewhere; w is
// w2 where the plan is folded, else 1. Map entries outside [0, K) are dropped.
//
// No scatter and no atomics. Along a row of a map the bin never falls, so each bin is one
// contiguous run of columns. A block owns a tile of whole rows of one image and walks it in chunks
// of columns. Per row the threads put w f and the bins into shared memory; after a barrier the
// thread that sits on the first column of a run sums the run in column order and adds it to the
// tile's bin. Within a row and map a bin has one run, and barriers separate rows and maps, so no
// two threads meet at a bin. Two row buffers used in turn leave one barrier per row and map. Maps
// that break the rule give wrong sums, never an access out of bounds.
//
// Narrow planes would leave most of a block idle, so a block is groups x lanes: each group takes
// every groups-th row and keeps bins and columns of its own, added in group order at the end.
//
// Sums are in the precision of the input inside a tile, in double across tiles, in tile order. The
// tiling follows from the shape alone: neither the schedule nor the GPU changes a bit. NaN and Inf
// stay in the bins, rows and columns that hold them.
//
// Shared memory per group, in this order: bins K | columns L | row buffers 2 L | row sums, one per
// row and warp, all Real; then the bins of two row buffers, 2 M L ints. L is the chunk. Beyond
// kSharedBins bins the block works on its slice of the partial sums in global memory instead (it
// has one group then).
//
// Global memory per 1024 x 1024 float32 image: 4.2 MB of spectrum and 2.1 MB of map read (the map
// is shared by all images and stays in L2), 0.37 MB of partial bins written and read again.
#pragma once

#include "common/device.h"
#include "spectrum/plan.cuh"
#include "spectrum/value.cuh"

namespace gandetect::spectrum::device {

constexpr int kMeansThreads = 128;
constexpr int kMeansBlocks =
    8;  // per multiprocessor: room for 64 registers, so that nothing spills
constexpr int kMaxChunkBytes = 4096;
constexpr int kSharedBins = 2048;
constexpr int kMaxTileRows = 64;

template <typename Real>
struct MeansOutput {
  Real* bins;     // (N, tiles, K) or null
  Real* rows;     // (N, H), not yet folded, or null
  Real* columns;  // (N, tiles, V) or null
  Real* dc;       // (N) or null
};

struct MeansShared {
  int bins, columns, values, row_sums, n_reals, n_ints;  // offsets in Reals, then sizes
};

__host__ __device__ inline MeansShared means_shared(const MeansPlan& p) {
  MeansShared s;
  s.bins = 0;
  s.columns = s.bins + (p.shared_bins ? p.groups * p.n_bins : 0);
  s.values = s.columns + p.groups * p.chunk;
  s.row_sums = s.values + 2 * p.groups * p.chunk;
  s.n_reals = s.row_sums + p.tile_rows * (p.lanes / 32);
  s.n_ints = 2 * p.groups * p.n_maps * p.chunk;
  return s;
}

// columns that stand for their mirror image as well
__host__ __device__ inline bool is_doubled(int v, int width) {
  return v > 0 && 2 * static_cast<int64_t>(v) < width;
}

template <typename Real>
__device__ inline Real warp_total(Real value) {
  for (int offset = 16; offset > 0; offset /= 2)
    value += __shfl_xor_sync(0xffffffffu, value, offset);
  return value;
}

template <typename Real>
__device__ inline void clear(Real* values, int n) {
  for (int i = threadIdx.y * blockDim.x + threadIdx.x; i < n; i += kMeansThreads) values[i] = 0;
}

template <typename Real>
__device__ inline Real sum_over_groups(const Real* values, int stride, int groups) {
  Real sum = values[0];
  for (int g = 1; g < groups; ++g) sum += values[static_cast<int64_t>(g) * stride];
  return sum;
}

// One row of one map: the thread on the first column of a run owns the run, and with it the bin.
template <typename Real>
__device__ inline void add_runs(const Real* values, const int* bins, int n, int n_bins,
                                Real* sums) {
  for (int x = threadIdx.x; x < n; x += blockDim.x) {
    const int bin = bins[x];
    if (bin < 0 || bin >= n_bins || (x > 0 && bins[x - 1] == bin)) continue;
    Real sum = values[x];
    for (int y = x + 1; y < n && bins[y] == bin; ++y) sum += values[y];
    sums[bin] += sum;
  }
}

// Where the threads of one group put one row of one chunk.
template <typename Real>
struct RowBuffer {
  Real* values;   // w f
  int* bins;      // of map m from m * chunk on
  Real* columns;  // sums over the rows so far
};

// The first of the n columns is column c of row u. Returns the thread's share of the sum of w2 f.
template <typename Real, typename Source>
__device__ inline Real load_row(const Source& source, const int32_t* __restrict__ maps,
                                const MeansPlan& p, const RowBuffer<Real>& to, int64_t image, int u,
                                int c, int n, Real* dc) {
  const int64_t plane = static_cast<int64_t>(p.height) * p.half_width;
  Real sum = 0;
  for (int x = threadIdx.x; x < n; x += p.lanes) {
    const int element = u * p.half_width + c + x;
    const Real f = source.at(image * plane + element);
    const Real both = is_doubled(c + x, p.width) ? 2 * f : f;
    to.values[x] = p.folded ? both : f;
    for (int m = 0; m < p.n_maps; ++m) to.bins[m * p.chunk + x] = maps[m * plane + element];
    to.columns[x] += f;
    sum += both;
    if (dc != nullptr && element == 0) dc[image] = f;
  }
  return sum;
}

// grid: images * tiles; block: lanes x groups; shared: means_shared
template <typename Real, typename Source>
__global__ void __launch_bounds__(kMeansThreads, kMeansBlocks)
    means_kernel(Source source, const int32_t* __restrict__ maps, MeansPlan p,
                 MeansOutput<Real> out) {
  GD_DYN_SHARED(raw);
  const MeansShared layout = means_shared(p);
  Real* const reals = reinterpret_cast<Real*>(raw);
  int* const ints = reinterpret_cast<int*>(reals + layout.n_reals);
  Real* const column_sums = reals + layout.columns;
  Real* const row_sums = reals + layout.row_sums;

  const int64_t image = blockIdx.x / p.tiles, tile = blockIdx.x % p.tiles;
  const int first_row = static_cast<int>(tile) * p.tile_rows;
  const int rows = min(p.tile_rows, p.height - first_row);
  const int group = threadIdx.y, thread = group * p.lanes + threadIdx.x, warps = p.lanes / 32;
  const int64_t part = image * p.tiles + tile;

  Real* const bin_sums = p.shared_bins ? reals + layout.bins : out.bins + part * p.n_bins;
  Real* const my_bins = bin_sums + (p.shared_bins ? group * p.n_bins : 0);
  clear(bin_sums, (p.shared_bins ? p.groups : 1) * p.n_bins);
  clear(row_sums, p.tile_rows * warps);

  int buffer = group;  // alternates between group and groups + group
  for (int c = 0; c < p.half_width; c += p.chunk) {
    const int n = min(p.chunk, p.half_width - c);
    // Only a block of one group has a second chunk, and there the thread that clears a column is
    // the one that sums and stores it: what the chunk before left needs no barrier.
    clear(column_sums, p.groups * p.chunk);
    __syncthreads();

    // Bounds of this loop are the same in every thread: the barriers inside are met by all.
    for (int step = 0; step < rows; step += p.groups) {
      const int row = step + group;
      const RowBuffer<Real> to{reals + layout.values + buffer * p.chunk,
                               ints + buffer * p.n_maps * p.chunk, column_sums + group * p.chunk};
      Real sum = 0;
      if (row < rows) sum = load_row(source, maps, p, to, image, first_row + row, c, n, out.dc);
      if (out.rows != nullptr) {
        sum = warp_total(sum);
        if (row < rows && threadIdx.x % 32 == 0) row_sums[row * warps + threadIdx.x / 32] += sum;
      }
      __syncthreads();
      for (int m = 0; m < p.n_maps; ++m) {
        if (m > 0) __syncthreads();
        if (row < rows) add_runs(to.values, to.bins + m * p.chunk, n, p.n_bins, my_bins);
      }
      buffer = 2 * group + p.groups - buffer;
    }

    // The columns were complete at the last row's barrier.
    if (out.columns == nullptr) continue;
    for (int x = thread; x < n; x += kMeansThreads)
      out.columns[part * p.half_width + c + x] =
          sum_over_groups(column_sums + x, p.chunk, p.groups);
  }

  __syncthreads();
  if (p.shared_bins)
    for (int k = thread; k < p.n_bins; k += kMeansThreads)
      out.bins[part * p.n_bins + k] = sum_over_groups(bin_sums + k, p.n_bins, p.groups);
  if (out.rows != nullptr)
    for (int r = thread; r < rows; r += kMeansThreads)
      out.rows[image * p.height + first_row + r] = sum_over_groups(row_sums + r * warps, 1, warps);
}

// out (N, n) = scale[k] or constant, times the sum over tiles of part (N, tiles, n); a thread per
// output
template <typename Real>
__global__ void finish_tiles_kernel(const Real* __restrict__ part, const double* __restrict__ scale,
                                    double constant, Real* __restrict__ out, int64_t total,
                                    int tiles, int n) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= total) return;
  const int64_t image = i / n;
  const int k = static_cast<int>(i % n);
  double sum = 0;
  for (int t = 0; t < tiles; ++t) sum += part[(image * tiles + t) * n + k];
  out[i] = static_cast<Real>(sum * (scale == nullptr ? constant : scale[k]));
}

// out (N, H/2 + 1) folds the row sums (N, H) of u and -u; one thread per output
template <typename Real>
__global__ void finish_rows_kernel(const Real* __restrict__ rows, Real* __restrict__ out,
                                   int64_t total, int height, int width) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= total) return;
  const int half = height / 2 + 1;
  const int u = static_cast<int>(i % half);
  const Real* source = rows + i / half * height;
  const double sum = static_cast<double>(source[u]) + source[u == 0 ? 0 : height - u];
  out[i] = static_cast<Real>(sum / 2 / width);
}

}  // namespace gandetect::spectrum::device
