#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <algorithm>
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
nb::class_<P> bind_rows_of(nb::module_& m, const char* name, const char* what, const auto&... options) {
  return nb::class_<P>(m, name, what)
      .def(
          "__init__",
          [](P* self, Matrix<const T> rows, Options... given) {
            if (rows.shape(0) == 0 || rows.shape(1) == 0) throw std::invalid_argument("rows (n, d), n > 0, d > 0");
            new (self) P(rows.data(), rows.shape(0), rows.shape(1), given...);
          },
          array("rows"), options..., nb::keep_alive<1, 2>())
      .def(StepOf<T, P>());
}

template <class T>
void bind_label(nb::class_<PackedRows<T>>&& packed) {
  packed.def(
      "label",
      [](PackedRows<T>& rows, Threads& threads, const Centers<T>& centers, Vector<int32_t> labels) {
        if (centers.d() != rows.d() || rows.k() != 0 || labels.shape(0) != rows.n()) {
          throw std::invalid_argument("centers must fit rows that made no step, labels (n,)");
        }
        nb::gil_scoped_release release;
        BoundedStep done;
        if (rows.label(threads, centers, done) != kAllFinite) {
          throw std::invalid_argument("rows must be finite and within 1e150");
        }
        const std::vector<int32_t> found = rows.labels();
        std::copy(found.begin(), found.end(), labels.data());
        return done;
      },
      "threads"_a, "centers"_a, array("labels"),
      "Labels all rows, and tells what it did, as a first step would; the object cannot be used after it.");
}

}  // namespace

void bind_pairs(nb::module_& m) {
  const char* pairs = "Rows in memory with a bound of the distance from each to each of few centers.";
  bind_rows_of<float, PairBounds<float>>(m, "Pairs32", pairs);
  bind_rows_of<double, PairBounds<double>>(m, "Pairs64", pairs);
  const char* packed =
      "Rows in memory with a copy in 16-bit integers, that of the first `copied` kept, of others made anew in each "
      "step.";
  bind_label<float>(bind_rows_of<float, PackedRows<float>, size_t>(m, "Packed32", packed, "copied"_a));
  bind_label<double>(bind_rows_of<double, PackedRows<double>, size_t>(m, "Packed64", packed, "copied"_a));
}
