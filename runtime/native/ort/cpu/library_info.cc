// Version, instruction set and possible kernels, exported by every library that has the CPU kernels.
#include <string.h>

#include <string>

#include "cpu/conv/plan/plan.h"
#include "cpu/isa/isa.h"
#include "cpu/isa/table.h"

#define SANP_EXPORT extern "C" __attribute__((visibility("default")))

SANP_EXPORT const char* sanp_ops_version() { return SANP_OPS_VERSION; }

SANP_EXPORT const char* sanp_ops_isa() { return sanp::current_isa().name; }

SANP_EXPORT int sanp_ops_limit_winograd(int tile) { return sanp::limit_winograd(tile) ? 0 : 1; }

SANP_EXPORT int sanp_ops_narrow_weights(int on) { return sanp::allow_narrow_weights(on) ? 0 : 1; }

SANP_EXPORT int sanp_ops_force_isa(const char* name) { return sanp::force_isa(name) ? 0 : 1; }

// Names of the algorithms that can compute a shape with constant weights under the instruction set in force, separated
// by spaces, the cost model's choice first; "" for a shape without output. `shape` has the 15 numbers of ConvShape in
// their order. The text lasts until the next call of this thread.
SANP_EXPORT const char* sanp_ops_algorithms(const int64_t* shape) {
  using namespace sanp;
  static thread_local std::string text;
  text.clear();
  ConvShape s;
  static_assert(sizeof s == 15 * sizeof(int64_t), "a shape is passed as plain numbers");
  memcpy(&s, shape, sizeof s);
  int64_t out_h, out_w;
  const bool whole = s.group > 0 && s.channels_in > 0 && s.channels_out > 0 && s.channels_in % s.group == 0 &&
                     s.channels_out % s.group == 0;
  if (!whole || !s.output_size(&out_h, &out_w)) return text.c_str();
  const Plan plan(s, current_isa(), winograd_limit());
  text = algorithm_name(plan.algorithm);
  for (Algorithm f : kAlgorithms)
    if (f != plan.algorithm && plan.allows(f, winograd_limit())) text += std::string(" ") + algorithm_name(f);
  return text.c_str();
}
