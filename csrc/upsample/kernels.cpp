// Builds the kernels once per instruction set and picks one table at run time: every header that
// they use, and then levels.inc, which says why in this order.
#include "upsample/kernels.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

#include "common/isa.h"

#define GD_FAMILY upsample
#define GD_KERNELS "upsample/kernels.inc"
#include "common/levels.inc"
