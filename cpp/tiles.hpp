// Sums of products of 8-bit integers by tiles (AMX): 16 rows, 16 centers and 64 columns in one instruction. They are
// the integers that other instruction sets compute.
#pragma once

#include "simd.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

constexpr size_t kTileSide = 16;   // rows and centers of a tile
constexpr size_t kTileBytes = 64;  // its columns

#if defined(__AMX_INT8__) || defined(MACQUEEN_EMULATED_TILES)
#define MACQUEEN_TILES
#endif

#if defined(__AMX_INT8__)

// Holds the tile registers of a thread, in which each has kTileSide rows of kTileBytes, for the time of a call: the
// system saves and restores 8 KiB more at each switch of a thread that has some. In assembly, as g++ 12 does not know
// that its intrinsics read memory.
class TileRegisters {
 public:
  TileRegisters() {
    struct {
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t bytes[16] = {};
      uint8_t rows[16] = {};
    } shape;
    for (size_t i = 0; i < 8; ++i) {
      shape.bytes[i] = kTileBytes;
      shape.rows[i] = kTileSide;
    }
    asm volatile("ldtilecfg %0" : : "m"(shape));
  }
  ~TileRegisters() { asm volatile("tilerelease" : : : "memory"); }
  TileRegisters(const TileRegisters&) = delete;
};

template <int kTile>
inline void zero_tile() {
  asm volatile("tilezero %%tmm%c0" : : "i"(kTile));
}
template <int kTile>
inline void load_tile(const void* at, size_t stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(at), "r"(stride), "i"(kTile) : "memory");
}
template <int kTile>
inline void store_tile(int32_t* at) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(at), "r"(kTileSide * sizeof(int32_t)), "i"(kTile) : "memory");
}
// kSum += the products of bytes in kLeft, signed, and in kRight, signed or not.
template <int kSum, int kLeft, int kRight>
inline void multiply_tiles() {
  asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSum), "i"(kLeft), "i"(kRight));
}
template <int kSum, int kLeft, int kRight>
inline void multiply_by_unsigned() {
  asm volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSum), "i"(kLeft), "i"(kRight));
}
#elif defined(MACQUEEN_EMULATED_TILES)
// The same in plain C++, so that what is built on tiles is tested where there are none.
inline thread_local uint8_t emulated[8][kTileSide][kTileBytes];

class TileRegisters {
 public:
  TileRegisters() { memset(emulated, 0xa5, sizeof emulated); }
};

template <int kTile>
inline void zero_tile() {
  memset(emulated[kTile], 0, sizeof emulated[kTile]);
}
template <int kTile>
inline void load_tile(const void* at, size_t stride) {
  for (size_t r = 0; r < kTileSide; ++r) {
    memcpy(emulated[kTile][r], static_cast<const uint8_t*>(at) + r * stride, kTileBytes);
  }
}
template <int kTile>
inline void store_tile(int32_t* at) {
  memcpy(at, emulated[kTile], sizeof emulated[kTile]);
}
// Of this thread alone: the thread sanitizer would only make it take twenty times as long.
template <int kSum, int kLeft, int kRight, class Right>
__attribute__((no_sanitize("thread"))) void multiply_emulated() {
  for (size_t r = 0; r < kTileSide; ++r) {
    for (size_t c = 0; c < kTileSide; ++c) {
      int32_t sum;
      memcpy(&sum, &emulated[kSum][r][4 * c], sizeof sum);
      for (size_t j = 0; j < kTileBytes; ++j) {
        sum += static_cast<int8_t>(emulated[kLeft][r][j]) * static_cast<Right>(emulated[kRight][j / 4][4 * c + j % 4]);
      }
      memcpy(&emulated[kSum][r][4 * c], &sum, sizeof sum);
    }
  }
}
template <int kSum, int kLeft, int kRight>
inline void multiply_tiles() {
  multiply_emulated<kSum, kLeft, kRight, int8_t>();
}
template <int kSum, int kLeft, int kRight>
inline void multiply_by_unsigned() {
  multiply_emulated<kSum, kLeft, kRight, uint8_t>();
}
#else
class TileRegisters {};
#endif

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
