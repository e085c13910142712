// Builds the kernels once per instruction set and picks one table at run time: every header that
// they use, and then levels.inc, which says why in this order.
#include "traces/kernels.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "common/isa.h"

#define GD_FAMILY traces
#define GD_KERNELS "traces/kernels.inc"
#include "common/levels.inc"
