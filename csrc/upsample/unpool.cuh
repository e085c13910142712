// Max-unpooling: y[c, k] = act(x[c, s] + bias[c]) at the places k = indices[c, s] of a plane, and
// act(bias[c]) elsewhere. Where several s name one place, the last of them counts.
//
// Nobody who looks at an output knows which inputs name it, so it takes three launches:
//   fill     winner[c, k] = -1, fault[c] = 0
//   scatter  winner[c, indices[c, s]] = max(that, s)      one thread per input
//   finish   y[c, k] = act(x[c, winner] + bias[c])        one thread per V outputs
// The largest of several integers does not depend on the order in which they come, so the atomic
// maximum is as deterministic as a sum in a fixed order. Winners are integers of the size of a real
// and lie where y will: no scratch but one int per plane, and every thread of the last launch reads
// only the winners that it overwrites.
//
// An index outside the plane writes nothing. torch stops the whole device there, which takes every
// other tensor of the process along, and asking whether it happened would make the host wait for
// the device. Here it marks its plane of one image, and that plane becomes NaN throughout: what is
// wrong is visible wherever it goes, and nothing else is touched.
//
// Memory, in words of a real: y is written, updated in a few places, read and written again, x is
// read once, the indices at 8 bytes each.
#pragma once

#include "common/device.h"
#include "upsample/sweep.cuh"

namespace gandetect::upsample::device {

template <typename Real>
struct Winner;
template <>
struct Winner<float> {
  using type = int;
};
template <>
struct Winner<double> {
  using type = long long;
};

// grid: max(total / V, planes) / kSweepThreads, rounded up; block: kSweepThreads
template <typename Integer, int V>
__global__ void __launch_bounds__(kSweepThreads)
    unpool_fill_kernel(Integer* __restrict__ winners, unsigned total, int* __restrict__ faults,
                       unsigned planes) {
  const unsigned thread = blockIdx.x * kSweepThreads + threadIdx.x;
  if (thread < planes) faults[thread] = 0;
  const unsigned first = thread * V;
  if (thread >= (total + V - 1) / V) return;
  Pack<Integer, V> values;
  GD_UNROLL
  for (int k = 0; k < V; ++k) values.v[k] = -1;
  store(winners + first, values, total - first);
}

struct ScatterGrid {
  Divisor channels, inputs;  // C, and inputs of one plane
  unsigned outputs;          // of one plane
};

// grid: total / kSweepThreads, rounded up; block: kSweepThreads; indices lie as x does
template <typename Integer, bool kInterleaved>
__global__ void __launch_bounds__(kSweepThreads)
    unpool_scatter_kernel(const int64_t* __restrict__ indices, ScatterGrid g,
                          Integer* __restrict__ winners, int* __restrict__ faults, unsigned total) {
  const unsigned number = blockIdx.x * kSweepThreads + threadIdx.x;
  if (number >= total) return;
  unsigned rest = number, channel = 0;
  if (kInterleaved) channel = divide(rest, g.channels);
  const unsigned s = divide(rest, g.inputs);
  const unsigned channels = g.channels.divisor;
  const int64_t place = indices[number];
  if (place < 0 || place >= static_cast<int64_t>(g.outputs)) {
    atomicMax(faults + (kInterleaved ? rest * channels + channel : rest), 1);
    return;
  }
  const unsigned k = static_cast<unsigned>(place);
  const unsigned at =
      kInterleaved ? (rest * g.outputs + k) * channels + channel : rest * g.outputs + k;
  atomicMax(winners + at, static_cast<Integer>(s));
}

// The winners lie in the output. The grid has a scale of 1, and a plane is one row of it.
template <typename Real, bool kInterleaved>
struct UnpoolSource {
  const Real* x;
  const Real* winners;
  const int* faults;
  Grid grid;
  unsigned inputs;  // of one plane

  __device__ Real output(const Place& p, const Ending<Real>& e, const Real& stored) const {
    const unsigned channels = grid.channels.divisor;
    const unsigned plane = kInterleaved ? p.plane * channels + p.channel : p.plane;
    if (faults[plane] != 0) return static_cast<Real>(NAN);
    typename Winner<Real>::type winner;
    memcpy(&winner, &stored, sizeof(winner));
    Real value = 0;
    if (winner >= 0) {
      const unsigned s = static_cast<unsigned>(winner);
      value =
          x[kInterleaved ? (p.plane * inputs + s) * channels + p.channel : p.plane * inputs + s];
    }
    return finish(e, value, p.channel);
  }
};

template <typename Real, int V, bool kInterleaved>
__device__ inline void gather(const UnpoolSource<Real, kInterleaved>& source, const Ending<Real>& e,
                              unsigned first, unsigned count, Pack<Real, V>& values) {
  if (count >= V)
    values = *reinterpret_cast<const Pack<Real, V>*>(source.winners + first);
  else
    GD_UNROLL
  for (int k = 0; k < V; ++k)
    if (static_cast<unsigned>(k) < count) values.v[k] = source.winners[first + k];
  Place place = place_at<kInterleaved>(source.grid, first);
  GD_UNROLL
  for (int k = 0; k < V; ++k) {
    if (static_cast<unsigned>(k) < count) values.v[k] = source.output(place, e, values.v[k]);
    step<kInterleaved>(source.grid, place);
  }
}

}  // namespace gandetect::upsample::device
