// The shipped launchers as plain C functions, for ctypes: arrays in, arrays out, scratch made here
// at its exact size. Each returns a cudaError_t; simt_error names the fault.
#include <memory>

#include "common/launch.h"
#include "spectrum/launchers.cuh"

namespace {

using gandetect::spectrum::device::DcArgs;
using gandetect::spectrum::device::GreyArgs;
using gandetect::spectrum::device::HannArgs;
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

GreyArgs grey_args(int type, const void* images, int64_t n, int64_t height, int64_t width,
                   int channels, int is_uint8, int rounded) {
  return {
      static_cast<RealType>(type), images, n, height, width, channels, is_uint8 != 0, rounded != 0};
}

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT void simt_set_schedule(int schedule, uint64_t seed) {
  simt::set_schedule(static_cast<simt::Schedule>(schedule), seed);
}

EXPORT const char* simt_error(int status) { return device::GD_NS(status_text)(status); }

EXPORT int simt_mean(int type, const void* images, double* means, int64_t n, int64_t height,
                     int64_t width, int channels, int is_uint8, int rounded) {
  Scratch sums(n * device::GD_NS(sum_tiles)(height, width) * sizeof(double));
  const GreyArgs args = grey_args(type, images, n, height, width, channels, is_uint8, rounded);
  return device::GD_NS(plane_mean)(args, sums.doubles(), means, nullptr);
}

// means may be null: then nothing is subtracted.
EXPORT int simt_grey(int type, const void* images, const double* means, void* grey, int64_t n,
                     int64_t height, int64_t width, int channels, int is_uint8, int rounded) {
  const GreyArgs args = grey_args(type, images, n, height, width, channels, is_uint8, rounded);
  return device::GD_NS(grey)(args, means, grey, nullptr);
}

EXPORT int simt_hann(int type, void* grey, const double* means, int64_t n, int64_t height,
                     int64_t width) {
  const RealType real = static_cast<RealType>(type);
  Scratch table((height + width) * bytes_of(real));
  const HannArgs args{real, grey, means, table.data.get(), n, height, width};
  return device::GD_NS(hann)(args, nullptr);
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
