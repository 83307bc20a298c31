// The parts of Python's door that lie in files of their own.
#pragma once

#include <nanobind/nanobind.h>

void bind_pairs(nanobind::module_& m);
void bind_reading(nanobind::module_& m);
void bind_seeding(nanobind::module_& m);
void bind_sorted(nanobind::module_& m);
void bind_step(nanobind::module_& m);
