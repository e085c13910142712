// torch's thread pool, as the kernels take one.
#pragma once

#include <torch/csrc/stable/ops.h>

#include "common/parallel.h"

namespace gandetect {

inline Parallel torch_threads() {
  return {static_cast<int64_t>(torch::stable::get_num_threads()),
          [](int64_t count, void (*body)(void*, int64_t, int64_t), void* context) {
            torch::stable::parallel_for(
                0, count, 1, [=](int64_t begin, int64_t end) { body(context, begin, end); });
          }};
}

}  // namespace gandetect
