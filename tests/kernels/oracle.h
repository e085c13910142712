// What the kernels compute, by definition and in double, and how far a kernel may be from it.
//
// A transform in floating point is off by about its precision times the norm of what it transforms,
// and by more where a large mean is summed. Every coefficient thus has an error of its own; how far
// that moves its value, and with it a mean or a gradient, follows from the slope of the value.
#pragma once

#include <array>
#include <complex>

#include "geometry.h"
#include "spectrum/kernels.h"

using gandetect::spectrum::Value;
using Complex = std::complex<double>;

constexpr long double kPi = 3.14159265358979323846264338327950288L;
constexpr double kGray[] = {0.299, 0.587, 0.114};

// One image and what is asked about it; pixels (channels, H, W) as doubles.
struct Question {
  const Geometry& geometry;
  const std::vector<double>& pixels;
  int64_t channels;
  bool bytes, round_gray, hann;
  double gain, offset, value_gain, eps;
  Value value;
  double precision;
};

struct Estimate {
  std::vector<double> wanted, allowed;
  explicit Estimate(int64_t length = 0) : wanted(length), allowed(length) {}
};

struct Answers {
  Estimate azimuthal, rows, columns, at_dc;
};

inline double hann(int64_t n, int64_t k) {
  const long double angle = 2 * kPi * static_cast<long double>(k) / static_cast<long double>(n);
  return static_cast<double>(0.5L - 0.5L * std::cos(angle));
}

inline std::vector<Complex> circle(int64_t n) {
  std::vector<Complex> w(n);
  for (int64_t k = 0; k < n; ++k) {
    const long double angle = 2 * kPi * static_cast<long double>(k) / static_cast<long double>(n);
    w[k] = {static_cast<double>(std::cos(angle)), static_cast<double>(std::sin(angle))};
  }
  return w;
}

// These three go unwatched, over plain numbers (real, imaginary, real, ...). `w` holds
// exp(2 pi i k/n).

// out[k][j] += sum_i in[i][j] w[sign k i mod n] for n rows of `length`.
GD_UNWATCHED inline void transform_columns(const double* in, const double* w, int64_t n,
                                           int64_t length, double sign, double* out) {
  for (int64_t k = 0; k < n; ++k) {
    for (int64_t i = 0, at = 0; i < n; ++i, at = (at + k) % n) {
      const double c = w[2 * at], s = sign * w[2 * at + 1];
      const double* from = in + 2 * i * length;
      double* to = out + 2 * k * length;
      for (int64_t j = 0; j < 2 * length; j += 2) {
        to[j] += from[j] * c - from[j + 1] * s;
        to[j + 1] += from[j] * s + from[j + 1] * c;
      }
    }
  }
}

// out[k] = sum_i in[i] w[-k i mod n], n real numbers to the first `kept`.
GD_UNWATCHED inline void transform_row(const double* in, const double* w, int64_t n, int64_t kept,
                                       double* out) {
  for (int64_t k = 0; k < kept; ++k) {
    double re = 0, im = 0;
    for (int64_t i = 0, at = 0; i < n; ++i) {
      re += in[i] * w[2 * at];
      im -= in[i] * w[2 * at + 1];
      at += at + k < n ? k : k - n;
    }
    out[2 * k] = re;
    out[2 * k + 1] = im;
  }
}

// out[i] = Re sum_k in[k] w[k i mod n], `kept` numbers to n real ones.
GD_UNWATCHED inline void transform_row_back(const double* in, const double* w, int64_t n,
                                            int64_t kept, double* out) {
  for (int64_t i = 0; i < n; ++i) {
    double total = 0;
    for (int64_t k = 0, at = 0; k < kept; ++k) {
      total += in[2 * k] * w[2 * at] - in[2 * k + 1] * w[2 * at + 1];
      at += at + i < n ? i : i - n;
    }
    out[i] = total;
  }
}

inline double* plain(std::vector<Complex>& numbers) {
  return reinterpret_cast<double*>(numbers.data());
}
inline const double* plain(const std::vector<Complex>& numbers) {
  return reinterpret_cast<const double*>(numbers.data());
}

class Oracle {
 public:
  explicit Oracle(const Question& question)
      : q_(question),
        g_(question.geometry),
        pixels_(static_cast<double>(g_.height) * static_cast<double>(g_.width)) {
    if (q_.hann) make_window();
    const std::vector<double> gray = gray_plane();
    measure(gray);
    spectrum_ = transform(gray);
  }

  Answers means() const {
    Answers a{Estimate(g_.count), Estimate(g_.height / 2 + 1), Estimate(g_.columns), Estimate(1)};
    for (int64_t u = 0; u < g_.height; ++u) {
      for (int64_t v = 0; v < g_.columns; ++v) {
        const double value = value_of(at(u, v)), off = value_error(u, v);
        const double twice = g_.is_inner(v) ? 2 : 1;
        for (const std::vector<int32_t>& map : g_.maps) {
          const int32_t bin = map[u * g_.columns + v];
          const double weight = g_.folded ? twice : 1;
          if (g_.is_kept(bin)) add(a.azimuthal, bin, value, off, weight * g_.inverse_counts[bin]);
        }
        const double share = u == 0 || 2 * u == g_.height ? 1 : 0.5;
        add(a.rows, std::min(u, g_.height - u), value, off,
            share * twice / static_cast<double>(g_.width));
        add(a.columns, v, value, off, 1 / static_cast<double>(g_.height));
        if (u == 0 && v == 0) add(a.at_dc, 0, value, off, 1);
      }
    }
    return a;
  }

  // Of the image, (channels, H, W), from the gradients of the four outputs; empty is zero.
  Estimate gradient(const std::array<std::vector<double>, 4>& reaching) const {
    std::vector<Complex> weighted(spectrum_.size());
    double size = 0, off = 0;
    for (int64_t u = 0; u < g_.height; ++u) {
      for (int64_t v = 0; v < g_.columns; ++v) {
        const double weight = reaching_weight(reaching, u, v);
        const Complex slope = weight * slope_of(at(u, v));
        weighted[u * g_.columns + v] = slope;
        size += std::norm(slope);
        off += weight == 0 ? 0 : std::abs(weight) * slope_error(u, v);
      }
    }
    const double error = off + 8 * q_.precision * std::sqrt(size * std::log2(pixels_ + 2));
    return gray_to_channels(inverse(weighted), error);
  }

 private:
  const Complex& at(int64_t u, int64_t v) const { return spectrum_[u * g_.columns + v]; }

  static void add(Estimate& estimate, int64_t k, double value, double off, double weight) {
    estimate.wanted[k] += value * weight;
    estimate.allowed[k] += off * weight;
  }

  void make_window() {
    double rows = 0, columns = 0;
    for (int64_t y = 0; y < g_.height; ++y) rows += hann(g_.height, y) * hann(g_.height, y);
    for (int64_t x = 0; x < g_.width; ++x) columns += hann(g_.width, x) * hann(g_.width, x);
    const double power = rows * columns / pixels_;
    const double scale = power > 1e-30 ? 1 / std::sqrt(power) : 0;
    for (int64_t y = 0; y < g_.height; ++y) {
      for (int64_t x = 0; x < g_.width; ++x) {
        window_.push_back(hann(g_.height, y) * hann(g_.width, x) * scale);
      }
    }
  }

  std::vector<double> gray_plane() const {
    const int64_t plane = g_.height * g_.width;
    std::vector<double> gray(plane);
    for (int64_t i = 0; i < plane; ++i) {
      const double* p = q_.pixels.data() + i;
      if (q_.channels == 1) {
        gray[i] = p[0];
      } else if (q_.round_gray) {
        gray[i] = static_cast<double>((19595 * int64_t(p[0]) + 38470 * int64_t(p[plane]) +
                                       7471 * int64_t(p[2 * plane]) + 32768) >>
                                      16);
      } else {
        gray[i] = kGray[0] * p[0] + kGray[1] * p[plane] + kGray[2] * p[2 * plane];
      }
      gray[i] *= q_.gain;
    }
    return gray;
  }

  // Bytes enter a transform less about their mean, floating levels as they are.
  void measure(const std::vector<double>& gray) {
    long double total = 0;
    double squares = 0;
    for (const double level : gray) total += level;
    mean_ = static_cast<double>(total) / pixels_;
    for (const double level : gray) squares += (level - mean_) * (level - mean_);
    level_ = q_.bytes ? 64 * q_.gain : std::abs(mean_);
    norm_ = std::sqrt(squares) + level_ * std::sqrt(pixels_);
  }

  std::vector<Complex> transform(std::vector<double> gray) const {
    for (int64_t i = 0; i < g_.height * g_.width; ++i) {
      gray[i] = (gray[i] - mean_) * (q_.hann ? window_[i] : 1);
    }
    const std::vector<Complex> along_x = circle(g_.width), along_y = circle(g_.height);
    std::vector<Complex> rows(g_.height * g_.columns), result(g_.height * g_.columns);
    for (int64_t y = 0; y < g_.height; ++y) {
      transform_row(gray.data() + y * g_.width, plain(along_x), g_.width, g_.columns,
                    plain(rows) + 2 * y * g_.columns);
    }
    transform_columns(plain(rows), plain(along_y), g_.height, g_.columns, -1, plain(result));
    if (!q_.hann) result[0] += pixels_ * (q_.offset + mean_);
    return result;
  }

  std::vector<double> inverse(const std::vector<Complex>& weighted) const {
    const std::vector<Complex> along_x = circle(g_.width), along_y = circle(g_.height);
    std::vector<Complex> rows(weighted.size());
    std::vector<double> plane(g_.height * g_.width);
    transform_columns(plain(weighted), plain(along_y), g_.height, g_.columns, 1, plain(rows));
    for (int64_t y = 0; y < g_.height; ++y) {
      transform_row_back(plain(rows) + 2 * y * g_.columns, plain(along_x), g_.width, g_.columns,
                         plane.data() + y * g_.width);
    }
    return plane;
  }

  Estimate gray_to_channels(std::vector<double> plane, double error) const {
    double mean = 0, largest = 0;
    for (int64_t i = 0; i < g_.height * g_.width; ++i) {
      plane[i] *= q_.gain * (q_.hann ? window_[i] : 1);
      mean += plane[i] / pixels_;
      largest = std::max(largest, std::abs(plane[i]));
    }
    const double window = q_.hann ? 1 + *std::max_element(window_.begin(), window_.end()) : 1;
    Estimate result;
    for (int64_t c = 0; c < q_.channels; ++c) {
      const double weight = q_.channels == 1 ? 1 : kGray[c];
      for (const double level : plane) {
        result.wanted.push_back((q_.hann ? level - mean : level) * weight);
        result.allowed.push_back((error * q_.gain * window + 4 * q_.precision * largest) * weight);
      }
    }
    return result;
  }

  // How far the kernel's F may be from this one.
  double coefficient_error(int64_t u, int64_t v) const {
    double error = norm_;
    // Rows that are alike, or pixels that are alike along a row, err alike.
    if (u == 0) error = norm_ * std::sqrt(static_cast<double>(g_.height));
    if (v == 0) error = std::max(error, norm_ * std::sqrt(static_cast<double>(g_.width)));
    const bool is_low = (u <= 1 || u == g_.height - 1) && v <= 1;
    if (q_.hann && is_low) error += level_ * pixels_;
    if (!q_.hann && !q_.bytes && u == 0 && v == 0)
      error += (level_ + std::abs(q_.offset)) * pixels_;
    return q_.precision * (error * (1 + std::log2(pixels_) / 8) + 4 * std::abs(at(u, v)));
  }

  Complex shifted(const Complex& f) const {
    return q_.value == Value::kLogAmplitude ? f + q_.eps : f;
  }

  double of_amplitude(double amplitude) const {
    switch (q_.value) {
      case Value::kPower:
        return q_.value_gain * amplitude * amplitude;
      case Value::kMagnitude:
        return q_.value_gain * amplitude;
      case Value::kLog:
        return q_.value_gain * std::log(amplitude * amplitude + q_.eps);
      default:
        return q_.value_gain * 2 * std::log(amplitude);
    }
  }

  double value_of(const Complex& f) const { return of_amplitude(std::abs(shifted(f))); }

  double value_error(int64_t u, int64_t v) const {
    const double amplitude = std::abs(shifted(at(u, v))), off = coefficient_error(u, v);
    const double value = of_amplitude(amplitude);
    const double above = of_amplitude(amplitude + off) - value;
    const double below = value - of_amplitude(std::max(amplitude - off, 0.0));
    return std::max(above, below) + 8 * q_.precision * std::abs(value);
  }

  Complex slope_of(const Complex& f) const {
    const Complex z = shifted(f);
    const double power = std::norm(z);
    if (q_.value == Value::kPower) return 2 * q_.value_gain * z;
    if (q_.value == Value::kLog) return 2 * q_.value_gain * z / (power + q_.eps);
    if (power == 0) return 0;
    if (q_.value == Value::kMagnitude) return q_.value_gain * z / std::sqrt(power);
    return 2 * q_.value_gain * z / power;
  }

  double slope_error(int64_t u, int64_t v) const {
    const double off = coefficient_error(u, v);
    if (q_.value == Value::kPower) return 2 * q_.value_gain * off;
    const double nearest = std::max(std::abs(shifted(at(u, v))) - off, 0.0);
    if (q_.value == Value::kMagnitude) {
      return q_.value_gain * (off < nearest ? 2 * off / nearest : 2);
    }
    const double power = nearest * nearest + (q_.value == Value::kLog ? q_.eps : 0);
    return 4 * q_.value_gain * off / power;
  }

  double reaching_weight(const std::array<std::vector<double>, 4>& reaching, int64_t u,
                         int64_t v) const {
    const auto& [azimuthal, rows, columns, at_dc] = reaching;
    const double twice = g_.is_inner(v) ? 2 : 1;
    double weight = 0;
    for (const std::vector<int32_t>& map : g_.maps) {
      const int32_t bin = map[u * g_.columns + v];
      if (azimuthal.empty() || !g_.is_kept(bin)) continue;
      weight += azimuthal[bin] * g_.inverse_counts[bin] * (g_.folded ? twice : 1);
    }
    const double share = u == 0 || 2 * u == g_.height ? 1 : 0.5;
    if (!rows.empty()) weight += rows[std::min(u, g_.height - u)] * share * twice / g_.width;
    if (!columns.empty()) weight += columns[v] / g_.height;
    if (!at_dc.empty() && u == 0 && v == 0) weight += at_dc[0];
    return weight;
  }

  const Question& q_;
  const Geometry& g_;
  double pixels_, mean_ = 0, level_ = 0, norm_ = 0;
  std::vector<double> window_;
  std::vector<Complex> spectrum_;
};
