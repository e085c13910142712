// Grid and shared-memory arithmetic of the spectrum kernels. Built by nvcc for the extension and by
// g++ over the SIMT shim for the tests.
#include "common/launch.h"
#include "spectrum/backward.cuh"
#include "spectrum/gray.cuh"
#include "spectrum/launchers.cuh"
#include "spectrum/means.cuh"
#include "spectrum/spread.cuh"

namespace gandetect::spectrum::device {
namespace {

constexpr int kElementThreads = 256;
constexpr int64_t kMaxPlane = 2147483647;

bool is_valid_plane(int64_t height, int64_t width) {
  return height > 0 && width > 0 && width <= kMaxPlane / height;
}

// Launches of one thread per element and of whole blocks per image both fold everything into
// grid.x, the only dimension that holds more than 65,535 blocks. An int that cannot hold the number
// of blocks becomes an error here, never a smaller grid.
template <typename Launch>
int launch_blocks(int64_t blocks, Launch launch) {
  if (blocks == 0) return kSuccess;
  if (blocks < 0 || blocks > kMaxGridX) return kInvalidConfiguration;
  launch(static_cast<unsigned>(blocks));
  return GD_STATUS();
}

bool is_valid_gray(const GrayArgs& args) {
  return is_valid_plane(args.height, args.width) && (args.channels == 1 || args.channels == 3) &&
         !(args.is_uint8 && args.type == RealType::kFloat64);
}

GrayParams gray_params(const GrayArgs& args, int64_t tile) {
  const int64_t plane = args.height * args.width;
  return {plane,
          ceil_div(plane, tile),
          args.stride_n,
          args.stride_c,
          args.stride_y,
          args.stride_x,
          static_cast<int>(args.height),
          static_cast<int>(args.width),
          args.height == 1 || args.stride_y == args.width * args.stride_x,
          args.channels,
          args.rounded};
}

template <typename Pixel, typename Real>
int gray(const GrayArgs& args, const double* means, const void* table, void* gray, void* stream) {
  const GrayParams params = gray_params(args, kGrayTile);
  return launch_blocks(args.n_images * params.tiles, [&](unsigned grid) {
    GD_LAUNCH((gray_kernel<Pixel, Real>), grid, kGrayThreads, 0, stream,
              static_cast<const Pixel*>(args.images), means, static_cast<const Real*>(table),
              static_cast<Real*>(gray), params);
  });
}

template <typename Pixel, typename Real>
int plane_mean(const GrayArgs& args, const void* table, double* sums, double* means, void* stream) {
  const GrayParams params = gray_params(args, kSumTile);
  const int status = launch_blocks(args.n_images * params.tiles, [&](unsigned grid) {
    GD_LAUNCH((plane_sum_kernel<Pixel, Real>), grid, kSumThreads, kSumWarps * sizeof(double),
              stream, static_cast<const Pixel*>(args.images), static_cast<const Real*>(table), sums,
              params);
  });
  if (status != kSuccess) return status;
  return launch_blocks(ceil_div(args.n_images, kElementThreads), [&](unsigned grid) {
    GD_LAUNCH((plane_mean_kernel<double>), grid, kElementThreads, 0, stream, sums, means,
              args.n_images, params.tiles, params.plane,
              luma_scale(Pixel(), args.channels, args.rounded));
  });
}

template <typename Real>
int hann_table(int64_t height, int64_t width, void* table, void* stream) {
  return launch_blocks(ceil_div(height + width, kElementThreads), [&](unsigned grid) {
    GD_LAUNCH((hann_table_kernel<Real>), grid, kElementThreads, 0, stream,
              static_cast<Real*>(table), static_cast<int>(height), static_cast<int>(width));
  });
}

template <typename Real>
int gray_adjoint(const GrayAdjointArgs& args, void* stream) {
  const GrayArgs planes{args.type,  args.planes, args.n_images, args.height,     args.width, 0, 0,
                        args.width, 1,           args.channels, /*uint8=*/false, false};
  const GrayParams params = gray_params(planes, kGrayTile);
  return launch_blocks(args.n_images * params.tiles, [&](unsigned grid) {
    GD_LAUNCH((gray_adjoint_kernel<Real>), grid, kGrayThreads, 0, stream,
              static_cast<const Real*>(args.planes), args.means,
              static_cast<const Real*>(args.table), static_cast<Real*>(args.out), params);
  });
}

template <typename Real>
int dc(const DcArgs& args, void* stream) {
  return launch_blocks(ceil_div(args.n_images, kElementThreads), [&](unsigned grid) {
    GD_LAUNCH((dc_kernel<Real>), grid, kElementThreads, 0, stream,
              static_cast<typename Complex<Real>::type*>(args.spectra), args.means, args.constant,
              args.n_images, args.pixels, args.plane);
  });
}

template <typename Real, typename Source>
int sweep(const Source& source, const MeansArgs& args, void* stream) {
  const MeansPlan& plan = args.plan;
  const MeansShared layout = means_shared(plan);
  const size_t shared = layout.n_reals * sizeof(Real) + layout.n_ints * sizeof(int);
  const MeansOutput<Real> out{
      args.bins == nullptr ? nullptr : static_cast<Real*>(args.part_bins),
      args.rows == nullptr ? nullptr : static_cast<Real*>(args.part_rows),
      args.columns == nullptr ? nullptr : static_cast<Real*>(args.part_columns),
      static_cast<Real*>(args.dc)};
  return launch_blocks(args.n_images * plan.tiles, [&](unsigned grid) {
    GD_LAUNCH((means_kernel<Real, Source>), grid, dim3(plan.lanes, plan.groups), shared, stream,
              source, args.maps, plan, out);
  });
}

template <typename Real>
int finish_tiles(const void* part, const double* scale, double constant, void* out, int64_t images,
                 int tiles, int n, void* stream) {
  if (out == nullptr) return kSuccess;
  return launch_blocks(ceil_div(images * n, kElementThreads), [&](unsigned grid) {
    GD_LAUNCH((finish_tiles_kernel<Real>), grid, kElementThreads, 0, stream,
              static_cast<const Real*>(part), scale, constant, static_cast<Real*>(out), images * n,
              tiles, n);
  });
}

template <typename Real>
int finish_rows(const MeansArgs& args, void* stream) {
  if (args.rows == nullptr) return kSuccess;
  const int64_t total = args.n_images * (args.plan.height / 2 + 1);
  return launch_blocks(ceil_div(total, kElementThreads), [&](unsigned grid) {
    GD_LAUNCH((finish_rows_kernel<Real>), grid, kElementThreads, 0, stream,
              static_cast<const Real*>(args.part_rows), static_cast<Real*>(args.rows), total,
              args.plan.height, args.plan.width);
  });
}

template <typename Real>
int means(const MeansArgs& args, void* stream) {
  const MeansPlan& plan = args.plan;
  const ValueParams<Real> value{args.value, static_cast<Real>(args.gain),
                                static_cast<Real>(args.eps), static_cast<Real>(args.amplitude)};
  int status;
  if (args.is_plane) {
    const PlaneSource<Real> source{static_cast<const Real*>(args.source)};
    status = sweep<Real>(source, args, stream);
  } else {
    using Pair = typename Complex<Real>::type;
    const SpectrumSource<Real> source{static_cast<const Pair*>(args.source), value};
    status = sweep<Real>(source, args, stream);
  }
  if (status != kSuccess) return status;
  status = finish_tiles<Real>(args.part_bins, args.inverse_counts, 1.0, args.bins, args.n_images,
                              plan.tiles, plan.n_bins, stream);
  if (status != kSuccess) return status;
  status = finish_tiles<Real>(args.part_columns, nullptr, 1.0 / plan.height, args.columns,
                              args.n_images, plan.tiles, plan.half_width, stream);
  if (status != kSuccess) return status;
  return finish_rows<Real>(args, stream);
}

template <typename Real>
int backward(const BackwardArgs& args, void* stream) {
  const MeansPlan& plan = args.plan;
  const ValueParams<Real> value{args.value, static_cast<Real>(args.gain),
                                static_cast<Real>(args.eps), static_cast<Real>(args.amplitude)};
  const BackwardInputs<Real> q{static_cast<const Real*>(args.bins),
                               static_cast<const Real*>(args.rows),
                               static_cast<const Real*>(args.columns),
                               static_cast<const Real*>(args.dc),
                               args.maps,
                               args.inverse_counts,
                               1.0 / plan.height,
                               1.0 / plan.width};
  const int64_t plane = static_cast<int64_t>(plan.height) * plan.half_width;
  const int64_t blocks = ceil_div(plane, kBackwardThreads);
  return launch_blocks(args.n_images * blocks, [&](unsigned grid) {
    GD_LAUNCH((backward_kernel<Real>), grid, kBackwardThreads, 0, stream,
              static_cast<typename Complex<Real>::type*>(args.spectra), value, q, plan, blocks);
  });
}

template <typename Real>
int spread(const SpreadArgs& args, void* stream) {
  const int64_t plane = static_cast<int64_t>(args.plan.height) * args.plan.half_width;
  const int64_t blocks = ceil_div(plane, kSpreadThreads);
  return launch_blocks(args.n_images * blocks, [&](unsigned grid) {
    GD_LAUNCH((spread_kernel<Real>), grid, kSpreadThreads, 0, stream,
              static_cast<const Real*>(args.q), args.maps, args.inverse_counts, args.plan, blocks,
              static_cast<Real*>(args.out));
  });
}

}  // namespace

bool GD_NS(means_plan)(RealType type, int64_t height, int64_t half_width, int64_t width,
                       int64_t n_bins, int64_t n_maps, bool folded, MeansPlan* plan) {
  if (!is_valid_plane(height, half_width) || width < half_width || width > kMaxPlane) return false;
  if (n_bins < 0 || n_bins > kMaxPlane || n_maps < 0 || n_maps > kMaxMaps) return false;
  const int64_t real_bytes = type == RealType::kFloat32 ? sizeof(float) : sizeof(double);
  const int64_t chunks = ceil_div(half_width, kMaxChunkBytes / real_bytes);
  int lanes = half_width <= 48 ? 32 : half_width <= 96 ? 64 : kMeansThreads;
  if (kMeansThreads / lanes * n_bins > kSharedBins) lanes = kMeansThreads;

  // About 2,048 elements a tile feed a large GPU with one image of 512 x 512; 8 rows at least keep
  // the partial bins below a tenth of the spectrum.
  int64_t rows = ceil_div(2048, half_width);
  rows = rows < 8 ? 8 : rows > kMaxTileRows ? kMaxTileRows : rows;
  const int64_t tiles = ceil_div(height, rows);

  plan->height = static_cast<int>(height);
  plan->half_width = static_cast<int>(half_width);
  plan->width = static_cast<int>(width);
  plan->n_bins = static_cast<int>(n_maps == 0 ? 0 : n_bins);
  plan->n_maps = static_cast<int>(n_bins == 0 ? 0 : n_maps);
  plan->folded = folded && n_maps == 1;
  plan->tile_rows = static_cast<int>(ceil_div(height, tiles));
  plan->tiles = static_cast<int>(ceil_div(height, plan->tile_rows));
  plan->chunk = static_cast<int>(ceil_div(half_width, chunks));
  plan->lanes = lanes;
  plan->groups = kMeansThreads / lanes;
  plan->shared_bins = n_bins <= kSharedBins;
  return true;
}

int64_t GD_NS(sum_tiles)(int64_t height, int64_t width) {
  return ceil_div(height * width, kSumTile);
}

int GD_NS(gray)(const GrayArgs& args, const double* means, const void* table, void* out,
                void* stream) {
  if (args.n_images == 0) return kSuccess;
  if (!is_valid_gray(args)) return kInvalidValue;
  if (args.is_uint8) return gray<uint8_t, float>(args, means, table, out, stream);
  return args.type == RealType::kFloat64 ? gray<double, double>(args, means, table, out, stream)
                                         : gray<float, float>(args, means, table, out, stream);
}

int GD_NS(plane_mean)(const GrayArgs& args, const void* table, double* sums, double* means,
                      void* stream) {
  if (args.n_images == 0) return kSuccess;
  if (!is_valid_gray(args)) return kInvalidValue;
  if (args.is_uint8) return plane_mean<uint8_t, float>(args, table, sums, means, stream);
  return args.type == RealType::kFloat64
             ? plane_mean<double, double>(args, table, sums, means, stream)
             : plane_mean<float, float>(args, table, sums, means, stream);
}

int GD_NS(hann_table)(RealType type, int64_t height, int64_t width, void* table, void* stream) {
  if (!is_valid_plane(height, width)) return kInvalidValue;
  return type == RealType::kFloat64 ? hann_table<double>(height, width, table, stream)
                                    : hann_table<float>(height, width, table, stream);
}

int GD_NS(gray_adjoint)(const GrayAdjointArgs& args, void* stream) {
  if (args.n_images == 0) return kSuccess;
  const bool valid = is_valid_plane(args.height, args.width);
  if (!valid || (args.channels != 1 && args.channels != 3)) return kInvalidValue;
  return args.type == RealType::kFloat64 ? gray_adjoint<double>(args, stream)
                                         : gray_adjoint<float>(args, stream);
}

int GD_NS(dc)(const DcArgs& args, void* stream) {
  return args.type == RealType::kFloat64 ? dc<double>(args, stream) : dc<float>(args, stream);
}

int GD_NS(means)(const MeansArgs& args, void* stream) {
  if (args.n_images == 0) return kSuccess;
  return args.type == RealType::kFloat64 ? means<double>(args, stream) : means<float>(args, stream);
}

int GD_NS(backward)(const BackwardArgs& args, void* stream) {
  if (args.n_images == 0) return kSuccess;
  if (args.plan.half_width != args.plan.width / 2 + 1) return kInvalidValue;
  return args.type == RealType::kFloat64 ? backward<double>(args, stream)
                                         : backward<float>(args, stream);
}

int GD_NS(spread)(const SpreadArgs& args, void* stream) {
  if (args.n_images == 0) return kSuccess;
  return args.type == RealType::kFloat64 ? spread<double>(args, stream)
                                         : spread<float>(args, stream);
}

const char* GD_NS(status_text)(int status) { return GD_STATUS_TEXT(status); }

}  // namespace gandetect::spectrum::device
