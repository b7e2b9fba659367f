// What a session asks of the kernels for CPUs: entries of its configuration, read when the library is registered.
#pragma once

#include <string>

#include "cpu/isa/isa.h"
#include "ort/common/ort_abi.h"

namespace sanp {

struct CpuSettings {
  const IsaKernels* isa;  // "sanp.isa": the set by name; "auto", the default, is the best one
  int winograd_limit;     // "sanp.winograd": the largest Winograd tile, 0 for none
  bool bf16_weights;      // "sanp.bf16_weights": weights that 16 bits hold may be kept so; results are equal

  bool operator==(const CpuSettings& o) const {
    return isa == o.isa && winograd_limit == o.winograd_limit && bf16_weights == o.bf16_weights;
  }

  // Throws OpError for a value that is unknown or that this CPU lacks.
  static CpuSettings read(const OrtApi* api, const OrtSessionOptions* options);
};

// Every entry with its values, the default first: "sanp.isa=auto|avx2|portable sanp.winograd=4|2|0 ...".
std::string setting_values();

}  // namespace sanp
