// How one convolution shape is computed: algorithm, data layout, tiles. Built once per shape, then read-only.
#pragma once

#include <stdint.h>

#include <optional>
#include <vector>

#include "cpu/conv/plan/shape.h"
#include "cpu/conv/plan/winograd_plan.h"
#include "cpu/isa/table.h"
#include "cpu/microkernels/plane.h"
#include "cpu/microkernels/tile.h"

namespace sanp {

enum class Algorithm {
  kInPlace,    // 1x1, whole vectors: the input planes are read where they are
  kRows,       // one bordered copy per stride phase; vectors do not cross output rows
  kColumns,    // one copy per kernel column without borders; vectors run over row ends: no lane is lost on narrow maps
  kGather,     // taps expanded pixel by pixel: paddings or dilations whose bordered planes would not fit
  kDot,        // up to four output pixels: lanes run along the weights
  kQuad,       // up to 16 (output, input) pixel pairs and 16 taps: a vector holds all pairs of a channel pair
  kWinograd2,  // 3x3, stride 1, in tiles of 2 x 2 output pixels; wants its weights prepared
  kWinograd4,  // the same in tiles of 4 x 4
};
constexpr Algorithm kAlgorithms[] = {Algorithm::kInPlace,   Algorithm::kRows,     Algorithm::kColumns,
                                     Algorithm::kGather,    Algorithm::kDot,      Algorithm::kQuad,
                                     Algorithm::kWinograd2, Algorithm::kWinograd4};
const char* algorithm_name(Algorithm algorithm);
// Output pixels along an edge of a Winograd tile; 0 for the other algorithms.
constexpr int winograd_tile(Algorithm f) { return f == Algorithm::kWinograd2 ? 2 : f == Algorithm::kWinograd4 ? 4 : 0; }
std::optional<Algorithm> algorithm_of(const char* name);  // none for a name that algorithm_name never gives

struct Tile {
  int32_t first_vec;
  int32_t nr;
  int64_t panel;  // kGather: floats per active channel before this tile
};

// Forms of the weights other than OIHW in float32; plans of one operator share those they have in common.
enum Prepared { kNotPrepared, kPreparedWinograd2, kPreparedWinograd4, kPreparedBf16, kPreparedKinds };

struct Plan {
  ConvShape shape;
  const IsaKernels* isa;
  Algorithm algorithm;
  int64_t out_h, out_w, pixels;
  int64_t group_in, group_out;  // channels of one group
  int64_t n_taps;
  int64_t cell_floats;  // weights from one input channel to the next
  int64_t row_floats;   // from one row of prepared weights to the next, in units of float whatever their kind
  Taps taps_kind;
  WeightKind weights;    // anything but kFloatWeights is prepared
  int64_t narrow_steps;  // kBf16Weights: samples with more active input channels read the float32 weights

  std::vector<PlanePart> parts;
  Plane plane;                                    // points into parts
  std::vector<ptrdiff_t> taps;                    // byte offsets in the plane; kInPlace: a single 0
  std::vector<ptrdiff_t> panel_taps[kMaxNr + 1];  // kGather: by tile width

  std::vector<Vec> vecs;
  std::vector<Tile> tiles;
  std::vector<int32_t> quad_taps;  // kQuad: the tap that joins each pair, or -1
  int64_t panel_floats;            // kGather: per active channel, all tiles
  WinogradPlan winograd;
  int64_t tail_pixels;  // kColumns: the last pixels, too few for a vector; computed as in kDot
  int max_mr;

  // `winograd` is the largest tile allowed, 0 for none: only constant weights are worth preparing. `wish` is taken
  // where it is allowed; otherwise the cost model chooses.
  Plan(const ConvShape& s, const IsaKernels& kernels, int winograd = 0, std::optional<Algorithm> wish = {});
  // Prefers `wanted`; falls back to kGather where that algorithm cannot hold the shape.
  Plan(const ConvShape& s, const IsaKernels& kernels, Algorithm wanted);
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  // Whether an algorithm can hold this shape without a larger Winograd tile than `winograd`.
  bool allows(Algorithm f, int winograd) const;
  // Keeps the weights, all of which must be bfloat16 numbers (bf16_exact) that never change, in 16 bits too, for
  // samples that gain from reading half the bytes; for all samples if `always`. Results do not change by a bit. False,
  // and nothing is changed, where none would gain or there are no kernels for it.
  bool narrow(bool always = false);

  // Floats of the prepared weights; 0 where the kernels take them as they are, in OIHW order.
  int64_t prepared_floats() const { return prepared_kind() != kNotPrepared ? shape.channels_out * row_floats : 0; }
  Prepared prepared_kind() const;
  void prepare(const float* w, void* out) const;

 private:
  void init(const ConvShape& s, const IsaKernels& kernels);
  bool pointwise() const;
  bool possible(Algorithm f) const;
  bool has_kernels(WeightKind kind) const;
  int64_t steps_that_gain() const;
  Algorithm choose_algorithm(int winograd) const;
  Algorithm choose_direct() const;
  bool copy_pays() const;
  double weight_cost(int64_t cells) const;
  double winograd_cost(int m) const;
  double direct_cost() const;
  void lay_out();
  void lay_out_planes();
  std::vector<int32_t> pair_taps() const;
  void lay_out_vecs();
  void lay_out_winograd();
  void split_tiles(int64_t n_vecs, int max_nr);
  int widest() const;
  int64_t row_vecs() const;
  int64_t packed_vecs() const;
  int64_t dot_tail() const;
};

}  // namespace sanp
