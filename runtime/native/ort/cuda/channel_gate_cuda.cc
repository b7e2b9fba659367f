// Describes one channel gate to the CUDA kernels and launches it on the stream of the run.
#include "ort/cuda/channel_gate_cuda.h"

namespace sanp {

void ChannelGateCudaKernel::compute(OrtKernelContext* context) const {
  const ChannelGateArguments a = channel_gate_arguments(api, context, attributes_);
  const int64_t dims[2] = {a.batch, a.outputs};
  float* const scale = output_tensor(api, context, 0, dims, 2);
  float* const shift = output_tensor(api, context, 1, dims, 2);
  if (a.batch == 0) return;
  SanpCudaGate gate{};
  gate.type = SANP_CUDA_FLOAT32;
  gate.batch = narrow(a.batch, "the batch");
  gate.c_in = narrow(a.channels, "the number of input channels");
  gate.height = narrow(a.x.dims[2], "the height of x");
  gate.width = narrow(a.x.dims[3], "the width of x");
  gate.hidden = narrow(a.hidden, "the number of hidden units");
  gate.c_out = narrow(a.outputs, "the number of gates");
  gate.mask_rows = rows_of(a.mask);
  gate.k = narrow(attributes_.k, "attribute 'k'");
  gate.threshold = attributes_.threshold;
  const SanpCudaGateTensors tensors{a.x.data,    a.w1.data,   a.b1.data, a.w2.data, a.b2.data,
                                    a.bias.data, a.mask.data, scale,     shift};
  void* const stream = compute_stream(api, context);
  const Scratch scratch(sanp_cuda_gate_workspace(&gate), stream);
  check_cuda(scratch.status(), "scratch memory could not be allocated");
  check_cuda(sanp_cuda_gate(&gate, &tensors, scratch.get(), stream), "the launch failed");
}

}  // namespace sanp
