// Published features of one fixed image, which tie the oracle and its bins to the literature.
#pragma once

#include <cstdio>

#include "oracle.h"

struct Golden {
  const char* name;
  int64_t height, width;
  bool half_pixel, half_plane, minmax;
  double gain, value_gain, eps;
  Value value;
  size_t length;
  std::vector<double> first;
  double precision;
};

// I[y, x] = (7x + 13y + xy) mod 256
inline std::vector<double> golden_image(int64_t height, int64_t width) {
  std::vector<double> image;
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      image.push_back(static_cast<double>((7 * x + 13 * y + x * y) % 256));
    }
  }
  return image;
}

inline const std::vector<Golden>& golden() {
  constexpr Value kDurall = Value::kLogAmplitude, kLog = Value::kLog, kPower = Value::kPower;
  static const std::vector<Golden> all = {
      {"durall",
       8,
       8,
       true,
       false,
       false,
       1,
       10,
       1e-8,
       kDurall,
       3,
       {110.833604, 86.238967, 79.940884},
       6e-7},
      {"durall",
       16,
       12,
       true,
       false,
       false,
       1,
       10,
       1e-8,
       kDurall,
       8,
       {140.603584, 127.658926, 122.917852, 114.955829, 114.761474},
       6e-7},
      {"durall",
       15,
       15,
       true,
       false,
       false,
       1,
       10,
       1e-8,
       kDurall,
       8,
       {147.594790, 139.313198, 128.743880, 122.392039, 117.511129},
       6e-7},
      {"jung",
       8,
       8,
       false,
       true,
       true,
       1 / 255.0,
       20,
       1e-8,
       kLog,
       6,
       {1.0, 0.574007, 0.332318, 0.245371, 0.177547, 0.0},
       6e-7},
      {"jung",
       16,
       16,
       false,
       true,
       true,
       1 / 255.0,
       20,
       1e-8,
       kLog,
       12,
       {1.0, 0.412249, 0.352513, 0.216948, 0.133378, 0.131484},
       6e-7},
      {"centered",
       16,
       12,
       false,
       false,
       false,
       1,
       1,
       0,
       kPower,
       11,
       {530104576, 11109261.2, 2371426.94, 745203.687},
       6e-2},
      {"centered",
       15,
       15,
       false,
       false,
       false,
       1,
       1,
       0,
       kPower,
       10,
       {751911241, 13839217.6, 3418524.1, 914745.855},
       6e-2},
      {"centered log",
       16,
       12,
       false,
       false,
       false,
       1,
       10,
       1e-16,
       kLog,
       11,
       {200.885849, 147.41969, 128.651873, 124.404005},
       6e-6}};
  return all;
}

inline int64_t golden_failures() {
  int64_t failures = 0;
  for (const Golden& wanted : golden()) {
    Geometry g;
    g.height = wanted.height, g.width = wanted.width;
    g.half_pixel = wanted.half_pixel, g.half_plane = wanted.half_plane;
    bool equal = make_geometry(g, false) && g.inverse_counts.size() == wanted.length;
    const std::vector<double> image = golden_image(g.height, g.width);
    const Question question{
        g,          image,        1, false, false, false, wanted.gain, 0, wanted.value_gain,
        wanted.eps, wanted.value, 0};
    std::vector<double> profile = Oracle(question).means().azimuthal.wanted;
    const auto [low, high] = std::minmax_element(profile.begin(), profile.end());
    const double lowest = wanted.minmax ? *low : 0, range = wanted.minmax ? *high - *low : 1;
    for (size_t k = 0; equal && k < wanted.first.size(); ++k) {
      equal = std::abs((profile[k] - lowest) / range - wanted.first[k]) <= wanted.precision;
    }
    if (!equal) {
      std::printf("golden: %s of %lldx%lld is not what was published\n", wanted.name,
                  static_cast<long long>(g.height), static_cast<long long>(g.width));
    }
    failures += !equal;
  }
  return failures;
}
