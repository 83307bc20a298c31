#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <stdexcept>
#include <string>

#include "bindings.hpp"
#include "bindings_step.hpp"
#include "dispatch.hpp"
#include "packed_rows.hpp"
#include "pair_bounds.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using namespace macqueen;

namespace {

// P: PairBounds<T> or PackedRows<T>, which takes further arguments.
template <class T, class P, class... Options>
void bind_rows_of(nb::module_& m, const char* name, const char* what, const auto&... options) {
  nb::class_<P>(m, name, what)
      .def(
          "__init__",
          [](P* self, nb::ndarray<const T, nb::ndim<2>, nb::c_contig, nb::device::cpu> rows, Options... given) {
            if (rows.shape(0) == 0 || rows.shape(1) == 0) throw std::invalid_argument("rows (n, d), n > 0, d > 0");
            new (self) P(rows.data(), rows.shape(0), rows.shape(1), given...);
          },
          "rows"_a, options..., nb::keep_alive<1, 2>())
      .def(StepOf<T, P>());
}

}  // namespace

void bind_pairs(nb::module_& m) {
  const char* pairs = "Rows in memory with a bound of the distance from each to each of few centers.";
  bind_rows_of<float, PairBounds<float>>(m, "Pairs32", pairs);
  bind_rows_of<double, PairBounds<double>>(m, "Pairs64", pairs);
  const char* packed = "Rows in memory with a copy in 16-bit integers, kept or made anew in each step.";
  bind_rows_of<float, PackedRows<float>, bool>(m, "Packed32", packed, "keep_copy"_a = true);
  bind_rows_of<double, PackedRows<double>, bool>(m, "Packed64", packed, "keep_copy"_a = true);
}
