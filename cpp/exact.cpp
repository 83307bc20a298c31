#include "exact.hpp"

#include <string.h>

#include <algorithm>
#include <cmath>

namespace macqueen::exact {

namespace {

int bit_length(uint128 value) {
  const uint64_t high = static_cast<uint64_t>(value >> 64);
  const uint64_t low = static_cast<uint64_t>(value);
  if (high != 0) return 128 - __builtin_clzll(high);
  return low == 0 ? 0 : 64 - __builtin_clzll(low);
}

}  // namespace

Scaled split(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  const int biased = static_cast<int>((bits >> 52) & 0x7ff);
  int64_t mantissa = static_cast<int64_t>(bits & ((uint64_t{1} << 52) - 1));
  if (biased == 0 && mantissa == 0) return {0, 0};
  if (biased != 0) mantissa |= int64_t{1} << 52;
  const int exponent = (biased == 0 ? 1 : biased) - 1075;
  return {(bits >> 63) != 0 ? -mantissa : mantissa, exponent};
}

void add_scaled(int64_t* digits, int first, int128 value, int exponent) {
  const int index = digit_of(exponent);
  const int shift = exponent - index * kDigitBits;  // 0..39
  const int64_t sign = value < 0 ? -1 : 1;
  uint128 magnitude = value < 0 ? -static_cast<uint128>(value) : static_cast<uint128>(value);
  // Chunks of 40 bits, each spread over two digits.
  for (int64_t* target = digits + (index - first); magnitude != 0; ++target, magnitude >>= kDigitBits) {
    const int64_t chunk = static_cast<int64_t>(magnitude) & kDigitMask;
    target[0] += sign * ((chunk & (kDigitMask >> shift)) << shift);
    const int64_t above = chunk >> (kDigitBits - shift);
    if (above != 0) target[1] += sign * above;
  }
}

void carry(int64_t* digits, int count) {
  int64_t up = 0;
  for (int i = 0; i + 1 < count; ++i) {
    const int64_t digit = digits[i] + up;
    up = digit >> kDigitBits;
    digits[i] = digit & kDigitMask;
  }
  digits[count - 1] += up;
}

void round(const int64_t* digits, int count, int first, double* high, double* low) {
  *high = 0;
  *low = 0;
  int64_t settled[kMostDigits];
  int top = -1;
  for (int i = 0; i < count; ++i) settled[i] = digits[i];
  carry(settled, count);
  const bool negative = settled[count - 1] < 0;
  if (negative) {
    for (int i = 0; i < count; ++i) settled[i] = -settled[i];
    carry(settled, count);
  }
  for (int i = 0; i < count; ++i) {
    if (settled[i] != 0) top = i;
  }
  if (top < 0) return;

  // The leading 88 bits or more, and whether anything follows.
  uint128 leading = static_cast<uint128>(settled[top]);
  int at = top;
  while (at > 0 && bit_length(leading) <= 128 - kDigitBits) leading = (leading << kDigitBits) | settled[--at];
  bool more = false;
  for (int i = 0; i < at; ++i) more = more || settled[i] != 0;
  const int exponent = (first + at) * kDigitBits;

  // Round to 53 bits, fewer for denormals.
  const int last_place = std::max(exponent + bit_length(leading) - 53, -1074);
  const int shift = last_place - exponent;
  if (shift > 127) return;  // below half of the smallest float64
  uint128 kept = leading;
  int128 rest = 0;
  if (shift > 0) {
    kept = leading >> shift;
    rest = static_cast<int128>(leading & ((static_cast<uint128>(1) << shift) - 1));
    const int128 half = static_cast<int128>(static_cast<uint128>(1) << (shift - 1));
    if (rest > half || (rest == half && (more || (kept & 1) != 0))) {
      kept += 1;
      rest -= 2 * half;
    }
  }
  const int kept_exponent = shift > 0 ? last_place : exponent;
  *high = std::ldexp(static_cast<double>(kept), kept_exponent);
  // `leading` may hold as few as 89 bits: one more digit makes `low` good to 53 bits of its own.
  const double tail = at > 0 ? std::ldexp(static_cast<double>(settled[at - 1]), exponent - kDigitBits) : 0.0;
  *low = std::ldexp(static_cast<double>(rest), exponent) + tail;
  if (negative) {
    *high = -*high;
    *low = -*low;
  }
}

}  // namespace macqueen::exact
