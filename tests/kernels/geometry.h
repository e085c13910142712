// Bins from exact integers, independent of the Python code, and bins that no geometry would make.
#pragma once

#include "harness.h"

struct Geometry {
  int64_t height = 0, width = 0, columns = 0, count = 0;
  bool half_pixel = false, half_plane = false, folded = false;
  std::vector<std::vector<int32_t>> maps;
  std::vector<double> inverse_counts;

  bool is_inner(int64_t v) const { return v > 0 && 2 * v < width; }
  bool is_kept(int32_t bin) const { return bin >= 0 && bin < count; }
};

inline int64_t root(int64_t x) {
  int64_t r = static_cast<int64_t>(std::sqrt(static_cast<double>(x)));
  while (r * r > x) --r;
  while ((r + 1) * (r + 1) <= x) ++r;
  return r;
}

inline int64_t signed_frequency(int64_t k, int64_t n) { return (k + n / 2) % n - n / 2; }

inline int64_t radius(int64_t u, int64_t v, const Geometry& g) {
  const int64_t su = signed_frequency(u, g.height), sv = signed_frequency(v, g.width);
  if (!g.half_pixel) return root(su * su + sv * sv);
  const int64_t dy = 2 * (su + g.height / 2) - (g.height - 1);
  const int64_t dx = 2 * (sv + g.width / 2) - (g.width - 1);
  return root((dy * dy + dx * dx) / 4);
}

inline void count_bins(Geometry& g) {
  std::vector<double> counts(g.count, 0.0);
  for (const std::vector<int32_t>& map : g.maps) {
    for (int64_t i = 0; i < g.height * g.columns; ++i) {
      if (g.is_kept(map[i])) counts[map[i]] += g.folded && g.is_inner(i % g.columns) ? 2 : 1;
    }
  }
  for (const double n : counts) g.inverse_counts.push_back(1 / std::max(n, 1.0));
}

// The half plane of an image of height x width; false where no bin is left.
inline bool make_geometry(Geometry& g, bool nyquist) {
  g.columns = g.width / 2 + 1;
  int64_t highest = 0;
  for (int64_t u = 0; u < g.height; ++u) {
    for (int64_t v = 0; v < g.width; ++v) highest = std::max(highest, radius(u, v, g));
  }
  const int64_t first = g.half_pixel ? 1 : 0;
  int64_t stop = g.half_pixel ? highest : highest + 1;
  if (nyquist) stop = std::min(stop, (std::min(g.height, g.width) + 1) / 2);
  g.count = stop - first;
  if (g.count < 1) return false;
  const bool two = g.half_pixel && (g.height % 2 == 0 || g.width % 2 == 0);
  g.folded = !two && !g.half_plane;
  g.maps.assign(two ? 2 : 1, std::vector<int32_t>(g.height * g.columns));
  const auto bin = [&](int64_t r) {
    return static_cast<int32_t>(std::clamp<int64_t>(r - first, -1, g.count));
  };
  for (int64_t u = 0; u < g.height; ++u) {
    for (int64_t v = 0; v < g.columns; ++v) {
      const int64_t i = u * g.columns + v;
      g.maps[0][i] = bin(radius(u, v, g));
      if (!two) continue;
      const int64_t mu = (g.height - u) % g.height, mv = (g.width - v) % g.width;
      const int32_t beyond = static_cast<int32_t>(v == 0 ? -1 : g.count);
      g.maps[1][i] = g.is_inner(v) ? bin(radius(mu, mv, g)) : beyond;
    }
  }
  count_bins(g);
  return true;
}

// What the kernels take is any map of bins: entries in any order, or rows that never fall but skip.
inline void make_arbitrary_bins(Geometry& g, Random& random) {
  g.columns = g.width / 2 + 1;
  g.count = 1 + random.below(40);
  g.maps.assign(1 + random.below(2), std::vector<int32_t>(g.height * g.columns));
  g.folded = g.maps.size() == 1 && random.one_in(2);
  const bool steady = random.one_in(2);
  for (std::vector<int32_t>& map : g.maps) {
    for (int32_t& bin : map) bin = static_cast<int32_t>(random.below(g.count + 2) - 1);
    for (int64_t u = 0; steady && u < g.height; ++u) {
      std::sort(map.begin() + u * g.columns, map.begin() + (u + 1) * g.columns);
    }
  }
  count_bins(g);
}
