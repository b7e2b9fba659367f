// The channel gate: right against double precision, and bit-identical on every instruction set.
#include <float.h>
#include <math.h>

#include <algorithm>
#include <random>

#include "cpu/gate/gate.h"
#include "cpu/isa/isa.h"
#include "tests/cpu/check.h"

namespace sanp {
namespace test {
namespace {

// hidden 0: no hidden layer. Weights that are not used are empty, so that a read of them is caught.
struct GateCase {
  int64_t n, ci, pixels, hidden, co, k;
  GuardedFloats x, w1, b1, w2, b2, bias, mask, offset;
  bool has_offset;

  GateCase(int64_t batch, int64_t c, int64_t p, int64_t h, int64_t o, int64_t keep, std::mt19937& rng)
      : n(batch),
        ci(c),
        pixels(p),
        hidden(h),
        co(o),
        k(keep),
        x(n * ci * p),
        w1(h * c),
        b1(h),
        w2(o * (h > 0 ? h : c)),
        b2(o),
        bias(o),
        mask(n * o),
        offset(o),
        has_offset(rng() % 2 == 0) {
    std::normal_distribution<float> normal;
    for (GuardedFloats* t : {&x, &w1, &b1, &w2, &b2, &bias, &offset})
      for (size_t i = 0; i < t->size(); ++i) (*t)[i] = normal(rng);
    for (size_t i = 0; i < mask.size(); ++i) mask[i] = rng() % 4 ? 1.0f : 0.0f;
  }

  void run(const IsaKernels& isa, float threshold, GuardedFloats* scale, GuardedFloats* shift) const {
    const GateCall c{n,
                     ci,
                     pixels,
                     hidden,
                     co,
                     x.data(),
                     w1.data(),
                     b1.data(),
                     w2.data(),
                     b2.data(),
                     bias.data(),
                     mask.data(),
                     co,
                     threshold,
                     k,
                     scale->data(),
                     shift->data(),
                     has_offset ? offset.data() : nullptr};
    if (!run_gate(isa, c, Pool{nullptr, nullptr})) fail("gate: out of memory");
  }

  // Saliencies of sample `b` in double precision.
  std::vector<double> saliency(int64_t b) const {
    std::vector<double> z(ci), h(hidden), s(co);
    for (int64_t c = 0; c < ci; ++c) {
      for (int64_t p = 0; p < pixels; ++p) z[c] += x[(b * ci + c) * pixels + p];
      z[c] /= static_cast<double>(pixels);
    }
    for (int64_t j = 0; j < hidden; ++j) {
      h[j] = b1[j];
      for (int64_t c = 0; c < ci; ++c) h[j] += z[c] * w1[j * ci + c];
      h[j] = std::max(h[j], 0.0);
    }
    const std::vector<double>& read = hidden > 0 ? h : z;
    const int64_t width = static_cast<int64_t>(read.size());
    for (int64_t o = 0; o < co; ++o) {
      s[o] = b2[o];
      for (int64_t j = 0; j < width; ++j) s[o] += read[j] * w2[o * width + j];
      s[o] = std::max(s[o], 0.0);
    }
    return s;
  }
};

TEST_CASE(gate_matches_double_precision_and_all_isas_agree) {
  std::mt19937 rng(seed + 3);
  const IsaKernels* isas[8];
  const size_t n_isas = usable_isas(isas, 8);
  for (int round = 0; round < rounds(120); ++round) {
    const int64_t co = 1 + rng() % 70, k = round % 2 && co > 1 ? 1 + rng() % (co - 1) : 0;
    const GateCase c(1 + rng() % 3, 1 + rng() % 70, 1 + rng() % 90, rng() % 3 ? 1 + rng() % 40 : 0, co, k, rng);
    GuardedFloats scale(c.n * co, NAN), shift(c.n * co, NAN), other(c.n * co, NAN), other_shift(c.n * co, NAN);
    c.run(*isas[0], 0.25f, &scale, &shift);
    for (size_t i = 1; i < n_isas; ++i) {
      c.run(*isas[i], 0.25f, &other, &other_shift);
      if (memcmp(other.data(), scale.data(), scale.size() * sizeof(float)) != 0 ||
          memcmp(other_shift.data(), shift.data(), shift.size() * sizeof(float)) != 0)
        fail(std::string("the gate of ") + isas[i]->name + " differs from " + isas[0]->name);
    }
    for (int64_t b = 0; b < c.n; ++b) {
      const std::vector<double> s = c.saliency(b);
      std::vector<double> sorted = s;
      std::sort(sorted.rbegin(), sorted.rend());
      const double level = k ? std::max(0.25, sorted[k]) : 0.25;
      int64_t open = 0;
      for (int64_t o = 0; o < co; ++o) {
        const float got = scale[b * co + o];
        open += got != 0.0f;
        // Closer to the level than the rounding of the sums either answer is right.
        const double slack = 1e-4 * (1 + fabs(s[o]));
        const double expected = s[o] > level ? s[o] * c.mask[b * co + o] : 0.0;
        if (fabs(s[o] - level) > slack && fabs(got - expected) > slack) fail("gate: wrong scale");
        const float own = got * c.bias[o], moved = c.has_offset && got != 0 ? own + c.offset[o] : own;
        if (shift[b * co + o] != moved) fail("gate: shift is not scale * bias + offset where open");
      }
      if (k && open > k) fail("gate: more than k channels open");
    }
  }
}

TEST_CASE(gate_ties_and_nan) {
  std::mt19937 rng(seed);
  GateCase c(1, 3, 4, 2, 8, 3, rng);
  for (size_t i = 0; i < c.w2.size(); ++i) c.w2[i] = 0;
  for (size_t i = 0; i < 8; ++i) c.b2[i] = i < 5 ? 1.0f : 2.0f, c.mask[i] = 1;
  GuardedFloats scale(8), shift(8);
  const IsaKernels* isas[8];
  for (size_t i = 0, n = usable_isas(isas, 8); i < n; ++i) {
    c.run(*isas[i], 0.0f, &scale, &shift);
    for (int o = 0; o < 8; ++o)  // three of 2.0 stay, the ties at 1.0 close
      if (scale[o] != (o < 5 ? 0.0f : 2.0f)) fail("gate: tie rule");
  }
  c.x[0] = NAN;  // every saliency becomes NaN: the sort must stay in bounds and the NaN must show
  c.run(*isas[0], 0.0f, &scale, &shift);
  if (scale[0] == scale[0]) fail("gate: NaN was hidden");
}

}  // namespace
}  // namespace test
}  // namespace sanp
