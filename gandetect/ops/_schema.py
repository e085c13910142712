"""The ops' schemas, defined from here where there is no compiled module.

csrc/ops.cpp holds the same lines; a test keeps the two equal.
"""

SCHEMAS = (
    "spectral_means(Tensor images, Tensor maps, Tensor inverse_counts, bool folded, "
    "bool round_gray, float input_gain, float input_offset, bool hann, int value, "
    "float value_gain, float eps, bool azimuthal, bool rows, bool columns) "
    "-> (Tensor, Tensor, Tensor, Tensor)",
    "spectral_means_backward(Tensor images, Tensor maps, Tensor inverse_counts, bool folded, "
    "bool round_gray, float input_gain, float input_offset, bool hann, int value, "
    "float value_gain, float eps, Tensor? gradient_azimuthal, Tensor? gradient_rows, "
    "Tensor? gradient_columns, Tensor? gradient_at_dc) -> Tensor",
    "azimuthal_average(Tensor spectrum, Tensor maps, Tensor inverse_counts, int width, "
    "bool folded) -> Tensor",
    "azimuthal_spread(Tensor profile, Tensor maps, Tensor inverse_counts, int width, "
    "bool folded) -> Tensor",
    "bed_of_nails(Tensor x, int scale_height, int scale_width, Tensor? bias, int activation, "
    "float slope) -> Tensor",
    "pixel_shuffle(Tensor x, int scale, Tensor? bias, int activation, float slope) -> Tensor",
    "conv_transpose2d(Tensor x, Tensor weight, Tensor? bias, int[] stride, int[] padding, "
    "int[] output_padding, int[] dilation, int activation, float slope, Tensor? packed) -> "
    "Tensor",
    "conv_transpose2d_adjoint(Tensor gradient, Tensor weight) -> Tensor",
    "upsample_conv2d(Tensor x, Tensor weight, Tensor? bias, SymInt height, SymInt width, float "
    "scale_height, float scale_width, int mode, bool align_corners, int[] stride, int[] "
    "padding, int[] dilation, int activation, float slope, Tensor? packed) -> Tensor",
    "max_unpool2d(Tensor x, Tensor indices, SymInt height, SymInt width, Tensor? bias, int "
    "activation, float slope) -> Tensor",
    "pack_conv_transpose2d(Tensor weight, int[] stride, int[] padding, int[] dilation) -> Tensor",
    "pack_upsample_conv2d(Tensor weight, bool bed_of_nails) -> Tensor",
    "styled_conv2d(Tensor x, Tensor weight, Tensor styles, Tensor factors, Tensor noise, "
    "Tensor strength, Tensor bias, float slope) -> Tensor",
    "styled_filter(Tensor x, Tensor factors, Tensor noise, Tensor strength, Tensor bias, "
    "float slope) -> Tensor",
    "phase_means(Tensor images, Tensor filters, float rounding) -> Tensor",
    "row_log_means(Tensor images, Tensor filters, float rounding) -> Tensor",
    "jpeg_step_log_odds(Tensor plane, Tensor origins, Tensor evidence, float per_unit) -> Tensor",
    "bias_activation(Tensor x, Tensor? bias, int activation, float slope) -> Tensor",
    "bias_activation_(Tensor(a!) x, Tensor? bias, int activation, float slope) -> ()",
    "tap_gather_(Tensor(a!) out, Tensor z, Tensor rows, Tensor row_weights, Tensor columns, Tensor "
    "column_weights, Tensor span, Tensor? bias, int activation, float slope) -> ()",
)
