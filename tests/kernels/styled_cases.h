// Random calls of the kernels of StyleGAN2's layers, for upsample_fuzz.cpp, which includes this
// after what its cases share. Besides its faults: styles, factors and noise are short of an
// element.

struct StyledCase {
  Shape shape;  // of x; that of a filter is a pixel larger than the result
  int64_t cout;
  bool filters;
  double slope, strength;
  mutable std::string strides;

  const char* kernel() const { return filters ? "styled_filter" : "styled_conv"; }
  Shape result() const { return {shape.n, cout, shape.height - filters, shape.width - filters}; }
  std::string description() const {
    return std::string(kernel()) + " of " + std::to_string(shape.n) + "x" +
           std::to_string(shape.channels) + "x" + std::to_string(shape.height) + "x" +
           std::to_string(shape.width) + " to " + std::to_string(cout) + " channels," + strides;
  }
};

StyledCase random_styled(Random& random) {
  const bool filters = random.one_in(2);
  const int64_t channels = 1 + random.below(random.one_in(3) ? 70 : 20);
  const int64_t side = random.one_in(4) ? 40 : 9;
  const Shape shape{1 + random.below(4), channels, 1 + filters + random.below(side),
                    1 + filters + random.below(side)};
  const int64_t cout = filters ? channels : 1 + random.below(random.one_in(3) ? 70 : 20);
  return {shape, cout, filters, random.one_in(4) ? 1.25 : 0.2, random.one_in(5) ? 0 : 0.3, ""};
}

// float32 values in a block of exactly their size.
class StyledValues {
 public:
  StyledValues(const std::vector<double>& values, const char* fault, Random& random)
      : block_(4 * (static_cast<int64_t>(values.size()) - is_fault(fault)),
               random_lead(Type::kFloat, random)) {
    for (int64_t i = 0; i < block_.bytes / 4; ++i)
      set_element(block_.data, Type::kFloat, i, values[i]);
  }
  const float* data() const { return reinterpret_cast<const float*>(block_.data); }

 private:
  Block block_;
};

class StyledLayers {
 public:
  StyledLayers(const StyledCase& c, Random& random)
      : c_(c),
        random_(random),
        image_(random_image(c.shape, random)),
        weights_(random_values(c.filters ? 0 : 9 * c.cout * c.shape.channels, random)),
        styles_(random_values(c.shape.n * c.shape.channels, random)),
        factors_(random_values(c.shape.n * c.cout, random)),
        noise_(random_values(c.shape.n * c.result().height * c.result().width, random)),
        bias_(random_values(c.cout, random)) {
    c.filters ? filter_sums() : convolution_sums();
  }

  bool check() {
    const Values given = spoiled(image_, random_);
    const Strides strides =
        c_.filters ? dense_strides(c_.shape, true) : random_strides(given, random_);
    const Input x(given, Type::kFloat, strides, is_fault("read"), random_);
    c_.strides = x.description();
    const StyledValues styles(styles_, "styles", random_), factors(factors_, "factors", random_);
    const StyledValues noise(noise_, "noise", random_), bias(bias_, "bias", random_);
    const Styles modulation{styles.data(), factors.data(), noise.data(),
                            static_cast<float>(c_.strength)};
    const Ending end{bias.data(), Activation::kLeakyRelu, c_.slope};
    Output y(c_.result(), Type::kFloat, c_.filters || random_.one_in(2), random_);
    const std::vector<float> whole = packed_weight();
    const Block packed(4 * (static_cast<int64_t>(whole.size()) - is_fault("weight")));
    std::copy_n(reinterpret_cast<const char*>(whole.data()), packed.bytes, packed.data);
    const auto run = [&](const Result& result, const Parallel& parallel) {
      if (c_.filters) {
        kernels().styled_filter({x.planes(), result, end, modulation}, parallel);
        return;
      }
      Convolution job{x.planes(), result, end, 3, 3, nullptr, nullptr, 0, 0, 0, &modulation};
      kernels().winograd(Winograd::kSame3, job, reinterpret_cast<const float*>(packed.data),
                         parallel);
    };
    return run_twice(c_, c_.kernel(), y, random_, run) && within(c_, c_.kernel(), compare(y));
  }

 private:
  std::vector<float> packed_weight() const {
    if (c_.filters) return {};
    const int64_t cin = c_.shape.channels;
    std::vector<float> taps(weights_.size());
    for (int64_t i = 0; i < static_cast<int64_t>(taps.size()); ++i) {
      const int64_t at = i / cin % c_.cout * 9 * cin + i % cin * 9 + i / cin / c_.cout;
      taps[at] = static_cast<float>(weights_[i]);
    }
    const Weight weight{taps.data(), cin, c_.cout, 9, 9, 9 * cin, 1};
    std::vector<float> packed(packed_size(Winograd::kSame3, weight));
    gandetect::upsample::pack(Winograd::kSame3, weight, packed.data(), any_parallel(random_));
    return packed;
  }

  void convolution_sums() {
    const Shape& s = c_.shape;
    std::vector<double> x = image_.data;
    const int64_t plane = s.height * s.width;
    for (int64_t i = 0; i < s.count(); ++i) x[i] *= styles_[i / plane];
    const auto line = [](int64_t side) {
      Line all(side);
      for (int64_t o = 0; o < side; ++o) {
        for (int64_t t = 0; t < 3; ++t) {
          const int64_t source = o - 1 + t;
          if (source >= 0 && source < side) meet(all[o], t, source, 1);
        }
      }
      return all;
    };
    const Problem problem{s.n, s.channels, c_.cout, s.height, s.width, 3};
    const WinogradLine rows(Winograd::kSame3, s.height, s.height);
    const WinogradLine columns(Winograd::kSame3, s.width, s.width);
    wanted_ = convolved(problem, x, weights_, line(s.height), line(s.width));
    sizes_ = convolved(problem, absolute(x), absolute(weights_), rows.line(), columns.line());
    roundings_ = 5 + std::sqrt(static_cast<double>(s.channels));
  }

  // In the order (N, rows, columns, channels).
  void filter_sums() {
    const double taps[] = {0.25, 0.75, 0.75, 0.25};
    const Shape r = c_.result(), &s = c_.shape;
    for (int64_t i = 0; i < r.count(); ++i) {
      const int64_t c = i % r.channels, pixel = i / r.channels;
      const int64_t x = pixel % r.width, y = pixel / r.width % r.height;
      const int64_t n = pixel / r.width / r.height;
      double sum = 0, size = 0;
      for (int64_t k = 0; k < 16; ++k) {
        const int64_t row = y - 1 + k / 4, column = x - 1 + k % 4;
        if (row < 0 || row >= s.height || column < 0 || column >= s.width) continue;
        const int64_t at = ((n * s.channels + c) * s.height + row) * s.width + column;
        const double term = taps[k / 4] * taps[k % 4] * image_.data[at];
        sum += term, size += std::abs(term);
      }
      wanted_.push_back(sum), sizes_.push_back(size);
    }
    roundings_ = 6;
  }

  double compare(const Output& y) const {
    const Shape r = c_.result();
    const double slope = static_cast<double>(static_cast<float>(c_.slope));
    const double strength = static_cast<double>(static_cast<float>(c_.strength));
    const auto after = [&](double z) { return activated(z, Activation::kLeakyRelu, slope); };
    double worst = 0;
    for (int64_t i = 0; i < r.count(); ++i) {
      const int64_t c = i % r.channels, pixel = i / r.channels;
      const int64_t n = pixel / r.width / r.height;
      const double factor = factors_[n * r.channels + c], noise = strength * noise_[pixel];
      const double z = factor * wanted_[i] + noise + bias_[c];
      const double size = std::abs(factor) * sizes_[i] + std::abs(noise) + std::abs(bias_[c]);
      const double off = 0x1p-24 * (roundings_ * size + std::abs(z)), wanted = after(z);
      const double allowed = std::max(after(z + off) - wanted, wanted - after(z - off)) +
                             4 * 0x1p-24 * std::abs(wanted) + 3e-38;
      const double actual = y.at(n, c, pixel / r.width % r.height, pixel % r.width);
      worst = worse(excess(actual, wanted, allowed), worst);
    }
    return worst;
  }

  const StyledCase& c_;
  Random& random_;
  Values image_;
  std::vector<double> weights_, styles_, factors_, noise_, bias_, wanted_, sizes_;
  double roundings_ = 0;
};
