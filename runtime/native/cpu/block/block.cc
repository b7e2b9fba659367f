// Runs a fused block: samples, strips of rows, packs of sixteen open channels.
#include "cpu/block/block.h"

#include <string.h>

#include "cpu/base/arena.h"
#include "cpu/base/masked_row.h"
#include "cpu/base/task_count.h"
#include "cpu/block/open_channels.h"

namespace sanp {
namespace {

constexpr size_t kPixelBytes = kPackLanes * sizeof(float);

// Bordered rows of the depthwise layer's input: sixteen channels, some rows, of which a strip keeps the last.
class BorderedRows {
 public:
  BorderedRows(const BlockPlan& plan, float* rows, int64_t count) : plan_(plan), rows_(rows), count_(count) {}

  // To be done once: kernels write between the borders only.
  void clear_borders() const {
    const ConvShape& s = plan_.shape;
    const int64_t right = s.pad_left + s.width;
    for (int64_t row = 0; row < count_; ++row) {
      memset(at(row, 0), 0, s.pad_left * kPixelBytes);
      if (right < plan_.width) memset(at(row, right), 0, (plan_.width - right) * kPixelBytes);
    }
  }
  // The last `kept` of `used` rows become the first.
  void keep(int64_t used, int64_t kept) const {
    if (kept > 0) memmove(at(0, 0), at(used - kept, 0), kept * plan_.width * kPixelBytes);
  }
  float* at(int64_t row, int64_t column) const { return rows_ + (row * plan_.width + column) * kPackLanes; }

 private:
  const BlockPlan& plan_;
  float* rows_;
  int64_t count_;
};

// Some rows of outputs, and the rows between the layers that they need.
struct Strip {
  int64_t first, rows;        // outputs
  int64_t in_first, in_rows;  // in front of the depthwise layer; they may begin above the map and end below it
  int64_t kept;               // of these, from the strip before
};

class SampleRun {
 public:
  SampleRun(const BlockPlan& plan, const BlockCall& call, int64_t n, const OpenChannels& open)
      : plan_(plan),
        call_(call),
        open_(open),
        weights_(plan.prepared(call.prepared)),
        rows_(plan.strip_rows(open.packs)) {
    x_ = call.x + n * plan.channels_in * plan.in_pixels();
    y_ = call.y + n * plan.channels_out * plan.out_pixels();
    residual_ = call.residual_is_map ? call.residual + n * plan.channels_out * plan.out_pixels() : nullptr;
    residual_value_ = call.residual_is_map ? 0.0f : call.residual[0];
    scale_project_ = call.scale_project + n * call.scale_project_step;
    shift_project_ = call.shift_project + n * call.shift_project_step;
    for (int64_t j = 0; j < kPackLanes; ++j) lanes_[j] = j * plan.out_pixels();
  }

  bool run(const Pool& pool) {
    one_strip_ = rows_ >= plan_.out_h;
    const int64_t packs = open_.packs, in_rows = plan_.rows_in(rows_);
    if (!plan_.within_offsets(1, in_rows * plan_.width) || !plan_.within_offsets(packs, rows_ * plan_.out_w))
      return false;
    // Rows and weights of one strip belong to a task; those of several are kept from one strip to the next.
    const int64_t between = packs * rows_ * plan_.out_w;
    const int64_t kept_rows = one_strip_ ? 0 : packs * in_rows * plan_.width;
    const int64_t kept_weights = one_strip_ ? 0 : packs * (plan_.channels_in + plan_.record);
    float* const memory = static_cast<float*>(pixel_arena().get((between + kept_rows + kept_weights) * kPixelBytes));
    if (memory == nullptr) return false;
    between_ = memory;
    kept_rows_ = between_ + between * kPackLanes;
    kept_weights_ = kept_rows_ + kept_rows * kPackLanes;
    open_.list_steps(rows_ * plan_.out_w);
    Strip strip{};
    for (int64_t first = 0; first < plan_.out_h; first += rows_) {
      next_strip(first, &strip);
      if (!expand(strip, pool)) return false;
      project(strip, pool);
    }
    fill_closed();
    return true;
  }

 private:
  void next_strip(int64_t first, Strip* s) const {
    const int64_t old_end = s->in_first + s->in_rows;
    const bool follows = first > 0;
    s->first = first;
    s->rows = rows_ < plan_.out_h - first ? rows_ : plan_.out_h - first;
    s->in_first = first * plan_.shape.stride_y - plan_.shape.pad_top;
    s->in_rows = plan_.rows_in(s->rows);
    s->kept = follows && old_end > s->in_first ? old_end - s->in_first : 0;
  }

  // Expansion and depthwise layer of every pack.
  bool expand(const Strip& s, const Pool& pool) {
    const int64_t packs = open_.packs;
    const int64_t work =
        packs * plan_.out_w * s.rows * (open_.n_inputs * plan_.shape.stride_x * plan_.shape.stride_y + plan_.taps);
    const size_t tasks = task_count(work, packs);
    return parallel_all(pool, tasks, [&](size_t index) {
      const int64_t begin = share(packs, index, tasks), end = share(packs, index + 1, tasks);
      return one_strip_ ? expand_whole(s, begin, end) : expand_strip(s, begin, end);
    });
  }

  bool expand_whole(const Strip& s, int64_t begin, int64_t end) {
    const int64_t weights = plan_.channels_in + plan_.record, pixels = s.in_rows * plan_.width;
    float* const memory = static_cast<float*>(block_arena().get((weights + pixels) * kPixelBytes));
    if (memory == nullptr) return false;
    const BorderedRows rows(plan_, memory + weights * kPackLanes, s.in_rows);
    rows.clear_borders();
    for (int64_t b = begin; b < end; ++b) {
      const float* row[kPackLanes];
      FetchRows next{};
      if (b + 1 < end) next = open_.fetched(b + 1, weights_, row);
      const OpenPack pack = open_.pack(b, weights_, memory, true, &next);
      compute(s, pack, rows, b, next);
    }
    return true;
  }

  bool expand_strip(const Strip& s, int64_t begin, int64_t end) {
    const int64_t weights = plan_.channels_in + plan_.record, count = plan_.rows_in(rows_);
    for (int64_t b = begin; b < end; ++b) {
      float* const own = kept_weights_ + b * weights * kPackLanes;
      const BorderedRows rows(plan_, kept_rows_ + b * count * plan_.width * kPackLanes, count);
      if (s.first == 0) rows.clear_borders();
      rows.keep(count, s.kept);
      FetchRows none{};
      compute(s, open_.pack(b, weights_, own, s.first == 0, &none), rows, b, none);
    }
    return true;
  }

  void compute(const Strip& s, const OpenPack& pack, const BorderedRows& rows, int64_t b, const FetchRows& next) {
    const ConvShape& shape = plan_.shape;
    int64_t begin = s.in_first + s.kept, end = s.in_first + s.in_rows;
    begin = begin < 0 ? 0 : begin;
    end = end > shape.height ? shape.height : end;
    if (begin < end) {
      ExpandCall e{};
      e.x = x_ + begin * shape.width;
      e.x_step = plan_.in_pixels();
      e.steps = open_.inputs;
      e.n_steps = open_.n_inputs;
      e.w = pack.expand;
      e.scale = pack.scale;
      e.shift = pack.shift;
      e.low = call_.expand.low;
      e.high = call_.expand.high;
      e.y = rows.at(begin - s.in_first, shape.pad_left);
      e.at = plan_.at();
      e.next = next;
      expand_pixels(e, (end - begin) * shape.width);
    }
    DepthwiseBlockCall d{};
    d.x = rows.at(0, 0);
    d.x_row = shape.stride_y * plan_.width * kPackLanes;
    d.x_step = shape.stride_x * kPackLanes;
    d.tap_row = shape.dilation_y * plan_.width * kPackLanes;
    d.tap_step = shape.dilation_x * kPackLanes;
    d.w = pack.record;
    d.low = call_.depthwise.low;
    d.high = call_.depthwise.high;
    d.taps_h = static_cast<int32_t>(shape.kernel_h);
    d.taps_w = static_cast<int32_t>(shape.kernel_w);
    const int64_t map_begin = -s.in_first, map_end = shape.height - s.in_first;
    d.first_row = static_cast<int32_t>(map_begin < 0 ? 0 : map_begin);
    d.end_row = static_cast<int32_t>(map_end < s.in_rows ? map_end : s.in_rows);
    d.row_step = static_cast<int32_t>(shape.stride_y);
    d.tap_rows = static_cast<int32_t>(shape.dilation_y);
    d.rows = static_cast<int32_t>(s.rows);
    d.columns = static_cast<int32_t>(plan_.out_w);
    d.y = between_ + b * rows_ * plan_.out_w * kPackLanes;
    plan_.isa->block.depthwise(d);
  }

  void expand_pixels(ExpandCall e, int64_t pixels) const {
    const BlockKernels& k = plan_.isa->block;
    const int64_t tiles = (pixels + k.expand_pixels - 1) / k.expand_pixels;
    const float* const x = e.x;
    const int32_t* const at = e.at;
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const int64_t first = share(pixels, tile, tiles), count = share(pixels, tile + 1, tiles) - first;
      e.x = x + first;
      e.at = at + first;
      k.expand[count](e);
      e.next = {};
    }
  }

  // Every output channel of a strip.
  void project(const Strip& s, const Pool& pool) const {
    const BlockKernels& k = plan_.isa->block;
    const int64_t pixels = s.rows * plan_.out_w, lanes = plan_.isa->lanes;
    // Two vectors share the broadcast of a pixel where that is an instruction of its own. With AVX-512 one is faster
    // for maps of any size: two took 2 to 5 % more in networks whose last maps have nine pixels.
    const int64_t vecs = lanes < 16 ? 2 : 1;
    const int64_t whole = plan_.channels_out / (vecs * lanes), rest = plan_.channels_out % (vecs * lanes);
    const int64_t rest_vecs = (rest + lanes - 1) / lanes;
    auto tiles_of = [&](int64_t v) { return v == 0 ? 0 : (pixels + k.project_pixels[v] - 1) / k.project_pixels[v]; };
    const int64_t tiles = tiles_of(vecs), rest_tiles = tiles_of(rest_vecs), jobs = whole * tiles + rest_tiles;
    const size_t tasks = task_count((whole * vecs + rest_vecs) * pixels * open_.n_steps, jobs);
    auto task = [&](size_t index) {
      const int64_t end = share(jobs, index + 1, tasks);
      for (int64_t job = share(jobs, index, tasks); job < end; ++job) {
        const bool in_rest = job >= whole * tiles;
        const int64_t part = in_rest ? whole : job / tiles, tile = job - part * tiles;
        const int64_t count = in_rest ? rest_tiles : tiles;
        const Span span{share(pixels, tile, count), share(pixels, tile + 1, count)};
        project_tile(s, part * vecs * lanes, in_rest ? rest_vecs : vecs, span, tile + 1 == count);
      }
    };
    parallel_for(pool, tasks, task);
  }

  struct Span {
    int64_t begin, end;  // pixels of a strip
  };

  // Some vectors of output channels from `first` on; last: whether the next ones follow.
  void project_tile(const Strip& s, int64_t first, int64_t vecs, const Span& span, bool last) const {
    const int64_t lanes = vecs * plan_.isa->lanes, left = plan_.channels_out - first;
    const int64_t at = first * plan_.out_pixels() + s.first * plan_.out_w + span.begin;
    ChannelsCall c{};
    c.x = between_ + span.begin * kPackLanes;
    c.x_step = 1;
    c.steps = open_.steps;
    c.n_steps = open_.n_steps;
    c.w = weights_.project + first;
    c.w_step = plan_.out_row;
    c.next_w = c.w + (last && left > lanes ? lanes : 0);
    // Rows of open channels lie apart; whole ones are fetched faster than parts of them, one after the other.
    const bool coldest = s.first == 0 && first == 0 && span.begin == 0;
    c.fetch_lines = coldest ? static_cast<int32_t>(plan_.out_row / kPackLanes) : 1;
    c.outputs = static_cast<int32_t>(left < lanes ? left : lanes);
    c.scale = scale_project_ + first;
    c.shift = shift_project_ + first;
    c.shift_more = residual_value_;
    c.y = y_ + at;
    c.y_step = plan_.out_pixels();
    c.at = lanes_;
    c.residual = residual_ ? residual_ + at : nullptr;
    c.act_min = call_.act.low;
    c.act_max = call_.act.high;
    plan_.isa->block.project[vecs][span.end - span.begin](c);
  }

  // What was computed for output channels that are masked goes: a weight of theirs may be infinite.
  void fill_closed() const {
    const int64_t pixels = plan_.out_pixels();
    for (int64_t o = 0; o < plan_.channels_out; ++o) {
      if (scale_project_[o] != 0.0f) continue;
      fill_masked_row(shift_project_[o] + residual_value_, residual_ ? residual_ + o * pixels : nullptr, pixels,
                      call_.act.low, call_.act.high, y_ + o * pixels);
    }
  }

  const BlockPlan& plan_;
  const BlockCall& call_;
  const OpenChannels& open_;
  const PreparedBlock weights_;
  const int64_t rows_;  // of a strip
  bool one_strip_ = false;
  const float* x_;
  float* y_;
  const float* residual_;
  float residual_value_;
  const float *scale_project_, *shift_project_;
  ptrdiff_t lanes_[kPackLanes];
  float *between_ = nullptr, *kept_rows_ = nullptr, *kept_weights_ = nullptr;
};

bool run_sample(const BlockPlan& plan, const BlockCall& call, int64_t n, const Pool& pool) {
  void* const memory = list_arena().get(OpenChannels::bytes(plan));
  if (memory == nullptr) return false;
  const OpenChannels open(plan, call, n, memory);
  return SampleRun(plan, call, n, open).run(pool);
}

}  // namespace

bool run_block(const BlockPlan& plan, const BlockCall& call, const Pool& pool) {
  return each_sample(call.batch, pool, [&](int64_t n, const Pool& own) { return run_sample(plan, call, n, own); });
}

}  // namespace sanp
