// The CPU kernels of the spectrum family, as plain functions over raw pointers.
//
// One table exists per instruction set (kernels.cpp); the torch glue (ops_cpu.cpp) takes the
// table of the level in use and hands it torch's thread pool.
#pragma once

#include <cstdint>

#include "common/parallel.h"

namespace gandetect::spectrum {

enum class Value : int64_t { kPower = 0, kMagnitude = 1, kLog = 2, kLogAmplitude = 3 };

constexpr int64_t kNoMirror = INT64_MAX;

// Bins of a geometry: maps[m][u][v] in [0, bins), or -1 or bins where the element is dropped.
struct Bins {
  const int32_t* maps;
  const double* inverse_counts;
  int64_t maps_count;  // 1, or 2 where mirror elements have bins of their own
  int64_t height, columns, bins;
  int64_t width;  // of the full plane
  bool folded;    // inner columns count twice
  // Rows u and (height - u + mirror[m]) mod height of map m are equal, so that their values can be
  // added before they are binned; or kNoMirror.
  int64_t mirror[2];
  bool steady;  // along a row a map never falls
};

struct Means {
  const void* images;
  int64_t stride_n, stride_c, stride_y, stride_x, channels;
  Bins bins;
  bool round_gray, hann;
  double input_gain, input_offset;
  Value value;
  double value_gain, eps;
  // Outputs of one batch; null where not asked for. at_dc is always there.
  void *azimuthal, *rows, *columns, *at_dc;
};

// The gradient of `means` (whose outputs are not used) with respect to the images.
struct MeansGradient {
  Means means;
  const void *azimuthal, *rows, *columns, *at_dc;  // null where nothing reaches an output
  void* images;                                    // (N, C, H, W), contiguous
};

struct Plane {
  const void* input;
  void* output;
  Bins bins;
};

struct Kernels {
  // Fills in `mirror` and `steady`; false where an entry of the maps is neither a bin nor one that
  // is dropped.
  bool (*inspect)(Bins&);
  void (*means_u8)(const Means&, int64_t images, const Parallel&);
  void (*means_f32)(const Means&, int64_t images, const Parallel&);
  void (*means_f64)(const Means&, int64_t images, const Parallel&);
  void (*gradient_f32)(const MeansGradient&, int64_t images, const Parallel&);
  void (*gradient_f64)(const MeansGradient&, int64_t images, const Parallel&);
  void (*average_f32)(const Plane&, int64_t images, const Parallel&);
  void (*average_f64)(const Plane&, int64_t images, const Parallel&);
  void (*spread_f32)(const Plane&, int64_t images, const Parallel&);
  void (*spread_f64)(const Plane&, int64_t images, const Parallel&);
};

const Kernels& kernels();

}  // namespace gandetect::spectrum
