// How a plan stores its weights: as they came, or the upper halves of float32 numbers whose lower halves are zero.
//
// A kernel is a template over the type it reads; the SIMD wrappers turn each type into lanes of float32, exactly, so
// that sums do not depend on the storage. Another kind, such as 8-bit integers with a scale per row, is a type here,
// the same three loads in every wrapper, and a condition in Plan::store_bf16.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace sanp {

enum WeightKind { kFloatWeights, kBf16Weights, kWeightKinds };

// A bfloat16 number: the sign, the exponent and seven bits of the fraction of a float32.
struct Bf16 {
  uint16_t upper;
};

// Outputs with more pixels than this use a weight so often that reading it does not matter.
constexpr int64_t kBf16MaxPixels = 16;

// Weights that a kernel may read behind a row of Bf16, where prepared rows hold zeros: the wrappers load whole vectors.
constexpr int64_t kBf16Slack = 16;

// Prepared rows begin on cache lines: elements from one row of n weights to the next.
constexpr int64_t bf16_row(int64_t n) { return (n + kBf16Slack + 31) / 32 * 32; }

// True if every one of n floats is a bfloat16 number; ends at the first that is not.
bool bf16_exact(const float* w, int64_t n);

// Upper halves of `rows` rows of n floats, bf16_row(n) apart.
void bf16_rows(const float* w, int64_t rows, int64_t n, Bf16* out);

}  // namespace sanp
