// Parts of the module that have a source of their own.
#pragma once

#include <nanobind/nanobind.h>

namespace macqueen {

void bind_seeding(nanobind::module_& m);

}  // namespace macqueen
