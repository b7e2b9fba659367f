// Algorithms "packed4" and "packed1": tensor cores, weights packed by an earlier launch, kernels above 1x1.
//
// A stage is 16 open input channels with all taps. While one is multiplied, the weights of the next are copied to
// shared memory and its window is loaded into registers, so that there is one barrier for a stage.
#pragma once

#include "cuda/conv/packed/product.h"
#include "cuda/conv/packed/window.h"

namespace sanp {
namespace cuda {

template <int kVector, int kM, int kN, int kRowWarps, int kPixelWarps>
__global__ void __launch_bounds__(32 * kRowWarps * kPixelWarps) conv_packed(const PackedConvArgs a) {
  if (!kHasMatrixProduct) return;
  using Product = PackedProduct<kM, kN, kRowWarps, kPixelWarps>;
  const PackedTile t = packed_tile<Product::kTileM, Product::kTileN, Product::kThreads>(a);
  Product product(t.open);
  if (t.k_blocks.begin < t.k_blocks.end) {
    const int weights_bytes = Product::kRowBlocks * a.taps * kFragmentBytes;
    const int window_bytes = a.packed.window * kWindowPitch;
    unsigned char* const windows = t.buffers + 2 * weights_bytes;
    // Gaps and what lies above and below the map stay zero.
    for (int i = threadIdx.x; i < 2 * window_bytes / 16; i += Product::kThreads)
      reinterpret_cast<uint4*>(windows)[i] = uint4{0, 0, 0, 0};
    PackedWindowInputs<kVector, Product::kThreads> inputs(a, t);
    copy_weights<Product::kTileM, Product::kThreads>(a, t, t.k_blocks.begin, 1, t.buffers);
    close_copies();
    inputs.fetch(t.k_blocks.begin);
    product.inputs_by_pixel([&](int q) { return inputs.place(a, q); });
    __syncthreads();
    inputs.put(windows);
    wait_copies<0>();
    __syncthreads();
    const int next_column = a.dilation_w * kWindowPitch;
    const int next_row = a.dilation_h * (a.width + a.packed.gap) * kWindowPitch;
    const bool is_3x3 = a.kernel_w == 3 && a.taps == 9;
    int buffer = 0;
    for (int k_block = t.k_blocks.begin; k_block < t.k_blocks.end; ++k_block, buffer ^= 1) {
      const bool more = k_block + 1 < t.k_blocks.end;
      if (more) {
        copy_weights<Product::kTileM, Product::kThreads>(a, t, k_block + 1, 1,
                                                         t.buffers + (buffer ^ 1) * weights_bytes);
        close_copies();
        inputs.fetch(k_block + 1);
      }
      product.template add<true>(t.buffers + buffer * weights_bytes, windows + buffer * window_bytes, [&](auto step) {
        if (is_3x3) {
#pragma unroll
          for (int tap = 0; tap < 9; ++tap)
            step(tap * Product::kRowBlocks * kFragmentBytes, tap / 3 * next_row + tap % 3 * next_column);
          return;
        }
        int column = 0, shift = 0;
#pragma unroll 1
        for (int tap = 0; tap < a.taps; ++tap) {
          step(tap * Product::kRowBlocks * kFragmentBytes, shift);
          shift += next_column;
          if (++column == a.kernel_w) {
            column = 0;
            shift += next_row - a.kernel_w * next_column;
          }
        }
      });
      if (more) inputs.put(windows + (buffer ^ 1) * window_bytes);
      wait_copies<0>();
      __syncthreads();
    }
  }
  if (product.add_slices(a, t)) product.store(a, t);
}

}  // namespace cuda
}  // namespace sanp
