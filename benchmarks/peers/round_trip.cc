// How long a cache line takes from one core to another and back.
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

namespace {

constexpr int kTrips = 300, kRuns = 9;
alignas(128) std::atomic<int> ball;

void pin(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

} // namespace

// Nanoseconds, the median of nine short runs: a thread that loses its core
// spoils one of them.
extern "C" double sanp_round_trip_ns(int core, int other) {
  double runs[kRuns] = {};
  std::thread back([other] {
    pin(other);
    for (int i = 0; i < kRuns * kTrips; ++i) {
      while (ball.load(std::memory_order_acquire) != 1) {
      }
      ball.store(0, std::memory_order_release);
    }
  });
  std::thread([&runs, core] {
    pin(core);
    for (double &run : runs) {
      const auto begin = std::chrono::steady_clock::now();
      for (int i = 0; i < kTrips; ++i) {
        ball.store(1, std::memory_order_release);
        while (ball.load(std::memory_order_acquire) != 0) {
        }
      }
      run = std::chrono::duration<double>(std::chrono::steady_clock::now() -
                                          begin)
                .count() *
            1e9 / kTrips;
    }
  }).join();
  back.join();
  std::nth_element(runs, runs + kRuns / 2, runs + kRuns);
  return runs[kRuns / 2];
}
