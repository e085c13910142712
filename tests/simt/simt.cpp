// The scheduler of the shim: see simt.h for what it promises and fiber.h for how it switches.
//
// Under SIMT_TSAN this file is compiled without instrumentation and names every ordering itself, by
// releasing and acquiring tags. A tag is only an address. Five rules keep real races visible:
//   - the barrier alternates between two tags: with one, a late waker would acquire what an early
//     thread releases at the next barrier;
//   - a tag that threads release is never one that threads acquire before they start;
//   - tags and shared memory are fresh in every block and stay allocated until the launch ends:
//   reuse
//     would order one block after another;
//   - thread i sits on another fiber in every block: program order on one fiber would hide races
//     between blocks;
//   - shuffles and votes order no memory, __syncwarp and barriers do.
#include "simt.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "fiber.h"

#ifdef SIMT_TSAN
#include <sanitizer/tsan_interface.h>
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace simt {
namespace {

enum class State { kReady, kAtBarrier, kInWarp, kDone };

struct Site {
  const char* file;
  int line;
  bool operator==(const Site& other) const {
    return line == other.line && std::strcmp(file, other.file) == 0;
  }
};

struct Thread {
  State state;
  uint3 index;
  Site site;
  // In a warp operation:
  WarpOp op;
  unsigned mask;
  uint64_t payload, answer;
  int operand, width;
  uint64_t* tag;
  // At a barrier:
  BlockOp block_op;
  int predicate;
};

struct Free {
  void operator()(void* p) const { std::free(p); }
};
using Memory = std::unique_ptr<unsigned char, Free>;

constexpr int kBlockTags = 3;
constexpr int kWarpTags = 64;

Schedule g_schedule = kForward;
uint64_t g_random = 1;
int g_status = 0;
std::string g_text;

std::vector<std::unique_ptr<Fiber>> g_pool;
Fiber* g_scheduler = nullptr;

void (*g_body)(void*) = nullptr;
void* g_context = nullptr;

std::vector<Thread> g_threads;
std::vector<Fiber*> g_fibers;  // of the threads of this block
std::vector<Memory> g_kept;    // shared memory and tags of this launch
int g_current = 0;
int g_done = 0;
int g_waiting = 0;
int g_barrier_answer = 0;
unsigned g_generation = 0;
bool g_failed = false;
unsigned char* g_shared = nullptr;
uint64_t* g_tags = nullptr;  // the block's start, two of the barrier, then kWarpTags of each warp
uint64_t g_finished_tag = 0;
std::vector<int> g_next_warp_tag;

void release(void* tag) {
#ifdef SIMT_TSAN
  __tsan_release(tag);
#else
  static_cast<void>(tag);
#endif
}

void acquire(void* tag) {
#ifdef SIMT_TSAN
  __tsan_acquire(tag);
#else
  static_cast<void>(tag);
#endif
}

uint64_t next_random() {
  g_random += 0x9e3779b97f4a7c15u;  // splitmix64
  uint64_t z = g_random;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

__attribute__((format(printf, 2, 3))) void record(int status, const char* format, ...) {
  if (g_status != 0) return;
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  g_status = status;
  g_text = text;
}

// Only the end of the launch acquires the tag: it orders the host after threads that a failed
// launch abandons, and no thread after another.
void wait() {
  release(&g_finished_tag);
  g_scheduler->resume_from(*g_fibers[g_current]);
}

// Leaves the launch for good from inside a thread: its fiber is never resumed.
[[noreturn]] void fail(const char* what, const Site& site, int other = -1) {
  char who[64] = "";
  if (other >= 0) std::snprintf(who, sizeof who, ", thread %d", other);
  record(kLaunchFailure, "%s:%d: thread %d of block (%u,%u,%u): %s%s", site.file, site.line,
         g_current, blockIdx.x, blockIdx.y, blockIdx.z, what, who);
  g_failed = true;
  wait();
  std::abort();
}

int lanes_of(int warp) {
  return std::min(warpSize, static_cast<int>(g_threads.size()) - warp * warpSize);
}

void finish_thread() {
  const int warp = g_current / warpSize;
  for (int l = 0; l < lanes_of(warp); ++l) {
    const Thread& other = g_threads[warp * warpSize + l];
    if (other.state == State::kInWarp && (other.mask >> (g_current % warpSize) & 1))
      fail("the mask names a lane that exited", other.site, g_current);
  }
  g_threads[g_current].state = State::kDone;
  ++g_done;
}

[[noreturn]] void fiber_main(void*) {
  for (;;) {
    acquire(g_tags);
    g_body(g_context);
    finish_thread();
    wait();
  }
}

int lane_read(const Thread& thread, int lane) {
  const int segment = lane & ~(thread.width - 1), end = segment + thread.width;
  int source = lane;
  if (thread.op == WarpOp::kShuffle) source = segment + (thread.operand & (thread.width - 1));
  if (thread.op == WarpOp::kShuffleUp) source = lane - thread.operand;
  if (thread.op == WarpOp::kShuffleDown) source = lane + thread.operand;
  if (thread.op == WarpOp::kShuffleXor) source = lane ^ thread.operand;
  return source < segment || source >= end ? lane : source;
}

bool is_shuffle(WarpOp op) { return op >= WarpOp::kShuffle && op <= WarpOp::kShuffleXor; }

// All lanes of the mask are here: every one gets its answer and may go on.
void resolve_warp(Thread* lanes, unsigned mask) {
  unsigned ballot = 0;
  for (int l = 0; l < warpSize; ++l)
    if (mask >> l & 1) ballot |= static_cast<unsigned>(lanes[l].payload != 0) << l;
  for (int l = 0; l < warpSize; ++l) {
    if (!(mask >> l & 1)) continue;
    Thread& lane = lanes[l];
    if (is_shuffle(lane.op)) {
      const int source = lane_read(lane, l);
      if (!(mask >> source & 1)) fail("a shuffle reads a lane outside its mask", lane.site);
      lane.answer = lanes[source].payload;
    }
    if (lane.op == WarpOp::kBallot) lane.answer = ballot;
    if (lane.op == WarpOp::kAny) lane.answer = ballot != 0;
    if (lane.op == WarpOp::kAll) lane.answer = ballot == mask;
    lane.state = State::kReady;
  }
}

bool is_partner(const Thread& a, const Thread& b) {
  return b.state == State::kInWarp && a.mask == b.mask && a.op == b.op && a.site == b.site;
}

// Threads that reach a barrier while others have left, or that stand at another one, never get past
// it on the device.
bool open_barrier() {
  if (g_waiting == 0 || g_waiting + g_done < static_cast<int>(g_threads.size())) return false;
  const Thread* first = nullptr;
  int count = 0, total = 0;
  for (size_t t = 0; t < g_threads.size(); ++t) {
    const Thread& thread = g_threads[t];
    if (thread.state != State::kAtBarrier) {
      record(kLaunchFailure,
             "thread %zu of block (%u,%u,%u) returned before a barrier others wait at", t,
             blockIdx.x, blockIdx.y, blockIdx.z);
      return false;
    }
    if (first == nullptr) first = &thread;
    if (!(thread.site == first->site) || thread.block_op != first->block_op) {
      record(kLaunchFailure,
             "divergent barrier: threads of block (%u,%u,%u) wait at %s:%d and at %s:%d",
             blockIdx.x, blockIdx.y, blockIdx.z, first->site.file, first->site.line,
             thread.site.file, thread.site.line);
      return false;
    }
    count += thread.predicate != 0;
    ++total;
  }
  g_barrier_answer = first->block_op == BlockOp::kCount ? count
                     : first->block_op == BlockOp::kAnd ? count == total
                                                        : count != 0;
  for (Thread& thread : g_threads) thread.state = State::kReady;
  g_waiting = 0;
  ++g_generation;
  return true;
}

// A lane that waits for another one which waits elsewhere.
const char* quarrel(size_t t, size_t* other) {
  const Thread& self = g_threads[t];
  if (self.state != State::kInWarp) return nullptr;
  for (int l = 0; l < lanes_of(t / warpSize); ++l) {
    *other = t / warpSize * warpSize + l;
    const Thread& lane = g_threads[*other];
    if (!(self.mask >> l & 1) || lane.state != State::kInWarp || *other == t) continue;
    if (lane.site == self.site && lane.mask != self.mask) return "lanes disagree on the mask";
    if (!(lane.site == self.site)) return "lanes of one mask meet at different operations";
  }
  return nullptr;
}

void deadlock() {
  for (size_t t = 0; t < g_threads.size(); ++t) {
    const Thread& thread = g_threads[t];
    if (thread.state == State::kDone) continue;
    size_t other = 0;
    if (const char* what = quarrel(t, &other))
      record(kLaunchFailure, "%s:%d: thread %zu of block (%u,%u,%u): %s, thread %zu",
             thread.site.file, thread.site.line, t, blockIdx.x, blockIdx.y, blockIdx.z, what,
             other);
  }
  for (size_t t = 0; t < g_threads.size(); ++t) {
    const Thread& thread = g_threads[t];
    if (thread.state == State::kDone) continue;
    record(kLaunchFailure, "deadlock: thread %zu of block (%u,%u,%u) waits at %s:%d for good", t,
           blockIdx.x, blockIdx.y, blockIdx.z, thread.site.file, thread.site.line);
  }
}

void order_threads(std::vector<int>& order) {
  if (g_schedule != kRandom) return;
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[next_random() % i]);
}

bool run_threads() {
  std::vector<int> order(g_threads.size());
  std::iota(order.begin(), order.end(), 0);
  if (g_schedule == kReverse) std::reverse(order.begin(), order.end());
  while (g_done < static_cast<int>(g_threads.size())) {
    bool progress = false;
    order_threads(order);
    for (int t : order) {
      if (g_threads[t].state != State::kReady) continue;
      g_current = t;
      threadIdx = g_threads[t].index;
      g_fibers[t]->resume_from(*g_scheduler);
      if (g_failed) return false;
      progress = true;
    }
    if (progress) continue;
    if (open_barrier()) continue;
    if (g_status == 0) deadlock();
    return false;
  }
  return true;
}

void new_block_memory(size_t shared_bytes) {
#ifndef SIMT_TSAN
  g_kept.clear();
#endif
  // Exactly the size asked for: rounding up would hide an overrun from ASan.
  void* shared = nullptr;
  if (posix_memalign(&shared, 16, std::max<size_t>(shared_bytes, 1)) != 0) std::abort();
  g_kept.emplace_back(static_cast<unsigned char*>(shared));
  std::memset(shared, 0xff, shared_bytes);
  g_shared = static_cast<unsigned char*>(shared);

  const size_t warps = (g_threads.size() + warpSize - 1) / warpSize;
  void* tags = std::calloc(kBlockTags + warps * kWarpTags, sizeof(uint64_t));
  g_kept.emplace_back(static_cast<unsigned char*>(tags));
  g_tags = static_cast<uint64_t*>(tags);
  g_next_warp_tag.assign(warps, 0);
  release(g_tags);
}

bool run_block(uint64_t block, size_t shared_bytes) {
  blockIdx = {static_cast<unsigned>(block % gridDim.x),
              static_cast<unsigned>(block / gridDim.x % gridDim.y),
              static_cast<unsigned>(block / gridDim.x / gridDim.y)};
  const size_t n = g_threads.size();
  for (size_t t = 0; t < n; ++t) {
    g_threads[t] = Thread{};
    g_threads[t].index = {static_cast<unsigned>(t % blockDim.x),
                          static_cast<unsigned>(t / blockDim.x % blockDim.y),
                          static_cast<unsigned>(t / blockDim.x / blockDim.y)};
    g_fibers[t] = g_pool[(t + block) % g_pool.size()].get();
  }
  g_done = g_waiting = 0;
  g_generation = 0;
  new_block_memory(shared_bytes);
  return run_threads();
}

// The k-th block to run, a permutation for every schedule.
uint64_t block_at(uint64_t k, uint64_t blocks, uint64_t stride, uint64_t offset) {
  if (g_schedule == kForward) return k;
  if (g_schedule == kReverse) return blocks - 1 - k;
  return (static_cast<unsigned __int128>(k) * stride + offset) % blocks;
}

const char* limit_exceeded(dim3 grid, dim3 block, size_t shared_bytes) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return "a grid dimension is zero";
  if (block.x == 0 || block.y == 0 || block.z == 0) return "a block dimension is zero";
  if (grid.x > kMaxGridX || grid.y > kMaxGridYZ || grid.z > kMaxGridYZ)
    return "the grid is too large";
  if (block.z > kMaxBlockZ) return "the block is too deep";
  if (static_cast<uint64_t>(block.x) * block.y * block.z > kMaxThreads)
    return "the block is too large";
  if (shared_bytes > kMaxShared) return "more than 48 KB of dynamic shared memory";
  return nullptr;
}

// More fibers than threads, so that rotation reaches even a block of one thread.
void fill_pool(size_t threads) {
  while (g_pool.size() < threads + 3) {
    g_pool.push_back(std::make_unique<Fiber>());
    g_pool.back()->reset(fiber_main, nullptr);
  }
}

}  // namespace

void set_schedule(Schedule schedule, uint64_t seed) {
  g_schedule = schedule;
  g_random = seed;
}

int take_status() {
  const int status = g_status;
  g_status = 0;
  return status;
}

const char* status_text(int status) { return status == 0 ? "no error" : g_text.c_str(); }

unsigned char* shared_memory() { return g_shared; }

int block_barrier(BlockOp op, int predicate, const char* file, int line) {
  Thread& self = g_threads[g_current];
  self.state = State::kAtBarrier;
  self.block_op = op;
  self.predicate = predicate;
  self.site = {file, line};
  ++g_waiting;
  uint64_t* tag = g_tags + 1 + g_generation % 2;
  release(tag);
  wait();
  acquire(tag);
  return g_barrier_answer;
}

uint64_t warp_exchange(WarpOp op, unsigned mask, uint64_t payload, int operand, int width,
                       const char* file, int line) {
  const int warp = g_current / warpSize, lane = g_current % warpSize;
  Thread* lanes = &g_threads[warp * warpSize];
  Thread& self = lanes[lane];
  self.op = op;
  self.mask = mask;
  self.payload = payload;
  self.operand = operand;
  self.width = width;
  self.site = {file, line};
  self.tag = nullptr;
  if (!(mask >> lane & 1)) fail("the mask does not name its caller", self.site);
  if (lanes_of(warp) < warpSize && mask >> lanes_of(warp) != 0)
    fail("the mask names a lane beyond the block", self.site);

  bool complete = true;
  for (int l = 0; l < warpSize; ++l) {
    if (l == lane || !(mask >> l & 1)) continue;
    if (lanes[l].state == State::kDone)
      fail("the mask names a lane that exited", self.site, warp * warpSize + l);
    const bool is_here = is_partner(self, lanes[l]);
    if (is_here) self.tag = lanes[l].tag;
    complete = complete && is_here;
  }
  if (self.tag == nullptr)
    self.tag = g_tags + kBlockTags + warp * kWarpTags + g_next_warp_tag[warp]++ % kWarpTags;
  uint64_t* const tag = self.tag;
  self.state = State::kInWarp;
  if (op == WarpOp::kSync) release(tag);
  if (complete) resolve_warp(lanes, mask);
  if (!complete) wait();
  if (op == WarpOp::kSync) acquire(tag);
  return self.answer;
}

void run(dim3 grid, dim3 block, size_t shared_bytes, void (*body)(void*), void* context) {
  if (const char* limit = limit_exceeded(grid, block, shared_bytes)) {
    record(kInvalidConfiguration, "grid (%u,%u,%u), block (%u,%u,%u), %zu bytes: %s", grid.x,
           grid.y, grid.z, block.x, block.y, block.z, shared_bytes, limit);
    return;
  }
  Fiber scheduler;
  g_scheduler = &scheduler;
  g_body = body;
  g_context = context;
  g_failed = false;
  gridDim = grid;
  blockDim = block;
  g_threads.resize(static_cast<size_t>(block.x) * block.y * block.z);
  g_fibers.resize(g_threads.size());
  fill_pool(g_threads.size());

  const uint64_t blocks = static_cast<uint64_t>(grid.x) * grid.y * grid.z;
  uint64_t stride = next_random() % blocks + 1;
  while (std::gcd(stride, blocks) != 1) ++stride;
  const uint64_t offset = next_random() % blocks;
  bool finished = true;
  for (uint64_t k = 0; k < blocks && finished; ++k)
    finished = run_block(block_at(k, blocks, stride, offset), shared_bytes);

  // Threads of a failed launch stay where they were; their fibers start over.
  if (!finished) g_pool.clear();
  acquire(&g_finished_tag);
  g_kept.clear();
  g_scheduler = nullptr;
}

}  // namespace simt
