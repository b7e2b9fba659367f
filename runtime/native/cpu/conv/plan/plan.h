// How one convolution is computed: the problem, the algorithm with its own layout, and how the weights are stored.
// Built once per shape, then read-only.
#pragma once

#include <stdint.h>

#include <optional>
#include <variant>

#include "cpu/conv/plan/algorithm.h"
#include "cpu/conv/plan/channels_plan.h"
#include "cpu/conv/plan/depthwise_plan.h"
#include "cpu/conv/plan/edge_plan.h"
#include "cpu/conv/plan/pair_plan.h"
#include "cpu/conv/plan/problem.h"
#include "cpu/conv/plan/tile_plan.h"
#include "cpu/conv/plan/winograd_plan.h"

namespace sanp {

// Forms of the weights other than OIHW in float32; plans of one operator share those they have in common.
enum Prepared {
  kNotPrepared,
  kPreparedWinograd2,
  kPreparedWinograd4,
  kPreparedBf16,
  kPreparedChannels,
  kPreparedKinds
};

struct StoredWeights {
  WeightKind kind = kFloatWeights;  // anything but kFloatWeights is prepared
  int64_t cell_floats;              // from one input channel to the next
  int64_t row_floats;      // from one row of prepared weights to the next, in units of float whatever their kind
  int64_t bf16_steps = 0;  // kBf16Weights: samples with more active input channels read the float32 weights
};

// kDot lays nothing out.
struct DotPlan {};

struct Plan : Problem {
  Algorithm algorithm;
  // That of the algorithm.
  std::variant<DotPlan, InPlacePlan, PlanesPlan, GatherPlan, PairPlan, DepthwisePlan, EdgePlan, ChannelsPlan,
               WinogradPlan>
      layout;
  StoredWeights weights;

  // `winograd` is the largest tile allowed, 0 for none: only constant weights are worth preparing. `copies`: whether
  // kChannels is allowed, which holds all weights once more. `wish` is taken where it is allowed; otherwise the cost
  // model chooses.
  Plan(const ConvShape& s, const IsaKernels& kernels, int winograd = 0, std::optional<Algorithm> wish = {},
       bool copies = false);
  // Prefers `wanted`; falls back to kGather where that algorithm cannot hold the shape.
  Plan(const ConvShape& s, const IsaKernels& kernels, Algorithm wanted);
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  // The layout of the plan's algorithm; another one is undefined.
  template <class T>
  const T& layout_as() const {
    return *std::get_if<T>(&layout);
  }
  // Whether an algorithm can hold this shape without a larger Winograd tile than `winograd`, or copies.
  bool allows(Algorithm f, int winograd, bool copies) const;
  // Keeps the weights, all of which must be bfloat16 numbers (bf16_exact) that never change, in 16 bits too, for
  // samples that gain from reading half the bytes; for all samples if `always`. Results do not change by a bit. False,
  // and nothing is changed, where none would gain or there are no kernels for it.
  bool store_bf16(bool always = false);

  // Floats of the prepared weights; 0 where the kernels take them as they are, in OIHW order.
  int64_t prepared_floats() const;
  // Whether the rows of open output channels lie in the prepared weights.
  bool prepared_rows() const { return prepared_floats() != 0 && algorithm != Algorithm::kChannels; }
  Prepared prepared_kind() const;
  void prepare(const float* w, void* out) const;

 private:
  void lay_out();
  bool has_kernels(WeightKind kind) const;
};

}  // namespace sanp
