// What the up-sampling kernels compute, by definition and in double.
//
// A convolution here is one list for each output row and one for each output column: which inputs a
// tap meets, and with which weights. Those of a transposed convolution are scattered from its
// inputs, those of an interpolation written as sums of a kernel over all samples; neither shares a
// line with gather.cpp. With absolute values the same sum is the size that rounding errors are
// measured by.
#pragma once

#include "harness.h"
#include "upsample/kernels.h"

using gandetect::upsample::Activation;
using gandetect::upsample::Axis;
using gandetect::upsample::Mode;
using gandetect::upsample::Winograd;

// Inputs that a tap meets, along one axis.
struct Met {
  int64_t tap;
  std::vector<int64_t> sources;
  std::vector<double> weights;
};

// By output position.
using Line = std::vector<std::vector<Met>>;

inline void meet(std::vector<Met>& all, int64_t tap, int64_t source, double weight) {
  auto met = std::find_if(all.begin(), all.end(), [&](const Met& m) { return m.tap == tap; });
  if (met == all.end()) met = all.insert(all.end(), Met{tap, {}, {}});
  met->sources.push_back(source);
  met->weights.push_back(weight);
}

// Input i adds to output i s - p + t d with tap t.
inline Line transposed_line(const Axis& axis) {
  Line line(axis.output);
  for (int64_t i = 0; i < axis.input; ++i) {
    for (int64_t t = 0; t < axis.taps; ++t) {
      const int64_t o = i * axis.stride - axis.padding + t * axis.dilation;
      if (o >= 0 && o < axis.output) meet(line[o], t, i, 1);
    }
  }
  return line;
}

// What a transposed convolution of kernel 4, stride 2, padding 1 takes of its gradient: output i
// meets 2 i - 1 + t with tap t.
inline Line adjoint_line(const Axis& axis) {
  Line line(axis.output);
  for (int64_t i = 0; i < axis.output; ++i) {
    for (int64_t t = 0; t < 4; ++t) {
      const int64_t source = 2 * i - 1 + t;
      if (source >= 0 && source < axis.input) meet(line[i], t, source, 1);
    }
  }
  return line;
}

// How an axis is enlarged: to a size, by a scale where that is not 0.
struct Enlarged {
  int64_t size;
  double scale;
  Mode mode;
  bool align_corners;
};

inline double keys_kernel(double x) {
  constexpr double a = -0.75;
  x = std::abs(x);
  if (x >= 2) return 0;
  if (x > 1) return a * (x * x * x - 5 * x * x + 8 * x - 4);
  return (a + 2) * x * x * x - (a + 3) * x * x + 1;
}

// Which input torch's nearest mode takes: its own float32 arithmetic is the definition.
inline int64_t nearest_source(int64_t r, int64_t input, const Enlarged& to) {
  if (to.size == input) return r;
  if (to.size == 2 * input) return r / 2;
  const float ratio = to.scale > 0 ? static_cast<float>(1 / to.scale)
                                   : static_cast<float>(input) / static_cast<float>(to.size);
  return std::min(static_cast<int64_t>(std::floor(static_cast<float>(r) * ratio)), input - 1);
}

// Where the enlarged position r lies among the samples.
inline double position(int64_t r, int64_t input, const Enlarged& to) {
  if (to.align_corners) {
    return to.size > 1 ? static_cast<double>((input - 1) * r) / static_cast<double>(to.size - 1)
                       : 0;
  }
  const double ratio = to.scale > 0 ? 1 / to.scale : static_cast<double>(input) / to.size;
  return ratio * (static_cast<double>(r) + 0.5) - 0.5;
}

// Weight of every sample in the enlarged position r. Samples before the first are the first, those
// behind the last are the last.
inline std::vector<double> interpolation(int64_t r, int64_t input, const Enlarged& to) {
  std::vector<double> weights(input);
  if (to.mode == Mode::kBedOfNails) {
    const int64_t scale = to.size / input;
    if (r % scale == 0) weights[r / scale] = 1;
    return weights;
  }
  if (to.mode == Mode::kNearest) {
    weights[nearest_source(r, input, to)] = 1;
    return weights;
  }
  // torch's bilinear mode, unlike its bicubic one, leaves an axis alone that keeps its size.
  if (to.mode == Mode::kBilinear && to.size == input) {
    weights[r] = 1;
    return weights;
  }
  const double at = position(r, input, to);
  const int64_t first = static_cast<int64_t>(std::floor(at));
  for (int64_t i = first - 2; i <= first + 3; ++i) {
    const double away = at - static_cast<double>(i);
    weights[std::clamp<int64_t>(i, 0, input - 1)] +=
        to.mode == Mode::kBicubic ? keys_kernel(away) : std::max(0.0, 1 - std::abs(away));
  }
  return weights;
}

// One for every sample that has a weight there, or might have one if the position were rounded
// otherwise.
inline std::vector<double> neighborhood(int64_t r, int64_t input, const Enlarged& to) {
  std::vector<double> weights(input);
  const int64_t first = static_cast<int64_t>(std::floor(position(r, input, to)));
  for (int64_t i = first - 2; i <= first + 3; ++i)
    weights[std::clamp<int64_t>(i, 0, input - 1)] = 1;
  return weights;
}

// A convolution, with zeros around it, of the enlarged axis: of `weights`(r, input, to).
template <typename F>
Line interpolated_line(const Axis& axis, const Enlarged& to, const F& weights_of) {
  Line line(axis.output);
  for (int64_t o = 0; o < axis.output; ++o) {
    for (int64_t t = 0; t < axis.taps; ++t) {
      const int64_t r = o * axis.stride - axis.padding + t * axis.dilation;
      if (r < 0 || r >= to.size) continue;
      const std::vector<double> weights = weights_of(r, axis.input, to);
      for (int64_t i = 0; i < axis.input; ++i) {
        if (weights[i] != 0) meet(line[o], t, i, weights[i]);
      }
    }
  }
  return line;
}

// How often winograd.inc lets an input meet a tap on the way to an output, additions that cancel
// included: its errors are those of these sums, not of the convolution's.
class WinogradLine {
 public:
  WinogradLine(Winograd scheme, int64_t input, int64_t output)
      : scheme_(scheme), input_(input), line_(output) {
    for (int64_t first = 0; first < input; first += 2) tile(first);
  }
  const Line& line() const { return line_; }

 private:
  // Outputs of a phase at inputs `first` and `first` + 1.
  void tile(int64_t first) {
    if (scheme_ == Winograd::kSame3) return three_taps(first, 1, first - 1);
    const int64_t y = 2 * first;
    if (scheme_ == Winograd::kKernel4) {
      two_taps(y, first - 1, 3, 1);
      two_taps(y + 1, first, 2, 0);
    } else if (scheme_ == Winograd::kNails3) {
      add(y, first, 1, 1);
      add(y + 2, first + 1, 1, 1);
      two_taps(y + 1, first, 0, 2);
    } else {
      three_taps(y, 2, first - 1);
      two_taps(y + 1, first, 1, 3);
    }
  }

  // m0 = (p - q) u, m1 = q (u + w), m2 = (r - q) w, with p at `source`.
  void two_taps(int64_t y, int64_t source, int64_t u, int64_t w) {
    add(y, source, u, 1);
    add(y, source + 1, u, 2);
    add(y, source + 1, w, 1);
    add(y + 2, source + 1, u, 1);
    add(y + 2, source + 1, w, 2);
    add(y + 2, source + 2, w, 1);
  }

  // Outputs and taps `step` apart: m0 = (p - r) u, m1 = (q + r)(u + v + w)/2,
  // m2 = (r - q)(u - v + w)/2, m3 = (q - s) w.
  void three_taps(int64_t y, int64_t step, int64_t source) {
    for (const int64_t out : {y, y + step}) {
      for (int64_t tap = 0; tap <= 2 * step; tap += step) {
        add(out, source + 1, tap, 1);
        add(out, source + 2, tap, 1);
      }
    }
    add(y, source, 0, 1);
    add(y, source + 2, 0, 1);
    add(y + step, source + 1, 2 * step, 1);
    add(y + step, source + 3, 2 * step, 1);
  }

  void add(int64_t output, int64_t source, int64_t tap, double times) {
    if (output >= static_cast<int64_t>(line_.size()) || source < 0 || source >= input_) return;
    meet(line_[output], tap, source, times);
  }

  Winograd scheme_;
  int64_t input_;
  Line line_;
};

// The same of adjoint.inc: two outputs of a phase of the gradient, p, q, r two apart, take
// m0 = (p - q) u, m1 = q (u + w), m2 = (r - q) w.
inline Line adjoint_scheme_line(const Axis& axis) {
  Line line(axis.output);
  const auto add = [&](int64_t output, int64_t source, int64_t tap, double times) {
    if (output >= axis.output || source < 0 || source >= axis.input) return;
    meet(line[output], tap, source, times);
  };
  for (int64_t first = 0; first < axis.output; first += 2) {
    for (const int64_t phase : {0, 1}) {
      const int64_t p = 2 * first - phase, u = 1 - phase, w = 3 - phase;
      add(first, p, u, 1);
      add(first, p + 2, u, 2);
      add(first, p + 2, w, 1);
      add(first + 1, p + 2, u, 1);
      add(first + 1, p + 2, w, 2);
      add(first + 1, p + 4, w, 1);
    }
  }
  return line;
}

inline Line absolute(Line line) {
  for (std::vector<Met>& all : line) {
    for (Met& met : all) {
      for (double& weight : met.weights) weight = std::abs(weight);
    }
  }
  return line;
}

inline std::vector<double> absolute(std::vector<double> values) {
  for (double& value : values) value = std::abs(value);
  return values;
}

// out[c] = what a pair of taps meets in channel c of an image.
GD_UNWATCHED inline void enlarge(const double* image, int64_t channels, int64_t plane,
                                 int64_t width, const int64_t* rows, const double* row_weights,
                                 int64_t row_count, const int64_t* columns,
                                 const double* column_weights, int64_t column_count, double* out) {
  for (int64_t c = 0; c < channels; ++c) {
    double sum = 0;
    for (int64_t i = 0; i < row_count; ++i) {
      const double* row = image + c * plane + rows[i] * width;
      for (int64_t j = 0; j < column_count; ++j) {
        sum += row_weights[i] * column_weights[j] * row[columns[j]];
      }
    }
    out[c] = sum;
  }
}

// sums[o] += sum over c of weights[o][c] x[c].
GD_UNWATCHED inline void mix(const double* weights, const double* x, int64_t cin, int64_t cout,
                             double* sums) {
  for (int64_t o = 0; o < cout; ++o) {
    double sum = 0;
    for (int64_t c = 0; c < cin; ++c) sum += weights[o * cin + c] * x[c];
    sums[o] += sum;
  }
}

// Of a convolution: images (N, Cin, H, W), weights (taps, Cout, Cin).
struct Problem {
  int64_t n, cin, cout, height, width, kernel_width;
};

// (N, rows, columns, Cout).
inline std::vector<double> convolved(const Problem& p, const std::vector<double>& x,
                                     const std::vector<double>& weights, const Line& rows,
                                     const Line& columns) {
  const int64_t plane = p.height * p.width;
  std::vector<double> y(p.n * static_cast<int64_t>(rows.size() * columns.size()) * p.cout);
  std::vector<double> high(p.cin);
  double* out = y.data();
  for (int64_t n = 0; n < p.n; ++n) {
    for (const std::vector<Met>& row : rows) {
      for (const std::vector<Met>& column : columns) {
        for (const Met& v : row) {
          for (const Met& h : column) {
            enlarge(x.data() + n * p.cin * plane, p.cin, plane, p.width, v.sources.data(),
                    v.weights.data(), static_cast<int64_t>(v.sources.size()), h.sources.data(),
                    h.weights.data(), static_cast<int64_t>(h.sources.size()), high.data());
            const int64_t tap = v.tap * p.kernel_width + h.tap;
            mix(weights.data() + tap * p.cout * p.cin, high.data(), p.cin, p.cout, out);
          }
        }
        out += p.cout;
      }
    }
  }
  return y;
}

inline double activated(double z, Activation activation, double slope) {
  switch (activation) {
    case Activation::kNone:
      return z;
    case Activation::kRelu:
      return z < 0 ? 0 : z;
    case Activation::kLeakyRelu:
      return z < 0 ? z * slope : z;
    case Activation::kTanh:
      return std::tanh(z);
    case Activation::kSigmoid:
      return 1 / (1 + std::exp(-z));
  }
  return z;
}
