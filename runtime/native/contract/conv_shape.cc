// Output size and limits of a convolution.
#include "contract/conv_shape.h"

namespace sanp {
namespace {

constexpr int64_t kMaxTaps = int64_t{1} << 24;

bool extent(int64_t size, int64_t begin, int64_t end, int64_t kernel, int64_t stride, int64_t dilation, int64_t* out) {
  if (size < 1 || kernel < 1 || stride < 1 || dilation < 1 || begin < 0 || end < 0) return false;
  if (size > kMaxExtent || begin > kMaxExtent || end > kMaxExtent || kernel > kMaxExtent || dilation > kMaxExtent)
    return false;
  const int64_t reach = (kernel - 1) * dilation + 1;
  const int64_t padded = size + begin + end;
  if (reach > padded || padded > kMaxExtent) return false;
  *out = (padded - reach) / stride + 1;
  return true;
}

}  // namespace

bool ConvShape::operator==(const ConvShape& o) const {
  return channels_in == o.channels_in && height == o.height && width == o.width && channels_out == o.channels_out &&
         kernel_h == o.kernel_h && kernel_w == o.kernel_w && stride_y == o.stride_y && stride_x == o.stride_x &&
         pad_top == o.pad_top && pad_left == o.pad_left && pad_bottom == o.pad_bottom && pad_right == o.pad_right &&
         dilation_y == o.dilation_y && dilation_x == o.dilation_x && group == o.group;
}

bool ConvShape::output_size(int64_t* out_h, int64_t* out_w) const {
  if (!extent(height, pad_top, pad_bottom, kernel_h, stride_y, dilation_y, out_h)) return false;
  if (!extent(width, pad_left, pad_right, kernel_w, stride_x, dilation_x, out_w)) return false;
  if (channels_in < 1 || channels_out < 1 || group < 1) return false;
  if (channels_in > kMaxOffset || channels_out > kMaxOffset || kernel_h * kernel_w > kMaxTaps) return false;
  // Every index inside one channel and one weight row is 32 bits wide.
  return *out_h * *out_w <= kMaxOffset && height * width <= kMaxOffset &&
         channels_in / group <= kMaxOffset / (kernel_h * kernel_w);
}

}  // namespace sanp
