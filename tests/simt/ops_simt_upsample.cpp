// The shipped up-sampling launchers as plain C functions, for ctypes and for the driver. Each
// returns a cudaError_t; simt_upsample_error names the fault.
#include <memory>

#include "common/launch.h"
#include "upsample/launchers.cuh"

namespace {

using gandetect::upsample::device::EndingArgs;
using gandetect::upsample::device::Limit;
using gandetect::upsample::device::RealType;
namespace device = gandetect::upsample::device;

// limit 0: what ships
Limit limit_of(int64_t limit) { return limit > 0 ? Limit{limit} : Limit{}; }

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT const char* simt_upsample_error(int status) { return device::GD_NS(status_text)(status); }

EXPORT int simt_bed_of_nails(int type, const void* x, int64_t n, int64_t channels, int64_t height,
                             int64_t width, int64_t scale_height, int64_t scale_width,
                             int interleaved, const void* bias, int activation, double slope,
                             int64_t limit, void* out) {
  return device::GD_NS(bed_of_nails)(
      {static_cast<RealType>(type), x, n, channels, height, width, scale_height, scale_width,
       interleaved != 0, EndingArgs{bias, activation, slope}, out, limit_of(limit)},
      nullptr);
}

EXPORT int simt_pixel_shuffle(int type, const void* x, int64_t n, int64_t channels, int64_t height,
                              int64_t width, int64_t scale, int interleaved, const void* bias,
                              int activation, double slope, int64_t limit, void* out) {
  return device::GD_NS(pixel_shuffle)(
      {static_cast<RealType>(type), x, n, channels, height, width, scale, interleaved != 0,
       EndingArgs{bias, activation, slope}, out, limit_of(limit)},
      nullptr);
}

EXPORT int simt_bias_activation(int type, const void* x, int64_t n, int64_t channels, int64_t plane,
                                int interleaved, const void* bias, int activation, double slope,
                                int64_t limit, void* out) {
  return device::GD_NS(bias_activation)(
      {static_cast<RealType>(type), x, n, channels, plane, interleaved != 0,
       EndingArgs{bias, activation, slope}, out, limit_of(limit)},
      nullptr);
}

EXPORT int simt_max_unpool2d(int type, const void* x, const int64_t* indices, int64_t n,
                             int64_t channels, int64_t inputs, int64_t outputs, int interleaved,
                             const void* bias, int activation, double slope, int64_t limit,
                             void* out) {
  const std::unique_ptr<int32_t[]> faults(new int32_t[n * channels]);
  return device::GD_NS(max_unpool2d)(
      {static_cast<RealType>(type), x, indices, n, channels, inputs, outputs, interleaved != 0,
       EndingArgs{bias, activation, slope}, faults.get(), out, limit_of(limit)},
      nullptr);
}

// sizes and strides of z: (N, kernel height, kernel width, C, H, W)
EXPORT int simt_tap_gather(int type, const void* z, const int64_t* sizes, const int64_t* strides,
                           int64_t out_height, int64_t out_width, int64_t row_length,
                           int64_t column_length, const int32_t* rows, const void* row_weights,
                           const int32_t* columns, const void* column_weights, const int32_t* span,
                           int interleaved, const void* bias, int activation, double slope,
                           int64_t window, void* out) {
  device::TapGatherArgs args{};
  args.type = static_cast<RealType>(type);
  args.z = z;
  for (int d = 0; d < 6; ++d) {
    args.sizes[d] = sizes[d];
    args.strides[d] = strides[d];
  }
  args.out_height = out_height;
  args.out_width = out_width;
  args.row_length = row_length;
  args.column_length = column_length;
  args.rows = rows;
  args.row_weights = row_weights;
  args.columns = columns;
  args.column_weights = column_weights;
  args.span = span;
  args.interleaved = interleaved != 0;
  args.ending = {bias, activation, slope};
  args.out = out;
  args.window = window;
  return device::GD_NS(tap_gather)(args, nullptr);
}
