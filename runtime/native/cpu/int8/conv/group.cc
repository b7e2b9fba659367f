// Lists the rows and channels of a group, and computes what no product is needed for.
#include "cpu/int8/conv/group.h"

#include <string.h>

#include <algorithm>

namespace sanp {
namespace {

constexpr size_t kAlign = 64;

template <class T>
T* take(char** at, int64_t n) {
  T* const taken = reinterpret_cast<T*>(*at);
  *at += (static_cast<size_t>(n) * sizeof(T) + kAlign - 1) / kAlign * kAlign;
  return taken;
}

int64_t mask_words(const Int8Plan& plan) { return plan.group_in / 64 + 1; }

}  // namespace

size_t Int8Group::bytes(const Int8Plan& p) {
  const size_t rows = static_cast<size_t>(p.group_out), n = static_cast<size_t>(p.group_in);
  return rows * (3 * sizeof(void*) + 2 * sizeof(float) + 2 * sizeof(int32_t)) + n * sizeof(int32_t) +
         static_cast<size_t>(mask_words(p)) * sizeof(uint64_t) + 16 * kAlign;
}

Int8Group::Int8Group(const Int8Plan& p, const Int8Call& c, int64_t n, int64_t g, void* memory) : plan(p), call(c) {
  const ConvShape& s = p.shape;
  char* at = static_cast<char*>(memory);
  x = c.x + (n * s.channels_in + g * p.group_in) * s.height * s.width;
  row0_ = g * p.group_out;
  sample_ = n;

  uint64_t* const masks = take<uint64_t>(&at, mask_words(p));
  int32_t* const list = take<int32_t>(&at, p.group_in);
  memset(masks, 0, static_cast<size_t>(mask_words(p)) * sizeof *masks);
  const float* const in_active = c.in_active + n * c.in_active_step + g * p.group_in;
  int32_t count = 0;
  for (int64_t i = 0; i < p.group_in; ++i) {
    const bool open = in_active[i] != 0.0f;
    list[count] = static_cast<int32_t>(i);
    masks[i / 64] |= uint64_t{open} << i % 64;
    count += open;
  }
  active = {masks, list, count};
  compress = p.compresses(count);
  tap_step = compress ? Int8Plan::quads(count) * kQuad : p.tap_channels;
  sum_factor = (p.isa->flip ? 128 : 0) - c.x_zero;

  w = take<const int8_t*>(&at, p.group_out);
  correction = take<int32_t>(&at, p.group_out);
  closed_ = take<int32_t>(&at, p.group_out);
  float* const factor = take<float>(&at, p.group_out);
  float* const shift = take<float>(&at, p.group_out);
  uint8_t** const y = take<uint8_t*>(&at, p.group_out);
  const uint8_t** const residual = take<const uint8_t*>(&at, p.group_out);
  const float* const scales = c.scale + n * c.scale_step;
  const float* const shifts = c.shift + n * c.shift_step;
  const float inverse = 1.0f / c.y_scale;
  n_open = n_closed = 0;
  // Every entry is written and kept if it belongs to the list: a mask cannot be predicted.
  for (int64_t o = row0_; o < row0_ + p.group_out; ++o) {
    const bool open = scales[o] != 0.0f;
    const int64_t plane = (n * s.channels_out + o) * p.pixels;
    w[n_open] = c.w + o * p.row_step;
    correction[n_open] = sum_factor * c.w_sums[o];
    factor[n_open] = c.x_scale * c.w_scale[o] * scales[o] * inverse;
    shift[n_open] = shifts[o] * inverse;
    y[n_open] = c.y + plane;
    residual[n_open] = c.residual + (c.residual_is_map ? plane : 0);
    closed_[n_closed] = static_cast<int32_t>(o);
    n_open += open;
    n_closed += !open;
  }
  // One element is added to the shift, so that kernels read maps or nothing.
  if (!c.residual_is_map && *c.residual != c.residual_zero) {
    const float same = static_cast<float>(*c.residual - c.residual_zero) * (c.residual_scale * inverse);
    for (int32_t m = 0; m < n_open; ++m) shift[m] += same;
  }
  end = {factor,
         shift,
         correction,
         y,
         c.residual_is_map ? residual : nullptr,
         c.residual_scale * inverse,
         static_cast<float>(c.residual_zero),
         std::max(c.act_min * inverse, static_cast<float>(-c.y_zero)),
         std::min(c.act_max * inverse, static_cast<float>(255 - c.y_zero)),
         c.y_zero};
  // Bounds that a byte does not reach leave its nearest end.
  end.low = std::min(end.low, static_cast<float>(255 - c.y_zero));
  end.high = std::max(end.high, static_cast<float>(-c.y_zero));
}

const uint8_t* Int8Group::channel(int64_t i, const uint8_t* zeros) const {
  const int64_t plane = plan.shape.height * plan.shape.width;
  if (compress) return i < active.count ? x + active.list[i] * plane : zeros;
  return i < plan.group_in && (active.masks[i / 64] >> i % 64 & 1) ? x + i * plane : zeros;
}

void Int8Group::compress_rows(int32_t first, int32_t last, int8_t* out) const {
  const int64_t step = plan.inputs_step(tap_step);
  const int taps = static_cast<int>(plan.n_taps);
  for (int32_t m = first; m < last; ++m, out += step) {
    plan.isa->compress(w[m], taps, plan.tap_channels, active, out);
    if (plan.dot) memset(out + plan.n_taps * tap_step, 0, static_cast<size_t>(step - plan.n_taps * tap_step));
    w[m] = out;
    if (sum_factor != 0) correction[m] = sum_factor * plan.isa->sum_weights(out, plan.n_taps * tap_step);
  }
}

void Int8Group::fill_closed(size_t index, size_t count) const {
  const float inverse = 1.0f / call.y_scale;
  const float* const shifts = call.shift + sample_ * call.shift_step;
  const int32_t stop = share(n_closed, index + 1, count);
  for (int32_t i = share(n_closed, index, count); i < stop; ++i) {
    const int64_t o = closed_[i], plane = (sample_ * plan.shape.channels_out + o) * plan.pixels;
    const float shift = shifts[o] * inverse;
    if (!call.residual_is_map) {
      uint8_t byte;
      plan.isa->finish_closed(end, shift, call.residual, &byte, 1);
      memset(call.y + plane, byte, static_cast<size_t>(plan.pixels));
      continue;
    }
    const uint8_t* const r = call.residual + plane;
    if (shift == 0.0f && end.residual_factor == 1.0f && call.residual_zero == end.zero && end.zero == 0 &&
        end.low == 0.0f && end.high == 255.0f) {
      memcpy(call.y + plane, r, static_cast<size_t>(plan.pixels));
      continue;
    }
    plan.isa->finish_closed(end, shift, r, call.y + plane, plan.pixels);
  }
}

}  // namespace sanp
