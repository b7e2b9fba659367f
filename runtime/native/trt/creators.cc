// Instantiates both operators for one plugin interface.
#include "trt/creators.h"

#include "trt/channel_gate.h"
#include "trt/gated_conv.h"
#ifdef SANP_TRT_V2
#include "trt/plugin_v2.h"
#else
#include "trt/plugin_v3.h"
#endif

namespace sanp {
namespace trt {

const CreatorList& creators() noexcept {
  static Creator<GatedConv> gated_conv;
  static Creator<ChannelGate> channel_gate;
  static const CreatorList list{{&gated_conv, &channel_gate}, {GatedConv::kName, ChannelGate::kName}};
  return list;
}

}  // namespace trt
}  // namespace sanp
