// Every op's schema, and nothing else: the table of contents of the C++ side.
// gandetect/ops/_schema.py mirrors these lines for installations without a compiled module.
#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY(gandetect, m) {
  m.def(
      "spectral_means(Tensor images, Tensor maps, Tensor inverse_counts, bool folded, "
      "bool round_grey, float input_gain, float input_offset, bool hann, int value, "
      "float value_gain, float eps, bool azimuthal, bool rows, bool columns) "
      "-> (Tensor, Tensor, Tensor, Tensor)");
  m.def(
      "spectral_means_backward(Tensor images, Tensor maps, Tensor inverse_counts, bool folded, "
      "bool round_grey, float input_gain, float input_offset, bool hann, int value, "
      "float value_gain, float eps, Tensor? gradient_azimuthal, Tensor? gradient_rows, "
      "Tensor? gradient_columns, Tensor? gradient_at_dc) -> Tensor");
  m.def(
      "azimuthal_average(Tensor spectrum, Tensor maps, Tensor inverse_counts, int width, "
      "bool folded) -> Tensor");
  m.def(
      "azimuthal_spread(Tensor profile, Tensor maps, Tensor inverse_counts, int width, "
      "bool folded) -> Tensor");
}
