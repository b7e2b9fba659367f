// The gate functions of sanp_cuda.h: checks, workspace, and one to four launches by the size of a sample.
#include "cuda/base/launch.h"
#include "cuda/gate/kernels.h"
#include "cuda/gate/means.h"
#include "cuda/gate/one_block.h"
#include "cuda/sanp_cuda.h"

using namespace sanp::cuda;

namespace {

constexpr int kMaxBatch = 65535;        // a grid dimension
constexpr int kMaxChannels = 1 << 20;   // of every layer
constexpr int64_t kMaxPlane = 1 << 30;  // pixels of a channel

bool is_valid(const SanpCudaGate& g) {
  if (g.type != SANP_CUDA_FLOAT32 && g.type != SANP_CUDA_FLOAT16) return false;
  if (g.batch < 0 || g.batch > kMaxBatch || g.height < 1 || g.width < 1) return false;
  if (int64_t{g.height} * g.width > kMaxPlane || g.k < 0 || (g.mask_rows != 1 && g.mask_rows != g.batch)) return false;
  for (int channels : {g.c_in, g.c_out})
    if (channels < 1 || channels > kMaxChannels) return false;
  return g.hidden >= 0 && g.hidden <= kMaxChannels && (g.has_offset == 0 || g.has_offset == 1);
}

bool is_complete(const SanpCudaGateTensors& t, const void* workspace) {
  for (const void* p :
       {t.x, static_cast<const void*>(t.w1), static_cast<const void*>(t.b1), static_cast<const void*>(t.w2),
        static_cast<const void*>(t.b2), static_cast<const void*>(t.bias), static_cast<const void*>(t.mask),
        static_cast<const void*>(t.scale), static_cast<const void*>(t.shift), workspace})
    if (p == nullptr) return false;
  return true;
}

GateArgs gate_args(const SanpCudaGate& g, const SanpCudaGateTensors& t, void* workspace) {
  float* const means = static_cast<float*>(workspace);
  // Without a hidden layer the gates read the means.
  float* const hidden = g.hidden > 0 ? means + int64_t{g.batch} * g.c_in : means;
  float* const saliency = means + int64_t{g.batch} * (int64_t{g.c_in} + g.hidden);
  return GateArgs{t.x,
                  t.w1,
                  t.b1,
                  t.w2,
                  t.b2,
                  t.bias,
                  t.mask,
                  g.has_offset ? t.bias + g.c_out : nullptr,
                  means,
                  hidden,
                  saliency,
                  t.scale,
                  t.shift,
                  g.c_in,
                  g.height * g.width,
                  g.hidden > 0 ? g.hidden : g.c_in,
                  g.c_out,
                  g.mask_rows == 1 ? 0 : g.c_out,
                  g.k,
                  g.hidden > 0,
                  g.threshold};
}

// What one block does as fast as a grid with its launches: a multiprocessor takes 30 to 60 bytes a nanosecond from its
// cache, and a launch more costs about two microseconds.
constexpr int64_t kMostMapBytes = 64 * 1024;  // of a sample
constexpr int64_t kMostProducts = 96 * 1024;  // of both layers

dim3 grid_of(const SanpCudaGate& g, int rows, int per_block) {
  return dim3(static_cast<unsigned>(ceil_div(rows, per_block)), static_cast<unsigned>(g.batch));
}

bool fits_one_block(const SanpCudaGate& g) {
  const int64_t products = g.hidden > 0 ? int64_t{g.hidden} * (int64_t{g.c_in} + g.c_out) : int64_t{g.c_in} * g.c_out;
  return products <= kMostProducts && whole_gate_bytes(g.c_in, g.hidden, g.c_out) <= kSharedWithoutAsking;
}

template <class T>
cudaError_t launch_means(const SanpCudaGate& g, const GateArgs& a, cudaStream_t stream) {
  if (a.pixels > kLongPixels) {
    const dim3 grid(static_cast<unsigned>(g.c_in), static_cast<unsigned>(g.batch));
    return launch<GateArgs, gate_long_means<T>>(grid, kLongThreads, kLongBytes, stream, a);
  }
  const dim3 grid = grid_of(g, g.c_in, kGateRows);
  return a.pixels <= kShortPixels ? launch<GateArgs, gate_means<T, kShortAhead>>(grid, kGateThreads, 0, stream, a)
                                  : launch<GateArgs, gate_means<T, 64>>(grid, kGateThreads, 0, stream, a);
}

// One launch where a sample is small, two where only its map is large, one for each step otherwise.
template <class T>
cudaError_t launch_gate(const SanpCudaGate& g, const GateArgs& a, cudaStream_t stream) {
  if (fits_one_block(g)) {
    const dim3 grid(static_cast<unsigned>(g.batch));
    const int shared = static_cast<int>(whole_gate_bytes(g.c_in, g.hidden, g.c_out));
    if (int64_t{g.c_in} * a.pixels * static_cast<int64_t>(sizeof(T)) <= kMostMapBytes)
      return launch<GateArgs, gate_one_block<T, true>>(grid, kWholeThreads, shared, stream, a);
    const cudaError_t error = launch_means<T>(g, a, stream);
    if (error != cudaSuccess) return error;
    return launch<GateArgs, gate_one_block<T, false>>(grid, kWholeThreads, shared, stream, a);
  }
  cudaError_t error = launch_means<T>(g, a, stream);
  if (error == cudaSuccess && g.hidden > 0)
    error = launch<GateArgs, gate_squeeze>(grid_of(g, g.hidden, kGateRows), kGateThreads, 0, stream, a);
  if (error == cudaSuccess)
    error = launch<GateArgs, gate_excite>(grid_of(g, g.c_out, kGateRows), kGateThreads, 0, stream, a);
  if (error == cudaSuccess && g.k > 0)
    error = launch<GateArgs, gate_limit>(grid_of(g, g.c_out, kGateThreads), kGateThreads, 0, stream, a);
  return error;
}

}  // namespace

size_t sanp_cuda_gate_workspace(const SanpCudaGate* gate) {
  if (gate == nullptr || !is_valid(*gate)) return 0;
  const int64_t floats = int64_t{gate->batch} * (int64_t{gate->c_in} + gate->hidden + gate->c_out);
  return (static_cast<size_t>(floats) * sizeof(float) + 255) / 256 * 256;
}

int sanp_cuda_gate(const SanpCudaGate* gate, const SanpCudaGateTensors* tensors, void* workspace, void* stream) {
  if (gate == nullptr || tensors == nullptr || !is_valid(*gate)) return SANP_CUDA_BAD_ARGUMENT;
  if (gate->batch == 0) return SANP_CUDA_OK;
  if (!is_complete(*tensors, workspace)) return SANP_CUDA_BAD_ARGUMENT;
  const GateArgs args = gate_args(*gate, *tensors, workspace);
  const cudaStream_t on = static_cast<cudaStream_t>(stream);
  return static_cast<int>(gate->type == SANP_CUDA_FLOAT32 ? launch_gate<float>(*gate, args, on)
                                                          : launch_gate<Half>(*gate, args, on));
}
