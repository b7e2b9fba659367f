// The thread pool a kernel is lent: a function that runs `count` tasks and returns when all are done.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <atomic>

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

// The same for tasks that say whether they succeeded, as those do that ask for memory. False when one did not.
template <class F>
bool parallel_all(const Pool& pool, size_t count, F f) {
  std::atomic<bool> ok{true};
  auto task = [&](size_t index) {
    if (!f(index)) ok.store(false, std::memory_order_relaxed);
  };
  parallel_for(pool, count, task);
  return ok.load(std::memory_order_relaxed);
}

// Batches at least this large are split by sample: no barriers inside a sample, and the pool is as busy.
constexpr int64_t kSplitBatch = 4;

// Calls f(sample, pool that it may use) for a batch. False when one failed.
template <class F>
bool each_sample(int64_t batch, const Pool& pool, F f) {
  if (batch < kSplitBatch) {
    for (int64_t n = 0; n < batch; ++n)
      if (!f(n, pool)) return false;
    return true;
  }
  const Pool here{nullptr, nullptr};
  return parallel_all(pool, static_cast<size_t>(batch), [&](size_t n) { return f(static_cast<int64_t>(n), here); });
}

// Where share `index` of `count` nearly equal shares of n things begins, and the one before it ends.
template <class Int>
Int share(Int n, size_t index, size_t count) {
  return static_cast<Int>(static_cast<size_t>(n) * index / count);
}

}  // namespace sanp
