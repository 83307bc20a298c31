// CRC-32C (Castagnoli), the checksum of the records in event files.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace macqueen {

uint32_t crc32c(const uint8_t* bytes, size_t count);

}  // namespace macqueen
