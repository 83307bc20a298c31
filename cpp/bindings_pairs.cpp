#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <stdexcept>
#include <string>

#include "bindings.hpp"
#include "dispatch.hpp"
#include "packed_rows.hpp"
#include "pair_bounds.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using namespace macqueen;

namespace {

// P: PairBounds<T> or PackedRows<T>.
template <class T, class P>
void bind_rows_of(nb::module_& m, const char* name, const char* what) {
  nb::class_<P>(m, name, what)
      .def(
          "__init__",
          [](P* self, nb::ndarray<const T, nb::ndim<2>, nb::c_contig, nb::device::cpu> rows) {
            if (rows.shape(0) == 0 || rows.shape(1) == 0) throw std::invalid_argument("rows (n, d), n > 0, d > 0");
            new (self) P(rows.data(), rows.shape(0), rows.shape(1));
          },
          "rows"_a, nb::keep_alive<1, 2>())
      .def_prop_ro("blocks", &P::blocks, "How many blocks of rows a step has.")
      .def(
          "begin_step",
          [](P& rows, Threads&, const Centers<T>& centers) {
            if (centers.d() != rows.d() || (rows.k() != 0 && rows.k() != centers.k())) {
              throw std::invalid_argument("centers must fit the rows and the calls before");
            }
            nb::gil_scoped_release release;
            rows.begin_step(centers);
          },
          "threads"_a, "centers"_a)
      .def(
          "step_blocks",
          [](P& rows, Threads& threads, const Centers<T>& centers, size_t begin, size_t end) {
            if (rows.k() != centers.k() || begin > end || end > rows.blocks()) {
              throw std::invalid_argument("centers and blocks of the step");
            }
            nb::gil_scoped_release release;
            return rows.step_blocks(threads, centers, begin, end);
          },
          "threads"_a, "centers"_a, "begin"_a, "end"_a,
          "-1, or the first row that cannot be clustered; the object cannot be used after it.")
      .def(
          "end_step",
          [](P& rows, Threads& threads, Totals& totals) {
            if (totals.d != rows.d() || totals.k != rows.k()) throw std::invalid_argument("totals must fit the step");
            nb::gil_scoped_release release;
            return rows.end_step(threads, totals);
          },
          "threads"_a, "totals"_a, "Adds all rows; returns what the step did.");
}

}  // namespace

void bind_pairs(nb::module_& m) {
  const char* pairs = "Rows in memory with a bound of the distance from each to each of few centers.";
  bind_rows_of<float, PairBounds<float>>(m, "Pairs32", pairs);
  bind_rows_of<double, PairBounds<double>>(m, "Pairs64", pairs);
  const char* packed = "Rows in memory with a copy in 16-bit integers.";
  bind_rows_of<float, PackedRows<float>>(m, "Packed32", packed);
  bind_rows_of<double, PackedRows<double>>(m, "Packed64", packed);
}
