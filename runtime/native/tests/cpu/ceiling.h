// The multiply-add rate of one core, measured: the yardstick of every kernel benchmark.
#pragma once

namespace sanp {

// GFLOP/s (two per multiply-add) of independent register-only FMAs of the named instruction set; 0 if not available.
double fma_ceiling(const char* isa);

}  // namespace sanp
