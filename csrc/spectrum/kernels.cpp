// Builds the kernels once per instruction set and picks one table at run time: every header that
// they use, and then levels.inc, which says why in this order.
#include "spectrum/kernels.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "common/isa.h"

namespace gandetect::spectrum {
constexpr double kPi = 3.14159265358979323846;
}

#define GD_FAMILY spectrum
#define GD_KERNELS "spectrum/kernels.inc"
#include "common/levels.inc"
