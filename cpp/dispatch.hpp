// Which instruction sets this processor has, and which one to use.
#pragma once

#include <string>
#include <vector>

#include "kernels.hpp"

namespace macqueen {

// The tables that this build has and this processor can run, slowest first.
const std::vector<const Kernels*>& available_kernels();

// The table of that name; an empty name means the best. Throws std::invalid_argument for a name that is unknown
// or cannot run here, listing those that can.
const Kernels& find_kernels(const std::string& name);

}  // namespace macqueen
