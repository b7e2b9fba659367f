// Version and instruction set, exported by every library that has the CPU kernels.
#include "../kernels/isa.h"
#include "../kernels/table.h"

#define SANP_EXPORT extern "C" __attribute__((visibility("default")))

SANP_EXPORT const char* sanp_ops_version() { return SANP_OPS_VERSION; }

SANP_EXPORT const char* sanp_ops_isa() { return sanp::current_isa().name; }

SANP_EXPORT int sanp_ops_limit_winograd(int tile) { return sanp::limit_winograd(tile) ? 0 : 1; }

SANP_EXPORT int sanp_ops_narrow_weights(int on) { return sanp::allow_narrow_weights(on) ? 0 : 1; }

SANP_EXPORT int sanp_ops_force_isa(const char* name) { return sanp::force_isa(name) ? 0 : 1; }
