// What the fuzz drivers share: random numbers, ways of sharing work among threads, blocks of memory
// that the address sanitizer watches, the comparison, the options and the loop over the cases.
//
//   fuzz [--cases N] [--seed S] [--one CASE] [--fault NAME] [--kernel NAME]
//
// Prints the level in use, the seed, a line per failure and the largest errors beside what is
// allowed; exit code 1 where a case failed.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "common/isa.h"
#include "common/parallel.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
// Fresh memory is filled with NaN, so that what is read before it is written shows in the results.
extern "C" const char* __asan_default_options() {
  return "max_malloc_fill_size=1073741824:malloc_fill_byte=255";
}
#endif

// For what takes nearly all of the time of a case and touches nothing of the kernels.
#define GD_UNWATCHED __attribute__((no_sanitize("address", "undefined"), optimize("O2")))

struct Random {
  std::mt19937_64 engine;
  int64_t below(int64_t n) { return static_cast<int64_t>(engine() % static_cast<uint64_t>(n)); }
  bool one_in(int64_t n) { return below(n) == 0; }
  double unit() { return static_cast<double>(engine() >> 11) * 0x1p-53; }
  double normal() { return unit() + unit() + unit() + unit() - 2; }
};

inline double not_finite(Random& random) {
  return random.one_in(2) ? std::numeric_limits<double>::infinity()
                          : std::numeric_limits<double>::quiet_NaN();
}

// Ways of sharing work

inline const gandetect::Parallel kOneThread = {
    1, [](int64_t count, void (*body)(void*, int64_t, int64_t), void* context) {
      if (count > 0) body(context, 0, count);
    }};
// What a kernel keeps from call to call has grown with earlier cases; in a new thread it is as
// large as this case needs it.
inline const gandetect::Parallel kFreshThread = {
    1, [](int64_t count, void (*body)(void*, int64_t, int64_t), void* context) {
      if (count > 0) std::thread(body, context, int64_t{0}, count).join();
    }};
inline const gandetect::Parallel kThreeThreads = {
    3, [](int64_t count, void (*body)(void*, int64_t, int64_t), void* context) {
      std::vector<std::thread> threads;
      for (int64_t t = 0; t < 3; ++t) {
        const int64_t begin = t * count / 3, end = (t + 1) * count / 3;
        if (begin < end) threads.emplace_back(body, context, begin, end);
      }
      for (std::thread& thread : threads) thread.join();
    }};
inline const gandetect::Parallel kBackwards = {
    5, [](int64_t count, void (*body)(void*, int64_t, int64_t), void* context) {
      for (int64_t i = count; i-- > 0;) body(context, i, i + 1);
    }};
inline const gandetect::Parallel* const kParallels[] = {&kOneThread, &kFreshThread, &kThreeThreads,
                                                        &kBackwards};

inline const gandetect::Parallel& any_parallel(Random& random) {
  return *kParallels[random.below(std::size(kParallels))];
}

// Memory

enum class Type { kByte, kFloat, kDouble };

inline int64_t size_of(Type type) { return type == Type::kByte ? 1 : type == Type::kFloat ? 4 : 8; }

inline double element(const char* data, Type type, int64_t i) {
  if (type == Type::kByte) return static_cast<uint8_t>(data[i]);
  if (type == Type::kDouble) return reinterpret_cast<const double*>(data)[i];
  return reinterpret_cast<const float*>(data)[i];
}

inline void set_element(char* data, Type type, int64_t i, double value) {
  if (type == Type::kByte) {
    data[i] = static_cast<char>(static_cast<uint8_t>(value));
  } else if (type == Type::kFloat) {
    reinterpret_cast<float*>(data)[i] = static_cast<float>(value);
  } else {
    reinterpret_cast<double*>(data)[i] = value;
  }
}

// A block of exactly this many bytes, `lead` bytes beyond where an allocation begins. A `tail` is
// for writes that the sanitizer does not see, such as those around the caches: it stands behind the
// block, and is_intact() says whether it is as it was.
class Block {
 public:
  explicit Block(int64_t bytes, int64_t lead = 0, int64_t tail = 0)
      : allocated_(allocate(std::max<int64_t>(bytes, 0) + lead + tail)),
        tail_(tail),
        data(allocated_ + lead),
        bytes(std::max<int64_t>(bytes, 0)) {
    std::memset(data + this->bytes, kTail, tail);
#ifdef __SANITIZE_ADDRESS__
    ASAN_POISON_MEMORY_REGION(allocated_, lead);
    ASAN_POISON_MEMORY_REGION(data + this->bytes, tail);
#endif
  }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  ~Block() { std::free(allocated_); }

  GD_UNWATCHED bool is_intact() const {
    for (int64_t i = 0; i < tail_; ++i) {
      if (static_cast<unsigned char>(data[bytes + i]) != kTail) return false;
    }
    return true;
  }

 private:
  static constexpr unsigned char kTail = 0xa5;

  static char* allocate(int64_t bytes) {
    void* allocated = nullptr;
    if (posix_memalign(&allocated, 64, bytes) != 0) std::abort();
    return static_cast<char*>(allocated);
  }

  char* allocated_;
  int64_t tail_;

 public:
  char* data;
  int64_t bytes;
};

// Comparison

// Error beside what is allowed. What should be no number, or infinite, must be that; where it
// should be finite, NaN is an error that no comparison accepts.
inline double excess(double actual, double wanted, double allowed) {
  if (!std::isfinite(wanted)) {
    return std::isnan(wanted) ? 2 * !std::isnan(actual) : 2 * (actual != wanted);
  }
  if (actual == wanted || std::isinf(allowed)) return std::isnan(actual) ? actual : 0;
  return std::abs(actual - wanted) / (allowed + std::numeric_limits<double>::min());
}

inline double worse(double a, double b) { return std::isnan(a) || a > b ? a : b; }

// Options and cases

struct Options {
  std::string program;
  int64_t cases = 1000, only = -1;
  uint64_t seed = 1;
  std::string fault, kernel;
};

inline Options options;
inline int64_t current_case = -1;

inline void say_which_case() {
  std::fprintf(stderr, "in case %lld; replay: GANDETECT_CPU_ISA=%s %s --seed %llu --one %lld",
               static_cast<long long>(current_case), gandetect::isa_name(gandetect::cpu_isa()),
               options.program.c_str(), static_cast<unsigned long long>(options.seed),
               static_cast<long long>(current_case));
  if (!options.kernel.empty()) std::fprintf(stderr, " --kernel %s", options.kernel.c_str());
  std::fprintf(stderr, "\n");
}

// Largest error of each kind beside what is allowed.
inline std::map<std::string, double> largest_errors;

template <typename Case>
bool within(const Case& c, const char* what, double error) {
  double& largest = largest_errors[what];
  largest = worse(error, largest);
  if (error <= 1) return true;
  std::printf("%s: %.3g of what is allowed; %s\n", what, error, c.description().c_str());
  std::fflush(stdout);
  say_which_case();
  return false;
}

template <typename Case>
bool holds(const Case& c, const char* what, bool condition) {
  return within(c, what, condition ? 0 : 2);
}

inline void start(int argc, char** argv) {
  const std::string path = argv[0];
  options.program = path.substr(path.find_last_of('/') + 1);
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    if (name == "--cases") options.cases = std::atoll(argv[i + 1]);
    if (name == "--seed") options.seed = std::strtoull(argv[i + 1], nullptr, 10);
    if (name == "--one") options.only = std::atoll(argv[i + 1]);
    if (name == "--fault") options.fault = argv[i + 1];
    if (name == "--kernel") options.kernel = argv[i + 1];
  }
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_set_death_callback(say_which_case);
#endif
  std::printf("%s, seed %llu\n", gandetect::isa_name(gandetect::cpu_isa()),
              static_cast<unsigned long long>(options.seed));
  std::fflush(stdout);
}

// Runs `run_case(random, passed)`, false where it made no case, and says how it went; the exit
// code.
template <typename F>
int run_cases(int64_t failures, const F& run_case) {
  const int64_t most = options.fault.empty() ? 20 : 1;
  const int64_t first = std::max<int64_t>(options.only, 0);
  const int64_t wanted = options.only < 0 ? options.cases : 1;
  int64_t ran = 0;
  for (int64_t number = first; ran < wanted && failures < most; ++number) {
    current_case = number;
    Random random{std::mt19937_64(options.seed * 1000003 + static_cast<uint64_t>(number))};
    bool passed = true;
    ran += run_case(random, passed);
    failures += !passed;
  }
  std::printf("%lld cases, %lld failures; largest errors beside what is allowed:",
              static_cast<long long>(ran), static_cast<long long>(failures));
  for (const auto& [what, error] : largest_errors) {
    if (!(error <= 0)) std::printf(" %s %.2g", what.c_str(), error);
  }
  std::printf("\n");
  return failures == 0 ? 0 : 1;
}
