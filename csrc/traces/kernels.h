// The CPU kernels of the family of traces, as plain functions over raw pointers: how pixels differ
// from phase to phase of up-sampling, and on which steps the coefficients of JPEG lie.
//
// One table exists per instruction set (kernels.cpp); the torch glue (ops_cpu.cpp) takes the table
// of the level in use and hands it torch's thread pool.
#pragma once

#include <cstdint>

#include "common/parallel.h"

namespace gandetect::traces {

// Phases along an axis: a divisor of the lanes of every level.
constexpr int64_t kPeriod = 4;

struct Tap {
  int64_t y, x;
  float weight;
};

// `taps` of a small filter, and the rows and columns that a response needs besides its own.
struct Filter {
  const Tap* taps;
  int64_t count, reach_y, reach_x;
};

struct Responses {
  const void* images;  // (N, H, W), contiguous
  int64_t height, width;
  const Filter* filters;
  int64_t filters_count;
  float rounding;
  // (N, filters, 2, kPeriod, kPeriod), or (N, filters, rows) of the first `rows` of each image.
  float* means;
  int64_t rows;
};

// Blocks of kBlock x kBlock pixels have as many coefficients.
constexpr int64_t kBlock = 8, kCoefficients = kBlock * kBlock;

struct Origin {
  int32_t y, x;
};

struct StepOdds {
  const uint8_t* plane;
  int64_t row;            // bytes from one to the next
  const Origin* origins;  // (grids, blocks)
  int64_t grids, blocks;
  const float* evidence;  // (bins, steps)
  int64_t bins, steps;
  float per_unit;
  float* odds;  // (grids, steps, kCoefficients)
};

struct Kernels {
  void (*phase_means_u8)(const Responses&, int64_t images, const Parallel&);
  void (*phase_means_f32)(const Responses&, int64_t images, const Parallel&);
  void (*row_log_means_u8)(const Responses&, int64_t images, const Parallel&);
  void (*row_log_means_f32)(const Responses&, int64_t images, const Parallel&);
  void (*jpeg_step_log_odds)(const StepOdds&, const Parallel&);
};

const Kernels& kernels();

}  // namespace gandetect::traces
