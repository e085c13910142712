// How kernels, which know no torch, share work among the threads of whoever calls them.
#pragma once

#include <cstdint>

namespace gandetect {

// The caller's thread pool: run() calls body(context, begin, end) on ranges that make up [0, count)
// and returns when all of them have returned.
struct Parallel {
  int64_t threads;
  void (*run)(int64_t count, void (*body)(void* context, int64_t begin, int64_t end),
              void* context);
};

template <typename F>
void over(const Parallel& parallel, int64_t count, F& body) {
  parallel.run(
      count,
      [](void* context, int64_t begin, int64_t end) { (*static_cast<F*>(context))(begin, end); },
      &body);
}

}  // namespace gandetect
