// Memory on the GPU.
#include <cuda_runtime_api.h>

#include "tests/trt/cases.h"
#include "tests/trt/memory.h"

namespace sanp {
namespace test {
namespace {

constexpr size_t kGuard = 256;
constexpr char kPattern = 0x5a;

void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) throw Failure(text("%s: %s", what, cudaGetErrorString(status)));
}

}  // namespace

Memory::Memory(size_t bytes, int fill) : bytes_(bytes) {
  void* p = nullptr;
  check(cudaMalloc(&p, bytes + kGuard), "cudaMalloc");
  data_ = static_cast<char*>(p);
  check(cudaMemset(data_, fill, bytes), "cudaMemset");
  check(cudaMemset(data_ + bytes, kPattern, kGuard), "cudaMemset");
}

Memory::Memory(const std::vector<char>& content) : Memory(content.size()) {
  check(cudaMemcpy(data_, content.data(), content.size(), cudaMemcpyHostToDevice), "cudaMemcpy");
}

Memory::~Memory() { cudaFree(data_); }

std::vector<char> Memory::download() const {
  synchronize();
  std::vector<char> all(bytes_ + kGuard);
  check(cudaMemcpy(all.data(), data_, all.size(), cudaMemcpyDeviceToHost), "cudaMemcpy");
  for (size_t i = 0; i < kGuard; ++i)
    EXPECT(all[bytes_ + i] == kPattern, "byte %zu behind %zu bytes was written", i, bytes_);
  all.resize(bytes_);
  return all;
}

void* stream() {
  static const cudaStream_t one = [] {
    cudaStream_t s = nullptr;
    check(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    return s;
  }();
  return one;
}

void synchronize() {
  check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  check(cudaGetLastError(), "after cudaDeviceSynchronize");
}

void capture_and_replay(void (*f)(void*), void* argument) {
  const cudaStream_t s = static_cast<cudaStream_t>(stream());
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  check(cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal), "cudaStreamBeginCapture");
  f(argument);
  check(cudaStreamEndCapture(s, &graph), "cudaStreamEndCapture");
  check(cudaGraphInstantiateWithFlags(&exec, graph, 0), "cudaGraphInstantiateWithFlags");
  check(cudaGraphLaunch(exec, s), "cudaGraphLaunch");
  synchronize();
  check(cudaGraphExecDestroy(exec), "cudaGraphExecDestroy");
  check(cudaGraphDestroy(graph), "cudaGraphDestroy");
}

}  // namespace test
}  // namespace sanp
