#include "checksum.hpp"

#include <array>

namespace macqueen {

namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;  // bits reversed

constexpr std::array<uint32_t, 256> remainders() {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? kPolynomial : 0);
    table[byte] = value;
  }
  return table;
}

}  // namespace

uint32_t crc32c(const uint8_t* bytes, size_t count) {
  static constexpr std::array<uint32_t, 256> kRemainders = remainders();
  uint32_t value = ~uint32_t{0};
  for (size_t i = 0; i < count; ++i) value = (value >> 8) ^ kRemainders[(value ^ bytes[i]) & 0xff];
  return ~value;
}

}  // namespace macqueen
