// Instantiates both operators for one plugin interface.
#include "creators.h"

#include "channel_gate.h"
#include "gated_conv.h"
#ifdef SANP_TRT_V2
#include "plugin_v2.h"
#else
#include "plugin_v3.h"
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
