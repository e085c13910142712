// CUDA implementations of the spectrum ops: checks, allocation, torch's own FFT, and the launchers.
// Built only when the launchers are; everything runs on torch's current stream.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
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

// How images become spectra, in the means and in their gradient alike.
struct Transform {
  RealType type;
  ScalarType scalar;
  int64_t channels, height, width;
  bool is_uint8, round_gray, hann;
  double input_gain, input_offset;
  Tensor window;  // (H + W) where there is one
  void* stream;

  const void* table() const { return hann ? window.const_data_ptr() : nullptr; }
};

double hann_mean_square(int64_t n) { return n == 1 ? 0.0 : n == 2 ? 0.5 : 0.375; }

// What multiplies the transform of the shifted plane: the gain, and what undoes the window's loss.
double amplitude_of(const Transform& t) {
  if (!t.hann) return t.input_gain;
  const double power = hann_mean_square(t.height) * hann_mean_square(t.width);
  return power > 0 ? t.input_gain / std::sqrt(power) : 0.0;
}

Transform make_transform(const Tensor& images, bool round_gray, double input_gain,
                         double input_offset, bool hann) {
  const bool is_double = images.scalar_type() == ScalarType::Double;
  Transform t;
  t.type = is_double ? RealType::kFloat64 : RealType::kFloat32;
  t.scalar = is_double ? ScalarType::Double : ScalarType::Float;
  t.channels = images.size(1);
  t.height = images.size(2);
  t.width = images.size(3);
  t.is_uint8 = images.scalar_type() == ScalarType::Byte;
  t.round_gray = round_gray;
  t.hann = hann;
  t.input_gain = input_gain;
  t.input_offset = input_offset;
  t.stream = current_cuda_stream(images.get_device());
  if (!hann) return t;
  t.window = torch::stable::new_empty(images, {t.height + t.width}, t.scalar);
  check_status(GD_NS(hann_table)(t.type, t.height, t.width, t.window.mutable_data_ptr(), t.stream),
               "the window kernel");
  return t;
}

GrayArgs gray_args(const Transform& t, const Tensor& images) {
  return {t.type,
          images.const_data_ptr(),
          images.size(0),
          t.height,
          t.width,
          images.stride(0),
          images.stride(1),
          images.stride(2),
          images.stride(3),
          static_cast<int>(images.size(1)),
          images.scalar_type() == ScalarType::Byte,
          t.round_gray};
}

// Of the gray planes of images, or, with a table, of windowed planes.
Tensor plane_means(const Transform& t, const Tensor& images, const void* table) {
  const int64_t n = images.size(0), tiles = GD_NS(sum_tiles)(t.height, t.width);
  Tensor sums = torch::stable::new_empty(images, {n, tiles}, ScalarType::Double);
  Tensor means = torch::stable::new_empty(images, {n}, ScalarType::Double);
  check_status(GD_NS(plane_mean)(gray_args(t, images), table, sums.mutable_data_ptr<double>(),
                                 means.mutable_data_ptr<double>(), t.stream),
               "the mean kernels");
  return means;
}

constexpr int64_t kUnnormalized = 0;

// (N, 1, H, W) to (N, 1, H, V)
Tensor rfft2(const Tensor& planes) {
  const std::vector<int64_t> dims{2, 3};
  std::array<StableIValue, 4> stack{
      torch::stable::detail::from(planes), torch::stable::detail::from(dims),
      torch::stable::detail::from(kUnnormalized), torch::stable::detail::from(true)};
  TORCH_ERROR_CODE_CHECK(
      torch_call_dispatcher("aten::_fft_r2c", "", stack.data(), TORCH_ABI_VERSION));
  // cuFFT's multi-dimensional result may come back permuted.
  return torch::stable::contiguous(torch::stable::detail::to<Tensor>(stack[0]));
}

// (N, 1, H, V) to (N, 1, H, W)
Tensor irfft2(const Tensor& spectra, int64_t width) {
  const std::vector<int64_t> dims{2, 3};
  std::array<StableIValue, 4> stack{
      torch::stable::detail::from(spectra), torch::stable::detail::from(dims),
      torch::stable::detail::from(kUnnormalized), torch::stable::detail::from(width)};
  TORCH_ERROR_CODE_CHECK(
      torch_call_dispatcher("aten::_fft_c2r", "", stack.data(), TORCH_ABI_VERSION));
  return torch::stable::contiguous(torch::stable::detail::to<Tensor>(stack[0]));
}

// The DC coefficient from the exact mean where that was taken out, and the input offset, both in
// the units of the transform, before its gain.
void restore_dc(const Transform& t, const double* means, Tensor& spectra) {
  const int64_t pixels = t.height * t.width;
  const DcArgs args{t.type,
                    spectra.mutable_data_ptr(),
                    means,
                    t.input_offset / t.input_gain * static_cast<double>(pixels),
                    spectra.size(0),
                    pixels,
                    spectra.size(2) * spectra.size(3)};
  check_status(GD_NS(dc)(args, t.stream), "the DC kernel");
}

// uint8 images lose their rounded mean before the transform, as in the CPU kernels and the
// reference; the window takes out the whole mean of any image.
Tensor spectra_of(const Transform& t, const Tensor& images) {
  Tensor means;
  if (t.is_uint8 || t.hann) means = plane_means(t, images, nullptr);
  const double* mean = t.is_uint8 || t.hann ? means.const_data_ptr<double>() : nullptr;
  Tensor gray = torch::stable::new_empty(images, {images.size(0), 1, t.height, t.width}, t.scalar);
  check_status(
      GD_NS(gray)(gray_args(t, images), mean, t.table(), gray.mutable_data_ptr(), t.stream),
      "the gray kernel");
  Tensor spectra = rfft2(gray);
  if (!t.hann && (t.is_uint8 || t.input_offset != 0)) restore_dc(t, mean, spectra);
  return spectra;
}

int64_t images_per_chunk(const Transform& t, int64_t n) {
  const int64_t image_bytes =
      t.height * (t.width / 2 + 1) * (t.type == RealType::kFloat64 ? 16 : 8);
  return std::min(n, std::max<int64_t>(1, kChunkBytes / image_bytes));
}

// Where image `first` begins in a contiguous tensor.
template <typename T>
auto* at_image(T& tensor, int64_t first) {
  const int64_t bytes = tensor.scalar_type() == ScalarType::Double ? 8 : 4;
  if constexpr (std::is_const_v<T>)
    return static_cast<const char*>(tensor.const_data_ptr()) + first * tensor.stride(0) * bytes;
  else
    return static_cast<char*>(tensor.mutable_data_ptr()) + first * tensor.stride(0) * bytes;
}

// Everything a chunk of images needs to become means; buffers are made once and serve every chunk.
struct Job {
  Transform transform;
  Plan plan;
  MeansArgs means;
  std::array<Tensor, 4> results;  // bins, rows, columns, dc
  std::vector<Tensor> scratch;    // keeps what `means` points to
};

void* data_or_null(Tensor& tensor, int64_t first) {
  if (tensor.dim() == 2 && tensor.size(1) == 0) return nullptr;
  return at_image(tensor, first);
}

void* allocate(Job& job, const Tensor& like, int64_t n, ScalarType type) {
  job.scratch.push_back(torch::stable::new_empty(like, {n}, type));
  return job.scratch.back().mutable_data_ptr();
}

void allocate_partials(Job& job, const Tensor& like, int64_t images) {
  const MeansPlan& p = job.plan.shape;
  const ScalarType scalar = job.transform.scalar;
  MeansArgs& args = job.means;
  args.part_bins = allocate(job, like, images * p.tiles * p.n_bins, scalar);
  args.part_rows = allocate(job, like, images * p.height, scalar);
  args.part_columns = allocate(job, like, images * p.tiles * p.half_width, scalar);
}

void run_chunk(Job& job, const Tensor& images, int64_t first) {
  const Tensor spectra = spectra_of(job.transform, images);
  MeansArgs args = job.means;
  args.source = spectra.const_data_ptr();
  args.n_images = images.size(0);
  args.bins = data_or_null(job.results[0], first);
  args.rows = data_or_null(job.results[1], first);
  args.columns = data_or_null(job.results[2], first);
  args.dc = data_or_null(job.results[3], first);
  check_status(GD_NS(means)(args, job.transform.stream), "the spectral sweep");
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
    bool round_gray, double input_gain, double input_offset, bool hann, int64_t value,
    double value_gain, double eps, bool azimuthal, bool rows, bool columns) {
  check_images(images, maps, input_gain, value);
  const DeviceGuard guard(images.get_device());
  const int64_t n = images.size(0), height = images.size(2), width = images.size(3);

  Job job;
  job.transform = make_transform(images, round_gray, input_gain, input_offset, hann);
  const Transform& t = job.transform;
  job.plan = make_plan(maps, inverse_counts, width, folded, t.type, images.get_device());
  if (!azimuthal) job.plan.shape.n_maps = job.plan.shape.n_bins = 0;
  const int64_t bins = job.plan.inverse_counts.size(0);
  job.results = {
      torch::stable::new_empty(images, {n, azimuthal ? bins : 0}, t.scalar),
      torch::stable::new_empty(images, {n, rows ? height / 2 + 1 : 0}, t.scalar),
      torch::stable::new_empty(images, {n, columns ? width / 2 + 1 : 0}, t.scalar),
      torch::stable::new_empty(images, {n}, t.scalar),
  };
  if (n == 0) return {job.results[0], job.results[1], job.results[2], job.results[3]};

  job.means = {};
  job.means.type = t.type;
  job.means.value = static_cast<int>(value);
  job.means.gain = value_gain;
  job.means.eps = eps;
  job.means.amplitude = amplitude_of(t);
  job.means.maps = job.plan.maps.const_data_ptr<int32_t>();
  job.means.inverse_counts = job.plan.inverse_counts.const_data_ptr<double>();
  job.means.plan = job.plan.shape;
  const int64_t chunk = images_per_chunk(t, n);
  allocate_partials(job, images, chunk);

  for (int64_t first = 0; first < n; first += chunk) {
    Tensor view = images;  // narrow takes a reference that is not const
    run_chunk(job, torch::stable::narrow(view, 0, first, std::min(chunk, n - first)), first);
  }
  return {job.results[0], job.results[1], job.results[2], job.results[3]};
}

// The gradient of one output, or nothing where none reaches it.
std::optional<Tensor> checked_gradient(const std::optional<Tensor>& gradient, const Tensor& images,
                                       int64_t length, const char* name) {
  if (!gradient.has_value()) return std::nullopt;
  STD_TORCH_CHECK(gradient->scalar_type() == images.scalar_type(), name,
                  " must have the type of images");
  STD_TORCH_CHECK(is_on_device(*gradient, images.get_device()), name,
                  " must be on the CUDA device of images");
  STD_TORCH_CHECK(gradient->dim() >= 1 && gradient->size(0) == images.size(0) &&
                      gradient->numel() == images.size(0) * length,
                  name, " does not belong to these images");
  return torch::stable::contiguous(*gradient);
}

const void* at_image_or_null(const std::optional<Tensor>& gradient, int64_t first) {
  return gradient.has_value() ? at_image(*gradient, first) : nullptr;
}

// Planes (N, 1, H, W) of gradients to those of images (N, C, H, W), the window's adjoint included.
void spread_to_channels(const Transform& t, const Tensor& planes, void* out) {
  Tensor means;
  if (t.hann) means = plane_means(t, planes, t.table());
  const GrayAdjointArgs args{t.type,
                             planes.const_data_ptr(),
                             t.hann ? means.const_data_ptr<double>() : nullptr,
                             t.table(),
                             planes.size(0),
                             t.height,
                             t.width,
                             static_cast<int>(t.channels),
                             out};
  check_status(GD_NS(gray_adjoint)(args, t.stream), "the adjoint of the gray kernel");
}

Tensor spectral_means_backward(const Tensor& images, const Tensor& maps,
                               const Tensor& inverse_counts, bool folded, bool round_gray,
                               double input_gain, double input_offset, bool hann, int64_t value,
                               double value_gain, double eps,
                               std::optional<Tensor> gradient_azimuthal,
                               std::optional<Tensor> gradient_rows,
                               std::optional<Tensor> gradient_columns,
                               std::optional<Tensor> gradient_at_dc) {
  check_images(images, maps, input_gain, value);
  real_type(images, "images");
  const DeviceGuard guard(images.get_device());
  const int64_t n = images.size(0), height = images.size(2), width = images.size(3);
  const Transform t = make_transform(images, round_gray, input_gain, input_offset, hann);
  const Plan plan = make_plan(maps, inverse_counts, width, folded, t.type, images.get_device());
  const std::array<std::optional<Tensor>, 4> gradients{
      checked_gradient(gradient_azimuthal, images, inverse_counts.size(0), "gradient_azimuthal"),
      checked_gradient(gradient_rows, images, height / 2 + 1, "gradient_rows"),
      checked_gradient(gradient_columns, images, width / 2 + 1, "gradient_columns"),
      checked_gradient(gradient_at_dc, images, 1, "gradient_at_dc")};
  const int64_t chunk = images_per_chunk(t, n);
  // Where nothing is left to do after the transform, what it made is the result.
  const bool is_plane = chunk == n && t.channels == 1 && !t.hann && n > 0;
  Tensor result;
  if (!is_plane)
    result = torch::stable::new_empty(images, {n, t.channels, height, width}, t.scalar);
  for (int64_t first = 0; first < n; first += chunk) {
    Tensor view = images;  // narrow takes a reference that is not const
    Tensor spectra =
        spectra_of(t, torch::stable::narrow(view, 0, first, std::min(chunk, n - first)));
    const BackwardArgs args{t.type,
                            spectra.mutable_data_ptr(),
                            static_cast<int>(value),
                            value_gain,
                            eps,
                            amplitude_of(t),
                            plan.maps.const_data_ptr<int32_t>(),
                            plan.inverse_counts.const_data_ptr<double>(),
                            spectra.size(0),
                            plan.shape,
                            at_image_or_null(gradients[0], first),
                            at_image_or_null(gradients[1], first),
                            at_image_or_null(gradients[2], first),
                            at_image_or_null(gradients[3], first)};
    check_status(GD_NS(backward)(args, t.stream), "the gradient of the spectral sweep");
    const Tensor planes = irfft2(spectra, width);
    if (is_plane) return planes;
    spread_to_channels(t, planes, at_image(result, first));
  }
  return result;
}

Tensor azimuthal_average(const Tensor& spectrum, const Tensor& maps, const Tensor& inverse_counts,
                         int64_t width, bool folded) {
  check_dims(spectrum, 3, "spectrum");
  check_dims(maps, 3, "maps");
  STD_TORCH_CHECK(spectrum.size(1) == maps.size(1) && spectrum.size(2) == maps.size(2),
                  "maps do not belong to planes of this size");
  const DeviceGuard guard(spectrum.get_device());
  const RealType type = real_type(spectrum, "spectrum");
  const Plan plan = make_plan(maps, inverse_counts, width, folded, type, spectrum.get_device());
  const Tensor input = torch::stable::contiguous(spectrum);
  Tensor output = torch::stable::new_empty(input, {input.size(0), inverse_counts.size(0)});
  if (output.numel() == 0) return output;

  const int64_t n = input.size(0), parts = plan.shape.tiles * plan.shape.n_bins;
  Tensor part_bins = torch::stable::new_empty(input, {n * parts});
  MeansArgs args{};
  args.type = type;
  args.source = input.const_data_ptr();
  args.is_plane = true;
  args.maps = plan.maps.const_data_ptr<int32_t>();
  args.inverse_counts = plan.inverse_counts.const_data_ptr<double>();
  args.n_images = n;
  args.plan = plan.shape;
  args.part_bins = part_bins.mutable_data_ptr();
  args.bins = output.mutable_data_ptr();
  check_status(GD_NS(means)(args, current_cuda_stream(spectrum.get_device())),
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
  m.impl("spectral_means_backward", TORCH_BOX(&spectral_means_backward));
  m.impl("azimuthal_average", TORCH_BOX(&azimuthal_average));
  m.impl("azimuthal_spread", TORCH_BOX(&azimuthal_spread));
}

}  // namespace gandetect::spectrum::device
