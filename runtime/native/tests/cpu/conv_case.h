// One random problem for the gated convolution, its double-precision reference, and the check against it.
#pragma once

#include <map>
#include <random>
#include <string>

#include "cpu/conv/conv.h"
#include "tests/cpu/check.h"
#include "tests/cpu/winograd_bound.h"

namespace sanp {
namespace test {

enum class Mask { kAll, kNone, kOne, kFirst, kLast, kHalf };
constexpr Mask kMasks[] = {Mask::kAll, Mask::kNone, Mask::kOne, Mask::kFirst, Mask::kLast, Mask::kHalf};

struct ConvOptions {
  int64_t batch = 1;
  Mask outputs = Mask::kHalf, inputs = Mask::kHalf;
  bool broadcast_scale = false, broadcast_active = false;
  bool residual_map = false;
  float residual_value = 0.0f;
  float act_min = 0.0f, act_max = 6.0f;
  bool bf16_weights = false;  // every weight is a bfloat16 number
};

// Inactive channels of x and the weights of masked rows hold NaN: a result that reads them shows it. Outputs start as
// NaN: a fill that is forgotten shows it too.
class ConvCase {
 public:
  ConvCase(const ConvShape& shape, const ConvOptions& options, uint32_t seed);

  // Runs the plan and compares every output element. `where` names the kernel in the message.
  void check(const Plan& plan, const std::string& where, const Pool& pool = Pool{nullptr, nullptr}) const;
  // Runs into `y` without comparing.
  bool run(const Plan& plan, float* y, const Pool& pool) const;
  size_t output_floats() const { return static_cast<size_t>(options_.batch * shape_.channels_out * out_h_ * out_w_); }

 private:
  bool masked(int64_t n, int64_t o) const;
  bool active(int64_t n, int64_t i) const;
  // The exact value of every output element, and the sum of magnitudes that its rounding errors scale with.
  struct Reference {
    std::vector<double> value, magnitude;
  };
  // For Winograd tiles of 2 or 4 pixels, or 0. Computed once and shared by all plans that are checked.
  const Reference& reference(int winograd) const;
  // The convolution alone, and the sum of magnitudes of its products.
  void products(int64_t n, int64_t o, int64_t y, int64_t x, double* sum, double* magnitude) const;
  // Magnitudes of the convolution of one output channel by Winograd: [out_h, out_w]. `inputs`: those of the channels of
  // sample `n` by WinogradBound, empty where not active.
  std::vector<double> winograd_magnitudes(const WinogradBound& bound, const std::vector<std::vector<double>>& inputs,
                                          int64_t o) const;

  ConvShape shape_;
  ConvOptions options_;
  int64_t out_h_ = 0, out_w_ = 0;
  GuardedFloats x_, w_, scale_, shift_, active_, residual_;
  mutable std::map<int, Reference> references_;
};

std::string describe(const ConvShape& s);

// Up to `most_samples` samples with one kind of mask each for rows and channels, with or without a residual and ReLU.
ConvOptions some_options(std::mt19937& rng, int most_samples);

// `isa` with no tile wider than nr or taller than mr: a plan for mr rows of nr vectors then has one choice.
IsaKernels restricted(const IsaKernels& isa, int mr, int nr);

// Calls `check` with the instruction set and the size of every kernel in the list files.
void for_each_tile(void (*check)(const char* isa, int mr, int nr, uint32_t seed), uint32_t seed);
void for_each_pair_kernel(void (*check)(const char* isa, int mr, uint32_t seed), uint32_t seed);

// Every instruction set of this build that the CPU has.
std::vector<const IsaKernels*> isas();

}  // namespace test
}  // namespace sanp
