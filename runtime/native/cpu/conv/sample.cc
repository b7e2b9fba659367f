// Builds the lists of one sample and fills its masked channels.
#include "cpu/conv/sample.h"

#include "cpu/base/carver.h"
#include "cpu/base/masked_row.h"

namespace sanp {
namespace {

Carver carve(const Plan& plan, void* memory, Sample* s) {
  const int64_t co = plan.shape.channels_out, groups = plan.shape.group;
  Carver c{static_cast<char*>(memory)};
  s->rows.w = c.take<const void*>(co + kMaxMr);  // a prefetch may look one block too far
  s->rows.y = c.take<float*>(co + 1);
  s->rows.residual = c.take<const float*>(co + 1);
  s->rows.scale = c.take<float>(co + 1);
  s->rows.shift = c.take<float>(co + 1);
  s->masked = c.take<int32_t>(co + 1);
  s->row_begin = c.take<int32_t>(groups + 1);
  s->step_begin = c.take<int32_t>(groups + 1);
  s->steps = c.take<Step>(plan.shape.channels_in + 1);
  return c;
}

// Entries are written always and counted when open: random masks mispredict a branch on every second channel, which
// took 2 us for 512 + 512 channels. The arrays have one entry to spare for the last one.
void list_channels(const Plan& plan, const float* active, Sample* s) {
  int32_t steps = 0;
  for (int64_t g = 0; g < plan.shape.group; ++g) {
    s->step_begin[g] = steps;
    for (int64_t i = 0; i < plan.group_in; ++i) {
      s->steps[steps] = {static_cast<int32_t>(i), static_cast<int32_t>(i * plan.weights.cell_floats)};
      steps += active[g * plan.group_in + i] != 0.0f;
    }
  }
  s->step_begin[plan.shape.group] = steps;
}

void list_rows(const Plan& plan, const float* scale, Sample* s) {
  const bool float32 = plan.weights.kind != kFloatWeights && s->step_begin[plan.shape.group] > plan.weights.bf16_steps;
  const bool prepared = plan.prepared_rows() && !float32;
  const float* const w = prepared ? static_cast<const float*>(s->call->prepared) : s->call->w;
  const int64_t row_floats = prepared ? plan.weights.row_floats : plan.row_weights();
  s->weights = float32 ? kFloatWeights : plan.weights.kind;
  s->n_masked = 0;
  int32_t rows = 0;
  for (int64_t g = 0; g < plan.shape.group; ++g) {
    s->row_begin[g] = rows;
    for (int64_t o = g * plan.group_out; o < (g + 1) * plan.group_out; ++o) {
      const bool open = scale[o] != 0.0f;
      s->masked[s->n_masked] = static_cast<int32_t>(o);
      s->n_masked += !open;
      s->rows.w[rows] = w + o * row_floats;
      s->rows.y[rows] = s->y + o * plan.pixels;
      s->rows.residual[rows] = s->residual ? s->residual + o * plan.pixels : nullptr;
      s->rows.scale[rows] = scale[o];
      s->rows.shift[rows] = s->shift[o] + s->residual_value;
      rows += open;
    }
  }
  s->row_begin[plan.shape.group] = rows;
}

}  // namespace

size_t sample_bytes(const Plan& plan) {
  Sample s;
  return static_cast<size_t>(carve(plan, nullptr, &s).at - static_cast<char*>(nullptr));
}

void find_sample(const Plan& plan, const ConvCall& call, int64_t n, Sample* s) {
  const ConvShape& shape = plan.shape;
  const int64_t out_floats = shape.channels_out * plan.pixels;
  s->plan = &plan;
  s->call = &call;
  s->x = call.x + n * shape.channels_in * shape.height * shape.width;
  s->scale = call.scale + n * call.scale_step;
  s->active = call.in_active + n * call.in_active_step;
  s->shift = call.shift + n * call.shift_step;
  s->y = call.y + n * out_floats;
  s->residual = call.residual_is_map ? call.residual + n * out_floats : nullptr;
  s->residual_value = call.residual_is_map ? 0.0f : call.residual[0];
}

void list_sample(void* memory, Sample* s) {
  const Plan& plan = *s->plan;
  carve(plan, memory, s);
  list_channels(plan, s->active, s);
  list_rows(plan, s->scale, s);
  const Rows& rows = s->rows;
  s->end = {rows.scale, rows.shift, rows.y, s->residual ? rows.residual : nullptr, s->call->act_min, s->call->act_max};
}

void fill_channel(const Sample& s, int64_t o) {
  const int64_t at = o * s.plan->pixels;
  fill_masked_row(s.shift[o] + s.residual_value, s.residual ? s.residual + at : nullptr, s.plan->pixels,
                  s.call->act_min, s.call->act_max, s.y + at);
}

void fill_masked(const Sample& s, size_t index, size_t count) {
  const int64_t end = share(s.n_masked, index + 1, count);
  for (int64_t j = share(s.n_masked, index, count); j < end; ++j) fill_channel(s, s.masked[j]);
}

}  // namespace sanp
