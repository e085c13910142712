// CUDA on the CPU: one fiber per thread, blocks in sequence, faults reported instead of undefined.
//
// A kernel source compiled by g++ with this header is a plain function. simt::launch runs it for
// every thread of every block in a chosen order; results must not depend on that order. What the
// hardware leaves undefined is an error here: a thread that misses a barrier, a mask that names an
// absent lane, a shuffle that reads outside its mask, a deadlock, a launch beyond the limits.
// Shared memory has exactly the size asked for and starts as 0xff bytes (NaN). Built with SIMT_ASAN
// or SIMT_TSAN the shim tells the sanitizer about its fibers, which then sees overruns and data
// races between CUDA threads.
//
// One launch at a time per process. Not here: blocks that wait for each other, cooperative groups,
// asynchronous copies, static shared memory, half precision, constant and texture memory.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) double2 {
  double x, y;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

namespace simt {

constexpr int kMaxThreads = 1024;
constexpr int kMaxBlockZ = 64;
constexpr unsigned kMaxGridX = 2147483647u;
constexpr unsigned kMaxGridYZ = 65535;
// What a kernel gets without asking the driver for more; no kernel here asks.
constexpr size_t kMaxShared = 48 * 1024;

constexpr int kInvalidConfiguration = 9;  // cudaErrorInvalidConfiguration
constexpr int kLaunchFailure = 719;       // cudaErrorLaunchFailure

enum Schedule : int { kForward = 0, kReverse = 1, kRandom = 2 };
void set_schedule(Schedule schedule, uint64_t seed);

// Status of the first failed launch since the last call, which resets it; its text stays.
int take_status();
const char* status_text(int status);

enum class WarpOp : int {
  kSync,
  kShuffle,
  kShuffleUp,
  kShuffleDown,
  kShuffleXor,
  kBallot,
  kAny,
  kAll
};
enum class BlockOp : int { kSync, kCount, kAnd, kOr };

// `operand` and `width` are those of the shuffle; the answer is another lane's payload or the vote.
uint64_t warp_exchange(WarpOp op, unsigned mask, uint64_t payload, int operand, int width,
                       const char* file, int line);
int block_barrier(BlockOp op, int predicate, const char* file, int line);
unsigned char* shared_memory();

void run(dim3 grid, dim3 block, size_t shared_bytes, void (*body)(void*), void* context);

template <typename Kernel, typename... Args>
void launch(Kernel kernel, dim3 grid, dim3 block, size_t shared_bytes, Args... args) {
  // Each thread gets parameters of its own, as on the device.
  auto body = [&] { kernel(args...); };
  run(
      grid, block, shared_bytes, [](void* context) { (*static_cast<decltype(body)*>(context))(); },
      &body);
}

template <typename T>
T shuffle(WarpOp op, unsigned mask, T value, int operand, int width, const char* file, int line) {
  static_assert(std::is_trivially_copyable<T>::value && sizeof(T) <= sizeof(uint64_t), "8 bytes");
  uint64_t payload = 0;
  std::memcpy(&payload, &value, sizeof(T));
  payload = warp_exchange(op, mask, payload, operand, width, file, line);
  std::memcpy(&value, &payload, sizeof(T));
  return value;
}

// Makes pointer and integer parameters of a launch compile as the kernel declares them.
template <typename... Params>
struct Launcher {
  void (*kernel)(Params...);
  void operator()(dim3 grid, dim3 block, size_t shared_bytes, Params... params) const {
    launch(kernel, grid, block, shared_bytes, params...);
  }
};
template <typename... Params>
Launcher<Params...> launcher(void (*kernel)(Params...)) {
  return {kernel};
}

}  // namespace simt

#define GD_DYN_SHARED(name) unsigned char* const name = simt::shared_memory()
#define GD_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  (static_cast<void>(stream), simt::launcher(kernel)(grid, block, shared_bytes, __VA_ARGS__))
#define GD_STATUS() simt::take_status()
#define GD_STATUS_TEXT(status) simt::status_text(status)

// The default arguments name the line of the call: threads that meet at different barriers are
// caught.
#define SIMT_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(SIMT_SITE) { simt::block_barrier(simt::BlockOp::kSync, 0, file, line); }
inline int __syncthreads_count(int predicate, SIMT_SITE) {
  return simt::block_barrier(simt::BlockOp::kCount, predicate, file, line);
}
inline int __syncthreads_and(int predicate, SIMT_SITE) {
  return simt::block_barrier(simt::BlockOp::kAnd, predicate, file, line);
}
inline int __syncthreads_or(int predicate, SIMT_SITE) {
  return simt::block_barrier(simt::BlockOp::kOr, predicate, file, line);
}

inline void __syncwarp(unsigned mask = 0xffffffffu, SIMT_SITE) {
  simt::warp_exchange(simt::WarpOp::kSync, mask, 0, 0, 32, file, line);
}
template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, SIMT_SITE) {
  return simt::shuffle(simt::WarpOp::kShuffle, mask, value, source, width, file, line);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, SIMT_SITE) {
  return simt::shuffle(simt::WarpOp::kShuffleUp, mask, value, delta, width, file, line);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, SIMT_SITE) {
  return simt::shuffle(simt::WarpOp::kShuffleDown, mask, value, delta, width, file, line);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32, SIMT_SITE) {
  return simt::shuffle(simt::WarpOp::kShuffleXor, mask, value, lane_mask, width, file, line);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, SIMT_SITE) {
  return simt::warp_exchange(simt::WarpOp::kBallot, mask, predicate != 0, 0, 32, file, line);
}
inline int __any_sync(unsigned mask, int predicate, SIMT_SITE) {
  return simt::warp_exchange(simt::WarpOp::kAny, mask, predicate != 0, 0, 32, file, line);
}
inline int __all_sync(unsigned mask, int predicate, SIMT_SITE) {
  return simt::warp_exchange(simt::WarpOp::kAll, mask, predicate != 0, 0, 32, file, line);
}

#undef SIMT_SITE

// Fibers change hands only inside the shim, so atomics need no lock here; the builtins are for
// TSan, which would call plain accesses races.
template <typename T>
T simt_atomic_update(T* address, T (*update)(T, T), T operand) {
  T old;
  __atomic_load(address, &old, __ATOMIC_RELAXED);
  T desired = update(old, operand);
  while (!__atomic_compare_exchange(address, &old, &desired, false, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED))
    desired = update(old, operand);
  return old;
}
template <typename T>
T atomicAdd(T* address, T value) {
  return simt_atomic_update<T>(address, [](T a, T b) { return static_cast<T>(a + b); }, value);
}
template <typename T>
T atomicMax(T* address, T value) {
  return simt_atomic_update<T>(address, [](T a, T b) { return a < b ? b : a; }, value);
}

inline void __threadfence() {}
template <typename T>
T __ldg(const T* address) {
  return *address;
}
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a < b ? b : a; }
inline double cospi(double x) { return std::cos(3.14159265358979323846 * x); }
