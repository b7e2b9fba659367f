// Runs the channel gate sample by sample; the sums are in gate_inl.h.
#include "cpu/gate/gate.h"

#include <string.h>

#include <algorithm>

#include "cpu/base/arena.h"

namespace sanp {
namespace {

// A saliency is never negative, so the bits of two of them compare like the numbers. NaN sorts above all numbers, which
// keeps the order total: nth_element may run past its range on a comparison that is not.
uint32_t sort_key(float s) {
  uint32_t bits;
  memcpy(&bits, &s, sizeof bits);
  return bits & 0x7fffffffu;
}

float key_value(uint32_t key) {
  float s;
  memcpy(&s, &key, sizeof s);
  return s;
}

// max(threshold, the k+1-th largest saliency).
float gate_level(const GateCall& c, const float* s, uint32_t* keys) {
  if (c.k == 0) return c.threshold;
  for (int64_t o = 0; o < c.outputs; ++o) keys[o] = sort_key(s[o]);
  std::nth_element(keys, keys + c.k, keys + c.outputs, [](uint32_t a, uint32_t b) { return a > b; });
  const float next = key_value(keys[c.k]);
  return next > c.threshold ? next : c.threshold;
}

// z has room for the sums that it is made of.
void byte_means(const GateCall& c, const uint8_t* x, float* z) {
  int32_t* const sums = reinterpret_cast<int32_t*>(z);
  c.channel_sums(x, c.channels, c.pixels, sums);
  const float step = c.x_scale / static_cast<float>(c.pixels);
  for (int64_t i = 0; i < c.channels; ++i) {
    int32_t sum;
    memcpy(&sum, sums + i, sizeof sum);
    const float mean = static_cast<float>(sum - c.x_zero * static_cast<int32_t>(c.pixels)) * step;
    memcpy(z + i, &mean, sizeof mean);
  }
}

void gate_sample(const IsaKernels& isa, const GateCall& c, int64_t n, float* z, float* hidden, float* s,
                 uint32_t* keys) {
  if (c.bytes == nullptr)
    isa.channel_means(c.x + n * c.channels * c.pixels, c.channels, c.pixels, z);
  else
    byte_means(c, c.bytes + n * c.channels * c.pixels, z);
  if (c.hidden > 0) {
    isa.dense_relu(c.w1, c.b1, z, c.hidden, c.channels, hidden);
    isa.dense_relu(c.w2, c.b2, hidden, c.outputs, c.hidden, s);
  } else {
    isa.dense_relu(c.w2, c.b2, z, c.outputs, c.channels, s);
  }
  const float level = gate_level(c, s, keys);
  const float* const mask = c.mask + n * c.mask_step;
  float* const scale = c.scale + n * c.outputs;
  float* const shift = c.shift + n * c.outputs;
  for (int64_t o = 0; o < c.outputs; ++o) {
    const float open = s[o] > level ? 1.0f : 0.0f;
    scale[o] = s[o] * open * mask[o];
    shift[o] = scale[o] * c.bias[o];
    if (c.offset != nullptr && scale[o] != 0.0f) shift[o] += c.offset[o];
  }
}

}  // namespace

bool run_gate(const IsaKernels& isa, const GateCall& c, const Pool& pool) {
  const size_t floats = static_cast<size_t>(c.channels + c.hidden + 2 * c.outputs);
  return parallel_all(pool, static_cast<size_t>(c.batch), [&](size_t n) {
    float* const z = static_cast<float*>(list_arena().get(floats * sizeof(float)));
    if (z == nullptr) return false;
    float* const hidden = z + c.channels;
    float* const s = hidden + c.hidden;
    gate_sample(isa, c, static_cast<int64_t>(n), z, hidden, s, reinterpret_cast<uint32_t*>(s + c.outputs));
    return true;
  });
}

}  // namespace sanp
