// The CPU kernels of the up-sampling family, as plain functions over raw pointers.
//
// One table exists per instruction set (kernels.cpp); the torch glue (ops_cpu.cpp) takes the table
// of the level in use and hands it torch's thread pool. No result depends on the number of threads.
#pragma once

#include <cstdint>

#include "common/parallel.h"
#include "upsample/gather.h"

namespace gandetect::upsample {

enum class Activation : int64_t { kNone = 0, kRelu = 1, kLeakyRelu = 2, kTanh = 3, kSigmoid = 4 };

// What an op ends with: activation(y + bias[channel]).
struct Ending {
  const void* bias;  // of the tensors' type, or null
  Activation activation;
  double slope;  // of kLeakyRelu, not negative
};

// (N, C, H, W) with any strides, in elements.
struct Planes {
  const void* data;
  int64_t n, channels, height, width;
  int64_t stride_n, stride_c, stride_y, stride_x;
};

// (N, C, H, W), contiguous, or channels_last.
struct Result {
  void* data;
  int64_t channels, height, width;
  bool channels_last;
};

// What a modulated convolution takes beside its weight, all contiguous float32. Its result is
// activation(factors[n, o] y + strength noise[n, pixel] + bias[o]), where y is of styles[n, c] x.
struct Styles {
  const float* inputs;   // (N, Cin)
  const float* factors;  // (N, Cout)
  const float* noise;    // (N, H, W) of the result
  float strength;
};

// A linear map from the pixels of planes to those of the result for each tap of a kernel, rows and
// columns apart, then a matrix (Cout, Cin) for each tap: any convolution of anything interpolated,
// and any transposed convolution.
struct Convolution {
  Planes x;
  Result y;
  Ending end;
  int64_t kernel_height, kernel_width;
  const Gather *rows, *columns;
  // Of the columns of a transposed convolution; `thin` alone looks at them.
  int64_t stride, padding, dilation;
  const Styles* styles = nullptr;  // of kSame3, the only one to look at them
};

// A weight by its strides: element (cin, cout, tap), tap = ky kernel_width + kx.
struct Weight {
  const void* data;
  int64_t cin, cout, taps;
  int64_t stride_cin, stride_cout, stride_tap;
};

// Of pixel planes without mixing of channels.
struct Scatter {
  Planes x;  // dense, in the order of y
  Result y;
  Ending end;
  int64_t scale_height, scale_width;
  const int64_t* indices;  // of max_unpool, dense, in the order of y
};

// A styled filter: x, channels_last, a pixel larger than y on both axes, which is channels_last
// too.
struct Filter {
  Planes x;
  Result y;
  Ending end;
  Styles styles;
};

// What winograd takes, of stride 2: a transposed convolution of kernel 4 and padding 1; a bed of
// nails and a convolution of kernel 3 and padding 1, or 5 and 2. Besides, a modulated convolution
// of kernel 3 and padding 1.
enum class Winograd { kKernel4, kNails3, kNails5, kSame3 };

struct Kernels {
  // Channels that share a packed block.
  int64_t block;

  // Floats that a packed weight takes.
  int64_t (*taps_size)(const Weight&);
  int64_t (*winograd_size)(Winograd, const Weight&);
  int64_t (*adjoint_size)(const Weight&);
  void (*pack_taps)(const Weight&, float* packed, const Parallel&);
  void (*pack_winograd)(Winograd, const Weight&, float* packed, const Parallel&);
  void (*pack_adjoint)(const Weight&, float* packed, const Parallel&);

  void (*taps)(const Convolution&, const float* packed, const Parallel&);
  void (*winograd)(Winograd, const Convolution&, const float* packed, const Parallel&);
  // Of a transposed convolution of kernel 4, stride 2, padding 1: x is a gradient of its result, y
  // that of what it enlarged. Weights are those of the transposed convolution.
  void (*adjoint)(const Convolution&, const float* packed, const Parallel&);
  // Few output channels; weight as of a transposed convolution, (Cin, Cout taps) contiguous.
  void (*thin)(const Convolution&, const float* weight, const Parallel&);
  void (*styled_filter)(const Filter&, const Parallel&);
  void (*plain_f32)(const Convolution&, const Weight&, const Parallel&);
  void (*plain_f64)(const Convolution&, const Weight&, const Parallel&);

  void (*nails_f32)(const Scatter&, const Parallel&);
  void (*nails_f64)(const Scatter&, const Parallel&);
  void (*shuffle_f32)(const Scatter&, const Parallel&);
  void (*shuffle_f64)(const Scatter&, const Parallel&);
  // False where an index lies outside of its plane.
  bool (*unpool_f32)(const Scatter&, const Parallel&);
  bool (*unpool_f64)(const Scatter&, const Parallel&);

  // 128 bits of the contents of `count` bytes.
  void (*fingerprint)(const void* bytes, int64_t count, uint64_t (&digest)[2]);
};

const Kernels& kernels();

}  // namespace gandetect::upsample
