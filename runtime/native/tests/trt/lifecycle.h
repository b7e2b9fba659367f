// The life of a plugin as TensorRT leads it: parse, build, save, load, run.
#pragma once

#include "tests/trt/memory.h"
#include "tests/trt/node.h"
#include "tests/trt/problem.h"

namespace sanp {
namespace test {

// Builds a plugin for batches 1 to `largest` of this problem's shapes, as a builder does: copies, format search in the
// order TensorRT offers formats, types, symbolic shapes, workspace, a timed run on garbage.
// Returns the engine's copy; *workspace are the bytes an execution context has to provide.
Saved build_engine(const Problem& largest, size_t* workspace);

// Device memory of one run.
class Run {
 public:
  Run(const Problem& problem, size_t workspace);
  void enqueue(Node& node);
  // Compares all outputs, which started as NaN, and looks at what lies behind the buffers.
  void check(const std::string& where) const;
  // Fills every input that decides about channels with random bits.
  void scramble(uint32_t seed);

 private:
  const Problem& problem_;
  std::vector<Desc> in_descs_, out_descs_;
  std::vector<std::unique_ptr<Memory>> in_, out_;
  Memory workspace_;
};

}  // namespace test
}  // namespace sanp
