// Every kernel that ships, instantiated by name: what is not instantiated, the nvcc gate does not
// compile.
#include "upsample/sweep.cuh"
#include "upsample/tap_gather.cuh"
#include "upsample/unpool.cuh"

namespace gandetect::upsample::device {

#define GD_INSTANTIATE_SWEEP(Real, V, Source)                          \
  template __global__ void sweep_kernel<Real, V, Source<Real, false>>( \
      Source<Real, false>, Ending<Real>, Real*, unsigned);             \
  template __global__ void sweep_kernel<Real, V, Source<Real, true>>(  \
      Source<Real, true>, Ending<Real>, Real*, unsigned)

#define GD_INSTANTIATE_TAPS(Real, V, kInterleaved)                                                \
  template __global__ void tap_gather_kernel<Real, V, kInterleaved>(const Real*, TapTables<Real>, \
                                                                    Ending<Real>, TapGrid, Real*)

#define GD_INSTANTIATE(Real, V)                                                           \
  GD_INSTANTIATE_SWEEP(Real, V, NailsSource);                                             \
  GD_INSTANTIATE_SWEEP(Real, V, ShuffleSource);                                           \
  GD_INSTANTIATE_SWEEP(Real, V, SameSource);                                              \
  GD_INSTANTIATE_SWEEP(Real, V, UnpoolSource);                                            \
  GD_INSTANTIATE_TAPS(Real, V, false);                                                    \
  GD_INSTANTIATE_TAPS(Real, V, true);                                                     \
  template __global__ void unpool_fill_kernel<Winner<Real>::type, V>(Winner<Real>::type*, \
                                                                     unsigned, int*, unsigned)

#define GD_INSTANTIATE_SCATTER(Real, kInterleaved)                                  \
  template __global__ void unpool_scatter_kernel<Winner<Real>::type, kInterleaved>( \
      const int64_t*, ScatterGrid, Winner<Real>::type*, int*, unsigned)

GD_INSTANTIATE(float, 1);
GD_INSTANTIATE(float, 4);
GD_INSTANTIATE(double, 1);
GD_INSTANTIATE(double, 2);
GD_INSTANTIATE_SCATTER(float, false);
GD_INSTANTIATE_SCATTER(float, true);
GD_INSTANTIATE_SCATTER(double, false);
GD_INSTANTIATE_SCATTER(double, true);

}  // namespace gandetect::upsample::device
