#include "upsample/gather.h"

#include <algorithm>
#include <cmath>

namespace gandetect::upsample {
namespace {

// Interpolation of one axis: the input positions behind each enlarged one.
class Interpolation {
 public:
  Interpolation(int64_t input, int64_t enlarged, double scale, Mode mode, bool align_corners)
      : input_(input), enlarged_(enlarged), mode_(mode), align_corners_(align_corners) {
    if (mode == Mode::kBedOfNails) {
      ratio_ = static_cast<double>(enlarged / input);
    } else if (mode != Mode::kNearest && align_corners) {
      ratio_ = enlarged > 1 ? static_cast<double>(input - 1) / (enlarged - 1) : 0.0;
    } else {
      ratio_ = scale > 0 ? 1.0 / scale : static_cast<double>(input) / enlarged;
    }
  }

  // Adds weight[source] of tap t for the enlarged position r; sources may repeat.
  void add(int64_t r, int32_t t, std::vector<Term>& terms) const {
    switch (mode_) {
      case Mode::kNearest:
        terms.push_back({t, nearest(r), 1.f, 1.0});
        return;
      case Mode::kBedOfNails: {
        const int64_t s = static_cast<int64_t>(ratio_);
        if (r % s == 0) terms.push_back({t, static_cast<int32_t>(r / s), 1.f, 1.0});
        return;
      }
      case Mode::kBilinear: {
        // An axis that keeps its size is left alone, whatever the scale says.
        if (enlarged_ == input_) {
          terms.push_back({t, static_cast<int32_t>(r), 1.f, 1.0});
          return;
        }
        const double at = std::max(position(r), 0.0);
        const int64_t first = std::min<int64_t>(static_cast<int64_t>(at), input_ - 1);
        const double part = std::min(at - first, 1.0);
        terms.push_back({t, clamped(first), 0.f, 1.0 - part});
        terms.push_back({t, clamped(first + 1), 0.f, part});
        return;
      }
      case Mode::kBicubic: {
        const double at = position(r);
        const double first = std::floor(at);
        for (int64_t i = -1; i <= 2; ++i) {
          const int32_t source = clamped(static_cast<int64_t>(first) + i);
          terms.push_back({t, source, 0.f, cubic(at - first - i)});
        }
      }
    }
  }

 private:
  // In torch's own arithmetic: another rounding would name another pixel.
  int32_t nearest(int64_t r) const {
    if (enlarged_ == input_) return static_cast<int32_t>(r);
    if (enlarged_ == 2 * input_) return static_cast<int32_t>(r / 2);
    const float ratio = static_cast<float>(ratio_);
    const int64_t at = static_cast<int64_t>(std::floor(static_cast<float>(r) * ratio));
    return static_cast<int32_t>(std::min(at, input_ - 1));
  }

  double position(int64_t r) const {
    const double at = static_cast<double>(r);
    return align_corners_ ? ratio_ * at : ratio_ * (at + 0.5) - 0.5;
  }

  int32_t clamped(int64_t i) const {
    return static_cast<int32_t>(std::clamp<int64_t>(i, 0, input_ - 1));
  }

  // Keys' kernel with a = -0.75.
  static double cubic(double x) {
    constexpr double a = -0.75;
    x = std::abs(x);
    if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
    return 0.0;
  }

  int64_t input_, enlarged_;
  Mode mode_;
  bool align_corners_;
  double ratio_;
};

// Of one output: sorted, terms of one tap and source summed.
void merge(std::vector<Term>& terms, size_t from) {
  const auto first = terms.begin() + from;
  std::sort(first, terms.end(), [](const Term& a, const Term& b) {
    return a.tap != b.tap ? a.tap < b.tap : a.source < b.source;
  });
  size_t kept = from;
  for (size_t i = from; i < terms.size(); ++i) {
    if (kept > from && terms[kept - 1].tap == terms[i].tap &&
        terms[kept - 1].source == terms[i].source) {
      terms[kept - 1].weight += terms[i].weight;
    } else {
      terms[kept++] = terms[i];
    }
  }
  terms.resize(kept);
  for (size_t i = from; i < kept; ++i) terms[i].single = static_cast<float>(terms[i].weight);
}

}  // namespace

Gather transposed_gather(const Axis& axis) {
  Gather gather;
  gather.begin.push_back(0);
  for (int64_t o = 0; o < axis.output; ++o) {
    for (int64_t t = 0; t < axis.taps; ++t) {
      const int64_t at = o + axis.padding - t * axis.dilation;
      if (at < 0 || at % axis.stride != 0 || at / axis.stride >= axis.input) continue;
      gather.terms.push_back(
          {static_cast<int32_t>(t), static_cast<int32_t>(at / axis.stride), 1.f, 1.0});
    }
    gather.begin.push_back(static_cast<int32_t>(gather.terms.size()));
  }
  return gather;
}

Gather interpolated_gather(const Axis& axis, int64_t enlarged, double scale, Mode mode,
                           bool align_corners) {
  const Interpolation interpolation(axis.input, enlarged, scale, mode, align_corners);
  Gather gather;
  gather.begin.push_back(0);
  for (int64_t o = 0; o < axis.output; ++o) {
    const size_t from = gather.terms.size();
    for (int64_t t = 0; t < axis.taps; ++t) {
      const int64_t at = o * axis.stride - axis.padding + t * axis.dilation;
      if (at < 0 || at >= enlarged) continue;
      interpolation.add(at, static_cast<int32_t>(t), gather.terms);
    }
    merge(gather.terms, from);
    gather.begin.push_back(static_cast<int32_t>(gather.terms.size()));
  }
  return gather;
}

}  // namespace gandetect::upsample
