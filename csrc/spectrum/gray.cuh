// Images to gray planes, the Hann window over them, and the way back for gradients.
//
//   gray      g = luma - shift           luma: the plane itself, or .299 R + .587 G + .114 B;
//             of uint8 RGB exactly (299 R + 587 G + 114 B) / 1000, or rounded as image decoders do,
//             (19595 R + 38470 G + 7471 B + 32768) >> 16. The shift is the image's rounded mean, or
//             0: it keeps a large mean out of the transform, where its rounding would drown the
//             faint corner; dc puts it back
//   window    g = (luma - mean) h_H[y] h_W[x] instead,    h_N[n] = 1/2 - cos(2 pi n / N) / 2
//   mean      of luma, or of luma h_H h_W: a sum per block of kSumTile pixels, then the block sums
//             in block order, both in double, so that the result depends on the shape alone. Sums
//             of uint8 are exact
//   dc        F[0,0] <- (pixels mean, or F[0,0] where there is no mean) + constant
//   adjoint   of a gradient q that reaches g: weight_c q to channel c, and through the window
//             weight_c (q h_H h_W - mean(q h_H h_W))
//
// Memory, per pixel of a float32 batch: gray reads C bytes or 4C and writes 4, window included; the
// mean reads C bytes or 4C; the adjoint reads 4 and writes 4C. Images are read where they lie, with
// any strides: planar, interleaved, or slices of a larger batch. A block works inside one image,
// neighboring threads on neighboring pixels.
#pragma once

#include "common/device.h"
#include "spectrum/value.cuh"

namespace gandetect::spectrum::device {

constexpr int kGrayThreads = 256;
constexpr int kGrayTile = 4 * kGrayThreads;
constexpr int kSumThreads = 256;
constexpr int kSumTile = 16 * kSumThreads;
constexpr int kSumWarps = kSumThreads / 32;

struct GrayParams {
  int64_t plane;
  int64_t tiles;
  int64_t stride_n, stride_c, stride_y, stride_x;  // of the images, in pixels
  int height, width;
  bool is_even;  // every pixel follows the one before at stride_x, across rows too
  int channels;
  bool rounded;
};

__device__ inline int row_of(int64_t pixel, int width) {
  return static_cast<int>(static_cast<unsigned>(pixel) / static_cast<unsigned>(width));
}
__device__ inline int column_of(int64_t pixel, int width) {
  return static_cast<int>(static_cast<unsigned>(pixel) % static_cast<unsigned>(width));
}

// A division per pixel would cost as much as the memory traffic, so it is left out where it can be.
__device__ inline int64_t offset_of(int64_t pixel, const GrayParams& a) {
  if (a.is_even) return pixel * a.stride_x;
  return row_of(pixel, a.width) * a.stride_y + column_of(pixel, a.width) * a.stride_x;
}

// table: h_H, then h_W
template <typename Real>
__device__ inline Real window_at(const Real* __restrict__ table, int64_t pixel,
                                 const GrayParams& a) {
  return table[row_of(pixel, a.width)] * table[a.height + column_of(pixel, a.width)];
}

// Luma in units of 1/scale: integers of uint8.
__host__ __device__ inline int luma_scale(uint8_t, int channels, bool rounded) {
  return channels == 3 && !rounded ? 1000 : 1;
}
template <typename Real>
__host__ __device__ inline int luma_scale(Real, int, bool) {
  return 1;
}

__device__ inline int scaled_luma(const uint8_t* p, const GrayParams& a) {
  if (a.channels == 1) return p[0];
  const int r = p[0], g = p[a.stride_c], b = p[2 * a.stride_c];
  if (a.rounded) return (19595 * r + 38470 * g + 7471 * b + 32768) >> 16;
  return 299 * r + 587 * g + 114 * b;
}

template <typename Real>
__device__ inline Real scaled_luma(const Real* p, const GrayParams& a) {
  if (a.channels == 1) return p[0];
  return Real(0.299) * p[0] + Real(0.587) * p[a.stride_c] + Real(0.114) * p[2 * a.stride_c];
}

// A float cannot hold the mean of a plane exactly; the two parts together leave no residue at DC.
__device__ inline float minus_mean(float g, double mean) {
  const float high = static_cast<float>(mean);
  const float low = static_cast<float>(mean - static_cast<double>(high));
  return (g - high) - low;
}
__device__ inline double minus_mean(double g, double mean) { return g - mean; }

// means (images), or null to take nothing out; table of the window, or null for none
// grid: images * tiles; block: kGrayThreads
template <typename Pixel, typename Real>
__global__ void __launch_bounds__(kGrayThreads)
    gray_kernel(const Pixel* __restrict__ images, const double* __restrict__ means,
                const Real* __restrict__ table, Real* __restrict__ gray, GrayParams a) {
  const int64_t image = blockIdx.x / a.tiles;
  const int scale = luma_scale(Pixel(), a.channels, a.rounded);
  const double mean = means == nullptr ? 0.0 : means[image];
  const int shift = table == nullptr ? scale * static_cast<int>(lround(mean)) : 0;
  const int64_t first = (blockIdx.x % a.tiles) * kGrayTile + threadIdx.x;
  const Pixel* source = images + image * a.stride_n;
  for (int i = 0; i < kGrayTile; i += kGrayThreads) {
    const int64_t pixel = first + i;
    if (pixel >= a.plane) break;
    Real g = static_cast<Real>(scaled_luma(source + offset_of(pixel, a), a) - shift) / scale;
    if (table != nullptr) g = minus_mean(g, mean) * window_at(table, pixel, a);
    gray[image * a.plane + pixel] = g;
  }
}

__device__ inline double warp_sum(double value) {
  for (int offset = 16; offset > 0; offset /= 2)
    value += __shfl_xor_sync(0xffffffffu, value, offset);
  return value;
}

// sums (images, tiles); table of the window, or null for none
// grid: images * tiles; block: kSumThreads; shared: kSumWarps doubles
template <typename Pixel, typename Real>
__global__ void __launch_bounds__(kSumThreads)
    plane_sum_kernel(const Pixel* __restrict__ images, const Real* __restrict__ table,
                     double* __restrict__ sums, GrayParams a) {
  GD_DYN_SHARED(shared);
  double* warp_sums = reinterpret_cast<double*>(shared);
  const Pixel* source = images + blockIdx.x / a.tiles * a.stride_n;
  const int64_t first = (blockIdx.x % a.tiles) * kSumTile + threadIdx.x;
  double sum = 0;
  for (int i = 0; i < kSumTile; i += kSumThreads) {
    const int64_t pixel = first + i;
    if (pixel >= a.plane) break;
    const auto luma = scaled_luma(source + offset_of(pixel, a), a);
    sum += table == nullptr ? static_cast<double>(luma)
                            : static_cast<double>(luma * window_at(table, pixel, a));
  }
  sum = warp_sum(sum);
  if (threadIdx.x % 32 == 0) warp_sums[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x != 0) return;
  double total = 0;
  for (int w = 0; w < kSumWarps; ++w) total += warp_sums[w];
  sums[blockIdx.x] = total;
}

// means (images) of sums (images, tiles) in units of 1/scale; one thread per image
template <typename Sum>
__global__ void plane_mean_kernel(const Sum* __restrict__ sums, Sum* __restrict__ means,
                                  int64_t images, int64_t tiles, int64_t plane, int scale) {
  const int64_t image = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (image >= images) return;
  Sum total = 0;
  for (int64_t t = 0; t < tiles; ++t) total += sums[image * tiles + t];
  means[image] = total / (static_cast<Sum>(plane) * scale);
}

// spectra (images, plane); one thread per image
template <typename Real>
__global__ void dc_kernel(typename Complex<Real>::type* __restrict__ spectra,
                          const double* __restrict__ means, double constant, int64_t images,
                          int64_t pixels, int64_t plane) {
  const int64_t image = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (image >= images) return;
  typename Complex<Real>::type& dc = spectra[image * plane];
  const double sum = means == nullptr ? static_cast<double>(dc.x) : means[image] * pixels;
  dc.x = static_cast<Real>(sum + constant);
}

// table (height + width): h_H, then h_W; one thread per entry
template <typename Real>
__global__ void hann_table_kernel(Real* __restrict__ table, int height, int width) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= static_cast<int64_t>(height) + width) return;
  const double turns =
      i < height ? static_cast<double>(i) / height : static_cast<double>(i - height) / width;
  table[i] = static_cast<Real>(0.5 - 0.5 * cospi(2 * turns));
}

// The adjoint of gray_kernel: planes (images, H, W) of gradients to out (images, C, H, W), both
// contiguous. table and means, of planes times window, are null where there was no window.
// grid: images * tiles; block: kGrayThreads
template <typename Real>
__global__ void __launch_bounds__(kGrayThreads)
    gray_adjoint_kernel(const Real* __restrict__ planes, const double* __restrict__ means,
                        const Real* __restrict__ table, Real* __restrict__ out, GrayParams a) {
  const int64_t image = blockIdx.x / a.tiles;
  const double mean = means == nullptr ? 0.0 : means[image];
  const int64_t first = (blockIdx.x % a.tiles) * kGrayTile + threadIdx.x;
  Real* const target = out + image * a.channels * a.plane;
  for (int i = 0; i < kGrayTile; i += kGrayThreads) {
    const int64_t pixel = first + i;
    if (pixel >= a.plane) break;
    Real q = planes[image * a.plane + pixel];
    if (table != nullptr) q = minus_mean(q * window_at(table, pixel, a), mean);
    target[pixel] = a.channels == 1 ? q : Real(0.299) * q;
    if (a.channels == 1) continue;
    target[a.plane + pixel] = Real(0.587) * q;
    target[2 * a.plane + pixel] = Real(0.114) * q;
  }
}

}  // namespace gandetect::spectrum::device
