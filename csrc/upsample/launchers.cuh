// What the kernels of this folder offer to the rest: plain C++, raw pointers, no torch and no CUDA
// types.
//
// Every launcher returns a cudaError_t as int, 0 for success, and launches on the stream it is
// given. Nothing to write launches nothing. Pointers are device pointers; arrays are planar (N, C,
// H, W), or, where `interleaved`, (N, H, W, C). `type` names the real type of inputs, biases and
// outputs alike. One image of an array must hold fewer than 2^31 numbers: kInvalidValue otherwise.
#pragma once

#include <cstdint>

#include "common/names.h"

namespace gandetect::upsample::device {

enum class RealType : int { kFloat32 = 0, kFloat64 = 1 };

constexpr int64_t kMaxNumbers = 2147483647;

struct EndingArgs {
  const void* bias;  // (C), or null
  int activation;    // as in ending.cuh
  double slope;
};

// Numbers of one launch; larger batches take several. Less only in tests.
struct Limit {
  int64_t numbers = kMaxNumbers;
};

struct NailsArgs {
  RealType type;
  const void* x;
  int64_t n, channels, height, width, scale_height, scale_width;
  bool interleaved;
  EndingArgs ending;
  void* out;
  Limit limit;
};

struct ShuffleArgs {
  RealType type;
  const void* x;                       // of channels * scale^2 channels, and so is the bias
  int64_t n, channels, height, width;  // channels of the output, size of the input
  int64_t scale;
  bool interleaved;
  EndingArgs ending;
  void* out;
  Limit limit;
};

struct BiasActivationArgs {
  RealType type;
  const void* x;
  int64_t n, channels, plane;
  bool interleaved;
  EndingArgs ending;
  void* out;  // may be x
  Limit limit;
};

struct UnpoolArgs {
  RealType type;
  const void* x;
  const int64_t* indices;  // as x lies; one outside the output makes its plane NaN
  int64_t n, channels;
  int64_t inputs, outputs;  // of one plane
  bool interleaved;
  EndingArgs ending;
  int32_t* faults;  // scratch (N, C)
  void* out;
  Limit limit;
};

struct TapGatherArgs {
  RealType type;
  const void* z;       // (N, kernel height, kernel width, C, H, W)
  int64_t strides[6];  // of z, in elements, not negative
  int64_t sizes[6];    // its extents
  int64_t out_height, out_width;
  int64_t row_length, column_length;
  const int32_t* rows;         // (2, row_length, out_height)
  const void* row_weights;     // (row_length, out_height)
  const int32_t* columns;      // (2, column_length, out_width)
  const void* column_weights;  // (column_length, out_width)
  const int32_t* span;         // (2, out_width)
  bool interleaved;            // of out
  EndingArgs ending;
  void* out;
  // Columns of a window; 0: as many as a piece is likely to need. Less only in tests.
  int64_t window = 0;
};

int GD_NS(bed_of_nails)(const NailsArgs& args, void* stream);
int GD_NS(pixel_shuffle)(const ShuffleArgs& args, void* stream);
int GD_NS(bias_activation)(const BiasActivationArgs& args, void* stream);
int GD_NS(max_unpool2d)(const UnpoolArgs& args, void* stream);
// kInvalidValue also for a kernel so wide that no window of it fits into shared memory; 64 fit.
int GD_NS(tap_gather)(const TapGatherArgs& args, void* stream);
const char* GD_NS(status_text)(int status);

}  // namespace gandetect::upsample::device
