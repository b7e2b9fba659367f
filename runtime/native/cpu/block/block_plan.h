// One fused block: its sizes, how its weights are stored, and how many rows are computed at a time.
#pragma once

#include <stdint.h>

#include <vector>

#include "contract/inverted_residual.h"
#include "cpu/isa/table.h"
#include "cpu/microkernels/block.h"

namespace sanp {

// Weights as the block has them.
struct BlockWeights {
  const float* expand;     // [channels][channels in]
  const float* depthwise;  // [channels][taps]
  const float* bias;       // [channels]
  const float* project;    // [channels out][channels]
};

// Weights as the kernels read them. "turned": sixteen channels, then the next sixteen, zero behind the last.
struct PreparedBlock {
  const float* expand;   // turned: [channels in][kPackLanes]
  const float* records;  // [channels][record]: the taps of a channel and its bias
  const float* turned;   // records, turned: [record][kPackLanes]
  const float* project;  // [channels][out_row]
};

// Three quarters of the second-level cache of a core.
int64_t strip_cache_bytes();

class BlockPlan {
 public:
  // cache_bytes: what lies between the layers of a strip may take this much. Results do not depend on it.
  BlockPlan(const BlockProblem& problem, const IsaKernels& kernels, int64_t cache_bytes = strip_cache_bytes());

  bool fits(const BlockProblem& problem) const;

  const IsaKernels* isa;
  ConvShape shape;  // of the depthwise layer
  int64_t channels, channels_in, channels_out;
  int64_t out_h, out_w;
  int64_t taps;
  int64_t record;   // floats of a channel's taps and bias, a multiple of four
  int64_t width;    // pixels of a bordered row of the depthwise layer's input
  int64_t out_row;  // floats of the projection's weights for one input channel, zero behind the last output channel

  int64_t in_pixels() const { return shape.height * shape.width; }
  int64_t out_pixels() const { return out_h * out_w; }
  // Rows of the depthwise layer's input that this many rows of its output need.
  int64_t rows_in(int64_t rows) const {
    return (rows - 1) * shape.stride_y + (shape.kernel_h - 1) * shape.dilation_y + 1;
  }
  // Output rows computed at once, so that what lies between the layers stays in the second-level cache; all of them
  // where that is possible without keeping rows for the next strip.
  int64_t strip_rows(int64_t packs) const;
  // Whether 32 bits hold the distances within this many pixels of this many packs.
  bool within_offsets(int64_t packs, int64_t pixels) const;
  // Where pixel i of whole rows of the input is in bordered rows, in floats; as many as a strip can need.
  const int32_t* at() const { return at_.data(); }

  int64_t prepared_floats() const;
  void prepare(const BlockWeights& weights, float* out) const;
  PreparedBlock prepared(const float* floats) const;

 private:
  int64_t turned_packs() const { return (channels + kPackLanes - 1) / kPackLanes; }

  int64_t cache_pixels_;  // of sixteen channels
  std::vector<int32_t> at_;
};

}  // namespace sanp
