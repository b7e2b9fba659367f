// Max pooling of bytes. docs/operators.md: SanpMaxPool.
#pragma once

#include "contract/max_pool.h"
#include "cpu/base/pool.h"
#include "cpu/int8/kernels/table.h"

namespace sanp {

// x: [planes, height, width], y: [planes, out_h, out_w]. False when scratch memory could not be allocated.
bool run_int8_max_pool(const PoolShape& shape, const Int8Kernels& isa, int64_t planes, const uint8_t* x, uint8_t* y,
                       const Pool& pool);

}  // namespace sanp
