// CPU implementations of the spectrum ops: checks, allocation, and torch's thread pool around the
// kernels of kernels.h.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <optional>
#include <tuple>
#include <vector>

#include "common/checks.h"
#include "common/torch_threads.h"
#include "spectrum/kernels.h"

namespace gandetect::spectrum {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// maps and inverse_counts must be contiguous and outlive the result. The kernels index with the
// maps' entries, so they are checked here, once a call.
Bins make_bins(const Tensor& maps, const Tensor& inverse_counts, int64_t width, bool folded) {
  Bins bins;
  bins.maps = maps.const_data_ptr<int32_t>();
  bins.inverse_counts = inverse_counts.const_data_ptr<double>();
  bins.maps_count = maps.size(0);
  bins.height = maps.size(1);
  bins.columns = maps.size(2);
  bins.bins = inverse_counts.size(0);
  bins.width = width;
  bins.folded = folded && bins.maps_count == 1;
  STD_TORCH_CHECK(bins.maps_count == 1 || bins.maps_count == 2, "there must be one or two maps");
  STD_TORCH_CHECK(kernels().inspect(bins), "maps must hold -1 to ", bins.bins);
  return bins;
}

void check_plan(const Tensor& maps, const Tensor& inverse_counts) {
  check_dims(maps, 3, "maps");
  check_type(maps, ScalarType::Int, "maps", "int32");
  check_dims(inverse_counts, 1, "inverse_counts");
  check_type(inverse_counts, ScalarType::Double, "inverse_counts", "float64");
}

void check_floating(const Tensor& tensor, const char* name) {
  STD_TORCH_CHECK(
      tensor.scalar_type() == ScalarType::Float || tensor.scalar_type() == ScalarType::Double, name,
      " must be float32 or float64");
}

// What forward and backward share. The plan's tensors must be contiguous and outlive the result.
Means make_means(const Tensor& images, const Tensor& maps, const Tensor& inverse_counts,
                 bool folded, bool round_gray, double input_gain, double input_offset, bool hann,
                 int64_t value, double value_gain, double eps) {
  const int64_t channels = images.size(1), height = images.size(2), width = images.size(3);
  STD_TORCH_CHECK(channels == 1 || channels == 3, "images must have 1 or 3 channels");
  STD_TORCH_CHECK(maps.size(1) == height && maps.size(2) == width / 2 + 1 && width > 0,
                  "maps do not belong to images of this size");
  STD_TORCH_CHECK(value >= 0 && value <= 3, "value must be 0, 1, 2 or 3");
  Means job;
  job.images = images.const_data_ptr();
  job.stride_n = images.stride(0);
  job.stride_c = images.stride(1);
  job.stride_y = images.stride(2);
  job.stride_x = images.stride(3);
  job.channels = channels;
  job.bins = make_bins(maps, inverse_counts, width, folded);
  job.round_gray = round_gray;
  job.hann = hann;
  job.input_gain = input_gain;
  job.input_offset = input_offset;
  job.value = static_cast<Value>(value);
  job.value_gain = value_gain;
  job.eps = eps;
  job.azimuthal = job.rows = job.columns = job.at_dc = nullptr;
  return job;
}

std::tuple<Tensor, Tensor, Tensor, Tensor> spectral_means(
    const Tensor& images, const Tensor& maps, const Tensor& inverse_counts, bool folded,
    bool round_gray, double input_gain, double input_offset, bool hann, int64_t value,
    double value_gain, double eps, bool azimuthal, bool rows, bool columns) {
  check_dims(images, 4, "images");
  check_plan(maps, inverse_counts);
  const ScalarType type = images.scalar_type();
  STD_TORCH_CHECK(
      type == ScalarType::Byte || type == ScalarType::Float || type == ScalarType::Double,
      "images must be uint8, float32 or float64");
  const Tensor plan_maps = torch::stable::contiguous(maps);
  const Tensor plan_counts = torch::stable::contiguous(inverse_counts);
  Means job = make_means(images, plan_maps, plan_counts, folded, round_gray, input_gain,
                         input_offset, hann, value, value_gain, eps);

  const ScalarType out = type == ScalarType::Double ? type : ScalarType::Float;
  const int64_t n = images.size(0);
  const auto means = [&](bool wanted, int64_t length) {
    return torch::stable::new_empty(images, {n, wanted ? length : 0}, out);
  };
  Tensor result_azimuthal = means(azimuthal, job.bins.bins);
  Tensor result_rows = means(rows, job.bins.height / 2 + 1);
  Tensor result_columns = means(columns, job.bins.columns);
  Tensor result_dc = torch::stable::new_empty(images, {n}, out);
  if (azimuthal) job.azimuthal = result_azimuthal.mutable_data_ptr();
  if (rows) job.rows = result_rows.mutable_data_ptr();
  if (columns) job.columns = result_columns.mutable_data_ptr();
  job.at_dc = result_dc.mutable_data_ptr();

  const Kernels& table = kernels();
  const auto kernel = type == ScalarType::Byte    ? table.means_u8
                      : type == ScalarType::Float ? table.means_f32
                                                  : table.means_f64;
  kernel(job, n, torch_threads());
  return {result_azimuthal, result_rows, result_columns, result_dc};
}

Tensor spectral_means_backward(const Tensor& images, const Tensor& maps,
                               const Tensor& inverse_counts, bool folded, bool round_gray,
                               double input_gain, double input_offset, bool hann, int64_t value,
                               double value_gain, double eps,
                               std::optional<Tensor> gradient_azimuthal,
                               std::optional<Tensor> gradient_rows,
                               std::optional<Tensor> gradient_columns,
                               std::optional<Tensor> gradient_at_dc) {
  check_dims(images, 4, "images");
  check_floating(images, "images");
  check_plan(maps, inverse_counts);
  const Tensor plan_maps = torch::stable::contiguous(maps);
  const Tensor plan_counts = torch::stable::contiguous(inverse_counts);
  MeansGradient job;
  job.means = make_means(images, plan_maps, plan_counts, folded, round_gray, input_gain,
                         input_offset, hann, value, value_gain, eps);
  const Bins& bins = job.means.bins;
  const int64_t n = images.size(0);
  // Keeps what contiguous() may have made alive until the kernel has run.
  std::vector<Tensor> kept;
  const auto data_of = [&](const std::optional<Tensor>& gradient, int64_t length,
                           const char* name) -> const void* {
    if (!gradient.has_value()) return nullptr;
    STD_TORCH_CHECK(gradient->scalar_type() == images.scalar_type(), name,
                    " must have the type of images");
    STD_TORCH_CHECK(gradient->numel() == n * length, name, " does not belong to these images");
    kept.push_back(torch::stable::contiguous(*gradient));
    return kept.back().const_data_ptr();
  };
  job.azimuthal = data_of(gradient_azimuthal, bins.bins, "gradient_azimuthal");
  job.rows = data_of(gradient_rows, bins.height / 2 + 1, "gradient_rows");
  job.columns = data_of(gradient_columns, bins.columns, "gradient_columns");
  job.at_dc = data_of(gradient_at_dc, 1, "gradient_at_dc");
  Tensor result =
      torch::stable::new_empty(images, {n, job.means.channels, bins.height, bins.width});
  job.images = result.mutable_data_ptr();
  const bool single = images.scalar_type() == ScalarType::Float;
  (single ? kernels().gradient_f32 : kernels().gradient_f64)(job, n, torch_threads());
  return result;
}

template <typename Kernel>
void run_plane(const Tensor& input, Tensor& output, const Tensor& maps,
               const Tensor& inverse_counts, int64_t width, bool folded, Kernel kernel) {
  Plane job;
  job.input = input.const_data_ptr();
  job.output = output.mutable_data_ptr();
  job.bins = make_bins(maps, inverse_counts, width, folded);
  kernel(job, input.size(0), torch_threads());
}

Tensor azimuthal_average(const Tensor& spectrum, const Tensor& maps, const Tensor& inverse_counts,
                         int64_t width, bool folded) {
  check_dims(spectrum, 3, "spectrum");
  check_floating(spectrum, "spectrum");
  check_plan(maps, inverse_counts);
  STD_TORCH_CHECK(spectrum.size(1) == maps.size(1) && spectrum.size(2) == maps.size(2),
                  "maps do not belong to planes of this size");
  const Tensor input = torch::stable::contiguous(spectrum);
  Tensor output = torch::stable::new_empty(input, {input.size(0), inverse_counts.size(0)});
  const bool single = input.scalar_type() == ScalarType::Float;
  run_plane(input, output, torch::stable::contiguous(maps),
            torch::stable::contiguous(inverse_counts), width, folded,
            single ? kernels().average_f32 : kernels().average_f64);
  return output;
}

Tensor azimuthal_spread(const Tensor& profile, const Tensor& maps, const Tensor& inverse_counts,
                        int64_t width, bool folded) {
  check_dims(profile, 2, "profile");
  check_floating(profile, "profile");
  check_plan(maps, inverse_counts);
  STD_TORCH_CHECK(profile.size(1) == inverse_counts.size(0),
                  "profile does not have the plan's number of bins");
  const Tensor input = torch::stable::contiguous(profile);
  Tensor output = torch::stable::new_empty(input, {input.size(0), maps.size(1), maps.size(2)});
  const bool single = input.scalar_type() == ScalarType::Float;
  run_plane(input, output, torch::stable::contiguous(maps),
            torch::stable::contiguous(inverse_counts), width, folded,
            single ? kernels().spread_f32 : kernels().spread_f64);
  return output;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(gandetect, CPU, m) {
  m.impl("spectral_means", TORCH_BOX(&spectral_means));
  m.impl("spectral_means_backward", TORCH_BOX(&spectral_means_backward));
  m.impl("azimuthal_average", TORCH_BOX(&azimuthal_average));
  m.impl("azimuthal_spread", TORCH_BOX(&azimuthal_spread));
}

}  // namespace gandetect::spectrum
