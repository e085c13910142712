// Gradient of the means with respect to the half spectrum, in place: every coefficient F(u,v)
// becomes what a complex-to-real transform turns into the gradient of the plane.
//
//   S(u,v) = spread(q_bins)(u,v) + w2(v) (q_rows[u'] / W) / (1 or 2) + q_columns[v] / H
//            + q_dc at (0,0)          u' = min(u, H-u), halved unless u is its own mirror row
//   D      = S (df/dRe F + i df/dIm F)
//   out    = D / 2                            where 0 < v, 2v < W: the transform counts it twice
//   out    = (D(u,v) + conj D(-u,v)) / 2      in the outer columns: only this Hermitian part
//            reaches a real plane, and libraries differ in what they make of the rest
//
// w2 is 2 where a column stands for its mirror image as well and 1 elsewhere; a null q is zero. F
// is the transform of the unscaled plane: the amplitude enters through the derivative, so what
// comes back needs no factor.
//
// A gather without atomics, one thread per coefficient: 8 bytes read and written, 4 M bytes of map
// (shared by all images, from L2) and a few bytes of bins, rows and columns, which neighboring
// threads share. In the outer columns one thread computes a coefficient and its mirror and writes
// both, so nothing is read after another thread may have written it. S is in double, as a spread.
#pragma once

#include "common/device.h"
#include "spectrum/means.cuh"
#include "spectrum/spread.cuh"
#include "spectrum/value.cuh"

namespace gandetect::spectrum::device {

constexpr int kBackwardThreads = 256;

template <typename Real>
struct BackwardInputs {
  const Real* bins;     // (N, K), null where nothing reaches the output, like the three below
  const Real* rows;     // (N, H/2 + 1)
  const Real* columns;  // (N, V)
  const Real* dc;       // (N)
  const int32_t* maps;
  const double* inverse_counts;
  double per_height, per_width;  // 1/H, 1/W
};

template <typename Real>
__device__ inline Real weight_at(const BackwardInputs<Real>& q, const MeansPlan& p, int64_t image,
                                 int u, int v) {
  const int64_t element = static_cast<int64_t>(u) * p.half_width + v;
  double sum = 0;
  if (q.bins != nullptr) sum = spread_at(q.bins, q.maps, q.inverse_counts, p, image, element, v);
  if (q.rows != nullptr) {
    const int mirror = u == 0 ? 0 : p.height - u;
    const double row = q.rows[image * (p.height / 2 + 1) + min(u, mirror)] * q.per_width;
    sum += (is_doubled(v, p.width) ? 2 : 1) * (u == mirror ? row : row / 2);
  }
  if (q.columns != nullptr) sum += q.columns[image * p.half_width + v] * q.per_height;
  if (q.dc != nullptr && element == 0) sum += q.dc[image];
  return static_cast<Real>(sum);
}

template <typename Real>
__device__ inline typename Complex<Real>::type gradient_at(
    const typename Complex<Real>::type* plane, const ValueParams<Real>& value,
    const BackwardInputs<Real>& q, const MeansPlan& p, int64_t image, int u, int v) {
  const typename Complex<Real>::type f = plane[static_cast<int64_t>(u) * p.half_width + v];
  const typename Complex<Real>::type slope = value_derivative(value, f.x, f.y);
  const Real weight = weight_at(q, p, image, u, v);
  return {weight * slope.x, weight * slope.y};
}

// grid: images * blocks_per_plane; block: kBackwardThreads
template <typename Real>
__global__ void __launch_bounds__(kBackwardThreads)
    backward_kernel(typename Complex<Real>::type* spectra, ValueParams<Real> value,
                    BackwardInputs<Real> q, MeansPlan p, int64_t blocks_per_plane) {
  using Pair = typename Complex<Real>::type;
  const int64_t image = blockIdx.x / blocks_per_plane;
  const int64_t element = blockIdx.x % blocks_per_plane * kBackwardThreads + threadIdx.x;
  const int64_t size = static_cast<int64_t>(p.height) * p.half_width;
  if (element >= size) return;
  Pair* const plane = spectra + image * size;
  const unsigned columns = static_cast<unsigned>(p.half_width);
  const int u = static_cast<int>(static_cast<unsigned>(element) / columns);
  const int v = static_cast<int>(static_cast<unsigned>(element) % columns);
  const int mirror = u == 0 || is_doubled(v, p.width) ? u : p.height - u;
  if (mirror < u) return;  // the thread of the mirror writes both
  const Pair d = gradient_at(plane, value, q, p, image, u, v);
  if (is_doubled(v, p.width)) {
    plane[element] = {d.x / 2, d.y / 2};
    return;
  }
  const Pair m = gradient_at(plane, value, q, p, image, mirror, v);
  const Real re = (d.x + m.x) / 2, im = (d.y - m.y) / 2;
  plane[element] = {re, im};
  plane[static_cast<int64_t>(mirror) * p.half_width + v] = {re, -im};
}

}  // namespace gandetect::spectrum::device
