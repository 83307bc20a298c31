#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <stdexcept>
#include <string>

#include "bindings.hpp"
#include "dispatch.hpp"
#include "sorted_rows.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using namespace macqueen;

namespace {

template <class T>
void bind_sorted_of(nb::module_& m, const char* name) {
  using R = SortedRows<T>;
  nb::class_<R>(m, name, "Rows of one dimension, sorted, with sums of all rows below a place.")
      .def(
          "__init__",
          [](R* self, const std::string& isa, Threads& threads, Matrix<const T> rows) {
            if (rows.shape(0) == 0 || rows.shape(1) != 1) throw std::invalid_argument("rows (n, 1), n > 0");
            const Kernels& kernels = find_kernels(isa);
            nb::gil_scoped_release release;
            if (first_refused_row<T>(threads, kernels, rows.data(), rows.shape(0), 1) != kAllFinite) {
              throw std::invalid_argument("rows must be finite and within 1e150");
            }
            new (self) R(threads, rows.data(), rows.shape(0));
          },
          "isa"_a, "threads"_a, array("rows"))
      .def(
          "accumulate",
          [](const R& rows, Threads& threads, const Centers<T>& centers, Totals& totals) {
            if (centers.d() != 1 || totals.d != 1 || totals.k != centers.k()) {
              throw std::invalid_argument("centers and totals must have one column and the same number of clusters");
            }
            nb::gil_scoped_release release;
            rows.accumulate(threads, centers, totals);
          },
          "threads"_a, "centers"_a, "totals"_a, "Adds all rows.");
}

}  // namespace

void bind_sorted(nb::module_& m) {
  bind_sorted_of<float>(m, "Sorted32");
  bind_sorted_of<double>(m, "Sorted64");
}
