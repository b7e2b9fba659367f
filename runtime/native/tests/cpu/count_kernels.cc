// Runs representative AVX2 kernels once each, for an instruction counter: see tests/native/test_instruction_counts.py.
//
// Prints the compiler, then one line per case: name, kept multiply-adds (of the direct sum), algorithm.
#include <math.h>
#include <stdio.h>

#include <vector>

#include "cpu/block/block.h"
#include "cpu/conv/conv.h"
#include "cpu/gate/gate.h"
#include "cpu/isa/isa.h"

namespace {

using namespace sanp;

struct Layer {
  const char* name;
  int64_t ci, co, size, kernel, stride, pad;
  int open_of_8;  // channels open in every run of eight, on both sides
  int winograd;
  bool bf16 = false;  // weights in 16 bits
};

const Layer kLayers[] = {
    {"winograd-4, 64 @16, half open", 64, 64, 16, 3, 1, 1, 4, 4},
    {"winograd-4, 64 @15, all open", 64, 64, 15, 3, 1, 1, 8, 4},
    {"winograd-2, 96 @8, half open", 96, 96, 8, 3, 1, 1, 4, 4},
    {"rows, 64 @16, half open", 64, 64, 16, 3, 1, 1, 4, 0},
    {"rows, 64 @16, all open", 64, 64, 16, 3, 1, 1, 8, 0},
    {"columns, 64 @15, half open", 64, 64, 15, 3, 1, 1, 4, 0},
    {"columns, 128 @4, half open", 128, 128, 4, 3, 1, 1, 4, 0},
    {"stride 2, 64 @16, half open", 64, 64, 16, 3, 2, 1, 4, 0},
    {"in place, 64 @24 1x1, half open", 64, 64, 24, 1, 1, 0, 4, 0},
    {"pixel pairs, 128 @2, half open", 128, 128, 2, 3, 1, 1, 4, 0},
    {"dot, 256 @1 1x1, half open", 256, 256, 1, 1, 1, 0, 4, 0},
    {"columns, 128 @4, half open, 16 bits", 128, 128, 4, 3, 1, 1, 4, 0, true},
    {"pixel pairs, 128 @2, half open, 16 bits", 128, 128, 2, 3, 1, 1, 4, 0, true},
    {"rows, 32 @16, one of eight open", 32, 32, 16, 3, 1, 1, 1, 0},
};

}  // namespace

// What is counted. Not inlined and not renamed, so that the counter finds its entry and exit.
extern "C" __attribute__((noinline)) void sanp_counted_conv(const Plan* plan, const ConvCall* call) {
  if (!run_conv(*plan, *call, Pool{nullptr, nullptr})) puts("memory");
}
extern "C" __attribute__((noinline)) void sanp_counted_block(const BlockPlan* plan, const BlockCall* call) {
  if (!run_block(*plan, *call, Pool{nullptr, nullptr})) puts("memory");
}
extern "C" __attribute__((noinline)) void sanp_counted_gate(const IsaKernels* isa, const GateCall* call) {
  if (!run_gate(*isa, *call, Pool{nullptr, nullptr})) puts("memory");
}

namespace {

// Expansion, 3x3 depthwise layer and projection; open_of_8 as above, of the channels between the layers.
void count_block(const IsaKernels& isa, const char* name, int64_t ends, int64_t channels, int64_t size, int open_of_8) {
  BlockProblem p{};
  p.depthwise = {channels, size, size, channels, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, channels};
  p.channels_in = p.channels_out = ends;
  p.depthwise.output_size(&p.out_h, &p.out_w);
  const BlockPlan plan(p, isa, 256 << 10);
  const std::vector<float> weights(channels * (ends > 9 ? ends : 9), 1.0f), x(ends * size * size, 1.0f);
  const std::vector<float> ones(channels, 1.0f);
  std::vector<float> prepared(plan.prepared_floats()), scale(channels), y(ends * size * size);
  int64_t open = 0;
  for (int64_t c = 0; c < channels; ++c) open += (scale[c] = c % 8 < open_of_8 ? 1.0f : 0.0f) != 0.0f;
  BlockCall call{};
  call.batch = 1;
  call.x = call.residual = x.data();
  call.residual_is_map = true;
  call.weights = {weights.data(), weights.data(), ones.data(), weights.data()};
  call.scale = call.shift = scale.data();
  call.in_active = call.scale_project = call.shift_project = ones.data();
  call.expand = call.depthwise = call.act = {0.0f, 6.0f};
  call.y = y.data();
  plan.prepare(call.weights, prepared.data());
  call.prepared = prepared.data();
  if (!run_block(plan, call, Pool{nullptr, nullptr})) puts("memory");  // scratch memory grows here
  sanp_counted_block(&plan, &call);
  printf("%s\t%lld\tblock\n", name, static_cast<long long>(open * size * size * (2 * ends + 9)));
}

void count_layer(const IsaKernels& isa, const Layer& l) {
  const ConvShape s{l.ci,  l.size, l.size, l.co,  l.kernel, l.kernel, l.stride, l.stride,
                    l.pad, l.pad,  l.pad,  l.pad, 1,        1,        1};
  Plan plan(s, isa, l.winograd);
  if (l.bf16 && !plan.store_bf16(true)) puts("refused");
  const std::vector<float> x(l.ci * l.size * l.size, 1.0f), w(l.co * l.ci * l.kernel * l.kernel, 1.0f);
  std::vector<float> y(l.co * plan.pixels), shift(l.co), scale(l.co), active(l.ci);
  std::vector<float> prepared(static_cast<size_t>(plan.prepared_floats()));
  if (!prepared.empty()) plan.prepare(w.data(), prepared.data());
  for (int64_t i = 0; i < l.co; ++i) scale[i] = i * 5 % 8 < l.open_of_8;
  for (int64_t i = 0; i < l.ci; ++i) active[i] = i * 3 % 8 < l.open_of_8;
  const float zero = 0;
  const ConvCall c{1,     x.data(), w.data(), scale.data(), shift.data(), active.data(),  0, 0, 0,
                   &zero, false,    0.0f,     INFINITY,     y.data(),     prepared.data()};
  if (!run_conv(plan, c, Pool{nullptr, nullptr})) puts("memory");  // scratch memory grows here
  sanp_counted_conv(&plan, &c);
  const double share = l.open_of_8 / 8.0;
  printf("%s\t%.0f\t%s\n", l.name, share * share * l.ci * l.co * l.kernel * l.kernel * plan.pixels,
         algorithm_name(plan.algorithm));
}

void count_gate(const IsaKernels& isa) {
  const int64_t channels = 128, pixels = 64, hidden = 32, outputs = 128;
  const std::vector<float> x(channels * pixels, 1.0f), w1(hidden * channels, 0.1f), b1(hidden),
      w2(outputs * hidden, 0.1f), b2(outputs), bias(outputs), mask(outputs, 1.0f);
  std::vector<float> scale(outputs), shift(outputs);
  GateCall c{};
  c.batch = 1;
  c.channels = channels;
  c.pixels = pixels;
  c.hidden = hidden;
  c.outputs = outputs;
  c.x = x.data();
  c.w1 = w1.data();
  c.b1 = b1.data();
  c.w2 = w2.data();
  c.b2 = b2.data();
  c.bias = bias.data();
  c.mask = mask.data();
  c.scale = scale.data();
  c.shift = shift.data();
  if (!run_gate(isa, c, Pool{nullptr, nullptr})) puts("memory");
  sanp_counted_gate(&isa, &c);
  printf("gate, 128 @8\t%lld\tgate\n", static_cast<long long>(channels * pixels + hidden * (channels + outputs)));
}

}  // namespace

int main() {
  const IsaKernels* const isa = find_isa("avx2");
  if (isa == nullptr) return 2;
  printf("GCC %d\n", __GNUC__);
  for (const Layer& l : kLayers) count_layer(*isa, l);
  count_block(*isa, "block, 24-144-24 @28, all open", 24, 144, 28, 8);
  count_block(*isa, "block, 24-144-24 @28, half open", 24, 144, 28, 4);
  count_block(*isa, "block, 64-384-64 @7, half open", 64, 384, 7, 4);
  count_gate(*isa);
  return 0;
}
