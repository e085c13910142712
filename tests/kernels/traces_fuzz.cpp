// Random calls of the CPU kernels of the family of traces, without torch, for the sanitizers and
// against their definitions in double. Every buffer is a heap block of exactly its size.
//
// The faults prove that the harness sees what it looks for. read, write, evidence, origins: that
// buffer is an element short. value: results are off. threads: the last share of the work is left
// out.
#include <memory>

#include "harness.h"
#include "traces/kernels.h"

namespace {

using namespace gandetect::traces;
using gandetect::Parallel;

bool is_fault(const char* name) { return options.fault == name; }

template <typename T>
T* values_of(const Block& block) {
  return reinterpret_cast<T*>(block.data);
}

const Parallel kLosesTheLast = {
    2, [](int64_t count, void (*body)(void*, int64_t, int64_t), void* context) {
      if (count > 1) body(context, 0, count - 1);
    }};

// Runs a call twice, each time sharing it in another way: the same bits, but for a fault.
template <typename Case, typename Run>
bool run_twice(const Case& c, Block& out, Random& random, const Run& run) {
  run(any_parallel(random));
  const std::string first(out.data, out.bytes);
  std::memset(out.data, 255, out.bytes);
  run(is_fault("threads") ? kLosesTheLast : any_parallel(random));
  return holds(c, (std::string(c.kernel()) + " over threads").c_str(),
               first == std::string(out.data, out.bytes));
}

// Responses of filters

struct FilterCase {
  bool phases;
  Type type;
  int64_t images, height, width, filters_height, filters_width;
  float rounding;
  std::vector<std::vector<Tap>> filters;

  const char* kernel() const { return phases ? "phase_means" : "row_log_means"; }
  int64_t rows() const { return height - filters_height + 1; }
  int64_t results() const { return phases ? 2 * kPeriod * kPeriod : rows(); }
  std::string description() const {
    char text[160];
    std::snprintf(text, sizeof text, "%s of %d images %dx%d, %d filters %dx%d, type %d", kernel(),
                  static_cast<int>(images), static_cast<int>(height), static_cast<int>(width),
                  static_cast<int>(filters.size()), static_cast<int>(filters_height),
                  static_cast<int>(filters_width), static_cast<int>(type));
    return text;
  }
};

FilterCase random_filters(Random& random, bool phases) {
  FilterCase c{};
  c.phases = phases;
  c.type = random.one_in(2) ? Type::kByte : Type::kFloat;
  c.images = 1 + random.below(3);
  c.filters_height = 1 + random.below(4), c.filters_width = 1 + random.below(4);
  const int64_t least = phases ? kPeriod : 1;
  const auto side = [&](int64_t filter) {
    const int64_t more = random.one_in(60) ? 2500 : random.one_in(4) ? 150 : 24;
    return filter - 1 + least + random.below(more);
  };
  c.height = side(c.filters_height);
  c.width = c.height > 200 ? c.filters_width + least : side(c.filters_width);
  c.rounding = static_cast<float>(random.one_in(2) ? 0.5 : 0.01 + random.unit());
  for (int64_t f = random.below(4); f >= 0; --f) {
    std::vector<Tap> taps;
    for (int64_t y = 0; y < c.filters_height; ++y) {
      for (int64_t x = 0; x < c.filters_width; ++x) {
        const double weight = random.one_in(2) ? random.below(9) - 4 : random.normal();
        if (!random.one_in(3)) taps.push_back({y, x, static_cast<float>(weight)});
      }
    }
    c.filters.push_back(taps);
  }
  return c;
}

// What a filter leaves of one image, in double.
class Responses64 {
 public:
  Responses64(const FilterCase& c, const std::vector<Tap>& taps, const Block& images, int64_t n)
      : c_(c), taps_(taps), images_(images), image_(n) {
    for (const Tap& tap : taps) {
      reach_y_ = std::max(reach_y_, tap.y), reach_x_ = std::max(reach_x_, tap.x);
    }
  }

  int64_t height() const { return c_.height - reach_y_; }
  int64_t width() const { return c_.width - reach_x_; }

  // The response, and how far one in float may be from it.
  std::pair<double, double> at(int64_t y, int64_t x) const {
    double sum = 0, size = 0;
    for (const Tap& tap : taps_) {
      const int64_t place = (image_ * c_.height + y + tap.y) * c_.width + x + tap.x;
      const double term = tap.weight * element(images_.data, c_.type, place);
      sum += term, size += std::abs(term);
    }
    return {sum, size * static_cast<double>(taps_.size() + 1) * 0x1p-24};
  }

 private:
  const FilterCase& c_;
  const std::vector<Tap>& taps_;
  const Block& images_;
  int64_t image_, reach_y_ = 0, reach_x_ = 0;
};

// Of some responses: their sum, those of their sizes and of the logarithms, and how far off each
// may be.
struct Sums {
  double count = 0, response = 0, size = 0, logs = 0, off = 0, logs_off = 0;

  void add(std::pair<double, double> response_and_error, double rounding) {
    const auto [r, error] = response_and_error;
    count += 1, response += r, size += std::abs(r) + rounding, off += error;
    logs += std::log(std::abs(r) + rounding);
    logs_off += error / std::max(rounding, std::abs(r) + rounding - error);
  }
  double log_mean() const { return logs / count; }
  double log_allowed() const { return logs_off / count + 1e-6 * (1 + std::abs(log_mean())); }
};

double check_phases(const FilterCase& c, const Responses64& r, const float* actual, double spoil) {
  const int64_t height = r.height() / kPeriod * kPeriod, width = r.width() / kPeriod * kPeriod;
  Sums all, phases[kPeriod][kPeriod];
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      all.add(r.at(y, x), c.rounding);
      phases[y % kPeriod][x % kPeriod].add(r.at(y, x), c.rounding);
    }
  }
  double worst = 0;
  const double scale = all.size / all.count, off = all.off / all.count / scale;
  for (int64_t i = 0; i < kPeriod * kPeriod; ++i) {
    const Sums& phase = phases[i / kPeriod][i % kPeriod];
    const double mean = phase.response / phase.count / scale;
    // Sums of a row are floats.
    const double allowed = phase.off / phase.count / scale + std::abs(mean) * off + 4e-6;
    worst = worse(excess(actual[i] + spoil, mean, allowed), worst);
    const double logs = actual[kPeriod * kPeriod + i] + spoil;
    worst = worse(excess(logs, phase.log_mean(), phase.log_allowed()), worst);
  }
  return worst;
}

double check_rows(const FilterCase& c, const Responses64& r, const float* actual, double spoil) {
  double worst = 0;
  for (int64_t y = 0; y < c.rows(); ++y) {
    Sums row;
    for (int64_t x = 0; x < r.width(); ++x) row.add(r.at(y, x), c.rounding);
    worst = worse(excess(actual[y] + spoil, row.log_mean(), row.log_allowed()), worst);
  }
  return worst;
}

// A call of one of the kernels, whose buffers are those of the blocks.
class FilterCall {
 public:
  FilterCall(const FilterCase& c, const Block& images, Block& means)
      : case_(c), images_(images), means_(means) {
    for (const auto& taps : c.filters) {
      Filter filter{taps.data(), static_cast<int64_t>(taps.size()), 0, 0};
      for (const Tap& tap : taps) {
        filter.reach_y = std::max(filter.reach_y, tap.y);
        filter.reach_x = std::max(filter.reach_x, tap.x);
      }
      filters_.push_back(filter);
    }
  }

  int64_t results_of_image() const { return count() * case_.results(); }

  void run(const Parallel& parallel) const {
    const Kernels& table = kernels();
    const bool bytes = case_.type == Type::kByte;
    const auto kernel = case_.phases ? (bytes ? table.phase_means_u8 : table.phase_means_f32)
                                     : (bytes ? table.row_log_means_u8 : table.row_log_means_f32);
    kernel({images_.data, case_.height, case_.width, filters_.data(), count(), case_.rounding,
            values_of<float>(means_), case_.rows()},
           case_.images, parallel);
  }

 private:
  int64_t count() const { return static_cast<int64_t>(filters_.size()); }

  const FilterCase& case_;
  const Block& images_;
  Block& means_;
  std::vector<Filter> filters_;
};

// An image of what is no number, or infinite, changes no bit of the others, and whatever any tap
// sees of it.
bool spoils_only_its_image(const FilterCase& c, const FilterCall& call, Block& images,
                           const Block& means, Random& random) {
  const std::string before(means.data, means.bytes);
  const int64_t spoiled = random.below(c.images), pixels = c.height * c.width;
  for (int64_t i = 0; i < pixels; ++i) {
    set_element(images.data, c.type, spoiled * pixels + i, not_finite(random));
  }
  call.run(any_parallel(random));
  bool is_seen = false;
  for (const auto& taps : c.filters) is_seen = is_seen || !taps.empty();
  const int64_t bytes = 4 * call.results_of_image();
  for (int64_t n = 0; n < c.images; ++n) {
    const bool same = before.compare(n * bytes, bytes, means.data + n * bytes, bytes) == 0;
    if (same != (n != spoiled || !is_seen)) return false;
  }
  return true;
}

bool check_filters(const FilterCase& c, Random& random) {
  const int64_t pixels = c.images * c.height * c.width - is_fault("read");
  Block images(pixels * size_of(c.type));
  const double contrast = random.one_in(3) ? 3 : 255;
  for (int64_t i = 0; i < pixels; ++i) {
    set_element(images.data, c.type, i, contrast * random.unit());
  }
  const int64_t count = static_cast<int64_t>(c.filters.size());
  Block means((c.images * count * c.results() - is_fault("write")) * 4);
  const FilterCall call(c, images, means);
  bool passed = run_twice(c, means, random, [&](const Parallel& parallel) { call.run(parallel); });
  const double spoil = is_fault("value") ? 1e-3 : 0;
  for (int64_t i = 0; i < c.images * count; ++i) {
    const Responses64 r(c, c.filters[i % count], images, i / count);
    const float* actual = values_of<float>(means) + i * c.results();
    const double error =
        c.phases ? check_phases(c, r, actual, spoil) : check_rows(c, r, actual, spoil);
    passed &= within(c, c.kernel(), error);
  }
  if (passed && c.type == Type::kFloat && options.fault.empty() && random.one_in(4)) {
    passed &= holds(c, "what is no number stays in its image",
                    spoils_only_its_image(c, call, images, means, random));
  }
  return passed;
}

// Steps of JPEG

struct OddsCase {
  int64_t height, width, grids, blocks, bins, steps;
  float per_unit;

  const char* kernel() const { return "jpeg_step_log_odds"; }
  std::string description() const {
    char text[160];
    std::snprintf(text, sizeof text, "%s of %d grids of %d blocks in %dx%d, %d bins, %d steps",
                  kernel(), static_cast<int>(grids), static_cast<int>(blocks),
                  static_cast<int>(height), static_cast<int>(width), static_cast<int>(bins),
                  static_cast<int>(steps));
    return text;
  }
};

OddsCase random_odds(Random& random) {
  OddsCase c{};
  c.height = kBlock + random.below(random.one_in(8) ? 200 : 20);
  c.width = kBlock + random.below(20);
  c.grids = 1 + random.below(4), c.blocks = random.below(20);
  c.bins = random.one_in(20) ? 0 : 1 + random.below(random.one_in(3) ? 520 : 50);
  c.steps = 1 + random.below(random.one_in(3) ? 130 : 26);
  c.per_unit = static_cast<float>(0.1 + 5 * random.unit());
  return c;
}

// The orthonormal DCT of a block, in double.
void coefficients_of(const uint8_t* pixels, int64_t row, double (&out)[kCoefficients]) {
  const double pi = std::acos(-1.0);
  const auto line = [&](int64_t k, int64_t n) {
    return std::sqrt((k == 0 ? 1.0 : 2.0) / kBlock) *
           std::cos(pi * static_cast<double>((2 * n + 1) * k) / (2 * kBlock));
  };
  for (int64_t g = 0; g < kCoefficients; ++g) {
    out[g] = 0;
    for (int64_t y = 0; y < kBlock; ++y) {
      for (int64_t x = 0; x < kBlock; ++x) {
        out[g] += line(g / kBlock, y) * line(g % kBlock, x) * pixels[y * row + x];
      }
    }
  }
}

// Odds of one grid, and how far off they may be: without end where a coefficient lies so near to
// the edge of a bin that floats may put it into the next.
struct Odds {
  std::vector<double> wanted, allowed;

  Odds(const OddsCase& c, const uint8_t* plane, const Origin* origins, const float* evidence)
      : wanted(c.steps * kCoefficients), allowed(c.steps * kCoefficients) {
    for (int64_t b = 0; b < c.blocks; ++b) {
      double coefficients[kCoefficients];
      coefficients_of(plane + origins[b].y * c.width + origins[b].x, c.width, coefficients);
      for (int64_t g = 0; g < kCoefficients; ++g) {
        const double size =
            std::abs(coefficients[g]) * static_cast<double>(c.per_unit) + 0.5 + 0x1p-10;
        const bool is_near = std::abs(size - std::rint(size)) < 4e-4 * c.per_unit;
        if (is_near || size < static_cast<double>(c.bins)) {
          add(c, g, is_near, evidence + static_cast<int64_t>(size) * c.steps);
        }
      }
    }
  }

 private:
  void add(const OddsCase& c, int64_t g, bool is_near, const float* line) {
    for (int64_t q = 0; q < c.steps; ++q) {
      const int64_t i = q * kCoefficients + g;
      if (is_near) {
        allowed[i] = std::numeric_limits<double>::infinity();
      } else {
        wanted[i] += line[q], allowed[i] += std::abs(static_cast<double>(line[q])) * 1e-6;
      }
    }
  }
};

bool check_odds(const OddsCase& c, Random& random) {
  // The last block may end with the plane, and does where the fault is to be seen.
  Block plane(c.height * c.width - is_fault("read"));
  Block origins((2 * c.grids * c.blocks - is_fault("origins")) * 4);
  Block evidence((c.bins * c.steps - is_fault("evidence")) * 4);
  Block odds((c.grids * c.steps * kCoefficients - is_fault("write")) * 4);
  const double contrast = random.one_in(3) ? 4 : 255;
  for (int64_t i = 0; i < plane.bytes; ++i) {
    set_element(plane.data, Type::kByte, i, contrast * random.unit());
  }
  for (int64_t i = 0; i < origins.bytes / 4; ++i) {
    const int64_t room = (i % 2 == 0 ? c.height : c.width) - kBlock;
    values_of<int32_t>(origins)[i] =
        static_cast<int32_t>(is_fault("read") ? room : random.below(room + 1));
  }
  for (int64_t i = 0; i < evidence.bytes / 4; ++i) {
    set_element(evidence.data, Type::kFloat, i, random.normal());
  }
  const auto* places = reinterpret_cast<const Origin*>(origins.data);
  const auto* pixels = values_of<uint8_t>(plane);
  bool passed = run_twice(c, odds, random, [&](const Parallel& parallel) {
    kernels().jpeg_step_log_odds(
        {pixels, c.width, places, c.grids, c.blocks, values_of<float>(evidence), c.bins, c.steps,
         c.per_unit, values_of<float>(odds)},
        parallel);
  });
  const double spoil = is_fault("value") ? 1e-2 : 0;
  for (int64_t o = 0; o < c.grids; ++o) {
    const Odds of_grid(c, pixels, places + o * c.blocks, values_of<float>(evidence));
    double worst = 0;
    for (size_t i = 0; i < of_grid.wanted.size(); ++i) {
      const double actual = values_of<float>(odds)[o * of_grid.wanted.size() + i];
      worst = worse(excess(actual + spoil, of_grid.wanted[i], of_grid.allowed[i]), worst);
    }
    passed &= within(c, c.kernel(), worst);
  }
  return passed;
}

// False where the kernel that was asked for has no part in the case.
bool run_case(Random& random, bool& passed) {
  const int64_t kind = random.below(3);
  if (kind == 2) {
    const OddsCase c = random_odds(random);
    if (!options.kernel.empty() && options.kernel != c.kernel()) return false;
    passed = check_odds(c, random);
    return true;
  }
  const FilterCase c = random_filters(random, kind == 0);
  if (!options.kernel.empty() && options.kernel != c.kernel()) return false;
  passed = check_filters(c, random);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  start(argc, argv);
  return run_cases(0, run_case);
}
