// What the parts of Python's door share, which lie in files of their own.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <stdexcept>

template <class T>
using Matrix = nanobind::ndarray<T, nanobind::ndim<2>, nanobind::c_contig, nanobind::device::cpu>;
template <class T>
using Vector = nanobind::ndarray<T, nanobind::ndim<1>, nanobind::c_contig, nanobind::device::cpu>;

inline void expect(bool holds, const char* rule) {
  if (!holds) throw std::invalid_argument(rule);
}

// An argument that is an array of this dtype and order already: a converted copy would be freed, or filled and lost.
inline auto array(const char* name) { return nanobind::arg(name).noconvert(); }

void bind_indexes(nanobind::module_& m);
void bind_pairs(nanobind::module_& m);
void bind_reading(nanobind::module_& m);
void bind_seeding(nanobind::module_& m);
void bind_sorted(nanobind::module_& m);
void bind_step(nanobind::module_& m);
