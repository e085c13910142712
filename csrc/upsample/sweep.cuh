// One sweep over an output, whatever it is gathered from: y[e] = act(source(e) + bias[c(e)]).
//
//   bias_activation  source(e) = x[e]
//   bed_of_nails     source = x[c, i, j] at the places (s i, s j), 0 elsewhere
//   pixel_shuffle    source(c, r i + a, r j + b) = x[c r^2 + a r + b, i, j], and the bias its
//                    channel's
//   max_unpool2d     see unpool.cuh
//
// Memory: outputs are numbered as they lie in memory, planar (N, C, H, W) or interleaved (N, H, W,
// C). A thread makes V neighboring ones, a whole 16-byte store, across the ends of rows, planes and
// pixels alike, so that every shape takes the wide path; V = 1 serves a base that is not aligned.
// Each output is written once. Each input is read once by one thread, but for what shares its
// sectors: planar bed of nails and shuffle read runs that lie side by side across a warp; the
// interleaved shuffle reads every r^2-th channel and leaves the others of the sector to the warps
// of the neighboring places, through the cache.
//
// Numbers of 32 bits: launches hold fewer than 2^31 outputs each (launchers.cu cuts batches that
// are larger), and every division is by an extent that the host turned into a multiplication.
#pragma once

#include "common/device.h"
#include "upsample/ending.cuh"

namespace gandetect::upsample::device {

constexpr int kSweepThreads = 256;

// n / divisor for n < 2^31 (Granlund and Montgomery): umulhi(n, magic) + n, shifted.
struct Divisor {
  unsigned divisor, magic;
  int shift;
};

__device__ inline unsigned quotient(unsigned n, const Divisor& d) {
  const unsigned high =
      static_cast<unsigned>((static_cast<uint64_t>(n) * static_cast<uint64_t>(d.magic)) >> 32);
  return (high + n) >> d.shift;
}

// The number n becomes its quotient; the remainder comes back.
__device__ inline unsigned divide(unsigned& n, const Divisor& d) {
  const unsigned q = quotient(n, d), r = n - q * d.divisor;
  n = q;
  return r;
}

template <typename Real, int V>
struct alignas(V * sizeof(Real)) Pack {
  Real v[V];
};

template <typename Real>
constexpr int wide() {
  return 16 / sizeof(Real);
}

// Of V values, at most `count` are there. Wide ones need a target aligned to all V.
template <typename Real, int V>
__device__ inline void store(Real* target, const Pack<Real, V>& values, unsigned count) {
  if (count >= V) {
    *reinterpret_cast<Pack<Real, V>*>(target) = values;
    return;
  }
  GD_UNROLL
  for (int k = 0; k < V; ++k)
    if (static_cast<unsigned>(k) < count) target[k] = values.v[k];
}

// An output of (scale_y H, scale_x W) places in each plane, numbered as it lies in memory.
struct Grid {
  Divisor channels, width, height, scale_x, scale_y;  // width and height of the output
  unsigned rows, columns;                             // H, W of the input
};

// plane: n C + c in planar layout, n in interleaved. The place is (scale_y i + a, scale_x j + b).
struct Place {
  unsigned plane, channel, i, a, j, b;
};

template <bool kInterleaved>
__device__ inline Place place_at(const Grid& g, unsigned number) {
  Place p;
  if (kInterleaved) p.channel = divide(number, g.channels);
  p.j = divide(number, g.width);
  p.b = divide(p.j, g.scale_x);
  p.i = divide(number, g.height);
  p.a = divide(p.i, g.scale_y);
  p.plane = number;
  if (!kInterleaved) p.channel = divide(number, g.channels);
  return p;
}

// The place of the next number.
template <bool kInterleaved>
__device__ inline void step(const Grid& g, Place& p) {
  if (kInterleaved) {
    if (++p.channel < g.channels.divisor) return;
    p.channel = 0;
  }
  if (++p.b < g.scale_x.divisor) return;
  p.b = 0;
  if (++p.j < g.columns) return;
  p.j = 0;
  if (++p.a < g.scale_y.divisor) return;
  p.a = 0;
  if (++p.i < g.rows) return;
  p.i = 0;
  ++p.plane;
  if (kInterleaved) return;
  if (++p.channel == g.channels.divisor) p.channel = 0;
}

// Sources: the finished output at a place, or V of them from a number on.

template <typename Real, bool kInterleaved>
struct NailsSource {
  const Real* x;
  Grid grid;

  __device__ Real output(const Place& p, const Ending<Real>& e) const {
    Real value = 0;
    if (p.a == 0 && p.b == 0) {
      const unsigned at = (p.plane * grid.rows + p.i) * grid.columns + p.j;
      value = x[kInterleaved ? at * grid.channels.divisor + p.channel : at];
    }
    return finish(e, value, p.channel);
  }
};

// The channels of the grid are those of the output; x has r^2 times as many, and so has the bias.
template <typename Real, bool kInterleaved>
struct ShuffleSource {
  const Real* x;
  Grid grid;

  __device__ Real output(const Place& p, const Ending<Real>& e) const {
    const unsigned r = grid.scale_x.divisor, part = p.a * r + p.b;
    const unsigned channel = p.channel * r * r + part;
    const unsigned at =
        kInterleaved
            ? ((p.plane * grid.rows + p.i) * grid.columns + p.j) * (grid.channels.divisor * r * r) +
                  channel
            : ((p.plane * r * r + part) * grid.rows + p.i) * grid.columns + p.j;
    return finish(e, x[at], channel);
  }
};

template <typename Real, int V, bool kInterleaved, template <typename, bool> class Source>
__device__ inline void gather(const Source<Real, kInterleaved>& source, const Ending<Real>& e,
                              unsigned first, unsigned count, Pack<Real, V>& values) {
  Place place = place_at<kInterleaved>(source.grid, first);
  GD_UNROLL
  for (int k = 0; k < V; ++k) {
    if (static_cast<unsigned>(k) < count) values.v[k] = source.output(place, e);
    step<kInterleaved>(source.grid, place);
  }
}

// x as it lies, which may be where the result goes. Planar: a channel holds `plane` numbers.
template <typename Real, bool kInterleaved>
struct SameSource {
  const Real* x;
  Divisor plane, channels;
};

template <typename Real, int V, bool kInterleaved>
__device__ inline void gather(const SameSource<Real, kInterleaved>& source, const Ending<Real>& e,
                              unsigned first, unsigned count, Pack<Real, V>& values) {
  if (count >= V)
    values = *reinterpret_cast<const Pack<Real, V>*>(source.x + first);
  else
    GD_UNROLL
  for (int k = 0; k < V; ++k)
    if (static_cast<unsigned>(k) < count) values.v[k] = source.x[first + k];
  unsigned rest = first, inside = 0;
  if (!kInterleaved) inside = divide(rest, source.plane);
  unsigned channel = divide(rest, source.channels);
  GD_UNROLL
  for (int k = 0; k < V; ++k) {
    if (static_cast<unsigned>(k) < count) values.v[k] = finish(e, values.v[k], channel);
    if (!kInterleaved && ++inside < source.plane.divisor) continue;
    inside = 0;
    if (++channel == source.channels.divisor) channel = 0;
  }
}

// grid: total / (V kSweepThreads), rounded up; block: kSweepThreads
template <typename Real, int V, typename Source>
__global__ void __launch_bounds__(kSweepThreads)
    sweep_kernel(Source source, Ending<Real> ending, Real* out, unsigned total) {
  const unsigned first = (blockIdx.x * kSweepThreads + threadIdx.x) * V;
  if (first >= total) return;
  const unsigned count = total - first;
  Pack<Real, V> values;
  gather(source, ending, first, count, values);
  store(out + first, values, count);
}

}  // namespace gandetect::upsample::device
