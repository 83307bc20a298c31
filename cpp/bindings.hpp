// The parts of Python's door that stand in files of their own; cpp/bindings.cpp calls them.
#pragma once

#include <nanobind/nanobind.h>

void bind_reading(nanobind::module_& m);
