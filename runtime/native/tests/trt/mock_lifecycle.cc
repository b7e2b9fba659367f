// Whole lives of plugins with random nodes: the results are those of the contract.
#include "tests/trt/cases.h"
#include "tests/trt/lifecycle.h"

namespace sanp {
namespace test {
namespace {

using Make = Problem (*)(uint32_t seed, int64_t batch, bool half);

// Build, save, destroy, load, two contexts, batches that shrink and grow, saved again.
void live(Make make, uint32_t seed, bool half) {
  const int64_t largest = 4;
  const Problem shapes = make(seed, largest, half);
  size_t workspace = 0;
  const Saved saved = build_engine(shapes, &workspace);
  const std::unique_ptr<Node> engine = load(saved);
  EXPECT(engine, "%s: %s", shapes.description.c_str(), tensorrt().logger.take().c_str());
  EXPECT(engine->save() == saved, "%s: a loaded plugin saves what it was loaded from", shapes.description.c_str());
  const std::unique_ptr<Node> first = engine->attach(), second = engine->attach();
  EXPECT(first && second && first->save() == saved, "%s", shapes.description.c_str());
  for (const int64_t batch : {largest, int64_t{1}, int64_t{3}, int64_t{3}}) {
    const Problem p = make(seed, batch, half);
    for (Node* context : {first.get(), second.get()}) {
      EXPECT(context->shape_change(p.descs(p.in), p.descs(p.out)), "%s", tensorrt().logger.take().c_str());
      Run run(p, workspace);
      run.enqueue(*context);
      run.check("run");
    }
  }
  // Without being told of the new shape: descriptors arrive with every call.
  const Problem p = make(seed, 2, half);
  Run run(p, workspace);
  run.enqueue(*first);
  run.check("without notice");
  EXPECT(tensorrt().logger.errors == 0, "%s", tensorrt().logger.take().c_str());
}

void live_many(Make make, uint32_t seed, bool half) {
  for (uint32_t i = 0; i < 25; ++i) live(make, seed + i, half);
}

CASE(conv_float) { live_many(random_conv, seed, false); }
CASE(conv_half) { live_many(random_conv, seed, true); }
// An engine with an optimisation profile for each of two sizes: built for both, saved once, run in turns by one
// context.
void live_in_sizes(uint32_t seed, bool half) {
  const int64_t largest = 3;
  const int64_t more[2][2] = {{0, 0}, {7, 12}};
  size_t workspace[2];
  Saved saved;
  for (int i = 0; i < 2; ++i) {
    const Saved one = build_engine(larger_conv(seed, largest, half, more[i][0], more[i][1]), &workspace[i]);
    EXPECT(i == 0 || one == saved, "a plugin saves the same for every size");
    saved = one;
  }
  const std::unique_ptr<Node> engine = load(saved);
  EXPECT(engine, "%s", tensorrt().logger.take().c_str());
  const std::unique_ptr<Node> context = engine->attach();
  for (const int64_t batch : {largest, int64_t{1}})
    for (const int i : {0, 1, 0}) {
      const Problem p = larger_conv(seed, batch, half, more[i][0], more[i][1]);
      EXPECT(context->shape_change(p.descs(p.in), p.descs(p.out)), "%s", tensorrt().logger.take().c_str());
      Run run(p, workspace[i]);
      run.enqueue(*context);
      run.check("another size");
    }
  EXPECT(tensorrt().logger.errors == 0, "%s", tensorrt().logger.take().c_str());
}

CASE(conv_sizes) {
  for (uint32_t i = 0; i < 25; ++i) live_in_sizes(seed + i, i & 1);
}

CASE(gate_float) { live_many(random_gate, seed, false); }
CASE(gate_half) { live_many(random_gate, seed, true); }

// Launches of both operators into one graph, replayed: nothing in enqueue may need the host.
CASE(graph_capture) {
  struct Captured {
    Node *conv, *gate;
    Run *conv_run, *gate_run;
  };
  for (uint32_t i = 0; i < 5; ++i) {
    const Problem conv = random_conv(seed + i, 2, i & 1), gate = random_gate(seed + i, 2, i & 1);
    size_t conv_bytes = 0, gate_bytes = 0;
    const std::unique_ptr<Node> conv_node = load(build_engine(conv, &conv_bytes))->attach();
    const std::unique_ptr<Node> gate_node = load(build_engine(gate, &gate_bytes))->attach();
    EXPECT(conv_node->shape_change(conv.descs(conv.in), conv.descs(conv.out)), "conv");
    EXPECT(gate_node->shape_change(gate.descs(gate.in), gate.descs(gate.out)), "gate");
    // TensorRT asks for one run before capture.
    Run warm_conv(conv, conv_bytes), warm_gate(gate, gate_bytes);
    warm_conv.enqueue(*conv_node);
    warm_gate.enqueue(*gate_node);
    synchronize();
    Run conv_run(conv, conv_bytes), gate_run(gate, gate_bytes);
    Captured all{conv_node.get(), gate_node.get(), &conv_run, &gate_run};
    capture_and_replay(
        [](void* p) {
          const auto* c = static_cast<Captured*>(p);
          c->conv_run->enqueue(*c->conv);
          c->gate_run->enqueue(*c->gate);
        },
        &all);
    conv_run.check("replayed");
    gate_run.check("replayed");
  }
}

}  // namespace
}  // namespace test
}  // namespace sanp
