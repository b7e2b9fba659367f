// Version, best instruction set, settings and possible algorithms, exported by every library that has the CPU kernels.
#include <string.h>

#include <string>

#include "cpu/conv/plan/plan.h"
#include "cpu/isa/isa.h"
#include "cpu/isa/table.h"
#include "ort/cpu/settings.h"

#define SANP_EXPORT extern "C" __attribute__((visibility("default")))

SANP_EXPORT const char* sanp_ops_version() { return SANP_OPS_VERSION; }

// The best instruction set of this CPU, which sessions use that ask for none.
SANP_EXPORT const char* sanp_ops_isa() { return sanp::best_isa().name; }

// The entries of a session's configuration that RegisterCustomOps reads, with their values on this CPU, see settings.h.
SANP_EXPORT const char* sanp_ops_settings() {
  static const std::string text = sanp::setting_values();
  return text.c_str();
}

// Names of the algorithms that can compute a shape with constant weights, separated by spaces, the cost model's choice
// first; "" for a shape without output, null for an instruction set that the CPU lacks or no tile size. `shape` has the
// 15 numbers of ConvShape in their order, `isa` is a name or null for the best set, `winograd` the largest tile
// allowed; the weights are taken to be constant. The text lasts until the next call of this thread.
SANP_EXPORT const char* sanp_ops_algorithms(const int64_t* shape, const char* isa, int winograd) {
  using namespace sanp;
  const IsaKernels* const kernels = isa == nullptr ? &best_isa() : find_isa(isa);
  if (kernels == nullptr || (winograd != 0 && winograd != 2 && winograd != 4)) return nullptr;
  static thread_local std::string text;
  text.clear();
  ConvShape s;
  static_assert(sizeof s == 15 * sizeof(int64_t), "a shape is passed as plain numbers");
  memcpy(&s, shape, sizeof s);
  int64_t out_h, out_w;
  const bool whole = s.group > 0 && s.channels_in > 0 && s.channels_out > 0 && s.channels_in % s.group == 0 &&
                     s.channels_out % s.group == 0;
  if (!whole || !s.output_size(&out_h, &out_w)) return text.c_str();
  const Plan plan(s, *kernels, winograd, {}, true);
  text = algorithm_name(plan.algorithm);
  for (Algorithm f : kAlgorithms)
    if (f != plan.algorithm && plan.allows(f, winograd, true)) text += std::string(" ") + algorithm_name(f);
  return text.c_str();
}
