// Algorithms "planes8" and "planes4": tensor cores, weights packed by an earlier launch, 1x1 with stride 1 and no
// border. Planes of the open channels are copied to shared memory as they are, [channel][pixel], three stages deep.
#pragma once

#include "cuda/conv/packed/product.h"
#include "cuda/conv/window.h"

namespace sanp {
namespace cuda {

// Starts the copy of one stage: the pixels of the tile in 16 `blocks` channels. Zero past the map and the open
// channels.
template <int kVector, int kTileN, int kThreads>
__device__ __forceinline__ void copy_planes(const PackedConvArgs& a, const PackedTile& t, const Half* x, int k_block,
                                            int blocks, unsigned char* to) {
  constexpr int kVectors = kTileN / kVector, kStep = kThreads / kVectors;
  static_assert(kStep * kVectors == kThreads, "a thread keeps its pixels");
  const int column = threadIdx.x % kVectors, pixel = t.place.first_pixel + column * kVector;
  const bool inside = pixel < a.pixels;
  x += inside ? pixel : 0;
  for (int k = threadIdx.x / kVectors; k < 16 * blocks; k += kStep) {
    const bool wanted = inside && 16 * k_block + k < t.n_inputs;
    copy_later<2 * kVector>(to + k * half_pitch_n(kTileN) + column * 2 * kVector,
                            x + (wanted ? t.inputs[16 * k_block + k] : 0), wanted);
  }
}

template <int kVector, int kM, int kN, int kRowWarps, int kPixelWarps>
__global__ void __launch_bounds__(32 * kRowWarps * kPixelWarps) conv_planes(const PackedConvArgs a) {
  if (!kHasMatrixProduct) return;
  using Product = PackedProduct<kM, kN, kRowWarps, kPixelWarps>;
  constexpr int kPitch = half_pitch_n(Product::kTileN), kRowBlocks = Product::kRowBlocks;
  constexpr int kWeights = kPlaneBlocks * kRowBlocks * kFragmentBytes;
  constexpr int kStage = planes_stage_bytes(Product::kTileM, Product::kTileN);
  const PackedTile t = packed_tile<Product::kTileM, Product::kTileN, Product::kThreads>(a);
  Product product(t.open);
  if (t.k_blocks.begin < t.k_blocks.end) {
    const Half* const x = first_plane<Half>(a, t.place);
    product.inputs_by_channel(kPitch);
    const auto blocks_at = [&](int k_block) { return min_of(kPlaneBlocks, t.k_blocks.end - k_block); };
    // A group of copies a stage, an empty one past the last, so that the count of open groups always fits.
    const auto start = [&](int k_block, int stage) {
      if (k_block < t.k_blocks.end) {
        unsigned char* const to = t.buffers + stage * kStage;
        copy_weights<Product::kTileM, Product::kThreads>(a, t, k_block, blocks_at(k_block), to);
        copy_planes<kVector, Product::kTileN, Product::kThreads>(a, t, x, k_block, blocks_at(k_block), to + kWeights);
      }
      close_copies();
    };
    int k_block = t.k_blocks.begin;
    for (int s = 0; s < kPlaneStages - 1; ++s) start(k_block + s * kPlaneBlocks, s);
    for (int stage = 0; k_block < t.k_blocks.end; k_block += kPlaneBlocks) {
      wait_copies<kPlaneStages - 2>();
      __syncthreads();
      const int free = stage == 0 ? kPlaneStages - 1 : stage - 1;
      start(k_block + (kPlaneStages - 1) * kPlaneBlocks, free);
      const int blocks = blocks_at(k_block);
      const unsigned char* const weights = t.buffers + stage * kStage;
      product.template add<false>(weights, weights + kWeights, [&](auto step) {
#pragma unroll
        for (int block = 0; block < kPlaneBlocks; ++block) {
          if (block >= blocks) break;
          step(block * kRowBlocks * kFragmentBytes, block * 16 * kPitch);
        }
      });
      stage = stage + 1 == kPlaneStages ? 0 : stage + 1;
    }
    wait_copies<0>();
  }
  if (product.add_slices(a, t)) product.store(a, t);
}

}  // namespace cuda
}  // namespace sanp
