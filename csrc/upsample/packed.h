// Packed weights: what a handle holds, and the cache that makes handles unnecessary.
//
// The cache is keyed by contents: 128 bits over every byte of a weight, besides its shape and the
// kind of packing. Whatever changes a weight (an optimizer, .data, numpy, a new tensor at an old
// address) changes the key, so nothing stale can be found, and nothing has to be told. A look costs
// one read of the weight, a fraction of packing it.
#pragma once

#include <cstdint>
#include <memory>
#include <new>
#include <optional>

#include "common/parallel.h"
#include "upsample/kernels.h"

namespace gandetect::upsample {

// For `taps`, or for a scheme of `winograd`.
using Packing = std::optional<Winograd>;

// Memory for one packed weight that the calling thread keeps. Valid until its next use.
float* scratch(int64_t count);

class Floats {
 public:
  explicit Floats(int64_t count)
      : data_(static_cast<float*>(::operator new(count * sizeof(float), kAlignment))),
        count_(count) {}
  float* data() const { return data_.get(); }
  int64_t bytes() const { return count_ * static_cast<int64_t>(sizeof(float)); }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Release {
    void operator()(float* data) const { ::operator delete(data, kAlignment); }
  };
  std::unique_ptr<float, Release> data_;
  int64_t count_;
};

int64_t packed_size(Packing packing, const Weight& weight);
void pack(Packing packing, const Weight& weight, float* out, const Parallel& parallel);

// From the cache, or packed and remembered. The weight is contiguous; its taps may run backwards.
std::shared_ptr<const Floats> cached(Packing packing, const Weight& weight,
                                     const Parallel& parallel);

// Packed for this call alone, in memory that the thread keeps: for training, where the next call
// has other weights. Valid until the thread's next call.
const float* transient(Packing packing, const Weight& weight, const Parallel& parallel);

// What a handle begins with; the two packings follow, each aligned as a tensor is.
struct HandleHeader {
  uint64_t magic;
  int64_t block;  // of the instruction set that packed it
  int64_t cin, cout, kernel_height, kernel_width;
  int64_t taps_floats;
  int64_t scheme;  // of the second packing, or kNoScheme
  int64_t winograd_floats;
  int64_t transposed;  // whether it is the weight of a transposed convolution
  int64_t unused[6];
};

constexpr uint64_t kHandleMagic = 0x32646b6370746467u;
constexpr int64_t kNoScheme = -1;
constexpr int64_t kHandleHeaderBytes = 128;
static_assert(sizeof(HandleHeader) == kHandleHeaderBytes);

}  // namespace gandetect::upsample
