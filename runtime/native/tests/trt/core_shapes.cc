// Shapes, types and descriptions of both operators; runs without TensorRT.
#include "tests/trt/cases.h"
#include "tests/trt/core_problem.h"
#include "trt/channel_gate.h"
#include "trt/gated_conv.h"

namespace sanp {
namespace test {
namespace {

CASE(conv_shapes_equal_counted_windows) {
  std::mt19937 rng(seed);
  for (int i = 0; i < 2000; ++i) {
    const Problem p = random_problem(rng);
    Shape<int64_t> in[6], out;
    for (int j = 0; j < 6; ++j) in[j] = p.in[j].shape;
    Numbers numbers;
    EXPECT(GatedConv::output_shapes(p.a, in, &out, numbers), "ranks are right");
    EXPECT(equal(p.out[0].shape, {out.dims[0], out.dims[1], out.dims[2], out.dims[3]}), "%s, counted %s",
           ShapeText(out).text, ShapeText(p.out[0].shape).text);
    SanpCudaConv c;
    const Error e = GatedConv::describe(p.a, p.in, p.out, &c);
    EXPECT(!e, "%s", e.text());
    EXPECT(c.out_height == out.dims[2] && c.out_width == out.dims[3] && c.c_out == out.dims[1], "described alike");
    EXPECT(c.residual_dense == (p.in[5].shape.rank == 4 && !is_one_element(p.in[5].shape)), "residual");
  }
}

// Every field, from where the contract has it: a pair that is swapped shows without a GPU and without TensorRT.
CASE(conv_description_is_complete) {
  std::mt19937 rng(seed);
  for (int i = 0; i < 200; ++i) {
    Problem p = random_problem(rng);
    p.a.act_min = -1.5f;
    p.a.act_max = 2.5f;
    const bool half = i & 1, hwio = p.a.weight_order == 1;
    for (int t : {0, 1, 5}) p.in[t].type = half ? Type::kHalf : Type::kFloat;
    SanpCudaConv c;
    EXPECT(!GatedConv::describe(p.a, p.in, p.out, &c), "described");
    const int64_t *x = p.in[0].shape.dims, *w = p.in[1].shape.dims;
    const int64_t found[] = {c.type,     c.weight_order, c.batch,      c.c_in,       c.height,
                             c.width,    c.c_out,        c.kernel_h,   c.kernel_w,   c.stride_h,
                             c.stride_w, c.pad_top,      c.pad_left,   c.dilation_h, c.dilation_w,
                             c.group,    c.scale_rows,   c.shift_rows, c.active_rows};
    const int64_t expected[] = {half ? SANP_CUDA_FLOAT16 : SANP_CUDA_FLOAT32,
                                hwio ? SANP_CUDA_HWIO : SANP_CUDA_OIHW,
                                x[0],
                                x[1],
                                x[2],
                                x[3],
                                hwio ? w[3] : w[0],
                                hwio ? w[0] : w[2],
                                hwio ? w[1] : w[3],
                                p.a.strides[0],
                                p.a.strides[1],
                                p.a.pads[0],
                                p.a.pads[1],
                                p.a.dilations[0],
                                p.a.dilations[1],
                                p.a.group,
                                p.in[2].shape.dims[0],
                                p.in[3].shape.dims[0],
                                p.in[4].shape.dims[0]};
    static_assert(sizeof found == sizeof expected, "one for each");
    for (size_t f = 0; f < sizeof found / sizeof found[0]; ++f)
      EXPECT(found[f] == expected[f], "field %zu is %lld, expected %lld", f, (long long)found[f],
             (long long)expected[f]);
    EXPECT(c.act_min == -1.5f && c.act_max == 2.5f, "clamp");
  }
}

CASE(conv_shapes_that_contradict) {
  std::mt19937 rng(seed);
  int broken = 0;
  for (int i = 0; i < 500; ++i) {
    const Problem good = random_problem(rng);
    SanpCudaConv c;
    for (int t = 0; t < 7; ++t) {
      Problem p = good;
      Tensor& changed = t < 6 ? p.in[t] : p.out[0];
      if (changed.shape.rank == 0 || is_one_element(changed.shape)) continue;
      const int d = static_cast<int>(rng() % static_cast<unsigned>(changed.shape.rank));
      changed.shape.dims[d] += 1000;
      EXPECT(GatedConv::describe(p.a, p.in, p.out, &c), "tensor %d, dimension %d of %s", t, d,
             ShapeText(good.in[0].shape).text);
      ++broken;
      changed = t < 6 ? good.in[t] : good.out[0];
      changed.shape.rank = -1;
      EXPECT(GatedConv::describe(p.a, p.in, p.out, &c), "unknown rank of tensor %d", t);
      changed = t < 6 ? good.in[t] : good.out[0];
      changed.shape.dims[d] = -1;
      EXPECT(GatedConv::describe(p.a, p.in, p.out, &c), "open dimension of tensor %d", t);
      changed.shape.dims[d] = INT64_MAX;
      EXPECT(GatedConv::describe(p.a, p.in, p.out, &c), "huge dimension of tensor %d", t);
    }
  }
  EXPECT(broken > 2000, "only %d were tried", broken);
}

CASE(conv_types_follow_x) {
  for (Type type : {Type::kFloat, Type::kHalf, Type::kOther})
    for (int position = 0; position < 7; ++position)
      for (Type mine : {Type::kFloat, Type::kHalf, Type::kOther})
        for (bool linear : {true, false}) {
          Tensor t[7];
          t[0] = tensor({1, 1, 1, 1}, type);
          t[position] = tensor({1}, mine);
          t[position].linear = linear;
          const bool like_x = position == 1 || position == 5 || position == 6;
          const bool expected = linear && (position == 0 ? mine != Type::kOther
                                           : like_x      ? mine == type
                                                         : mine == Type::kFloat);
          EXPECT(GatedConv::accepts(position, t) == expected, "position %d", position);
        }
}

struct GateProblem {
  GateAttributes a{0.5f, 2};
  Tensor in[7], out[2];

  GateProblem() {
    in[0] = tensor({3, 5, 4, 7});
    in[1] = tensor({6, 5});
    in[2] = tensor({6});
    in[3] = tensor({9, 6});
    in[4] = in[5] = tensor({9});
    in[6] = tensor({1, 9});
    out[0] = out[1] = tensor({3, 9});
  }
};

CASE(gate_shapes) {
  GateProblem good;
  SanpCudaGate g;
  const Error e = ChannelGate::describe(good.a, good.in, good.out, &g);
  EXPECT(!e, "%s", e.text());
  EXPECT(g.height == 4 && g.width == 7 && g.threshold == 0.5f && g.type == SANP_CUDA_FLOAT32, "described");
  EXPECT(g.batch == 3 && g.c_in == 5 && g.hidden == 6 && g.c_out == 9 && g.mask_rows == 1 && g.k == 2, "described");
  for (int t = 0; t < 9; ++t)
    for (int d = 0; d < (t < 7 ? good.in[t] : good.out[t - 7]).shape.rank; ++d)
      for (int64_t value : {int64_t{-1}, int64_t{0}, int64_t{2}, INT64_MAX}) {
        if (t == 0 && d >= 2 && value == 2) continue;  // any image size is fine
        GateProblem p;
        (t < 7 ? p.in[t] : p.out[t - 7]).shape.dims[d] = value;
        EXPECT(ChannelGate::describe(p.a, p.in, p.out, &g), "tensor %d, dimension %d = %lld", t, d, (long long)value);
      }
  GateProblem p;
  p.a.k = 9;
  EXPECT(contains(ChannelGate::describe(p.a, p.in, p.out, &g).text(), "'k' is 9"), "k keeps all");
  p.a.k = 8;
  p.in[0].type = Type::kHalf;
  p.in[6] = tensor({3, 9});
  EXPECT(!ChannelGate::describe(p.a, p.in, p.out, &g) && g.mask_rows == 3, "a mask per sample");
  EXPECT(g.type == SANP_CUDA_FLOAT16 && g.k == 8, "x in half precision");
}

}  // namespace
}  // namespace test
}  // namespace sanp
