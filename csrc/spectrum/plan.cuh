// What the kernels and their callers both know: value modes and the plan of a sweep. Plain C++.
#pragma once

namespace gandetect::spectrum::device {

enum Value : int { kPower = 0, kMagnitude = 1, kLog = 2, kLogAmplitude = 3 };

constexpr int kMaxMaps = 2;

// Everything that follows from the shape. The host fills it once; kernels and allocations read it.
struct MeansPlan {
  int height;
  int half_width;  // V, the columns at hand: W/2 + 1, or W of a full plane
  int width;       // W
  int n_bins;      // K
  int n_maps;      // M, 0 where no bins are asked for
  bool folded;
  int tile_rows;
  int tiles;
  int chunk;
  int lanes;
  int groups;
  bool shared_bins;
};

}  // namespace gandetect::spectrum::device
