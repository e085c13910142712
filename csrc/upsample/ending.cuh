// What every op of this folder ends with: y = act(v + bias[c]).
//
//   none        v
//   relu        0 where v < 0, else v
//   leaky_relu  v where v > 0, else slope v
//   tanh        tanh(v)
//   sigmoid     1 / (1 + exp(-v))
//
// NaN is neither above nor below 0 and so stays NaN in all of them, as in torch. The choice is made
// at run time: it is the same for every thread of a launch, and five times as many kernels would
// gain nothing where memory is what one waits for. The functions are the accurate library ones.
#pragma once

#include "common/device.h"

namespace gandetect::upsample::device {

// As the schemas number them.
enum Activation : int { kNone = 0, kRelu = 1, kLeakyRelu = 2, kTanh = 3, kSigmoid = 4 };
constexpr int kActivations = 5;

template <typename Real>
struct Ending {
  const Real* bias;  // one for each channel, or null
  int activation;
  Real slope;
};

__device__ inline float exponential(float x) { return expf(x); }
__device__ inline double exponential(double x) { return exp(x); }
__device__ inline float hyperbolic_tangent(float x) { return tanhf(x); }
__device__ inline double hyperbolic_tangent(double x) { return tanh(x); }

template <typename Real>
__device__ inline Real finish(const Ending<Real>& e, Real v, unsigned channel) {
  if (e.bias != nullptr) v += e.bias[channel];
  switch (e.activation) {
    case kRelu:
      return v < 0 ? Real(0) : v;
    case kLeakyRelu:
      return v > 0 ? v : e.slope * v;
    case kTanh:
      return hyperbolic_tangent(v);
    case kSigmoid:
      return 1 / (1 + exponential(-v));
    default:
      return v;
  }
}

}  // namespace gandetect::upsample::device
