// The weights of k-means++, and the rows near to its candidates.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <string>

#include "bindings.hpp"
#include "dispatch.hpp"
#include "exact.hpp"
#include "near_rows.hpp"
#include "step.hpp"
#include "update.hpp"

namespace nb = nanobind;
using namespace nb::literals;

using namespace macqueen;

namespace {

nb::int_ big_integer(exact::uint128 value) {
  const nb::object high = nb::int_(static_cast<uint64_t>(value >> 64));
  return nb::int_(nb::object((high << nb::int_(64)) | nb::int_(static_cast<uint64_t>(value))));
}

exact::uint128 from_big_integer(const nb::int_& value) {
  const nb::object mask = nb::int_(~uint64_t{0});
  const auto low = nb::cast<uint64_t>(nb::object(value & mask));
  const auto high = nb::cast<uint64_t>(nb::object(value >> nb::int_(64)));
  return static_cast<exact::uint128>(high) << 64 | low;
}

template <class T>
void bind_near_rows(nb::module_& m, const char* near_name) {
  using N = NearRows<T>;
  nb::class_<N>(m, near_name, "Rows in memory, and how near the centers of k-means++ are to them so far.")
      .def(
          "__init__",
          [](N* self, const std::string& isa, Threads& threads, Matrix<const T> rows, Vector<const double> origin,
             Vector<double> nearest, std::optional<Vector<const double>> counts) {
            const size_t n = rows.shape(0), d = rows.shape(1);
            expect(n > 0 && d > 0 && d <= kMostNearDims && origin.shape(0) == d && nearest.shape(0) == n,
                   "rows (n, d), 0 < d <= 2^15, origin (d,), nearest (n,)");
            expect(!counts || counts->shape(0) == n, "counts (n,)");
            const Kernels& kernels = find_kernels(isa);
            nb::gil_scoped_release release;
            expect(first_refused_row<T>(threads, kernels, rows.data(), n, d) == kAllFinite,
                   "rows must be finite and within 1e150");
            new (self) N(threads, kernels, rows.data(), n, d, origin.data(), counts ? counts->data() : nullptr,
                         nearest.data());
          },
          "isa"_a, "threads"_a, array("rows"), array("origin"), array("nearest"), array("counts") = nb::none(),
          nb::keep_alive<1, 4>(), nb::keep_alive<1, 6>(), nb::keep_alive<1, 7>())
      .def_prop_ro("blocks", &N::blocks, "How many blocks of rows there are.")
      .def(
          "prepare",
          [](N& rows, Threads& threads, size_t begin, size_t end) {
            expect(begin <= end && end <= rows.blocks(), "blocks of the rows");
            nb::gil_scoped_release release;
            rows.prepare(threads, begin, end);
          },
          "threads"_a, "begin"_a, "end"_a, "Once for all blocks, before anything else.")
      .def(
          "total",
          [](N& rows, Threads& threads) {
            exact::uint128 total;
            {
              nb::gil_scoped_release release;
              total = rows.total(threads);
            }
            return big_integer(total);
          },
          "threads"_a, "Sum of all weights, on the grid of the largest.")
      .def(
          "pick", [](const N& rows, const nb::int_& target) { return rows.pick(from_big_integer(target)); }, "target"_a,
          "The first row whose cumulated weight passes `target`.")
      .def(
          "begin_step",
          [](N& rows, Vector<const int64_t> candidates) {
            expect(candidates.shape(0) > 0, "at least one candidate");
            for (size_t c = 0; c < candidates.shape(0); ++c) {
              expect(candidates.data()[c] >= 0 && static_cast<size_t>(candidates.data()[c]) < rows.n(),
                     "candidates must be rows");
            }
            nb::gil_scoped_release release;
            rows.begin_step(candidates.data(), candidates.shape(0));
          },
          array("candidates"))
      .def(
          "look",
          [](N& rows, Threads& threads, size_t begin, size_t end) {
            expect(rows.count() > 0 && begin <= end && end <= rows.blocks(), "blocks of the rows, in a step");
            nb::gil_scoped_release release;
            rows.look(threads, begin, end);
          },
          "threads"_a, "begin"_a, "end"_a)
      .def_prop_ro("computed", &N::computed, "Distances that `look` did not leave out, of all steps.")
      .def("best", &N::best, "The candidate that takes most off the total, the first among equals.")
      .def(
          "lower",
          [](N& rows, Threads& threads, size_t candidate, size_t begin, size_t end) {
            expect(candidate < rows.count() && begin <= end && end <= rows.blocks(), "a candidate and blocks");
            nb::gil_scoped_release release;
            rows.lower(threads, candidate, begin, end);
          },
          "threads"_a, "candidate"_a, "begin"_a, "end"_a, "Makes a candidate a center.");
}

template <class T>
void bind_lowering(nb::module_& m) {
  m.def(
      "lower_to",
      [](const std::string& isa, Threads& threads, Matrix<const T> rows, Vector<const T> center,
         Vector<double> nearest) {
        expect(center.shape(0) == rows.shape(1) && nearest.shape(0) == rows.shape(0), "center (d,), nearest (n,)");
        const Kernels& kernels = find_kernels(isa);
        nb::gil_scoped_release release;
        lower_to<T>(threads, kernels, rows.data(), center.data(), rows.shape(0), rows.shape(1), nearest.data());
      },
      "isa"_a, "threads"_a, array("rows"), array("center"), array("nearest"),
      "nearest (n,) in/out: the smaller of itself and the squared distance to the center.");
  m.def(
      "weight_lowered_to",
      [](const std::string& isa, Threads& threads, Matrix<const T> rows, Vector<const T> center,
         Vector<const double> nearest, int top) {
        expect(center.shape(0) == rows.shape(1) && nearest.shape(0) == rows.shape(0), "center (d,), nearest (n,)");
        const Kernels& kernels = find_kernels(isa);
        exact::uint128 total;
        {
          nb::gil_scoped_release release;
          total = weight_lowered_to<T>(threads, kernels, rows.data(), center.data(), rows.shape(0), rows.shape(1),
                                       nearest.data(), top);
        }
        return big_integer(total);
      },
      "isa"_a, "threads"_a, array("rows"), array("center"), array("nearest"), "top"_a,
      "Total weight that `lower_to` would leave, without doing it.");
  m.def(
      "merge_nearest",
      [](const std::string& isa, Threads& threads, Matrix<const T> rows, Matrix<const T> candidates, size_t first,
         Vector<const int32_t> fresh_labels, Vector<const double> fresh_nearest, Vector<int32_t> labels,
         Vector<double> nearest) {
        const size_t n = rows.shape(0);
        expect(candidates.shape(1) == rows.shape(1) && fresh_labels.shape(0) == n && fresh_nearest.shape(0) == n &&
                   labels.shape(0) == n && nearest.shape(0) == n && first <= candidates.shape(0),
               "rows (n, d), candidates (m, d), labels and squared distances (n,)");
        const Kernels& kernels = find_kernels(isa);
        nb::gil_scoped_release release;
        merge_nearest<T>(threads, kernels, rows.data(), n, rows.shape(1), candidates.data(), first, fresh_labels.data(),
                         fresh_nearest.data(), labels.data(), nearest.data());
      },
      "isa"_a, "threads"_a, array("rows"), array("candidates"), "first"_a, array("fresh_labels"),
      array("fresh_nearest"), array("labels"), array("nearest"),
      "labels, nearest (n,) in/out: of the candidates below `first` before, of all after.");
}

}  // namespace

void bind_seeding(nb::module_& m) {
  bind_near_rows<float>(m, "Near32");
  bind_near_rows<double>(m, "Near64");
  bind_lowering<float>(m);
  bind_lowering<double>(m);
  m.def(
      "total_weight",
      [](Threads& threads, Vector<const double> weights, int top) {
        exact::uint128 total;
        {
          nb::gil_scoped_release release;
          total = total_weight(threads, weights.data(), weights.shape(0), top);
        }
        return big_integer(total);
      },
      "threads"_a, array("weights"), "top"_a);
  m.def(
      "pick_by_weight",
      [](Vector<const double> weights, int top, const nb::int_& target) {
        const exact::uint128 wanted = from_big_integer(target);
        nb::gil_scoped_release release;
        return pick_by_weight(weights.data(), weights.shape(0), top, wanted);
      },
      array("weights"), "top"_a, "target"_a);
  m.def(
      "sampled_by_weight",
      [](Threads& threads, Vector<const double> weights, int top, double factor, uint64_t seed, uint32_t purpose) {
        nb::gil_scoped_release release;
        return sampled_by_weight(threads, weights.data(), weights.shape(0), top, factor, seed, purpose);
      },
      "threads"_a, array("weights"), "top"_a, "factor"_a, "seed"_a, "purpose"_a,
      "The indices drawn, each by itself with probability `factor` times its weight on the grid.");
}
