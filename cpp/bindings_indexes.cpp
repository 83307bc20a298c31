// Rows that lie ready for many steps of training, in boxes or sketched: array checks and the release of the GIL.
#include <nanobind/stl/string.h>

#include <algorithm>
#include <string>
#include <vector>

#include "bindings.hpp"
#include "bindings_step.hpp"
#include "bounded_rows.hpp"
#include "box_index.hpp"
#include "dispatch.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using namespace macqueen;

namespace {

template <class T>
void bind_boxes(nb::module_& m, const char* name) {
  using B = BoxIndex<T>;
  nb::class_<B>(m, name, "Rows of few dimensions in boxes, with the labels of the last step.")
      .def(
          "__init__",
          [](B* self, const std::string& isa, Threads& threads, Matrix<const T> rows) {
            expect(rows.shape(0) > 0 && rows.shape(0) < (size_t{1} << 31) && rows.shape(1) > 0 &&
                       rows.shape(1) <= kMostBoxDims,
                   "rows (n, d), 0 < n < 2^31, 0 < d <= 8");
            const Kernels& kernels = find_kernels(isa);
            nb::gil_scoped_release release;
            expect(first_refused_row<T>(threads, kernels, rows.data(), rows.shape(0), rows.shape(1)) == kAllFinite,
                   "rows must be finite and within 1e150");
            new (self) B(threads, kernels, rows.data(), rows.shape(0), rows.shape(1));
          },
          "isa"_a, "threads"_a, array("rows"))
      .def(
          "accumulate",
          [](B& boxes, Threads& threads, const Centers<T>& centers, Totals& totals) {
            expect(centers.d() == boxes.d() && totals.d == boxes.d() && totals.k == centers.k() &&
                       (boxes.k() == 0 || boxes.k() == centers.k()),
                   "centers and totals must fit the rows and the calls before");
            nb::gil_scoped_release release;
            return boxes.accumulate(threads, centers, totals);
          },
          "threads"_a, "centers"_a, "totals"_a, "Adds all rows; returns how many centers a row was compared with.");
}

template <class T>
void bind_bounded(nb::module_& m, const char* name) {
  using S = BoundedRows<T>;
  nb::class_<S>(m, name, "Rows in memory, sketched, with the labels and bounds of the last step.")
      .def(
          "__init__",
          [](S* self, const std::string& isa, Threads& threads, Matrix<const T> rows, Vector<const double> origin,
             Matrix<const double> axes, size_t heads, size_t share) {
            const size_t n = rows.shape(0), d = rows.shape(1), used = axes.shape(0);
            expect(n > 0 && d > 0 && origin.size() == d && axes.shape(1) == d, "rows (n, d), origin (d,), axes (a, d)");
            expect(used == 0 ? heads == 0 || heads == d : heads == used && used <= d,
                   "heads: all columns, none, or the axes");
            expect(share > 0, "share: 1 or more");
            const Kernels& kernels = find_kernels(isa);
            expect(kernels.sketch_tails || (used == 0 && heads == d), "no 8-bit products on this processor");
            const double *const at = origin.data(), *const axis = axes.data();
            const SketchPlan plan{{at, at + d}, {axis, axis + used * d}, heads, share};
            nb::gil_scoped_release release;
            new (self) S(threads, kernels, rows.data(), n, d, plan);
          },
          "isa"_a, "threads"_a, array("rows"), array("origin"), array("axes"), "heads"_a, "share"_a = 1,
          nb::keep_alive<1, 4>())
      .def(StepOf<T, S>())
      .def(
          "label",
          [](S& rows, Threads& threads, const Centers<T>& centers, Vector<const int32_t> places,
             Vector<int32_t> labels) {
            expect(centers.d() == rows.d() && rows.k() == 0, "centers must fit rows that made no step");
            expect(places.shape(0) == centers.k() && labels.shape(0) == rows.n(), "places (k,), labels (n,)");
            std::vector<int32_t> in_order(places.data(), places.data() + centers.k());
            std::vector<bool> taken(centers.k());
            for (const int32_t place : in_order) {
              expect(place >= 0 && static_cast<size_t>(place) < centers.k() && !taken[static_cast<size_t>(place)],
                     "places must be 0 to k - 1 in some order");
              taken[static_cast<size_t>(place)] = true;
            }
            nb::gil_scoped_release release;
            const BoundedStep done = rows.label(threads, centers, std::move(in_order));
            std::copy(rows.labels().begin(), rows.labels().end(), labels.data());
            return done;
          },
          "threads"_a, "centers"_a, array("places"), array("labels"),
          "Labels all rows, and tells what it did, as a first step would; the object cannot be used after it.");
}

}  // namespace

void bind_indexes(nb::module_& m) {
  bind_boxes<float>(m, "Boxes32");
  bind_boxes<double>(m, "Boxes64");
  bind_bounded<float>(m, "Bounded32");
  bind_bounded<double>(m, "Bounded64");
}
