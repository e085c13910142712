"""The ops' schemas, defined from here where there is no compiled module.

csrc/ops.cpp holds the same lines; a test keeps the two equal.
"""

SCHEMAS = (
    "spectral_means(Tensor images, Tensor maps, Tensor inverse_counts, bool folded, "
    "bool round_grey, float input_gain, float input_offset, bool hann, int value, "
    "float value_gain, float eps, bool azimuthal, bool rows, bool columns) "
    "-> (Tensor, Tensor, Tensor, Tensor)",
    "spectral_means_backward(Tensor images, Tensor maps, Tensor inverse_counts, bool folded, "
    "bool round_grey, float input_gain, float input_offset, bool hann, int value, "
    "float value_gain, float eps, Tensor? gradient_azimuthal, Tensor? gradient_rows, "
    "Tensor? gradient_columns, Tensor? gradient_at_dc) -> Tensor",
    "azimuthal_average(Tensor spectrum, Tensor maps, Tensor inverse_counts, int width, "
    "bool folded) -> Tensor",
    "azimuthal_spread(Tensor profile, Tensor maps, Tensor inverse_counts, int width, "
    "bool folded) -> Tensor",
)
