// What this core can do: float multiply-adds per second, and bytes read per second from a buffer
// beyond its second-level cache. Prints "gflops gigabytes_per_second".
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

using Clock = std::chrono::steady_clock;

#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif
typedef float Vector __attribute__((vector_size(kBytes)));
constexpr int kLanes = kBytes / sizeof(float);

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Ten independent chains cover the latency of a fused multiply-add on every core of today.
double gflops() {
  const Vector b = Vector{} + 0.999f, c = Vector{} + 1e-3f;
  Vector a0 = b, a1 = b, a2 = b, a3 = b, a4 = b, a5 = b, a6 = b, a7 = b, a8 = b, a9 = b;
  constexpr long kRounds = 20000000;
  const auto start = Clock::now();
  for (long i = 0; i < kRounds; ++i) {
    a0 = a0 * b + c, a1 = a1 * b + c, a2 = a2 * b + c, a3 = a3 * b + c, a4 = a4 * b + c;
    a5 = a5 * b + c, a6 = a6 * b + c, a7 = a7 * b + c, a8 = a8 * b + c, a9 = a9 * b + c;
  }
  const double seconds = seconds_since(start);
  volatile float kept = (a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9)[0];
  (void)kept;
  return kRounds * 10.0 * 2 * kLanes / seconds / 1e9;
}

double gigabytes_per_second() {
  const std::vector<float> buffer(size_t{256} << 18, 1.0f);  // 256 MiB
  double best = 0;
  for (int round = 0; round < 5; ++round) {
    Vector sums[8] = {};
    const Vector* data = reinterpret_cast<const Vector*>(
        (reinterpret_cast<size_t>(buffer.data()) + kBytes - 1) / kBytes * kBytes);
    const size_t count = buffer.size() / kLanes - 1;
    const auto start = Clock::now();
    for (size_t i = 0; i + 8 <= count; i += 8) {
      for (int j = 0; j < 8; ++j) sums[j] += data[i + j];
    }
    const double seconds = seconds_since(start);
    volatile float kept = (sums[0] + sums[1] + sums[2] + sums[3] + sums[4])[0];
    (void)kept;
    best = std::max(best, count * double(kBytes) / seconds / 1e9);
  }
  return best;
}

int main() {
  gflops();
  std::printf("%.1f %.1f\n", gflops(), gigabytes_per_second());
}
