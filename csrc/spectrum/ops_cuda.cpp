// CUDA implementations of the spectrum ops: checks, allocation, torch's own FFT, and the launchers.
// Built only when the launchers are; everything runs on torch's current stream.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <tuple>
#include <vector>

#include "common/checks.h"
#include "common/cuda_stream.h"
#include "spectrum/launchers.cuh"

namespace gandetect::spectrum::device {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// Spectra of this size stay in the L2 cache of a data-center GPU between the transform and the
// sweep.
constexpr int64_t kChunkBytes = 32 << 20;

struct Plan {
  Tensor maps;            // (M, H, V) int32, contiguous
  Tensor inverse_counts;  // (K) float64, contiguous
  MeansPlan shape;
};

Plan make_plan(const Tensor& maps, const Tensor& inverse_counts, int64_t width, bool folded,
               RealType type, int32_t device) {
  check_dims(maps, 3, "maps");
  check_type(maps, ScalarType::Int, "maps", "int32");
  check_dims(inverse_counts, 1, "inverse_counts");
  check_type(inverse_counts, ScalarType::Double, "inverse_counts", "float64");
  STD_TORCH_CHECK(is_on_device(maps, device) && is_on_device(inverse_counts, device),
                  "maps and inverse_counts must be on the CUDA device of the data");
  Plan plan{torch::stable::contiguous(maps), torch::stable::contiguous(inverse_counts), {}};
  STD_TORCH_CHECK(GD_NS(means_plan)(type, maps.size(1), maps.size(2), width, inverse_counts.size(0),
                                    maps.size(0), folded, &plan.shape),
                  "maps must be (1 or 2, H, V) with V at most the width and H V below 2^31");
  return plan;
}

RealType real_type(const Tensor& tensor, const char* name) {
  const ScalarType type = tensor.scalar_type();
  STD_TORCH_CHECK(type == ScalarType::Float || type == ScalarType::Double, name,
                  " must be float32 or float64");
  return type == ScalarType::Double ? RealType::kFloat64 : RealType::kFloat32;
}

void check_status(int status, const char* what) {
  STD_TORCH_CHECK(status == kSuccess, "gandetect: launching ", what,
                  " failed: ", GD_NS(status_text)(status));
}

// Everything a chunk of images needs to become means; buffers are made once and serve every chunk.
struct Job {
  Plan plan;
  RealType type;
  ScalarType scalar;
  int64_t channels, height, width;
  bool is_uint8, round_grey, hann;
  double input_gain, input_offset;
  MeansArgs means;
  std::array<Tensor, 4> results;  // bins, rows, columns, dc
  std::vector<Tensor> scratch;    // keeps what `means` points to
  void* stream;
};

void* data_or_null(Tensor& tensor, int64_t first) {
  if (tensor.dim() == 2 && tensor.size(1) == 0) return nullptr;
  const int64_t bytes = tensor.scalar_type() == ScalarType::Double ? 8 : 4;
  return static_cast<char*>(tensor.mutable_data_ptr()) + first * tensor.stride(0) * bytes;
}

void* allocate(Job& job, const Tensor& like, int64_t n, ScalarType type) {
  job.scratch.push_back(torch::stable::new_empty(like, {n}, type));
  return job.scratch.back().mutable_data_ptr();
}

void allocate_partials(Job& job, const Tensor& like, int64_t images) {
  const MeansPlan& p = job.plan.shape;
  MeansArgs& args = job.means;
  args.part_bins = allocate(job, like, images * p.tiles * p.n_bins, job.scalar);
  args.part_rows = allocate(job, like, images * p.height, job.scalar);
  args.part_columns = allocate(job, like, images * p.tiles * p.half_width, job.scalar);
}

double hann_mean_square(int64_t n) { return n == 1 ? 0.0 : n == 2 ? 0.5 : 0.375; }

// What multiplies the transform of the shifted plane: the gain, and what undoes the window's loss.
double amplitude_of(const Job& job) {
  if (!job.hann) return job.input_gain;
  const double power = hann_mean_square(job.height) * hann_mean_square(job.width);
  return power > 0 ? job.input_gain / std::sqrt(power) : 0.0;
}

GreyArgs grey_args(const Job& job, const Tensor& images) {
  return {job.type,  images.const_data_ptr(),        images.size(0), job.height,
          job.width, static_cast<int>(job.channels), job.is_uint8,   job.round_grey};
}

Tensor grey_means(const Job& job, const Tensor& images) {
  const int64_t n = images.size(0), tiles = GD_NS(sum_tiles)(job.height, job.width);
  Tensor sums = torch::stable::new_empty(images, {n, tiles}, ScalarType::Double);
  Tensor means = torch::stable::new_empty(images, {n}, ScalarType::Double);
  check_status(GD_NS(plane_mean)(grey_args(job, images), sums.mutable_data_ptr<double>(),
                                 means.mutable_data_ptr<double>(), job.stream),
               "the mean kernels");
  return means;
}

Tensor grey_planes(const Job& job, const Tensor& images, const double* means) {
  Tensor grey =
      torch::stable::new_empty(images, {images.size(0), job.height, job.width}, job.scalar);
  check_status(GD_NS(grey)(grey_args(job, images), means, grey.mutable_data_ptr(), job.stream),
               "the grey kernel");
  return grey;
}

void apply_hann(const Job& job, const double* means, Tensor& grey) {
  Tensor table = torch::stable::new_empty(grey, {job.height + job.width}, job.scalar);
  const HannArgs args{
      job.type, grey.mutable_data_ptr(), means, table.mutable_data_ptr(), grey.size(0), job.height,
      job.width};
  check_status(GD_NS(hann)(args, job.stream), "the window kernels");
}

Tensor rfft2(const Tensor& planes) {
  const std::vector<int64_t> dims{1, 2};
  constexpr int64_t kUnnormalized = 0;
  std::array<StableIValue, 4> stack{
      torch::stable::detail::from(planes), torch::stable::detail::from(dims),
      torch::stable::detail::from(kUnnormalized), torch::stable::detail::from(true)};
  TORCH_ERROR_CODE_CHECK(
      torch_call_dispatcher("aten::_fft_r2c", "", stack.data(), TORCH_ABI_VERSION));
  // cuFFT's multi-dimensional result may come back permuted.
  return torch::stable::contiguous(torch::stable::detail::to<Tensor>(stack[0]));
}

// The DC coefficient from the exact mean where that was taken out, and the input offset, both in
// the units of the transform, before its gain.
void restore_dc(const Job& job, const double* means, Tensor& spectra) {
  const int64_t pixels = job.height * job.width;
  const DcArgs args{job.type,
                    spectra.mutable_data_ptr(),
                    means,
                    job.input_offset / job.input_gain * static_cast<double>(pixels),
                    spectra.size(0),
                    pixels,
                    spectra.size(1) * spectra.size(2)};
  check_status(GD_NS(dc)(args, job.stream), "the DC kernel");
}

// uint8 images lose their rounded mean before the transform, as in the CPU kernels and the
// reference; the window takes out the whole mean of any image.
void run_chunk(Job& job, const Tensor& images, int64_t first) {
  Tensor means;
  if (job.is_uint8 || job.hann) means = grey_means(job, images);
  const double* mean = job.is_uint8 || job.hann ? means.const_data_ptr<double>() : nullptr;
  Tensor grey = grey_planes(job, images, job.hann ? nullptr : mean);
  if (job.hann) apply_hann(job, mean, grey);
  Tensor spectra = rfft2(grey);
  if (!job.hann && (job.is_uint8 || job.input_offset != 0)) restore_dc(job, mean, spectra);

  MeansArgs args = job.means;
  args.source = spectra.const_data_ptr();
  args.n_images = images.size(0);
  args.bins = data_or_null(job.results[0], first);
  args.rows = data_or_null(job.results[1], first);
  args.columns = data_or_null(job.results[2], first);
  args.dc = data_or_null(job.results[3], first);
  check_status(GD_NS(means)(args, job.stream), "the spectral sweep");
}

void check_images(const Tensor& images, const Tensor& maps, double input_gain, int64_t value) {
  check_dims(images, 4, "images");
  check_dims(maps, 3, "maps");
  const ScalarType type = images.scalar_type();
  const int64_t channels = images.size(1), height = images.size(2), width = images.size(3);
  STD_TORCH_CHECK(channels == 1 || channels == 3, "images must have 1 or 3 channels");
  STD_TORCH_CHECK(maps.size(1) == height && maps.size(2) == width / 2 + 1 && width > 0,
                  "maps do not belong to images of this size");
  STD_TORCH_CHECK(
      type == ScalarType::Byte || type == ScalarType::Float || type == ScalarType::Double,
      "images must be uint8, float32 or float64");
  STD_TORCH_CHECK(input_gain != 0, "input_gain must not be 0");
  STD_TORCH_CHECK(value >= kPower && value <= kLogAmplitude, "value must be 0, 1, 2 or 3");
}

std::tuple<Tensor, Tensor, Tensor, Tensor> spectral_means(
    const Tensor& images, const Tensor& maps, const Tensor& inverse_counts, bool folded,
    bool round_grey, double input_gain, double input_offset, bool hann, int64_t value,
    double value_gain, double eps, bool azimuthal, bool rows, bool columns) {
  check_images(images, maps, input_gain, value);
  const DeviceGuard guard(images.get_device());
  const int64_t n = images.size(0), height = images.size(2), width = images.size(3);
  const bool is_double = images.scalar_type() == ScalarType::Double;

  Job job;
  job.type = is_double ? RealType::kFloat64 : RealType::kFloat32;
  job.scalar = is_double ? ScalarType::Double : ScalarType::Float;
  job.plan = make_plan(maps, inverse_counts, width, folded, job.type, images.get_device());
  if (!azimuthal) job.plan.shape.n_maps = job.plan.shape.n_bins = 0;
  job.channels = images.size(1);
  job.height = height;
  job.width = width;
  job.is_uint8 = images.scalar_type() == ScalarType::Byte;
  job.round_grey = round_grey;
  job.hann = hann;
  job.input_gain = input_gain;
  job.input_offset = input_offset;
  const int64_t bins = job.plan.inverse_counts.size(0);
  job.results = {
      torch::stable::new_empty(images, {n, azimuthal ? bins : 0}, job.scalar),
      torch::stable::new_empty(images, {n, rows ? height / 2 + 1 : 0}, job.scalar),
      torch::stable::new_empty(images, {n, columns ? width / 2 + 1 : 0}, job.scalar),
      torch::stable::new_empty(images, {n}, job.scalar),
  };
  if (n == 0) return {job.results[0], job.results[1], job.results[2], job.results[3]};
  job.stream = current_cuda_stream(images.get_device());

  const int64_t image_bytes = height * (width / 2 + 1) * (is_double ? 16 : 8);
  const int64_t chunk = std::min(n, std::max<int64_t>(1, kChunkBytes / image_bytes));
  job.means = {};
  job.means.type = job.type;
  job.means.value = static_cast<int>(value);
  job.means.gain = value_gain;
  job.means.eps = eps;
  job.means.amplitude = amplitude_of(job);
  job.means.maps = job.plan.maps.const_data_ptr<int32_t>();
  job.means.inverse_counts = job.plan.inverse_counts.const_data_ptr<double>();
  job.means.plan = job.plan.shape;
  allocate_partials(job, images, chunk);

  for (int64_t first = 0; first < n; first += chunk) {
    Tensor input = images;
    input = torch::stable::narrow(input, 0, first, std::min(chunk, n - first));
    run_chunk(job, torch::stable::contiguous(input), first);
  }
  return {job.results[0], job.results[1], job.results[2], job.results[3]};
}

Tensor azimuthal_average(const Tensor& spectrum, const Tensor& maps, const Tensor& inverse_counts,
                         int64_t width, bool folded) {
  check_dims(spectrum, 3, "spectrum");
  check_dims(maps, 3, "maps");
  STD_TORCH_CHECK(spectrum.size(1) == maps.size(1) && spectrum.size(2) == maps.size(2),
                  "maps do not belong to planes of this size");
  const DeviceGuard guard(spectrum.get_device());
  Job job;
  job.type = real_type(spectrum, "spectrum");
  job.scalar = spectrum.scalar_type();
  job.plan = make_plan(maps, inverse_counts, width, folded, job.type, spectrum.get_device());
  const Tensor input = torch::stable::contiguous(spectrum);
  Tensor output = torch::stable::new_empty(input, {input.size(0), inverse_counts.size(0)});
  if (output.numel() == 0) return output;

  job.means = {};
  job.means.type = job.type;
  job.means.source = input.const_data_ptr();
  job.means.is_plane = true;
  job.means.maps = job.plan.maps.const_data_ptr<int32_t>();
  job.means.inverse_counts = job.plan.inverse_counts.const_data_ptr<double>();
  job.means.n_images = input.size(0);
  job.means.plan = job.plan.shape;
  job.means.part_bins = allocate(
      job, input, input.size(0) * job.plan.shape.tiles * job.plan.shape.n_bins, job.scalar);
  job.means.bins = output.mutable_data_ptr();
  check_status(GD_NS(means)(job.means, current_cuda_stream(spectrum.get_device())),
               "the azimuthal average");
  return output;
}

Tensor azimuthal_spread(const Tensor& profile, const Tensor& maps, const Tensor& inverse_counts,
                        int64_t width, bool folded) {
  check_dims(profile, 2, "profile");
  check_dims(inverse_counts, 1, "inverse_counts");
  STD_TORCH_CHECK(profile.size(1) == inverse_counts.size(0),
                  "profile does not have the plan's number of bins");
  const DeviceGuard guard(profile.get_device());
  const RealType type = real_type(profile, "profile");
  const Plan plan = make_plan(maps, inverse_counts, width, folded, type, profile.get_device());
  const Tensor input = torch::stable::contiguous(profile);
  Tensor output = torch::stable::new_empty(input, {input.size(0), maps.size(1), maps.size(2)});
  if (output.numel() == 0) return output;
  const SpreadArgs args{type,
                        input.const_data_ptr(),
                        plan.maps.const_data_ptr<int32_t>(),
                        plan.inverse_counts.const_data_ptr<double>(),
                        input.size(0),
                        plan.shape,
                        output.mutable_data_ptr()};
  check_status(GD_NS(spread)(args, current_cuda_stream(profile.get_device())),
               "the azimuthal spread");
  return output;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(gandetect, CUDA, m) {
  m.impl("spectral_means", TORCH_BOX(&spectral_means));
  m.impl("azimuthal_average", TORCH_BOX(&azimuthal_average));
  m.impl("azimuthal_spread", TORCH_BOX(&azimuthal_spread));
}

}  // namespace gandetect::spectrum::device
