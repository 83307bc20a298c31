// Sketches (cpp/sketch.hpp) of the centers of a step, in groups.
#pragma once

#include "sketch_products.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

// Integers (padded,) of a center, 0: none, into its lane of the panels, with kByteBias added.
inline void panel_tails(const SketchForm& f, const int8_t* integers, size_t place, const SketchPanels& panels) {
  constexpr uint32_t kOnes = 0x01010101, kZeros = kByteBias * kOnes;
  uint8_t* out = panels.tails + place / kGroup * f.padded_tails() * kGroup + place % kGroup * sizeof kZeros;
  for (size_t j = 0; j < f.padded_tails(); j += sizeof kZeros, out += kGroup * sizeof kZeros) {
    uint32_t four = 0;
    if (integers != nullptr) memcpy(&four, integers + j, sizeof four);
    four = (four ^ 128 * kOnes) - (128 * kOnes - kZeros);
    memcpy(out, &four, sizeof four);
  }
}

// The same, as they are, into its rows of tiles.
inline void tile_tails(const SketchForm& f, const int8_t* integers, size_t place, const SketchPanels& panels) {
  for (size_t j = 0; j < f.tiled_tails(); j += kTileBytes) {
    int8_t* out = panels.tiles + (place / kGroup * f.tiled_tails() + j) * kGroup + place % kGroup * kTileBytes;
    memset(out, 0, kTileBytes);
    if (integers != nullptr) memcpy(out, integers + j, f.tails - j < kTileBytes ? f.tails - j : kTileBytes);
  }
}

inline void empty_place(const SketchForm& f, size_t place, const SketchPanels& panels) {
  const size_t g = place / kGroup, lane = place % kGroup;
  for (size_t j = 0; j < f.heads; ++j) panels.heads[(g * f.heads + j) * kGroup + lane] = 0;
  panel_tails(f, nullptr, place, panels);
  if (panels.tiles != nullptr) tile_tails(f, nullptr, place, panels);
  panels.start[place] = kHuge;
  panels.step[place] = panels.tail[place] = panels.error[place] = 0;
}

inline void raise_to(float& most, double value) { most = next_up(value) > most ? next_up(value) : most; }

// One center in its place, from its coordinates (`v` without a basis, else `v` and `y`), of which none is beyond `top`
// in `v`, and |C|^2.
inline void place_center(const float* v, const float* y, float square, float top, const SketchForm& f, size_t place,
                         int8_t* integers, const SketchPanels& panels) {
  const size_t g = place / kGroup, lane = place % kGroup;
  float* most = panels.most + g * 3;
  if (!can_be_sketched(square)) {
    empty_place(f, place, panels);
    panels.start[place] = -kHuge;
    most[2] = __builtin_inff();
    return;
  }
  const float* heads = f.columns == 0 ? v : y;
  for (size_t j = 0; j < f.heads; ++j) panels.heads[(g * f.heads + j) * kGroup + lane] = -2 * heads[j];
  Tails tails{};
  Lengths lengths;
  if (f.tails > 0) {
    to_grid(v, top, f, kMostBiased, integers, 0, tails);
    panel_tails(f, integers, place, panels);
  }
  if (panels.tiles != nullptr) tile_tails(f, integers, place, panels);
  lengths_of(tails, f, lengths);
  const double tail = lengths.tail[0], error = lengths.error[0];
  panels.step[place] = tails.step[0];
  const double squares = static_cast<double>(square);
  panels.start[place] = next_down(squares * (1 - 2 * f.slack - 0x1p-20) - 0x1p-90);
  panels.tail[place] = -2 * next_up(tail);
  panels.error[place] = -2 * next_up(error);
  raise_to(most[0], 4.001 * tail);
  raise_to(most[1], 4.001 * error);
  raise_to(most[2], squares * (4 * f.slack + 0x1p-18) + 0x1p-85);
}

template <class T>
void sketch_centers(const T* centers, const int32_t* names, size_t group, const SketchForm& f, float* scratch,
                    const SketchPanels& panels) {
  static_assert(kGroup <= kSketchPart);
  const SketchScratch at(f, scratch);
  const T* rows[kGroup];
  size_t places[kGroup], count = 0;
  for (size_t i = 0; i < 3; ++i) panels.most[group * 3 + i] = 0;
  for (size_t lane = 0; lane < kGroup; ++lane) {
    const size_t place = group * kGroup + lane;
    if (names[lane] < 0) {
      empty_place(f, place, panels);
      continue;
    }
    rows[count] = centers + static_cast<size_t>(names[lane]) * f.d;
    places[count++] = place;
  }
  float squares[kSketchPart];
  coordinates(rows, count, f, at.v, at.y, squares);
  float tops[kSketchPart], top = 0;
  for (size_t i = 0; i < count; ++i) {
    tops[i] = highest(at.v + i * f.padded(), f);
    if (can_be_sketched(squares[i]) && tops[i] > top) top = tops[i];
  }
  const bool shared = panels.tiles != nullptr;  // one grid for all centers of a group
  for (size_t i = 0; i < count; ++i) {
    place_center(at.v + i * f.padded(), at.y + i * f.heads, squares[i], shared ? top : tops[i], f, places[i],
                 at.integers, panels);
  }
  if (!shared) return;
  float step = 0;
  for (size_t i = 0; i < count; ++i) step = panels.step[places[i]] > step ? panels.step[places[i]] : step;
  for (size_t lane = 0; lane < kGroup; ++lane) panels.step[group * kGroup + lane] = step;
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
