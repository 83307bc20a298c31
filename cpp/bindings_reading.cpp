// Reading with trained centers: array checks and the release of the GIL.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <stdexcept>

#include "bindings.hpp"
#include "reading.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using namespace macqueen;

namespace {

template <class T>
void bind_nearest(nb::module_& m) {
  m.def(
      "nearest",
      [](const Centers<T>& centers, Threads& threads, Matrix<const T> rows, double factor, bool zero_rows_are_one,
         Matrix<int32_t> indices, Matrix<T> distances) {
        const size_t n = rows.shape(0), most = indices.shape(1);
        if (rows.shape(1) != centers.d() || indices.shape(0) != n || distances.shape(0) != n ||
            distances.shape(1) != most || most < 1 || most > centers.k()) {
          throw std::invalid_argument("rows (n, d), indices and distances (n, m), 1 <= m <= k");
        }
        nb::gil_scoped_release release;
        return nearest<T>(threads, centers, rows.data(), n, most, factor, zero_rows_are_one, indices.data(),
                          distances.data());
      },
      "centers"_a, "threads"_a, array("rows"), "factor"_a, "zero_rows_are_one"_a, array("indices"), array("distances"),
      "Fills indices and distances (n, m) with the m nearest centers of each row, the nearest first.");
}

}  // namespace

void bind_reading(nb::module_& m) {
  bind_nearest<float>(m);
  bind_nearest<double>(m);
}
