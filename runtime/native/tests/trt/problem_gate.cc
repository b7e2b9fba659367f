// Random channel gates, straight from docs/operators.md.
#include <float.h>
#include <math.h>

#include <algorithm>
#include <functional>

#include "tests/trt/cases.h"
#include "tests/trt/problem.h"
#include "tests/trt/random.h"

namespace sanp {
namespace test {
namespace {

// A row of w times v plus b, with the magnitude that its rounding errors scale with.
struct Sum {
  double value, magnitude;
};

Sum row_times(const Array& w, int64_t row, const std::vector<Sum>& v, double b) {
  Sum s{b, fabs(b)};
  for (size_t i = 0; i < v.size(); ++i) {
    const double weight = w.values[static_cast<size_t>(row) * v.size() + i];
    s.value += weight * v[i].value;
    s.magnitude += fabs(weight) * (fabs(v[i].value) + v[i].magnitude);
  }
  return s;
}

std::vector<Sum> saliency(const Problem& p, int64_t n) {
  const Array &x = p.in[0], &w1 = p.in[1], &w2 = p.in[3];
  const int64_t pixels = x.dims[2] * x.dims[3];
  std::vector<Sum> mean, hidden, result;
  for (int64_t i = 0; i < x.dims[1]; ++i) {
    Sum s{0, 0};
    for (int64_t k = 0; k < pixels; ++k) {
      const double v = x.values[static_cast<size_t>((n * x.dims[1] + i) * pixels + k)];
      s.value += v / static_cast<double>(pixels);
      s.magnitude += fabs(v) / static_cast<double>(pixels);
    }
    mean.push_back(s);
  }
  if (w1.dims.size() == 1) hidden = mean;  // no hidden layer
  for (int64_t h = 0; w1.dims.size() == 2 && h < w1.dims[0]; ++h) {
    hidden.push_back(row_times(w1, h, mean, p.in[2].values[static_cast<size_t>(h)]));
    hidden.back().value = std::max(hidden.back().value, 0.0);
  }
  for (int64_t o = 0; o < w2.dims[0]; ++o) {
    result.push_back(row_times(w2, o, hidden, p.in[4].values[static_cast<size_t>(o)]));
    result.back().value = std::max(result.back().value, 0.0);
  }
  return result;
}

// False when a decision is closer than rounding: another seed has to be taken.
bool reference(Problem& p, double threshold, int64_t k) {
  const int64_t co = p.in[3].dims[0], mask_rows = p.in[6].dims[0];
  const double terms = static_cast<double>(p.in[0].dims[2] * p.in[0].dims[3] + p.in[0].dims[1] + p.in[1].dims[0] + 8);
  const bool has_offset = p.in[5].dims.size() == 2;
  for (int64_t n = 0; n < p.in[0].dims[0]; ++n) {
    const std::vector<Sum> s = saliency(p, n);
    std::vector<double> sorted;
    for (const Sum& one : s) sorted.push_back(one.value);
    std::sort(sorted.begin(), sorted.end(), std::greater<double>());
    double level = threshold;
    if (k > 0) level = std::max(level, sorted[static_cast<size_t>(k)]);
    for (int64_t o = 0; o < co; ++o) {
      const Sum& one = s[static_cast<size_t>(o)];
      // Every product and sum rounds by half an epsilon at most.
      const double error = terms * FLT_EPSILON / 2 * one.magnitude + 1e-30;
      if (fabs(one.value - level) < 2 * error && one.value != level) return false;
      const double mask = p.in[6].values[static_cast<size_t>((mask_rows == 1 ? 0 : n) * co + o)];
      const double bias = p.in[5].values[static_cast<size_t>(o)];
      const double scale = one.value > level ? one.value * mask : 0.0;
      p.out[0].values.push_back(scale);
      const double offset = has_offset && scale != 0 ? p.in[5].values[static_cast<size_t>(co + o)] : 0.0;
      p.out[1].values.push_back(scale * bias + offset);
      p.tolerance[0].push_back(error * mask);
      p.tolerance[1].push_back((error * mask + FLT_EPSILON * fabs(scale)) * fabs(bias) +
                               FLT_EPSILON * (fabs(scale * bias) + fabs(offset)) + 1e-30);
    }
  }
  return true;
}

}  // namespace

Problem random_gate(uint32_t seed, int64_t batch, bool half) {
  for (uint32_t attempt = 0; attempt < 100; ++attempt) {
    Random r(seed), again(seed + 7919 * attempt);
    const int64_t ci = r.pick(1, 70), hidden = r.pick(1, 40), co = r.pick(2, 48), h = r.pick(1, 12), w = r.pick(1, 12);
    const int64_t k = r.pick(0, 1) ? r.pick(1, co - 1) : 0;
    const float threshold = r.pick(0, 1) ? 0.0f : 0.5f;
    const int64_t mask_rows = r.pick(0, 1) ? batch : 1;
    const bool direct = seed % 3 == 1, has_offset = seed % 2 == 1;
    Problem p;
    p.op = "SanpChannelGate";
    p.attributes = {NodeField::real("threshold", threshold), NodeField::ints("k", {static_cast<int32_t>(k)})};
    const std::vector<int64_t> one{1}, squeeze{hidden, ci}, units{hidden}, bias{co}, both{2, co};
    p.in = {again.array({batch, ci, h, w}, half),
            again.array(direct ? one : squeeze, false),
            again.array(direct ? one : units, false),
            again.array({co, direct ? ci : hidden}, false),
            again.array({co}, false),
            again.array(has_offset ? both : bias, false),
            again.array({mask_rows, co}, false)};
    // As behind a ReLU. Means of numbers of both signs would be all cancellation, and few decisions clear.
    for (double& v : p.in[0].values) v = fabs(v);
    for (double& m : p.in[6].values) m = again.real() < 0.8;
    p.batched = {true, false, false, false, false, false, mask_rows == batch};
    p.out = {Array{{batch, co}, {}, false}, Array{{batch, co}, {}, false}};
    p.tolerance.resize(2);
    p.description = text("%s [%lld, %lld, %lld, %lld], hidden %lld -> %lld, k %lld%s", half ? "half" : "float",
                         (long long)batch, (long long)ci, (long long)h, (long long)w, (long long)(direct ? 0 : hidden),
                         (long long)co, (long long)k, has_offset ? ", offset" : "");
    if (reference(p, threshold, k)) return p;
  }
  throw Failure(text("seed %u: no gate whose decisions are clear", seed));
}

}  // namespace test
}  // namespace sanp
