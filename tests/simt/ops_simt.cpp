// The shipped launchers as plain C functions, for ctypes: arrays in, arrays out, scratch made here
// at its exact size. Each returns a cudaError_t; simt_error names the fault.
#include <memory>

#include "common/launch.h"
#include "spectrum/launchers.cuh"

namespace {

using gandetect::spectrum::device::BackwardArgs;
using gandetect::spectrum::device::DcArgs;
using gandetect::spectrum::device::GrayAdjointArgs;
using gandetect::spectrum::device::GrayArgs;
using gandetect::spectrum::device::MeansArgs;
using gandetect::spectrum::device::MeansPlan;
using gandetect::spectrum::device::RealType;
using gandetect::spectrum::device::SpreadArgs;
namespace device = gandetect::spectrum::device;

struct Scratch {
  explicit Scratch(size_t bytes) : data(new unsigned char[bytes]) {}
  double* doubles() { return reinterpret_cast<double*>(data.get()); }
  std::unique_ptr<unsigned char[]> data;
};

size_t bytes_of(RealType type) { return type == RealType::kFloat64 ? 8 : 4; }

// strides: n, c, y, x in elements
GrayArgs gray_args(int type, const void* images, const int64_t* strides, int64_t n, int64_t height,
                   int64_t width, int channels, int is_uint8, int rounded) {
  return {static_cast<RealType>(type),
          images,
          n,
          height,
          width,
          strides[0],
          strides[1],
          strides[2],
          strides[3],
          channels,
          is_uint8 != 0,
          rounded != 0};
}

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT void simt_set_schedule(int schedule, uint64_t seed) {
  simt::set_schedule(static_cast<simt::Schedule>(schedule), seed);
}

EXPORT const char* simt_error(int status) { return device::GD_NS(status_text)(status); }

EXPORT int simt_hann_table(int type, int64_t height, int64_t width, void* table) {
  return device::GD_NS(hann_table)(static_cast<RealType>(type), height, width, table, nullptr);
}

// table may be null, here and below: then there is no window.
EXPORT int simt_mean(int type, const void* images, const int64_t* strides, const void* table,
                     double* means, int64_t n, int64_t height, int64_t width, int channels,
                     int is_uint8, int rounded) {
  Scratch sums(n * device::GD_NS(sum_tiles)(height, width) * sizeof(double));
  const GrayArgs args =
      gray_args(type, images, strides, n, height, width, channels, is_uint8, rounded);
  return device::GD_NS(plane_mean)(args, table, sums.doubles(), means, nullptr);
}

// means may be null: then nothing is subtracted.
EXPORT int simt_gray(int type, const void* images, const int64_t* strides, const double* means,
                     const void* table, void* gray, int64_t n, int64_t height, int64_t width,
                     int channels, int is_uint8, int rounded) {
  const GrayArgs args =
      gray_args(type, images, strides, n, height, width, channels, is_uint8, rounded);
  return device::GD_NS(gray)(args, means, table, gray, nullptr);
}

EXPORT int simt_gray_adjoint(int type, const void* planes, const double* means, const void* table,
                             int64_t n, int64_t height, int64_t width, int channels, void* out) {
  const GrayAdjointArgs args{
      static_cast<RealType>(type), planes, means, table, n, height, width, channels, out};
  return device::GD_NS(gray_adjoint)(args, nullptr);
}

// means may be null: then the transform's own sum stays.
EXPORT int simt_dc(int type, const double* means, void* spectra, double constant, int64_t n,
                   int64_t height, int64_t width) {
  const DcArgs args{static_cast<RealType>(type), spectra, means, constant, n, height * width,
                    height * (width / 2 + 1)};
  return device::GD_NS(dc)(args, nullptr);
}

EXPORT int simt_means(int type, const void* source, int is_plane, int value, double gain,
                      double eps, double amplitude, const int32_t* maps,
                      const double* inverse_counts, int64_t n, int64_t height, int64_t half_width,
                      int64_t width, int64_t n_bins, int64_t n_maps, int folded, void* bins,
                      void* rows, void* columns, void* dc) {
  const RealType real = static_cast<RealType>(type);
  MeansPlan plan;
  if (!device::GD_NS(means_plan)(real, height, half_width, width, n_bins, n_maps, folded != 0,
                                 &plan))
    return gandetect::kInvalidValue;
  const size_t size = bytes_of(real);
  Scratch part_bins(n * plan.tiles * plan.n_bins * size), part_rows(n * height * size),
      part_columns(n * plan.tiles * half_width * size);
  const MeansArgs args{real,
                       source,
                       is_plane != 0,
                       value,
                       gain,
                       eps,
                       amplitude,
                       maps,
                       inverse_counts,
                       n,
                       plan,
                       part_bins.data.get(),
                       part_rows.data.get(),
                       part_columns.data.get(),
                       bins,
                       rows,
                       columns,
                       dc};
  return device::GD_NS(means)(args, nullptr);
}

// In place over spectra. The four gradients may be null: then nothing reaches that output.
EXPORT int simt_backward(int type, void* spectra, int value, double gain, double eps,
                         double amplitude, const int32_t* maps, const double* inverse_counts,
                         int64_t n, int64_t height, int64_t half_width, int64_t width,
                         int64_t n_bins, int64_t n_maps, int folded, const void* bins,
                         const void* rows, const void* columns, const void* dc) {
  const RealType real = static_cast<RealType>(type);
  MeansPlan plan;
  if (!device::GD_NS(means_plan)(real, height, half_width, width, n_bins, n_maps, folded != 0,
                                 &plan))
    return gandetect::kInvalidValue;
  const BackwardArgs args{real,           spectra, value, gain, eps,  amplitude, maps,
                          inverse_counts, n,       plan,  bins, rows, columns,   dc};
  return device::GD_NS(backward)(args, nullptr);
}

EXPORT int simt_spread(int type, const void* q, const int32_t* maps, const double* inverse_counts,
                       int64_t n, int64_t height, int64_t half_width, int64_t width, int64_t n_bins,
                       int64_t n_maps, int folded, void* out) {
  const RealType real = static_cast<RealType>(type);
  MeansPlan plan;
  if (!device::GD_NS(means_plan)(real, height, half_width, width, n_bins, n_maps, folded != 0,
                                 &plan))
    return gandetect::kInvalidValue;
  const SpreadArgs args{real, q, maps, inverse_counts, n, plan, out};
  return device::GD_NS(spread)(args, nullptr);
}
