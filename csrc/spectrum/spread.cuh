// The exact adjoint of the azimuthal mean: every element of the plane fetches what its bins hold.
//
//   out[n,u,v] = sum over m of w(v) q[n,k] inverse_counts[k],   k = maps[m,u,v], 0 where k is
//   dropped
//
// w(v) is 2 where the plan is folded and 0 < v, 2v < W, else 1.
//
// A gather, one thread per element: 4 M bytes of map (shared by all images, so from L2) and 4 bytes
// of a bin read, 4 bytes written. Neighboring threads read neighboring bins. Nothing is summed
// across threads, so the result is the same to the bit wherever it runs.
#pragma once

#include "common/device.h"
#include "spectrum/means.cuh"

namespace gandetect::spectrum::device {

constexpr int kSpreadThreads = 256;

// Sum over the maps at one element of the plane, whose column is v.
template <typename Real>
__device__ inline double spread_at(const Real* __restrict__ q, const int32_t* __restrict__ maps,
                                   const double* __restrict__ inverse_counts, const MeansPlan& p,
                                   int64_t image, int64_t element, int v) {
  const int64_t plane = static_cast<int64_t>(p.height) * p.half_width;
  double sum = 0;
  for (int m = 0; m < p.n_maps; ++m) {
    const int bin = maps[m * plane + element];
    if (bin >= 0 && bin < p.n_bins) sum += q[image * p.n_bins + bin] * inverse_counts[bin];
  }
  return p.folded && is_doubled(v, p.width) ? 2 * sum : sum;
}

// grid: images * blocks_per_plane; block: kSpreadThreads
template <typename Real>
__global__ void __launch_bounds__(kSpreadThreads)
    spread_kernel(const Real* __restrict__ q, const int32_t* __restrict__ maps,
                  const double* __restrict__ inverse_counts, MeansPlan p, int64_t blocks_per_plane,
                  Real* __restrict__ out) {
  const int64_t plane = static_cast<int64_t>(p.height) * p.half_width;
  const int64_t image = blockIdx.x / blocks_per_plane;
  const int64_t element = blockIdx.x % blocks_per_plane * kSpreadThreads + threadIdx.x;
  if (element >= plane) return;
  const int v =
      static_cast<int>(static_cast<unsigned>(element) % static_cast<unsigned>(p.half_width));
  out[image * plane + element] =
      static_cast<Real>(spread_at(q, maps, inverse_counts, p, image, element, v));
}

}  // namespace gandetect::spectrum::device
