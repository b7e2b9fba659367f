// Random gated convolutions, straight from docs/operators.md: weights in ONNX order, permuted only for the plugin.
#include <float.h>
#include <math.h>

#include <algorithm>

#include "tests/trt/cases.h"
#include "tests/trt/problem.h"
#include "tests/trt/random.h"

namespace sanp {
namespace test {
namespace {

struct Layer {
  int64_t group, ci, co, size[2], kernel[2], stride[2], dilation[2], pad[4], out[2];
  bool hwio, scale_rows, shift_rows, active_rows, residual_dense;
  double open, low, high;
};

void resize(Layer* l, int64_t height, int64_t width) {
  l->size[0] = height;
  l->size[1] = width;
  for (int i = 0; i < 2; ++i) {
    const int64_t free = l->size[i] + l->pad[i] + l->pad[2 + i] - l->dilation[i] * (l->kernel[i] - 1) - 1;
    l->out[i] = free < 0 ? 0 : free / l->stride[i] + 1;
  }
}

Layer random_layer(Random& r) {
  for (;;) {
    Layer l{};
    l.group = r.pick(0, 3) ? 1 : r.pick(1, 4);
    l.ci = l.group * r.pick(1, 24);
    l.co = l.group * r.pick(1, 40);
    if (r.pick(0, 5) == 0) l.group = l.co = l.ci;
    const int64_t kernels[] = {1, 3, 3, 5};
    const int64_t square = kernels[r.pick(0, 3)];
    for (int i = 0; i < 2; ++i) {
      l.size[i] = r.pick(1, 18);
      l.kernel[i] = r.pick(0, 3) ? square : r.pick(1, 4);
      l.stride[i] = r.pick(0, 2) ? 1 : r.pick(2, 3);
      l.dilation[i] = r.pick(0, 3) ? 1 : 2;
      l.pad[i] = r.pick(0, 2);
      l.pad[2 + i] = r.pick(0, 2);
    }
    resize(&l, l.size[0], l.size[1]);
    if (l.out[0] < 1 || l.out[1] < 1) continue;
    l.hwio = r.pick(0, 3) != 0;
    l.scale_rows = r.pick(0, 1);
    l.shift_rows = l.scale_rows && r.pick(0, 1);
    l.active_rows = r.pick(0, 1);
    l.residual_dense = r.pick(0, 1);
    const double shares[] = {0.0, 0.3, 0.7, 1.0};
    l.open = shares[r.pick(0, 3)];
    l.low = r.pick(0, 1) ? 0.0 : -INFINITY;
    l.high = r.pick(0, 1) ? 6.0 : INFINITY;
    return l;
  }
}

NodeFields attributes(const Layer& l) {
  const auto list = [](const int64_t* v, int n) { return std::vector<int32_t>(v, v + n); };
  return {NodeField::ints("strides", list(l.stride, 2)),
          NodeField::ints("pads", list(l.pad, 4)),
          NodeField::ints("dilations", list(l.dilation, 2)),
          NodeField::ints("group", {static_cast<int32_t>(l.group)}),
          NodeField::real("act_min", static_cast<float>(l.low)),
          NodeField::real("act_max", static_cast<float>(l.high)),
          NodeField::ints("weight_order", {l.hwio}),
          NodeField::ints("not_an_attribute_of_the_plugin", {1})};
}

// [Co, Ci/group, kh, kw] to [kh, kw, Ci/group, Co].
Array permuted(const Array& w) {
  const int64_t co = w.dims[0], ci = w.dims[1], kh = w.dims[2], kw = w.dims[3];
  Array p{{kh, kw, ci, co}, std::vector<double>(w.values.size()), w.half};
  size_t from = 0;
  for (int64_t o = 0; o < co; ++o)
    for (int64_t i = 0; i < ci; ++i)
      for (int64_t k = 0; k < kh * kw; ++k) p.values[static_cast<size_t>((k * ci + i) * co + o)] = w.values[from++];
  return p;
}

double row_value(const Array& rows, int64_t n, int64_t c) {
  return rows.values[static_cast<size_t>((rows.dims[0] == 1 ? 0 : n) * rows.dims[1] + c)];
}

// Reads only what the contract says is read.
void reference(const Layer& l, const Array& w, Problem& p) {
  const Array &x = p.in[0], &residual = p.in[5];
  const int64_t group_in = l.ci / l.group;
  const double terms = static_cast<double>(group_in * l.kernel[0] * l.kernel[1] + 8);
  for (int64_t n = 0; n < x.dims[0]; ++n)
    for (int64_t o = 0; o < l.co; ++o)
      for (int64_t at = 0; at < l.out[0] * l.out[1]; ++at) {
        const double scale = row_value(p.in[2], n, o), shift = row_value(p.in[3], n, o);
        double sum = 0, magnitude = 0;
        for (int64_t i = 0; i < group_in && scale != 0; ++i) {
          const int64_t channel = o / (l.co / l.group) * group_in + i;
          if (row_value(p.in[4], n, channel) == 0) continue;
          for (int64_t k = 0; k < l.kernel[0] * l.kernel[1]; ++k) {
            const int64_t row = at / l.out[1] * l.stride[0] - l.pad[0] + k / l.kernel[1] * l.dilation[0];
            const int64_t col = at % l.out[1] * l.stride[1] - l.pad[1] + k % l.kernel[1] * l.dilation[1];
            if (row < 0 || row >= l.size[0] || col < 0 || col >= l.size[1]) continue;
            const double product =
                x.values[static_cast<size_t>(((n * l.ci + channel) * l.size[0] + row) * l.size[1] + col)] *
                w.values[static_cast<size_t>((o * group_in + i) * l.kernel[0] * l.kernel[1] + k)];
            sum += product;
            magnitude += fabs(product);
          }
        }
        const double r = residual.values[l.residual_dense ? p.out[0].values.size() : 0];
        const double y = sum * scale + shift + r;
        const double size = magnitude * fabs(scale) + fabs(shift) + fabs(r);
        p.out[0].values.push_back(std::min(std::max(y, l.low), l.high));
        // Products and sums round once each in float32; the result once more, in its own type.
        p.tolerance[0].push_back(terms * FLT_EPSILON * size + (x.half ? ldexp(fabs(y), -11) + 1e-7 : 0) + 1e-30);
      }
}

}  // namespace

Problem random_conv(uint32_t seed, int64_t batch, bool half) { return larger_conv(seed, batch, half, 0, 0); }

Problem larger_conv(uint32_t seed, int64_t batch, bool half, int64_t taller, int64_t wider) {
  Random r(seed);
  Layer l = random_layer(r);
  resize(&l, l.size[0] + taller, l.size[1] + wider);
  Array w = r.array({l.co, l.ci / l.group, l.kernel[0], l.kernel[1]}, half);
  Array scale = r.array({l.scale_rows ? batch : 1, l.co}, false);
  Array shift = r.array({l.shift_rows ? batch : 1, l.co}, false);
  Array active = r.array({l.active_rows ? batch : 1, l.ci}, false);
  Array x = r.array({batch, l.ci, l.size[0], l.size[1]}, half);
  Array residual =
      r.array(l.residual_dense ? std::vector<int64_t>{batch, l.co, l.out[0], l.out[1]} : std::vector<int64_t>{1}, half);
  for (double& s : scale.values) s = r.real() < l.open ? fabs(s) + 0.01 : 0.0;
  for (double& s : scale.values) s = static_cast<float>(s);
  // The contract: no shift where a sample that reads it has no scale.
  for (int64_t n = 0; n < batch; ++n)
    for (int64_t o = 0; o < l.co; ++o)
      if (row_value(scale, n, o) == 0) shift.values[static_cast<size_t>((l.shift_rows ? n : 0) * l.co + o)] = 0;
  for (double& a : active.values) a = r.real() < 0.6;
  const int64_t pixels = l.size[0] * l.size[1];
  for (int64_t i = 0; i < batch * l.ci; ++i)
    if (row_value(active, i / l.ci, i % l.ci) == 0) std::fill_n(x.values.begin() + i * pixels, pixels, NAN);
  const int64_t row = static_cast<int64_t>(w.values.size()) / l.co;
  for (int64_t o = 0; o < l.co; ++o) {
    bool closed = true;
    for (int64_t n = 0; n < batch; ++n) closed = closed && row_value(scale, n, o) == 0;
    if (closed) std::fill_n(w.values.begin() + o * row, row, NAN);
  }

  Problem p;
  p.op = "SanpGatedConv";
  p.attributes = attributes(l);
  p.in = {x, l.hwio ? permuted(w) : w, scale, shift, active, residual};
  p.batched = {true, false, l.scale_rows, l.shift_rows, l.active_rows, l.residual_dense};
  p.out = {Array{{batch, l.co, l.out[0], l.out[1]}, {}, half}};
  p.tolerance.resize(1);
  reference(l, w, p);
  p.description =
      text("%s [%lld, %lld, %lld, %lld] -> %lld, kernel %lldx%lld, group %lld, %s, open %g", half ? "half" : "float",
           (long long)batch, (long long)l.ci, (long long)l.size[0], (long long)l.size[1], (long long)l.co,
           (long long)l.kernel[0], (long long)l.kernel[1], (long long)l.group, l.hwio ? "HWIO" : "OIHW", l.open);
  return p;
}

}  // namespace test
}  // namespace sanp
