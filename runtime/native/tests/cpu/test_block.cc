// The fused block on random shapes and masks, against double precision, on every instruction set and number of threads.
#include <float.h>
#include <math.h>

#include <random>
#include <thread>

#include "cpu/block/block.h"
#include "tests/cpu/conv_case.h"

namespace sanp {
namespace test {
namespace {

struct BlockSizes {
  int64_t batch, channels_in, channels, channels_out, height, width, kernel_h, kernel_w, stride, pad, dilation;
};

std::string describe(const BlockSizes& s) {
  char text[200];
  snprintf(text, sizeof text, "%lld x %lld-%lld-%lld @%lldx%lld, %lldx%lld/%lld, pad %lld, dilation %lld",
           static_cast<long long>(s.batch), static_cast<long long>(s.channels_in), static_cast<long long>(s.channels),
           static_cast<long long>(s.channels_out), static_cast<long long>(s.height), static_cast<long long>(s.width),
           static_cast<long long>(s.kernel_h), static_cast<long long>(s.kernel_w), static_cast<long long>(s.stride),
           static_cast<long long>(s.pad), static_cast<long long>(s.dilation));
  return text;
}

// How many channels are open.
enum class Open { kAll, kHalf, kFew, kNone };

class BlockCase {
 public:
  BlockCase(const BlockSizes& s, Open open, uint32_t seed)
      : s_(s),
        rng_(seed),
        x_(s.batch * s.channels_in * s.height * s.width),
        expand_(s.channels * s.channels_in),
        depthwise_(s.channels * s.kernel_h * s.kernel_w),
        bias_(s.channels),
        project_(s.channels_out * s.channels),
        scale_(s.batch * s.channels),
        shift_(s.batch * s.channels),
        active_(s.batch * s.channels_in),
        scale_project_(s.batch * s.channels_out),
        shift_project_(s.batch * s.channels_out) {
    for (GuardedFloats* all : {&x_, &expand_, &depthwise_, &bias_, &project_, &shift_project_})
      for (size_t i = 0; i < all->size(); ++i) (*all)[i] = uniform(-1, 1);
    for (size_t i = 0; i < scale_.size(); ++i) {
      const bool is_open =
          open == Open::kAll || (open == Open::kHalf && rng_() & 1) || (open == Open::kFew && rng_() % 9 == 0);
      scale_[i] = is_open ? uniform(0.5, 1.5) : 0.0f;
      shift_[i] = is_open ? uniform(-1, 1) : 0.0f;
    }
    for (size_t i = 0; i < active_.size(); ++i) active_[i] = rng_() % 5 ? 1.0f : 0.0f;
    for (size_t i = 0; i < scale_project_.size(); ++i) scale_project_[i] = rng_() % 5 ? uniform(0.5, 1.5) : 0.0f;
    // What must not be read, or not show.
    const int64_t map = s.height * s.width;
    for (size_t i = 0; i < active_.size(); ++i)
      for (int64_t p = 0; active_[i] == 0.0f && p < map; ++p) x_[i * map + p] = NAN;
    for (int64_t c = 0; c < s.channels; ++c) {
      bool used = false;
      for (int64_t n = 0; n < s.batch; ++n) used |= scale_[n * s.channels + c] != 0.0f;
      if (!used) expand_[c * s.channels_in] = depthwise_[c * s.kernel_h * s.kernel_w] = project_[c] = NAN;
    }
    problem();
    residual_.resize(rng_() & 1 ? s.batch * s.channels_out * out_h_ * out_w_ : 1);
    for (float& r : residual_) r = uniform(-1, 1);
  }

  // cache: bytes that a strip may take.
  void check(const IsaKernels& isa, const Pool& pool, int64_t cache) {
    const BlockPlan plan(problem(), isa, cache);
    std::vector<float> prepared(plan.prepared_floats());
    const BlockWeights weights{expand_.data(), depthwise_.data(), bias_.data(), project_.data()};
    plan.prepare(weights, prepared.data());
    GuardedFloats y(s_.batch * s_.channels_out * out_h_ * out_w_, NAN);
    BlockCall call{};
    call.batch = s_.batch;
    call.x = x_.data();
    call.weights = weights;
    call.prepared = prepared.data();
    call.scale = scale_.data();
    call.shift = shift_.data();
    call.in_active = active_.data();
    call.scale_project = scale_project_.data();
    call.shift_project = shift_project_.data();
    call.scale_step = call.shift_step = s_.channels;
    call.in_active_step = s_.channels_in;
    call.scale_project_step = call.shift_project_step = s_.channels_out;
    call.residual = residual_.data();
    call.residual_is_map = residual_.size() > 1;
    call.expand = expand_bounds_;
    call.depthwise = depthwise_bounds_;
    call.act = act_;
    call.y = y.data();
    if (!run_block(plan, call, pool)) fail("memory");
    const std::string where = std::string(isa.name) + ": " + describe(s_);
    for (int64_t n = 0; n < s_.batch; ++n) compare(n, y, where);
  }

 private:
  float uniform(double low, double high) {
    return static_cast<float>(std::uniform_real_distribution<double>(low, high)(rng_));
  }
  static double clamp(double v, const ClampBounds& b) { return v < b.low ? b.low : v > b.high ? b.high : v; }

  BlockProblem problem() {
    BlockProblem p{};
    p.depthwise = {s_.channels, s_.height, s_.width, s_.channels, s_.kernel_h, s_.kernel_w, s_.stride,  s_.stride,
                   s_.pad,      s_.pad,    s_.pad,   s_.pad,      s_.dilation, s_.dilation, s_.channels};
    p.channels_in = s_.channels_in;
    p.channels_out = s_.channels_out;
    if (!p.depthwise.output_size(&out_h_, &out_w_)) fail("the test made a shape without output: " + describe(s_));
    p.out_h = out_h_;
    p.out_w = out_w_;
    return p;
  }

  // Values and the magnitudes that rounding errors scale with, layer by layer.
  void compare(int64_t n, const GuardedFloats& y, const std::string& where) const {
    const int64_t map = s_.height * s_.width, out = out_h_ * out_w_;
    std::vector<double> sum(s_.channels_out * out), size(sum.size());
    std::vector<double> e(map), e_size(map);
    for (int64_t c = 0; c < s_.channels; ++c) {
      if (scale_[n * s_.channels + c] == 0.0f) continue;
      expansion(n, c, &e, &e_size);
      for (int64_t p = 0; p < out; ++p) {
        double d = bias_[c], d_size = fabs(d);
        for (int64_t ky = 0; ky < s_.kernel_h; ++ky)
          for (int64_t kx = 0; kx < s_.kernel_w; ++kx) {
            const int64_t row = p / out_w_ * s_.stride - s_.pad + ky * s_.dilation;
            const int64_t column = p % out_w_ * s_.stride - s_.pad + kx * s_.dilation;
            if (row < 0 || row >= s_.height || column < 0 || column >= s_.width) continue;
            const double w = depthwise_[(c * s_.kernel_h + ky) * s_.kernel_w + kx];
            d += w * e[row * s_.width + column];
            d_size += fabs(w) * e_size[row * s_.width + column];
          }
        d = clamp(d, depthwise_bounds_);
        for (int64_t o = 0; o < s_.channels_out; ++o) {
          const double w = project_[o * s_.channels + c];
          sum[o * out + p] += w * d;
          size[o * out + p] += fabs(w) * d_size;
        }
      }
    }
    const double terms = static_cast<double>(s_.channels_in + s_.kernel_h * s_.kernel_w + s_.channels + 8);
    for (int64_t o = 0; o < s_.channels_out; ++o)
      for (int64_t p = 0; p < out; ++p) {
        const double scale = scale_project_[n * s_.channels_out + o], shift = shift_project_[n * s_.channels_out + o];
        const int64_t at = (n * s_.channels_out + o) * out + p;
        const double residual = residual_[residual_.size() > 1 ? at : 0];
        const double value = clamp((scale == 0.0 ? 0.0 : scale * sum[o * out + p]) + shift + residual, act_);
        const double bound = terms * FLT_EPSILON * (fabs(scale) * size[o * out + p] + fabs(shift) + fabs(residual));
        if (!(fabs(y.data()[at] - value) <= bound)) {
          char text[160];
          snprintf(text, sizeof text, ": sample %lld, channel %lld, pixel %lld is %.9g, expected %.9g within %.3g",
                   static_cast<long long>(n), static_cast<long long>(o), static_cast<long long>(p),
                   static_cast<double>(y.data()[at]), value, bound);
          fail(where + text);
        }
      }
  }

  void expansion(int64_t n, int64_t c, std::vector<double>* e, std::vector<double>* size) const {
    const int64_t map = s_.height * s_.width;
    const double scale = scale_[n * s_.channels + c], shift = shift_[n * s_.channels + c];
    for (int64_t p = 0; p < map; ++p) {
      double v = 0, magnitude = 0;
      for (int64_t i = 0; i < s_.channels_in; ++i) {
        if (active_[n * s_.channels_in + i] == 0.0f) continue;
        const double product =
            double{expand_.data()[c * s_.channels_in + i]} * double{x_.data()[(n * s_.channels_in + i) * map + p]};
        v += product;
        magnitude += fabs(product);
      }
      (*e)[p] = clamp(scale * v + shift, expand_bounds_);
      (*size)[p] = scale * magnitude + fabs(shift);
    }
  }

  BlockSizes s_;
  std::mt19937 rng_;
  GuardedFloats x_, expand_, depthwise_, bias_, project_, scale_, shift_, active_, scale_project_, shift_project_;
  std::vector<float> residual_;
  ClampBounds expand_bounds_{0.0f, 2.0f}, depthwise_bounds_{-1.0f, 3.0f}, act_{-6.0f, 6.0f};
  int64_t out_h_ = 0, out_w_ = 0;
};

const Pool kAlone{nullptr, nullptr};
const Pool kThreads{[](void*, Pool::Task task, size_t count, void* arg) {
                      std::vector<std::thread> all;
                      for (size_t i = 0; i < count; ++i) all.emplace_back(task, arg, i);
                      for (std::thread& t : all) t.join();
                    },
                    nullptr};

void check_all(const BlockSizes& s, std::mt19937& rng, const Pool& pool = kAlone) {
  for (Open open : {Open::kAll, Open::kHalf, Open::kFew, Open::kNone}) {
    BlockCase made(s, open, rng());
    for (const IsaKernels* isa : isas())
      for (int64_t cache : {0, 100 << 10, 4 << 20}) made.check(*isa, pool, cache);
  }
}

TEST_CASE(blocks_of_networks) {
  std::mt19937 rng(seed + 90);
  // One strip and several, a stride, a large kernel, channels that leave part of a vector.
  check_all({1, 16, 96, 24, 56, 56, 3, 3, 2, 1, 1}, rng);
  check_all({1, 24, 144, 24, 28, 28, 3, 3, 1, 1, 1}, rng);
  check_all({1, 24, 144, 40, 28, 28, 5, 5, 2, 2, 1}, rng);
  check_all({1, 40, 240, 40, 14, 14, 5, 5, 1, 2, 1}, rng);
  check_all({1, 64, 250, 52, 7, 7, 3, 3, 1, 1, 1}, rng);
  check_all({5, 20, 120, 33, 3, 3, 3, 3, 1, 1, 1}, rng);
}

TEST_CASE(blocks_of_any_size) {
  std::mt19937 rng(seed + 91);
  for (int round = 0; round < rounds(60); ++round) {
    const auto up_to = [&](int64_t n) { return static_cast<int64_t>(1 + rng() % n); };
    const BlockSizes s{up_to(2), up_to(20), up_to(70), up_to(40),    up_to(24), up_to(40),
                       up_to(5), up_to(6),  up_to(3),  up_to(4) - 1, up_to(2)};
    const int64_t reach_h = (s.kernel_h - 1) * s.dilation, reach_w = (s.kernel_w - 1) * s.dilation;
    if (s.height + 2 * s.pad <= reach_h || s.width + 2 * s.pad <= reach_w) continue;
    check_all(s, rng);
  }
}

// Wide maps, and a stride that leaves rows out between two strips.
TEST_CASE(blocks_in_strips) {
  std::mt19937 rng(seed + 92);
  check_all({1, 5, 90, 7, 13, 400, 3, 3, 1, 1, 1}, rng);
  check_all({1, 5, 90, 7, 13, 300, 5, 3, 2, 2, 2}, rng);
  check_all({1, 3, 70, 7, 30, 200, 3, 3, 4, 0, 1}, rng);  // rows that no output reads
}

TEST_CASE(blocks_on_threads) {
  std::mt19937 rng(seed + 93);
  check_all({1, 32, 192, 32, 28, 28, 3, 3, 1, 1, 1}, rng, kThreads);
  check_all({1, 16, 96, 24, 64, 64, 3, 3, 2, 1, 1}, rng, kThreads);
  check_all({6, 16, 96, 24, 12, 12, 3, 3, 1, 1, 1}, rng, kThreads);
}

// Rows that no memory holds are an answer, not a crash.
TEST_CASE(block_memory_that_cannot_be) {
  BlockProblem p{};
  p.depthwise = {16,
                 4,
                 4,
                 16,
                 3,
                 3,
                 1,
                 1,
                 int64_t{1} << 28,
                 int64_t{1} << 28,
                 int64_t{1} << 28,
                 int64_t{1} << 28,
                 int64_t{1} << 28,
                 int64_t{1} << 28,
                 16};
  p.channels_in = p.channels_out = 1;
  if (!p.depthwise.output_size(&p.out_h, &p.out_w)) fail("no output");
  const BlockPlan plan(p, *isas().front());
  std::vector<float> ones(4096, 1.0f), prepared(plan.prepared_floats());
  BlockCall call{};
  call.batch = 1;
  call.x = call.scale = call.shift = call.in_active = call.scale_project = call.shift_project = call.residual =
      ones.data();
  call.weights = {ones.data(), ones.data(), ones.data(), ones.data()};
  call.prepared = prepared.data();
  call.y = ones.data();
  if (run_block(plan, call, kAlone)) fail("a block of 2^28 rows was run");
}

}  // namespace
}  // namespace test
}  // namespace sanp
