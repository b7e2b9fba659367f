// Concurrent runs of one plan, and a pool of threads inside a run. Built with -fsanitize=thread this proves both safe.
#include <atomic>
#include <thread>
#include <utility>

#include "cpu/isa/isa.h"
#include "tests/cpu/conv_case.h"

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
    {160, 6, 7, 200, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1},
};

TEST_CASE(pool_of_threads) {
  for (const ConvShape& shape : kShapes)
    for (int64_t batch : {1, 5}) {
      ConvOptions o;
      o.batch = batch;
      o.bf16_weights = true;
      const ConvCase c(shape, o, seed);
      Plan plan(shape, best_isa(), 4, {}, true);
      plan.store_bf16(true);  // small maps
      std::vector<float> alone(c.output_floats()), pooled(c.output_floats());
      if (!c.run(plan, alone.data(), Pool{nullptr, nullptr}) || !c.run(plan, pooled.data(), kThreads)) fail("memory");
      // The split never changes the order of a sum.
      if (memcmp(alone.data(), pooled.data(), alone.size() * sizeof(float)) != 0)
        fail("threads change the result: " + describe(shape));
    }
}

// One worker runs all tasks, last first, and between them whole runs of another plan, as a pool does that two sessions
// share: no task relies on what an earlier one left in the scratch memory of its thread.
TEST_CASE(tasks_of_two_runs_on_one_thread) {
  struct Other {
    Other(const ConvShape& shape, uint32_t seed) : c(shape, ConvOptions{}, seed), plan(shape, best_isa(), 4) {}
    ConvCase c;
    Plan plan;
  };
  const ConvShape shape{24, 30, 30, 48, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  const ConvCase c(shape, ConvOptions{}, seed);
  for (int i = 0; i < rounds(6); ++i) {
    Other other(kShapes[i], seed + 1);
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
    for (Algorithm f : {Algorithm::kRows, Algorithm::kWinograd2, Algorithm::kWinograd4})
      c.check(Plan(shape, best_isa(), f), "shared thread", pool);
  }
}

// Two threads with one half of the tasks each, as ONNX Runtime hands them out, and what each of them has prepared.
thread_local int worker;
std::atomic<int> prepared[2];
const IsaKernels* counted;

const Pool kHalves{[](void*, Pool::Task task, size_t count, void* arg) {
                     auto half = [=](int index) {
                       worker = index;
                       for (size_t i = count * index / 2; i < count * (index + 1) / 2; ++i) task(arg, i);
                     };
                     std::thread other(half, 1);
                     half(0);
                     other.join();
                   },
                   nullptr};

template <int kKind>
void count_winograd(const WinogradInput& c) {
  ++prepared[worker];
  counted->winograd_input[kKind](c);
}

void count_plane(const Plane& plane, const float* channel, float* dst) {
  ++prepared[worker];
  counted->pack_plane(plane, channel, dst);
}

// Before its products a layer copies or transforms its pixels: each channel once, by both threads. (To save a wait,
// every thread once made the whole input of a map of one block.)
TEST_CASE(threads_share_the_preparation_of_pixels) {
  const ConvShape wide{64, 32, 32, 64, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  const ConvShape one_block{64, 16, 16, 64, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  const ConvShape small{256, 4, 4, 256, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  const std::pair<ConvShape, Algorithm> cases[] = {
      {wide, Algorithm::kWinograd4}, {wide, Algorithm::kWinograd2}, {one_block, Algorithm::kWinograd4},
      {wide, Algorithm::kRows},      {wide, Algorithm::kColumns},   {small, Algorithm::kColumns},
  };
  ConvOptions o;
  o.inputs = Mask::kAll;
  for (const IsaKernels* isa : isas()) {
    counted = isa;
    IsaKernels kernels = *isa;
    kernels.winograd_input[0] = count_winograd<0>;
    kernels.winograd_input[1] = count_winograd<1>;
    kernels.pack_plane = count_plane;
    for (const auto& [shape, algorithm] : cases) {
      const Plan plan(shape, kernels, algorithm);
      if (plan.algorithm != algorithm) fail("refused: " + describe(shape));
      const size_t blocks = winograd_tile(plan.algorithm) ? plan.layout_as<WinogradPlan>().blocks.size() : 1;
      prepared[0] = prepared[1] = 0;
      const ConvCase c(shape, o, seed);
      std::vector<float> y(c.output_floats());
      if (!c.run(plan, y.data(), kHalves)) fail("memory");
      const int made = prepared[0] + prepared[1], all = static_cast<int>(blocks * shape.channels_in);
      if (made != all || prepared[0] < all / 3 || prepared[1] < all / 3)
        fail(std::string(isa->name) + " " + algorithm_name(algorithm) + ": channels prepared " +
             std::to_string(prepared[0]) + " + " + std::to_string(prepared[1]) + " of " + std::to_string(all) + ", " +
             describe(shape));
    }
  }
}

// A sample without a single active input needs no pixels; on a thread that never held any this must not look like a
// failed allocation.
TEST_CASE(nothing_active_on_a_fresh_thread) {
  ConvOptions o;
  o.inputs = Mask::kNone;
  for (const ConvShape& shape : kShapes) {
    const ConvCase c(shape, o, seed);
    for (Algorithm f : kAlgorithms) {
      const Plan plan(shape, best_isa(), f);
      std::thread([&] { c.check(plan, "fresh thread"); }).join();
    }
  }
}

TEST_CASE(concurrent_runs_of_one_plan) {
  const ConvShape shape{24, 16, 16, 24, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  const Plan plan(shape, best_isa(), 4);
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
