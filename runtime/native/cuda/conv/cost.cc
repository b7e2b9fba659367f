// The cost model: work of the busiest multiprocessor, latency of its waves, and the second launch of slices.
#include "cuda/conv/cost.h"

#include <math.h>

#include <algorithm>

#include "cuda/conv/packed_shape.h"
#include "cuda/conv/tile_sizes.h"

namespace sanp {
namespace cuda {
namespace {

// Gates are not known when a plan is made. Half open on both sides is where skipping begins to matter.
constexpr double kExpectedOpen = 0.5;

constexpr double kStepLatency = 700;    // one load from L2 or memory, nothing else to do
constexpr double kBlockCycles = 1500;   // lists, first loads
constexpr double kLaunchCycles = 3000;  // a dependent launch
constexpr double kSliceCycles = 5000;   // slices of packed weights: to wait for the last and to add them
constexpr double kIssuePerCycle = 64;   // loads and stores of single elements by a multiprocessor
constexpr double kSharedPerSm = 96 * 1024;

// One turn of the main loop: products deep, cycles of a multiprocessor, cycles until its loads are there.
struct Step {
  double depth, work, latency;
};

bool is_planes(const KernelSizes& k) { return k.algorithm == kPlanes8 || k.algorithm == kPlanes4; }

// One stage: all taps of 16 channels of a window, or 64 channels of 1x1.
Step packed_step(const KernelSizes& k, const SanpCudaConv& c, double rows) {
  const double depth = is_planes(k) ? 16 * kPlaneBlocks : 16, deep = depth * taps(c);
  double inputs = 2 * depth * k.tile_n / (k.algorithm == kPlanes8 ? 8 : 4);
  if (!is_planes(k))
    inputs = (k.algorithm == kPacked4 ? 0.6 : 1.6) * depth * static_cast<double>(packed_window(c, k.tile_n).pixels);
  const double products = deep * ceil(rows / 16) * 16 * k.tile_n / 1024;
  // A warp issues its instructions alone: with fewer products of a thread it is through sooner.
  const double latency = is_planes(k) ? kStepLatency : kStepLatency * (0.75 + k.tile_m * k.tile_n / 128.0 / k.threads);
  return Step{depth, products + (deep * rows / 8 + inputs) / kIssuePerCycle, latency};
}

// The first launch: the gathered weights of the open channels of every list.
double pack_cycles(const SanpCudaConv& c, const SanpCudaDevice& device, double open_out, double open_in) {
  const double lists = c.scale_rows == 1 && c.active_rows == 1 ? 1 : std::max(c.batch, 1);
  return kLaunchCycles + kBlockCycles + 3 * lists * open_out * open_in * taps(c) / kIssuePerCycle / device.sm_count;
}

Step one_step(const KernelSizes& k, const SanpCudaConv& c, double rows) {
  const double n = k.tile_n;
  if (k.algorithm == kDirect)
    return Step{1, 3 * n / 64, kStepLatency / 16};  // loads of the next taps need no turn to end
  // Single elements are fetched one after another, more of them by a thread of a wider tile.
  const double one_by_one = kStepLatency * n / 64;
  if (k.algorithm == kSimt)
    return Step{16, 16 * ceil(rows / 8) * 8 * n / 128 + 2 * 16 * (rows + n) / kIssuePerCycle, one_by_one};
  if (is_packed(k.algorithm)) return packed_step(k, c, rows);
  const double products = 32 * ceil(rows / 16) * 16 * n / 1024;
  const double weights = 1.5 * 32 * rows / kIssuePerCycle;
  double inputs = 1.3 * 32 * n;
  if (k.algorithm == kPointwise8 || k.algorithm == kPointwise4)
    inputs = 2 * 32 * n / (k.algorithm == kPointwise8 ? 8 : 4);
  if (k.algorithm == kHalo) {
    const Tiling t = tiling(c, k.tile_n, widest_strip(k.algorithm, c));
    inputs = 1.3 * 32 * t.halo_w * t.halo_h / taps(c);
  }
  const double latency = k.algorithm == kGather ? one_by_one : kStepLatency;
  return Step{32, products + weights + inputs / kIssuePerCycle, latency};
}

}  // namespace

double estimated_cycles(const KernelSizes& k, const SanpCudaConv& c, const SanpCudaDevice& device, int shared_bytes,
                        int split_k) {
  const bool lists = k.algorithm != kDirect;
  const double open_out = std::max(1.0, kExpectedOpen * group_out(c));
  const double open_in = lists ? std::max(1.0, kExpectedOpen * group_in(c)) : group_in(c);
  const Tiling t = tiling(c, k.tile_n, widest_strip(k.algorithm, c));
  const double m_blocks = ceil(open_out / k.tile_m), rows = open_out / m_blocks;
  const double blocks = m_blocks * t.strips * t.strip_tiles * c.group * std::max(c.batch, 1) * split_k;

  const Step step = one_step(k, c, rows);
  // A halo step is one tap of 32 channels: few channels fill it badly.
  const bool packed = is_packed(k.algorithm);
  const double turns = ceil(open_in / split_k / step.depth);
  const double steps = packed                 ? turns
                       : k.algorithm == kHalo ? turns * taps(c)
                                              : ceil(open_in * taps(c) / split_k / step.depth);
  const double resident = std::max(1.0, std::min(1024.0 / k.threads, floor(kSharedPerSm / std::max(shared_bytes, 1))));
  const double per_sm = ceil(blocks / device.sm_count), waves = ceil(per_sm / resident);
  const double stores = 2 * rows * k.tile_n / kIssuePerCycle;
  const double work = per_sm * (steps * step.work + stores);
  const double waiting = waves * (steps * step.latency + (lists ? kBlockCycles : kStepLatency));
  // Blocks hide each other's latency, but never all of it.
  const double busy = std::max(work, waiting) + std::min(work, waiting) / 4;
  const double sums = 4.0 * split_k * c.batch * c.c_out * pixels(c) / device.sm_count / 16;  // bytes per cycle
  if (packed) return busy + pack_cycles(c, device, open_out, open_in) + (split_k > 1 ? kSliceCycles + sums : 0);
  return busy + (split_k > 1 ? kLaunchCycles + sums : 0);
}

}  // namespace cuda
}  // namespace sanp
