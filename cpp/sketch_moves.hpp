// Upper bounds of the distances of rows to their own centers that follow the centers without reading the rows.
//
// With D = C' - C, how a center moved in a step, and sketches as in cpp/sketch.hpp,
//
//   |X - C'|^2 = |X - C|^2 + D.(C + C') - 2 X.D,   X.D = y.z + t^.s^ + e,   |e| <= |t^| |s - s^| + |t - t^| |s|,
//
// where z and s are heads and tail of D: all that |e| adds is a few hundredths of |X| |D|. Rounding changes X.D by less
// than slack |X| |D|, with D in the place of a center: D is rounded twice where a center is once, and the products have
// chains of at most heads / kWidth + 10 operations, which for heads <= 64 are fewer than the kSketchChunk +
// heads / kSketchChunk + 12 that `slack` allows for, or without heads than 3 * 12. Underflow: the floors of
// cpp/sketch.hpp, and 2^-80 is added to each square. D.(C + C') is a sum of float64, raised by what its roundings can
// be.
#pragma once

#include "sketch.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

constexpr float kMostDoubt = 0.02f;  // of a square, what following it may add: the distance is 1 % too long, at most

// D.(C + C') of a center, a little more; infinity or not a number where it cannot be told.
template <class T>
inline double change_of(const T* before, const T* now, const SketchForm& f) {
  Doubles sums = {}, sizes = {};
  for (size_t j = 0; j < f.d; j += kDoubleLanes) {
    const size_t count = f.d - j;
    const bool whole = count >= kDoubleLanes;
    const Doubles x = whole ? load_doubles(now + j) : load_doubles(now + j, count);
    const Doubles y = whole ? load_doubles(before + j) : load_doubles(before + j, count);
    const Doubles o = load_doubles(f.shift + j), move = x - y;
    sums += move * ((x + y) * f.scale - (o + o));
    sizes += absolute(move) * ((absolute(x) + absolute(y)) * f.scale + absolute(o + o));
  }
  const double sum = sum_lanes(sums) * f.scale, size = sum_lanes(sizes) * f.scale;
  if (!(size < kMostSketched * kMostSketched)) return __builtin_inf();
  return sum + __builtin_fabs(sum) * 0x1p-20 + size * static_cast<double>(f.d + 16) * 0x1p-52;
}

template <class T>
void sketch_moves(const T* before, const T* now, size_t first, size_t count, const SketchForm& f, float* scratch,
                  const MovePanels& p) {
  const SketchScratch at(f, scratch);
  const T scale = static_cast<T>(f.scale);
  for (size_t i = 0; i < count; ++i) {
    const T *x = now + (first + i) * f.d, *y = before + (first + i) * f.d;
    float* v = at.v + i * f.padded();
    for (size_t j = 0; j < f.d; ++j) v[j] = static_cast<float>((x[j] - y[j]) * scale);
    for (size_t j = f.d; j < f.padded(); ++j) v[j] = 0;
  }
  float squares[kSketchPart];
  split(at.v, count, f, at.y, squares);
  Tails tails{};
  for (size_t i = 0; i < count; ++i) {
    if (!can_be_sketched(squares[i])) continue;
    const float* own = at.v + i * f.padded();
    to_grid(own, highest(own, f), f, kMostBiased, at.integers, i, tails);
    uint8_t* bytes = p.tails + (first + i) * f.tiled_tails();
    for (size_t j = 0; j < f.tails; ++j) bytes[j] = static_cast<uint8_t>(at.integers[j] + kByteBias);
    for (size_t a = 0; a < f.heads; ++a) p.heads[(first + i) * f.heads + a] = -2 * at.y[i * f.heads + a];
  }
  Lengths lengths;
  lengths_of(tails, f, lengths);
  for (size_t i = 0; i < count; ++i) {
    const size_t c = first + i;
    const double square = static_cast<double>(squares[i]), change = change_of(before + c * f.d, now + c * f.d, f);
    p.numbers[c] = {__builtin_inff(), 0, 0, 0, 0};
    if (!(square < kMostSketched * kMostSketched) || !(change < kMostSketched * kMostSketched)) continue;
    const double length = __builtin_sqrt(square * (1 + 0x1p-20) + 0x1p-120);
    p.numbers[c] = {next_up(change), tails.step[i], 2 * next_up(lengths.tail[i]), 2 * next_up(lengths.error[i]),
                    2 * next_up(__builtin_sqrt(f.slack) * length * (1 + 0x1p-20))};
  }
}

#if defined(MACQUEEN_BYTE_PRODUCTS)
// -2 X.D of a row and how its own center moved, without e.
inline float twice_product(const SketchForm& f, const MovePanels& p, const SketchRows& s, size_t row, size_t c) {
  const size_t end = f.padded_tails();
  const int8_t* x = s.tails + row * end;
  const uint8_t* move = p.tails + c * f.tiled_tails();
  Ints sum = broadcast_int(0);
  for (size_t j = 0; j < end; j += 4 * kWidth) add_products(sum, load_bytes(move + j), load_bytes(x + j, end - j));
  const auto products = static_cast<int32_t>(sum_of_lanes(sum) + static_cast<uint32_t>(s.numbers->offset[row]));
  const float tails = s.numbers->scale[row] * (static_cast<float>(products) * p.numbers[c].step);
  if (f.heads == 0) return tails;
  Floats heads = broadcast(0);
  for (size_t j = 0; j < f.heads; j += kWidth) {
    const size_t left = f.heads - j < kWidth ? f.heads - j : kWidth;
    heads =
        multiply_add(load_first(s.heads + row * f.heads + j, left), load_first(p.heads + c * f.heads + j, left), heads);
  }
  return sum_of(heads) + tails;
}

void moved_bounds(const SketchForm& f, const MovePanels& p, const SketchRows& s, const uint8_t* list, size_t count,
                  const int32_t* labels, float* upper, float* doubts) {
  const float row_slack = f.row_slack();
  float changes[kSketchRows] = {}, errors[kSketchRows];
  for (float& error : errors) error = kHuge;
  for (size_t r = 0; r < count; ++r) {
    const size_t i = list[r], c = static_cast<size_t>(labels[i]);
    const MoveNumbers& move = p.numbers[c];
    changes[i] = move.change + twice_product(f, p, s, i, c);
    errors[i] = s.numbers->tail[i] * move.error + s.numbers->error[i] * move.tail +
                __builtin_sqrtf(s.numbers->squares[i] * row_slack + kLeastSlack) * move.slack;
  }
  const Floats up = broadcast(1 + kOutward), zero = broadcast(0), none = broadcast(-kHuge), half = broadcast(0.5f);
  const Floats most = broadcast(kMostDoubt), far = broadcast(static_cast<float>(kMostSketched * kMostSketched));
  for (size_t i = 0; i < kSketchRows; i += kWidth) {
    const Floats before = load(upper + i), over = maximum(load(doubts + i), zero), error = load(errors + i);
    const Floats square = multiply_add(before * before, up, broadcast(0x1p-80f));
    const Floats now = multiply_add(error, up, add(square, load(changes + i)));
    const Floats rounding = multiply_add(square, broadcast(2 * kOutward), error);  // much, where a far center came near
    const Floats doubt = multiply_add(add(before, before), over, rounding);
    const Floats distance = square_root(now) * up;
    // What is not a number passes neither comparison.
    store(upper + i, choose_below(doubt, most * now, choose_below(now, far, distance, none), none));
    store(doubts + i, doubt * half / distance);
  }
}
#else
constexpr decltype(Kernels::moved_bounds) moved_bounds = nullptr;
#endif

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
