// CPU implementations of the ops of the family of traces: checks and allocation around the kernels
// of kernels.h.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "common/checks.h"
#include "common/torch_threads.h"
#include "traces/kernels.h"

namespace gandetect::traces {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// Filters without their zeros: the taps of all, and those of each.
struct Filters {
  std::vector<Tap> taps;
  std::vector<Filter> each;

  explicit Filters(const Tensor& filters) {
    const Tensor dense = torch::stable::contiguous(filters);
    const float* weight = dense.const_data_ptr<float>();
    const int64_t height = dense.size(1), width = dense.size(2);
    std::vector<int64_t> ends;
    for (int64_t f = 0; f < dense.size(0); ++f) {
      Filter filter{};
      for (int64_t y = 0; y < height; ++y) {
        for (int64_t x = 0; x < width; ++x, ++weight) {
          if (*weight == 0) continue;
          taps.push_back({y, x, *weight});
          filter.reach_y = std::max(filter.reach_y, y);
          filter.reach_x = std::max(filter.reach_x, x);
        }
      }
      each.push_back(filter);
      ends.push_back(static_cast<int64_t>(taps.size()));
    }
    int64_t begin = 0;
    for (size_t f = 0; f < each.size(); ++f) {
      each[f].taps = taps.data() + begin;
      each[f].count = ends[f] - begin;
      begin = ends[f];
    }
  }
};

void check_positive(double value, const char* name) {
  STD_TORCH_CHECK(
      value >= std::numeric_limits<float>::min() && value <= std::numeric_limits<float>::max(),
      name, " must be a positive float32");
}

// What both ops on the responses of filters take; the tensors keep alive what `job` points to.
struct Call {
  Tensor images;
  Filters taken;
  Responses job;

  // `rows`, `columns`: of responses that there must be at least, as the first ones of all filters.
  Call(const Tensor& given, const Tensor& filters, double rounding, int64_t rows, int64_t columns)
      : images(torch::stable::contiguous(given)), taken(checked(given, filters, rounding)) {
    STD_TORCH_CHECK(given.size(1) >= filters.size(1) - 1 + rows &&
                        given.size(2) >= filters.size(2) - 1 + columns,
                    "images of ", given.size(1), "x", given.size(2), " are too small");
    job = {images.const_data_ptr(),
           images.size(1),
           images.size(2),
           taken.each.data(),
           static_cast<int64_t>(taken.each.size()),
           static_cast<float>(rounding),
           nullptr,
           images.size(1) - filters.size(1) + 1};
  }

  bool is_byte() const { return images.scalar_type() == ScalarType::Byte; }

 private:
  static const Tensor& checked(const Tensor& given, const Tensor& filters, double rounding) {
    check_dims(given, 3, "images");
    const ScalarType type = given.scalar_type();
    STD_TORCH_CHECK(type == ScalarType::Byte || type == ScalarType::Float,
                    "images must be uint8 or float32");
    check_dims(filters, 3, "filters");
    check_type(filters, ScalarType::Float, "filters", "float32");
    STD_TORCH_CHECK(filters.size(1) > 0 && filters.size(2) > 0, "filters must have a size");
    check_positive(rounding, "rounding");
    return filters;
  }
};

Tensor phase_means(const Tensor& given, const Tensor& filters, double rounding) {
  Call call(given, filters, rounding, kPeriod, kPeriod);
  const int64_t size[] = {given.size(0), call.job.filters_count, 2, kPeriod, kPeriod};
  Tensor means = torch::stable::empty({size, 5}, ScalarType::Float, std::nullopt, given.device());
  if (means.numel() == 0) return means;
  call.job.means = means.mutable_data_ptr<float>();
  const auto kernel = call.is_byte() ? kernels().phase_means_u8 : kernels().phase_means_f32;
  kernel(call.job, given.size(0), torch_threads());
  return means;
}

Tensor row_log_means(const Tensor& given, const Tensor& filters, double rounding) {
  Call call(given, filters, rounding, 1, 1);
  const int64_t size[] = {given.size(0), call.job.filters_count, call.job.rows};
  Tensor means = torch::stable::empty({size, 3}, ScalarType::Float, std::nullopt, given.device());
  if (means.numel() == 0) return means;
  call.job.means = means.mutable_data_ptr<float>();
  const auto kernel = call.is_byte() ? kernels().row_log_means_u8 : kernels().row_log_means_f32;
  kernel(call.job, given.size(0), torch_threads());
  return means;
}

Tensor jpeg_step_log_odds(const Tensor& given, const Tensor& origins, const Tensor& evidence,
                          double per_unit) {
  check_dims(given, 2, "plane");
  check_type(given, ScalarType::Byte, "plane", "uint8");
  check_dims(origins, 3, "origins");
  check_type(origins, ScalarType::Int, "origins", "int32");
  STD_TORCH_CHECK(origins.size(2) == 2, "origins must be (O, B, 2)");
  check_dims(evidence, 2, "evidence");
  check_type(evidence, ScalarType::Float, "evidence", "float32");
  check_positive(per_unit, "per_unit");
  // Beyond 2^24 a float no longer tells neighboring bins, or counts, apart.
  constexpr int64_t kExact = int64_t{1} << 24;
  STD_TORCH_CHECK(evidence.size(0) < kExact && origins.size(1) < kExact,
                  "there are too many bins or blocks");
  const Tensor plane = torch::stable::contiguous(given);
  const Tensor places = torch::stable::contiguous(origins);
  const Tensor table = torch::stable::contiguous(evidence);
  static_assert(sizeof(Origin) == 2 * sizeof(int32_t));
  const auto* first = reinterpret_cast<const Origin*>(places.const_data_ptr<int32_t>());
  const int64_t bottom = plane.size(0) - kBlock, right = plane.size(1) - kBlock;
  for (int64_t i = 0; i < places.size(0) * places.size(1); ++i) {
    const Origin at = first[i];
    STD_TORCH_CHECK(at.y >= 0 && at.x >= 0 && at.y <= bottom && at.x <= right,
                    "a block does not lie in the plane");
  }
  Tensor odds = torch::stable::new_empty(table, {places.size(0), table.size(1), kCoefficients});
  if (odds.numel() == 0) return odds;
  const StepOdds job{plane.const_data_ptr<uint8_t>(),
                     plane.size(1),
                     first,
                     places.size(0),
                     places.size(1),
                     table.const_data_ptr<float>(),
                     table.size(0),
                     table.size(1),
                     static_cast<float>(per_unit),
                     odds.mutable_data_ptr<float>()};
  kernels().jpeg_step_log_odds(job, torch_threads());
  return odds;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(gandetect, CPU, m) {
  m.impl("phase_means", TORCH_BOX(&phase_means));
  m.impl("row_log_means", TORCH_BOX(&row_log_means));
  m.impl("jpeg_step_log_odds", TORCH_BOX(&jpeg_step_log_odds));
}

}  // namespace gandetect::traces
