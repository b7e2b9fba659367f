// Launches one channel gate it on the stream of the run.
#include "ort/cuda/channel_gate_cuda.h"

#include "cuda/describe.h"

namespace sanp {

void ChannelGateCudaKernel::compute(OrtKernelContext* context) const {
  const ChannelGateArguments a(api, context, attributes_);
  float* const scale = channel_gate_output(api, context, kGateScale, a.problem);
  float* const shift = channel_gate_output(api, context, kGateShift, a.problem);
  if (a.problem.batch == 0) return;
  const ChannelGateAttributes here = attributes_of_run(api, context, attributes_, ChannelGateCudaOp::kInputs);
  const SanpCudaGate gate = cuda::describe(here, a.problem, SANP_CUDA_FLOAT32);
  const SanpCudaGateTensors tensors{a.in.data(kGateX),
                                    a.in.data(kGateW1),
                                    a.in.data(kGateB1),
                                    a.in.data(kGateW2),
                                    a.in.data(kGateB2),
                                    a.in.data(kGateBias),
                                    a.in.data(kGateMask),
                                    scale,
                                    shift};
  void* const stream = compute_stream(api, context);
  const Scratch scratch(sanp_cuda_gate_workspace(&gate), stream);
  check_cuda(scratch.status(), "scratch memory could not be allocated");
  check_cuda(sanp_cuda_gate(&gate, &tensors, scratch.get(), stream), "the launch failed");
}

}  // namespace sanp
