// Sizes of a fused block, and its weights turned once.
#include "cpu/block/block_plan.h"

#include <string.h>
#include <unistd.h>

namespace sanp {
namespace {

constexpr int64_t kPixelBytes = kPackLanes * sizeof(float);

// Processors whose second-level cache is not known have at least this for each core, but for the smallest.
constexpr int64_t kUsualCacheBytes = 512 << 10;

int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t at_least(int64_t a, int64_t b) { return a > b ? a : b; }

// Rows of `columns` floats, sixteen of them side by side.
void turn(const float* rows, int64_t channels, int64_t columns, float* out) {
  for (int64_t first = 0; first < channels; first += kPackLanes)
    for (int64_t i = 0; i < columns; ++i)
      for (int64_t j = first; j < first + kPackLanes; ++j) *out++ = j < channels ? rows[j * columns + i] : 0.0f;
}

}  // namespace

int64_t strip_cache_bytes() {
  long bytes = 0;
#if defined(_SC_LEVEL2_CACHE_SIZE)
  bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
  return (bytes > 0 ? bytes : kUsualCacheBytes) / 4 * 3;
}

BlockPlan::BlockPlan(const BlockProblem& p, const IsaKernels& kernels, int64_t cache_bytes)
    : isa(&kernels),
      shape(p.depthwise),
      channels(p.depthwise.channels_in),
      channels_in(p.channels_in),
      channels_out(p.channels_out),
      out_h(p.out_h),
      out_w(p.out_w),
      taps(shape.kernel_h * shape.kernel_w),
      record((taps + 4) / 4 * 4),
      width(at_least(shape.pad_left + shape.width,
                     (out_w - 1) * shape.stride_x + (shape.kernel_w - 1) * shape.dilation_x + 1)),
      out_row((channels_out + kPackLanes - 1) / kPackLanes * kPackLanes),
      cache_pixels_(cache_bytes / kPixelBytes) {
  if (!within_offsets(1, rows_in(1) * width)) return;
  // No strip has more rows than one of the fewest open channels.
  const int64_t rows = at_most(rows_in(strip_rows(1)), shape.height);
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t column = 0; column < shape.width; ++column)
      at_.push_back(static_cast<int32_t>((row * width + column) * kPackLanes));
}

bool BlockPlan::fits(const BlockProblem& p) const {
  return shape == p.depthwise && channels_in == p.channels_in && channels_out == p.channels_out;
}

bool BlockPlan::within_offsets(int64_t packs, int64_t pixels) const {
  return pixels <= kMaxOffset / kPackLanes / at_least(1, packs);
}

int64_t BlockPlan::strip_rows(int64_t packs) const {
  packs = at_least(1, packs);
  if (packs * out_pixels() + rows_in(out_h) * width <= cache_pixels_) return out_h;
  const int64_t kept = rows_in(1) - shape.stride_y, row = shape.stride_y * width + out_w;
  const int64_t rows = at_least(1, (cache_pixels_ / packs - kept * width) / row);
  const int64_t strips = (out_h + rows - 1) / rows;
  return (out_h + strips - 1) / strips;  // nearly equal ones
}

int64_t BlockPlan::prepared_floats() const {
  const int64_t turned = turned_packs() * kPackLanes;
  return turned * (channels_in + record) + channels * record + channels * out_row;
}

PreparedBlock BlockPlan::prepared(const float* floats) const {
  PreparedBlock p{};
  const int64_t turned = turned_packs() * kPackLanes;
  p.expand = floats;
  p.turned = p.expand + turned * channels_in;
  p.project = p.turned + turned * record;
  p.records = p.project + channels * out_row;
  return p;
}

void BlockPlan::prepare(const BlockWeights& weights, float* out) const {
  const PreparedBlock p = prepared(out);
  float* const records = out + (p.records - out);
  for (int64_t c = 0; c < channels; ++c) {
    float* const record_of = records + c * record;
    memcpy(record_of, weights.depthwise + c * taps, taps * sizeof(float));
    record_of[taps] = weights.bias[c];
    for (int64_t i = taps + 1; i < record; ++i) record_of[i] = 0.0f;
  }
  turn(weights.expand, channels, channels_in, out);
  turn(records, channels, record, out + (p.turned - out));
  float* project = out + (p.project - out);
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t o = 0; o < out_row; ++o) *project++ = o < channels_out ? weights.project[o * channels + c] : 0.0f;
}

}  // namespace sanp
