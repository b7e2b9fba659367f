// Divides the planes of a max pooling among threads.
#include "cpu/int8/pool/max_pool.h"

#include <algorithm>

#include "cpu/base/arena.h"

namespace sanp {
namespace {

constexpr int64_t kTaskBytes = 1 << 16;  // read by a task: a few microseconds

}  // namespace

bool run_int8_max_pool(const PoolShape& s, const Int8Kernels& isa, int64_t planes, const uint8_t* x, uint8_t* y,
                       const Pool& pool) {
  const int64_t plane = s.height * s.width, out = s.out_h * s.out_w;
  const size_t tasks =
      static_cast<size_t>(std::max<int64_t>(1, std::min({planes * plane / kTaskBytes, planes, int64_t{64}})));
  return parallel_all(pool, tasks, [&](size_t index) {
    const int64_t first = share(planes, index, tasks), last = share(planes, index + 1, tasks);
    Int8PoolCall c{s.height,   s.width, s.kernel_h, s.kernel_w,   s.stride_y,        s.stride_x,      s.pad_top,
                   s.pad_left, s.out_h, s.out_w,    last - first, x + first * plane, y + first * out, nullptr};
    c.scratch = static_cast<uint8_t*>(block_arena().get(static_cast<size_t>(2 * s.reach())));
    if (c.scratch == nullptr) return false;
    isa.max_pool(c);
    return true;
  });
}

}  // namespace sanp
