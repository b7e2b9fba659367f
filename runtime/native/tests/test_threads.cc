// Concurrent runs of one plan, and a pool of threads inside a run. Built with -fsanitize=thread this proves both safe.
#include <thread>

#include "../kernels/isa.h"
#include "conv_case.h"

namespace sanp {
namespace test {
namespace {

// A pool that starts a thread per task: slow, but every task really runs elsewhere.
const Pool kThreads{[](void*, Pool::Task task, size_t count, void* arg) {
                      std::vector<std::thread> threads;
                      for (size_t i = 0; i < count; ++i) threads.emplace_back(task, arg, i);
                      for (std::thread& t : threads) t.join();
                    },
                    nullptr};

// Large enough to be split into several tasks.
const ConvShape kShapes[] = {
    {24, 32, 32, 24, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1},  {96, 4, 4, 96, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1},
    {32, 32, 32, 32, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1},  {256, 2, 2, 256, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1},
    {32, 40, 40, 32, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 32}, {512, 1, 1, 512, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1},
};

TEST_CASE(pool_of_threads) {
  for (const ConvShape& shape : kShapes)
    for (int64_t batch : {1, 5}) {
      ConvOptions o;
      o.batch = batch;
      o.bf16_weights = true;
      const ConvCase c(shape, o, seed);
      Plan plan(shape, current_isa(), 4);
      plan.narrow(true);  // small maps
      std::vector<float> alone(c.output_floats()), pooled(c.output_floats());
      if (!c.run(plan, alone.data(), Pool{nullptr, nullptr}) || !c.run(plan, pooled.data(), kThreads)) fail("memory");
      // The split never changes the order of a sum.
      if (memcmp(alone.data(), pooled.data(), alone.size() * sizeof(float)) != 0)
        fail("threads change the result: " + describe(shape));
    }
}

// One worker runs all tasks, last first, and between them whole runs of another plan, as a pool does that two sessions
// share: what a task leaves on its thread for the next one is found there or built again, and never somebody else's.
TEST_CASE(tasks_of_two_runs_on_one_thread) {
  struct Other {
    Other(const ConvShape& shape, uint32_t seed) : c(shape, ConvOptions{}, seed), plan(shape, current_isa(), 4) {}
    ConvCase c;
    Plan plan;
  };
  const ConvShape shape{24, 30, 30, 48, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  for (const ConvShape& between : kShapes) {
    Other other(between, seed + 1);
    const Pool pool{[](void* context, Pool::Task task, size_t count, void* arg) {
                      std::thread([=] {
                        const Other& o = *static_cast<Other*>(context);
                        std::vector<float> y(o.c.output_floats());
                        for (size_t i = count; i-- > 0;) {
                          task(arg, i);
                          if (i % 7 == 0) o.c.run(o.plan, y.data(), Pool{nullptr, nullptr});
                        }
                      }).join();
                    },
                    &other};
    const ConvCase c(shape, ConvOptions{}, seed);
    for (Family f : {Family::kRows, Family::kWinograd2, Family::kWinograd4})
      c.check(Plan(shape, current_isa(), f), "shared thread", pool);
  }
}

// A sample without a single active input needs no pixels; on a thread that never held any this must not look like a
// failed allocation.
TEST_CASE(nothing_active_on_a_fresh_thread) {
  ConvOptions o;
  o.inputs = Mask::kNone;
  for (const ConvShape& shape : kShapes)
    for (Family f : kFamilies) {
      const ConvCase c(shape, o, seed);
      const Plan plan(shape, current_isa(), f);
      std::thread([&] { c.check(plan, "fresh thread"); }).join();
    }
}

TEST_CASE(concurrent_runs_of_one_plan) {
  const ConvShape shape{24, 16, 16, 24, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  const Plan plan(shape, current_isa(), 4);
  const ConvCase c(shape, ConvOptions{}, seed);
  std::vector<float> expected(c.output_floats());
  if (!c.run(plan, expected.data(), Pool{nullptr, nullptr})) fail("memory");
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      std::vector<float> y(expected.size());
      for (int i = 0; i < 20; ++i) {
        c.run(plan, y.data(), i % 2 ? kThreads : Pool{nullptr, nullptr});
        wrong[t] += memcmp(y.data(), expected.data(), y.size() * sizeof(float)) != 0;
      }
    });
  for (std::thread& t : threads) t.join();
  for (int w : wrong)
    if (w) fail("a concurrent run gave another result");
}

}  // namespace
}  // namespace test
}  // namespace sanp
