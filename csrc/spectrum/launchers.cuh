// What the kernels of this folder offer to the rest: plain C++, raw pointers, no torch and no CUDA
// types.
//
// Every launcher returns a cudaError_t as int, 0 for success, and launches on the stream it is
// given. Zero images launch nothing. Pointers are device pointers to contiguous arrays; `type`
// names the real type of planes, spectra, partial sums and results alike.
#pragma once

#include <cstdint>

#include "common/names.h"
#include "spectrum/plan.cuh"

namespace gandetect::spectrum::device {

enum class RealType : int { kFloat32 = 0, kFloat64 = 1 };

struct GrayArgs {
  RealType type;
  const void* images;  // (N, C, H, W) with any strides, uint8 or of the real type
  int64_t n_images, height, width;
  int64_t stride_n, stride_c, stride_y, stride_x;  // in elements
  int channels;                                    // 1 or 3
  bool is_uint8;
  bool rounded;
};

struct DcArgs {
  RealType type;
  void* spectra;        // (N, plane) complex, in place
  const double* means;  // (N), or null to keep the transform's own sum
  double constant;
  int64_t n_images, pixels, plane;
};

struct GrayAdjointArgs {
  RealType type;
  const void* planes;   // (N, H, W)
  const double* means;  // (N) of planes times window, or null without a window
  const void* table;    // (H + W), or null without a window
  int64_t n_images, height, width;
  int channels;
  void* out;  // (N, C, H, W)
};

struct MeansArgs {
  RealType type;
  const void* source;  // (N, H, V) complex coefficients, or a real plane where is_plane
  bool is_plane;
  int value;
  double gain, eps, amplitude;
  const int32_t* maps;           // (M, H, V)
  const double* inverse_counts;  // (K)
  int64_t n_images;
  MeansPlan plan;
  void* part_bins;     // scratch (N, tiles, K)
  void* part_rows;     // scratch (N, H)
  void* part_columns;  // scratch (N, tiles, V)
  void* bins;          // (N, K), null where not asked for, like the three below
  void* rows;          // (N, H/2 + 1)
  void* columns;       // (N, V)
  void* dc;            // (N)
};

struct BackwardArgs {
  RealType type;
  void* spectra;  // (N, H, W/2 + 1) complex coefficients, in place
  int value;
  double gain, eps, amplitude;
  const int32_t* maps;           // (M, H, V)
  const double* inverse_counts;  // (K)
  int64_t n_images;
  MeansPlan plan;
  const void* bins;     // (N, K), null where nothing reaches the output, like the three below
  const void* rows;     // (N, H/2 + 1)
  const void* columns;  // (N, V)
  const void* dc;       // (N)
};

struct SpreadArgs {
  RealType type;
  const void* q;                 // (N, K)
  const int32_t* maps;           // (M, H, V)
  const double* inverse_counts;  // (K)
  int64_t n_images;
  MeansPlan plan;
  void* out;  // (N, H, V)
};

// Fills every field that follows from the shape. False where the shape is beyond the kernels: an
// extent below 1, or a plane of 2^31 elements.
bool GD_NS(means_plan)(RealType type, int64_t height, int64_t half_width, int64_t width,
                       int64_t n_bins, int64_t n_maps, bool folded, MeansPlan* plan);
int64_t GD_NS(sum_tiles)(int64_t height, int64_t width);

// The gray planes (N, H, W): less the rounded means (N) where these are not null, or, where the
// window's table is not null, less the whole means and windowed.
int GD_NS(gray)(const GrayArgs& args, const double* means, const void* table, void* gray,
                void* stream);
// The means (N) of the gray planes, windowed where table is not null; sums (N, sum_tiles) is
// scratch.
int GD_NS(plane_mean)(const GrayArgs& args, const void* table, double* sums, double* means,
                      void* stream);
// The window's table (H + W), of the real type.
int GD_NS(hann_table)(RealType type, int64_t height, int64_t width, void* table, void* stream);
int GD_NS(dc)(const DcArgs& args, void* stream);
int GD_NS(gray_adjoint)(const GrayAdjointArgs& args, void* stream);
int GD_NS(means)(const MeansArgs& args, void* stream);
int GD_NS(backward)(const BackwardArgs& args, void* stream);
int GD_NS(spread)(const SpreadArgs& args, void* stream);
const char* GD_NS(status_text)(int status);

}  // namespace gandetect::spectrum::device
