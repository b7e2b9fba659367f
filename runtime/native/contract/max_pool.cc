// Checks the attributes and the shape of SanpMaxPool.
#include "contract/max_pool.h"

#include "contract/conv_shape.h"

namespace sanp {
namespace {

long long ll(int64_t v) { return static_cast<long long>(v); }

}  // namespace

Error check(const MaxPoolAttributes& a) noexcept {
  for (int i = 0; i < 2; ++i) {
    if (a.kernel[i] < 1 || a.strides[i] < 1)
      return Error::format(
          "kernel_shape %lld and stride %lld of dimension %d; expected at least 1, re-export the model",
          ll(a.kernel[i]), ll(a.strides[i]), i);
    for (const int64_t pad : {a.pads[i], a.pads[i + 2]})
      if (pad < 0 || pad >= a.kernel[i])
        return Error::format("a pad of %lld with kernel_shape %lld; expected pads from 0 to less than the kernel",
                             ll(pad), ll(a.kernel[i]));
  }
  return {};
}

Error check(const MaxPoolAttributes& a, const Shape<int64_t>* const (&in)[kPoolInputs], MaxPoolProblem* p) noexcept {
  const Shape<int64_t>& x = *in[kPoolX];
  if (Error e = require_rank(x, kPoolInputNames[kPoolX], 4, kMayBeEmpty)) return e;
  p->batch = x.dims[0];
  p->channels = x.dims[1];
  p->shape = {x.dims[2], x.dims[3], a.kernel[0], a.kernel[1], a.strides[0], a.strides[1], a.pads[0], a.pads[1], 0, 0};
  // The sizes are those of a convolution of one channel.
  const ConvShape same{1,
                       x.dims[2],
                       x.dims[3],
                       1,
                       a.kernel[0],
                       a.kernel[1],
                       a.strides[0],
                       a.strides[1],
                       a.pads[0],
                       a.pads[1],
                       a.pads[2],
                       a.pads[3],
                       1,
                       1,
                       1};
  if (same.output_size(&p->shape.out_h, &p->shape.out_w)) return {};
  return Error::format("a kernel of %lld x %lld does not fit into input 'x' of shape %s; use a larger image",
                       ll(a.kernel[0]), ll(a.kernel[1]), ShapeText(x).text);
}

}  // namespace sanp
