// A node that passed the check of the contract, as the C interface of the kernels describes it.
#pragma once

#include "contract/channel_gate.h"
#include "contract/gated_conv.h"
#include "cuda/sanp_cuda.h"

namespace sanp {
namespace cuda {

// Bytes between fields are zero: descriptions are compared bytewise.
SanpCudaConv describe(const GatedConvAttributes& a, const GatedConvProblem& p, SanpCudaType type) noexcept;
SanpCudaGate describe(const ChannelGateAttributes& a, const ChannelGateProblem& p, SanpCudaType type) noexcept;

}  // namespace cuda
}  // namespace sanp
