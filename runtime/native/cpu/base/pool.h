// The thread pool a kernel is lent: a function that runs `count` tasks and returns when all are done.
#pragma once

#include <stddef.h>

namespace sanp {

struct Pool {
  using Task = void (*)(void* arg, size_t index);

  void (*parallel)(void* context, Task task, size_t count, void* arg);  // null: run on the calling thread
  void* context;

  void run(size_t count, Task task, void* arg) const {
    if (parallel == nullptr || count <= 1) {
      for (size_t i = 0; i < count; ++i) task(arg, i);
    } else {
      parallel(context, task, count, arg);
    }
  }
};

// Calls f(index) for count tasks. f must not throw: a pool has no way to carry an exception back.
template <class F>
void parallel_for(const Pool& pool, size_t count, F& f) {
  pool.run(count, [](void* arg, size_t index) { (*static_cast<F*>(arg))(index); }, &f);
}

// Where share `index` of `count` nearly equal shares of n things begins, and the one before it ends.
template <class Int>
Int share(Int n, size_t index, size_t count) {
  return static_cast<Int>(static_cast<size_t>(n) * index / count);
}

}  // namespace sanp
