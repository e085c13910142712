// Which input rows make an output row, tap by tap: the tables that turn a small matrix product per
// tap into a convolution of an up-sampled image. Columns have a table of the same kind.
//
// Output position o of a convolution (stride s, padding p, dilation d) looks with tap t at the
// up-sampled position o s - p + t d. What lies there is a sum of input positions: one for nearest
// and bed of nails, two for bilinear, four for bicubic; none outside of the image, which is the
// convolution's zero padding. A transposed convolution has one term for each (t, i) with
// i s - p + t d = o.
#pragma once

#include <cstdint>
#include <vector>

namespace gandetect::upsample {

enum class Mode : int64_t { kNearest = 0, kBilinear = 1, kBicubic = 2, kBedOfNails = 3 };

struct Term {
  int32_t tap, source;
  float single;  // weight, rounded
  double weight;
};

// Terms of output o: terms[begin[o]] to terms[begin[o + 1]], by tap, then by source.
struct Gather {
  std::vector<int32_t> begin;
  std::vector<Term> terms;

  int64_t outputs() const { return static_cast<int64_t>(begin.size()) - 1; }
};

struct Axis {
  int64_t input, output, taps, stride, padding, dilation;
};

Gather transposed_gather(const Axis& axis);

// Of `axis.input` positions enlarged to `enlarged`; scale is how many times, or 0 where the sizes
// say. Sources are those of torch, to the rounding of its float32 arithmetic for nearest.
Gather interpolated_gather(const Axis& axis, int64_t enlarged, double scale, Mode mode,
                           bool align_corners);

}  // namespace gandetect::upsample
