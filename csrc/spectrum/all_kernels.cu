// Every kernel that ships, instantiated by name: what is not instantiated, the nvcc gate does not
// compile.
#include "spectrum/backward.cuh"
#include "spectrum/gray.cuh"
#include "spectrum/means.cuh"
#include "spectrum/spread.cuh"

namespace gandetect::spectrum::device {

#define GD_INSTANTIATE_GRAY(Pixel, Real)                                                \
  template __global__ void gray_kernel(const Pixel*, const double*, const Real*, Real*, \
                                       GrayParams);                                     \
  template __global__ void plane_sum_kernel(const Pixel*, const Real*, double*, GrayParams)

#define GD_INSTANTIATE_MEANS(Real, Source) \
  template __global__ void means_kernel(Source<Real>, const int32_t*, MeansPlan, MeansOutput<Real>)

#define GD_INSTANTIATE(Real)                                                                       \
  template __global__ void hann_table_kernel(Real*, int, int);                                     \
  template __global__ void gray_adjoint_kernel(const Real*, const double*, const Real*, Real*,     \
                                               GrayParams);                                        \
  template __global__ void backward_kernel<Real>(Complex<Real>::type*, ValueParams<Real>,          \
                                                 BackwardInputs<Real>, MeansPlan, int64_t);        \
  template __global__ void dc_kernel<Real>(Complex<Real>::type*, const double*, double, int64_t,   \
                                           int64_t, int64_t);                                      \
  GD_INSTANTIATE_MEANS(Real, SpectrumSource);                                                      \
  GD_INSTANTIATE_MEANS(Real, PlaneSource);                                                         \
  template __global__ void finish_tiles_kernel(const Real*, const double*, double, Real*, int64_t, \
                                               int, int);                                          \
  template __global__ void finish_rows_kernel(const Real*, Real*, int64_t, int, int);              \
  template __global__ void spread_kernel(const Real*, const int32_t*, const double*, MeansPlan,    \
                                         int64_t, Real*)

GD_INSTANTIATE_GRAY(uint8_t, float);
GD_INSTANTIATE_GRAY(float, float);
GD_INSTANTIATE_GRAY(double, double);
template __global__ void plane_mean_kernel(const double*, double*, int64_t, int64_t, int64_t, int);
GD_INSTANTIATE(float);
GD_INSTANTIATE(double);

}  // namespace gandetect::spectrum::device
