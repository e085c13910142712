// The value f of one spectral coefficient F, before any mean is taken, and its derivative.
//
//   P = |s F|^2        s: what makes F the coefficient of the scaled and windowed plane
//
//                 f                                  df/dRe F + i df/dIm F
//   power         a P                                2 a s (s F)
//   magnitude     a sqrt(P)                          a s (s F) / sqrt(P), 0 where P is 0
//   log           a ln(P + eps)                      2 a s (s F) / (P + eps)
//   log_amplitude a ln((Re sF + eps)^2 + (Im sF)^2)  2 a s / conj(s F + eps)
//
// Logarithms are the accurate library functions: the fast intrinsics are wrong near P = 1 and at
// NaN.
#pragma once

#include "common/device.h"
#include "spectrum/plan.cuh"

namespace gandetect::spectrum::device {

template <typename Real>
struct ValueParams {
  int mode;
  Real gain;
  Real eps;
  Real amplitude;
};

template <typename Real>
struct Complex;
template <>
struct Complex<float> {
  using type = float2;
};
template <>
struct Complex<double> {
  using type = double2;
};

__device__ inline float natural_log(float x) { return logf(x); }
__device__ inline double natural_log(double x) { return log(x); }
__device__ inline float square_root(float x) { return sqrtf(x); }
__device__ inline double square_root(double x) { return sqrt(x); }

template <typename Real>
__device__ inline Real value_of(const ValueParams<Real>& params, Real re, Real im) {
  re *= params.amplitude;
  im *= params.amplitude;
  if (params.mode == kLogAmplitude) re += params.eps;
  const Real power = re * re + im * im;
  if (params.mode == kPower) return params.gain * power;
  if (params.mode == kMagnitude) return params.gain * square_root(power);
  if (params.mode == kLog) return params.gain * natural_log(power + params.eps);
  return params.gain * natural_log(power);
}

template <typename Real>
__device__ inline typename Complex<Real>::type value_derivative(const ValueParams<Real>& params,
                                                                Real re, Real im) {
  re *= params.amplitude;
  im *= params.amplitude;
  if (params.mode == kLogAmplitude) re += params.eps;
  const Real power = re * re + im * im;
  Real slope = 2 * params.gain;
  if (params.mode == kMagnitude) slope = power == 0 ? 0 : params.gain / square_root(power);
  if (params.mode == kLog) slope /= power + params.eps;
  if (params.mode == kLogAmplitude) slope /= power;
  slope *= params.amplitude;
  return {slope * re, slope * im};
}

// What a projection reads: a spectrum through its value mode, or a real plane as it is.
template <typename Real>
struct SpectrumSource {
  const typename Complex<Real>::type* coefficients;
  ValueParams<Real> params;

  __device__ Real at(int64_t index) const {
    const typename Complex<Real>::type c = coefficients[index];
    return value_of(params, c.x, c.y);
  }
};

template <typename Real>
struct PlaneSource {
  const Real* values;

  __device__ Real at(int64_t index) const { return values[index]; }
};

}  // namespace gandetect::spectrum::device
