#include "upsample/packed.h"

#include <cstdlib>
#include <list>
#include <mutex>

namespace gandetect::upsample {
namespace {

constexpr int64_t kDefaultMegabytes = 256;

struct Key {
  Packing packing;
  Weight shape;
  uint64_t digest[2];

  bool operator==(const Key& other) const {
    const Weight &a = shape, &b = other.shape;
    return packing == other.packing && digest[0] == other.digest[0] &&
           digest[1] == other.digest[1] && a.cin == b.cin && a.cout == b.cout && a.taps == b.taps &&
           a.stride_cin == b.stride_cin && a.stride_cout == b.stride_cout &&
           a.stride_tap == b.stride_tap;
  }
};

// The most recently used first, up to a number of bytes.
class Cache {
 public:
  std::shared_ptr<const Floats> find(const Key& key) {
    const std::lock_guard lock(mutex_);
    for (auto it = entries_.begin(); it != entries_.end(); ++it) {
      if (!(it->key == key)) continue;
      entries_.splice(entries_.begin(), entries_, it);
      return it->packed;
    }
    return nullptr;
  }

  void add(const Key& key, const std::shared_ptr<const Floats>& packed) {
    const std::lock_guard lock(mutex_);
    entries_.push_front({key, packed});
    bytes_ += packed->bytes();
    while (bytes_ > limit_ && !entries_.empty()) {
      bytes_ -= entries_.back().packed->bytes();
      entries_.pop_back();
    }
  }

 private:
  struct Entry {
    Key key;
    std::shared_ptr<const Floats> packed;
  };

  static int64_t limit() {
    const char* megabytes = std::getenv("GANDETECT_WEIGHT_CACHE_MB");
    return (megabytes == nullptr ? kDefaultMegabytes : std::atoll(megabytes)) << 20;
  }

  std::mutex mutex_;
  std::list<Entry> entries_;
  int64_t bytes_ = 0;
  const int64_t limit_ = limit();
};

Cache& cache() {
  static Cache* const kept = new Cache;  // never destroyed: threads may outlive static objects
  return *kept;
}

}  // namespace

int64_t packed_size(Packing packing, const Weight& weight) {
  const Kernels& table = kernels();
  return packing ? table.winograd_size(*packing, weight) : table.taps_size(weight);
}

void pack(Packing packing, const Weight& weight, float* out, const Parallel& parallel) {
  const Kernels& table = kernels();
  if (packing) return table.pack_winograd(*packing, weight, out, parallel);
  table.pack_taps(weight, out, parallel);
}

std::shared_ptr<const Floats> cached(Packing packing, const Weight& weight,
                                     const Parallel& parallel) {
  Key key{packing, weight, {}};
  const int64_t count = weight.cin * weight.cout * weight.taps;
  const float* first = static_cast<const float*>(weight.data);
  if (weight.stride_tap < 0) first -= weight.taps - 1;
  kernels().fingerprint(first, count * static_cast<int64_t>(sizeof(float)), key.digest);
  if (auto found = cache().find(key)) return found;
  const auto packed = std::make_shared<Floats>(packed_size(packing, weight));
  pack(packing, weight, packed->data(), parallel);
  cache().add(key, packed);
  return packed;
}

float* scratch(int64_t count) {
  static thread_local std::unique_ptr<Floats> kept;
  if (kept == nullptr || kept->bytes() < count * static_cast<int64_t>(sizeof(float))) {
    kept.reset();
    kept = std::make_unique<Floats>(count);
  }
  return kept->data();
}

const float* transient(Packing packing, const Weight& weight, const Parallel& parallel) {
  float* data = scratch(packed_size(packing, weight));
  pack(packing, weight, data, parallel);
  return data;
}

}  // namespace gandetect::upsample
