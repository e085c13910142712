// Planted faults: tests of the shim itself. Each case is a kernel that is wrong in one way, or
// right. usage: faults CASE; prints "status N: text" and "result VALUE per schedule"
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "common/launch.h"

namespace {

constexpr int kThreads = 64;
constexpr unsigned kAll = 0xffffffffu;

__global__ void early_return(float* out) {
  if (threadIdx.x == 5) return;
  __syncthreads();
  out[threadIdx.x] = 1;
}

__global__ void divergent_barrier(float* out) {
  if (threadIdx.x < 32)
    __syncthreads();
  else
    __syncthreads();
  out[threadIdx.x] = 1;
}

__global__ void exited_lane(float* out) {
  if (threadIdx.x % 32 == 7) return;
  out[threadIdx.x] = __shfl_xor_sync(kAll, 1.0f, 1);
}

__global__ void read_outside_mask(float* out) {
  if (threadIdx.x % 32 < 16) out[threadIdx.x] = __shfl_down_sync(0x0000ffffu, 1.0f, 8);
}

__global__ void not_in_own_mask(float* out) { out[threadIdx.x] = __ballot_sync(0x0000ffffu, 1); }

__global__ void masks_disagree(float* out) {
  out[threadIdx.x] = __any_sync(threadIdx.x % 2 ? kAll : 0x7fffffffu, 1);
}

__global__ void deadlock(float* out) {
  if (threadIdx.x == 0) __syncthreads();
  __syncwarp();
  out[threadIdx.x] = 1;
}

__global__ void uninitialized_shared(float* out) {
  GD_DYN_SHARED(raw);
  const float* shared = reinterpret_cast<const float*>(raw);
  out[threadIdx.x] = shared[threadIdx.x] * 0;
}

__global__ void shared_overrun(float* out) {
  GD_DYN_SHARED(raw);
  float* shared = reinterpret_cast<float*>(raw);
  shared[threadIdx.x + 1] = 1;
  __syncthreads();
  out[threadIdx.x] = 1;
}

__global__ void missing_barrier(float* out) {
  GD_DYN_SHARED(raw);
  float* shared = reinterpret_cast<float*>(raw);
  shared[threadIdx.x] = 1;
  out[threadIdx.x] = shared[(threadIdx.x + 1) % blockDim.x];
}

// The same wrong sum in every order: comparing schedules does not show it, TSan does.
__global__ void missing_second_barrier(float* out) {
  GD_DYN_SHARED(raw);
  float* shared = reinterpret_cast<float*>(raw);
  float sum = 0;
  for (int round = 0; round < 2; ++round) {
    shared[threadIdx.x] = round;
    __syncthreads();
    sum += shared[threadIdx.x ^ 1];
  }
  out[threadIdx.x] = sum;
}

__global__ void two_threads_add(float* out) {
  if (threadIdx.x < 2) out[0] += 1;
}

__global__ void every_block_adds(float* out) {
  __syncthreads();
  if (threadIdx.x == 0) out[0] += 1;
}

__global__ void misaligned_vector(float* out) {
  const float4 value = *reinterpret_cast<const float4*>(out + 1);
  out[8] = value.x;
}

__global__ void global_overrun(float* out) { out[threadIdx.x + 1] = 1; }

__global__ void clean_atomics(float* out) {
  atomicAdd(out, 1.0f);
  __syncthreads();
  if (threadIdx.x == 1) atomicMax(reinterpret_cast<int*>(out + 1), static_cast<int>(blockIdx.x));
}

__global__ void clean_barriers(float* out) {
  GD_DYN_SHARED(raw);
  float* shared = reinterpret_cast<float*>(raw);
  float sum = 0;
  for (int round = 0; round < 4; ++round) {
    shared[threadIdx.x] = threadIdx.x + round;
    __syncthreads();
    sum += shared[(threadIdx.x + 7) % blockDim.x];
    __syncthreads();
  }
  for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(kAll, sum, offset);
  shared[threadIdx.x] = sum;
  __syncwarp();
  sum += shared[threadIdx.x ^ 1];
  sum += __syncthreads_count(threadIdx.x % 2);
  if (threadIdx.x % 32 < 16) sum += __shfl_up_sync(0x0000ffffu, sum, 1, 16);
  out[blockIdx.x * blockDim.x + threadIdx.x] = sum + __ballot_sync(kAll, threadIdx.x < 3) % 16;
}

struct Case {
  const char* name;
  void (*kernel)(float*);
  unsigned blocks;
};

constexpr Case kCases[] = {
    {"early_return", early_return, 1},
    {"divergent_barrier", divergent_barrier, 1},
    {"exited_lane", exited_lane, 1},
    {"read_outside_mask", read_outside_mask, 1},
    {"not_in_own_mask", not_in_own_mask, 1},
    {"masks_disagree", masks_disagree, 1},
    {"deadlock", deadlock, 1},
    {"uninitialized_shared", uninitialized_shared, 1},
    {"shared_overrun", shared_overrun, 1},
    {"missing_barrier", missing_barrier, 1},
    {"missing_second_barrier", missing_second_barrier, 1},
    {"two_threads_add", two_threads_add, 1},
    {"every_block_adds", every_block_adds, 4},
    {"misaligned_vector", misaligned_vector, 1},
    {"global_overrun", global_overrun, 1},
    {"clean_atomics", clean_atomics, 4},
    {"clean_barriers", clean_barriers, 4},
};

struct Limit {
  const char* name;
  dim3 grid, block;
  size_t shared;
};

const Limit kLimits[] = {
    {"zero_grid", {0}, {32}, 0},        {"zero_block", {1}, {32, 0}, 0},
    {"tall_grid", {1, 65536}, {1}, 0},  {"wide_block", {1}, {1025}, 0},
    {"deep_block", {1}, {1, 1, 65}, 0}, {"large_shared", {1}, {1}, 48 * 1024 + 1},
};

void print_status() {
  const int status = GD_STATUS();
  std::printf("status %d: %s\n", status, GD_STATUS_TEXT(status));
}

void run_case(const Case& c) {
  for (int schedule = 0; schedule < 3; ++schedule) {
    simt::set_schedule(static_cast<simt::Schedule>(schedule), 1);
    std::vector<float> out(c.blocks * kThreads, 0.0f);
    GD_LAUNCH(c.kernel, c.blocks, kThreads, kThreads * sizeof(float), nullptr, out.data());
    print_status();
    double sum = 0;
    for (float value : out) sum += value;
    std::printf("result %.9g\n", sum);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  for (const Case& c : kCases) {
    if (std::strcmp(c.name, argv[1]) != 0) continue;
    run_case(c);
    return 0;
  }
  for (const Limit& limit : kLimits) {
    if (std::strcmp(limit.name, argv[1]) != 0) continue;
    float out = 0;
    GD_LAUNCH(two_threads_add, limit.grid, limit.block, limit.shared, nullptr, &out);
    print_status();
    return 0;
  }
  return 2;
}
