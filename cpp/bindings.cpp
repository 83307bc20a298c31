// Python's door to the kernels: array checks and the release of the GIL, nothing else.
#include "bindings.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <algorithm>

#include "axes.hpp"
#include "bounded_rows.hpp"
#include "dispatch.hpp"
#include "exact.hpp"
#include "finish.hpp"
#include "grouping.hpp"
#include "step.hpp"
#include "update.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using namespace macqueen;

namespace {

using nb::ndarray;

template <class T>
T* pointer(const std::optional<Vector<T>>& array) {
  return array ? array->data() : nullptr;
}

bool name_centers(const Vector<int32_t>& labels, size_t k) {
  return std::all_of(labels.data(), labels.data() + labels.shape(0),
                     [k](int32_t label) { return label >= 0 && static_cast<size_t>(label) < k; });
}

// An array of our own making, freed by Python.
template <class T>
ndarray<nb::numpy, T> new_array(std::vector<T>&& values, std::initializer_list<size_t> shape) {
  auto* held = new std::vector<T>(std::move(values));
  nb::capsule owner(held, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
  return ndarray<nb::numpy, T>(held->data(), shape, owner);
}

// Exact sums leave and enter as (lowest digit index, digits (cells, width)) in canonical form.
using Digits = nb::typed<nb::tuple, nb::int_, ndarray<nb::numpy, int64_t, nb::ndim<2>>>;
using Rounded = nb::typed<nb::tuple, ndarray<nb::numpy, double, nb::ndim<2>>, ndarray<nb::numpy, double, nb::ndim<2>>>;

Digits get_digits(exact::Sums& sums) {
  sums.canonicalize();
  return nb::make_tuple(sums.first(), new_array(sums.digits(), {sums.cells(), static_cast<size_t>(sums.width())}));
}

void bind_totals(nb::module_& m) {
  nb::class_<Totals>(m, "Totals", "Exact sums (k, d), squares (d,) and counts (k,) of rows; additive.")
      .def(nb::init<size_t, size_t>(), "k"_a, "d"_a)
      .def_ro("zero_rows", &Totals::zero_rows)
      .def(
          "merge",
          [](Totals& t, const Totals& other) {
            expect(t.k == other.k && t.d == other.d, "totals of the same number of clusters and columns");
            t.merge(other);
          },
          "other"_a)
      .def(
          "only_squares",
          [](const Totals& t) {
            auto squares = std::make_unique<Totals>(t.k, t.d);
            squares->squares.share(t.squares);
            return squares;
          },
          "Totals without sums and counts, for later passes over the same rows.")
      .def("counts", [](const Totals& t) { return new_array(std::vector<int64_t>(t.counts), {t.k}); })
      .def("sums_digits", [](Totals& t) { return get_digits(t.sums); })
      .def("squares_digits", [](Totals& t) { return get_digits(t.squares); })
      .def(
          "move_row",
          [](Totals& t, Vector<const double> row, size_t from, size_t to) {
            expect(row.shape(0) == t.d && from < t.k && to < t.k, "row (d,) and clusters below k");
            for (size_t j = 0; j < t.d; ++j) {
              t.sums.add(from * t.d + j, -row.data()[j]);
              t.sums.add(to * t.d + j, row.data()[j]);
            }
            --t.counts[from];
            ++t.counts[to];
          },
          array("row"), "source"_a, "target"_a)
      .def(
          "rounded",
          [](const Totals& t, Threads& threads, const std::string& isa) -> Rounded {
            const Kernels& kernels = find_kernels(isa);
            std::vector<double> high(t.k * t.d), low(t.k * t.d);
            {
              nb::gil_scoped_release release;
              round_sums(threads, kernels, t.sums, high.data(), low.data());
            }
            return nb::make_tuple(new_array(std::move(high), {t.k, t.d}), new_array(std::move(low), {t.k, t.d}));
          },
          "threads"_a, "isa"_a = "", "(high, low), each (k, d): the sums rounded to float64, and what that left.");
}

template <class T>
void bind_centers(nb::module_& m, const char* name) {
  using C = Centers<T>;
  nb::class_<C>(m, name, "Centers (k, d) made ready for one step.")
      .def(
          "__init__",
          [](C* self, const std::string& isa, Matrix<const T> centers) {
            expect(centers.shape(0) > 0 && centers.shape(0) < (size_t{1} << 31) && centers.shape(1) > 0,
                   "centers must have 1 to 2^31 - 1 rows and at least one column");
            const Kernels& kernels = find_kernels(isa);
            Threads alone(1);
            expect(
                first_refused_row<T>(alone, kernels, centers.data(), centers.shape(0), centers.shape(1)) == kAllFinite,
                "centers must be finite and within 1e150");
            nb::gil_scoped_release release;
            new (self) C(kernels, centers.data(), centers.shape(0), centers.shape(1));
          },
          "isa"_a, array("centers"))
      .def_prop_ro("isa", [](const C& c) { return c.kernels().name; })
      .def_prop_ro("k", &C::k)
      .def_prop_ro("d", &C::d)
      .def(
          "places",
          [](const C& c, Threads& threads) {
            std::vector<int32_t> places;
            {
              nb::gil_scoped_release release;
              places = grouped_places(threads, c.kernels(), c.values(), c.k(), c.d());
            }
            return new_array(std::move(places), {c.k()});
          },
          "threads"_a, "Places (k,) of the centers in groups of 16 that lie together.")
      .def(
          "accumulate",
          [](const C& c, Threads& threads, Matrix<const T> rows, bool squares, bool skip_zero_rows,
             Workspace& workspace, Totals& totals, std::optional<Vector<int32_t>> labels, bool known) {
            expect(rows.shape(1) == c.d() && totals.k == c.k() && totals.d == c.d(),
                   "rows and totals must fit the centers");
            expect(!labels || labels->shape(0) == rows.shape(0), "labels must be (n,)");
            expect(!known || (labels && name_centers(*labels, c.k())), "known labels must be 0 to k - 1");
            nb::gil_scoped_release release;
            return accumulate<T>(threads, c, rows.data(), rows.shape(0), {squares, skip_zero_rows, known}, workspace,
                                 totals, pointer(labels));
          },
          "threads"_a, array("rows"), "squares"_a, "skip_zero_rows"_a, "workspace"_a, "totals"_a,
          array("labels") = nb::none(), "known"_a = false, "labels are filled, or taken where they are known.")
      .def(
          "assign",
          [](const C& c, Threads& threads, Matrix<const T> rows, bool skip_zero_rows, Vector<int32_t> labels,
             std::optional<Vector<double>> distances, bool known) {
            expect(rows.shape(1) == c.d() && labels.shape(0) == rows.shape(0), "rows (n, d), labels (n,)");
            expect(!distances || distances->shape(0) == rows.shape(0), "distances must be (n,)");
            expect(!known || name_centers(labels, c.k()), "known labels must be 0 to k - 1");
            nb::gil_scoped_release release;
            return assign<T>(threads, c, rows.data(), rows.shape(0), skip_zero_rows, labels.data(), pointer(distances),
                             known);
          },
          "threads"_a, array("rows"), "skip_zero_rows"_a, array("labels"), array("distances") = nb::none(),
          "known"_a = false, "labels are filled, or taken where they are known.")
      .def(
          "distances",
          [](const C& c, Threads& threads, Matrix<const T> rows, double factor, bool zero_rows_are_one, Matrix<T> out) {
            expect(rows.shape(1) == c.d() && out.shape(0) == rows.shape(0) && out.shape(1) == c.k(),
                   "rows (n, d), out (n, k)");
            nb::gil_scoped_release release;
            return distances<T>(threads, c, rows.data(), rows.shape(0), factor, zero_rows_are_one, out.data());
          },
          "threads"_a, array("rows"), "factor"_a, "zero_rows_are_one"_a, array("out"));
}

template <class T>
void bind_functions(nb::module_& m) {
  m.def(
      "normalize",
      [](const std::string& isa, Threads& threads, Matrix<const T> rows, Matrix<T> out) {
        expect(out.shape(0) == rows.shape(0) && out.shape(1) == rows.shape(1), "out must have the shape of rows");
        const Kernels& kernels = find_kernels(isa);
        nb::gil_scoped_release release;
        return normalize<T>(threads, kernels, rows.data(), rows.shape(0), rows.shape(1), out.data());
      },
      "isa"_a, "threads"_a, array("rows"), array("out"));
  m.def(
      "first_bad_row",
      [](const std::string& isa, Threads& threads, Matrix<const T> rows) {
        const Kernels& kernels = find_kernels(isa);
        nb::gil_scoped_release release;
        return first_refused_row<T>(threads, kernels, rows.data(), rows.shape(0), rows.shape(1));
      },
      "isa"_a, "threads"_a, array("rows"), "-1, or the first row with a NaN, an infinity or a magnitude beyond 1e150.");
  m.def(
      "move_running_means",
      [](Matrix<const double> sums, Vector<const int64_t> counts, Vector<const int64_t> before, Matrix<T> centers) {
        expect(
            sums.size() == centers.size() && counts.shape(0) == centers.shape(0) && before.shape(0) == centers.shape(0),
            "sums (k, d), counts (k,)");
        move_running_means<T>(sums.data(), counts.data(), before.data(), centers.shape(0), centers.shape(1),
                              centers.data());
      },
      array("sums"), array("counts"), array("counts_before"), array("centers"));
}

// Threads, and the instruction sets of the processor.
void bind_machine(nb::module_& m) {
  nb::class_<Threads>(m, "Threads", "A pool of threads; started when first needed.")
      .def(
          "__init__",
          [](Threads* self, int count) {
            expect(count >= 1, "count must be at least 1");
            new (self) Threads(count);
          },
          "count"_a)
      .def_prop_ro("count", &Threads::count);
  nb::class_<Workspace>(m, "Workspace", "Per-thread buffers, kept from step to step. One user at a time.")
      .def(nb::init<bool>(), "slim"_a = false, "slim: passes make nothing that grows with the rows.");
  m.def("available_isas", [] {
    std::vector<std::string> names;
    for (const Kernels* kernels : available_kernels()) names.emplace_back(kernels->name);
    return names;
  });
  m.def(
      "vectors_of",
      [](const std::string& name) {
        const Kernels& kernels = find_kernels(name);
        return std::make_pair(kernels.width, kernels.sketch_tails);
      },
      "name"_a, "float32 values in a vector, and whether there are products of 8-bit integers.");
  m.def("find_isa", [](const std::string& name) { return std::string(find_kernels(name).name); }, "name"_a);
}

void bind_draws(nb::module_& m) {
  m.def(
      "principal_axes",
      [](const std::string& isa, Matrix<const double> rows, size_t count) {
        expect(count <= rows.shape(1), "at most as many axes as columns");
        const Kernels& kernels = find_kernels(isa);
        std::vector<double> axes;
        {
          nb::gil_scoped_release release;
          axes = principal_axes(kernels, rows.data(), rows.shape(0), rows.shape(1), count);
        }
        return new_array(std::move(axes), {count, rows.shape(1)});
      },
      "isa"_a, array("rows"), "count"_a, "Leading principal axes (count, d) of centered rows, orthonormal.");
  m.def("random_bits", &random_bits, "seed"_a, "purpose"_a, "index"_a);
  m.def(
      "permuted",
      [](uint64_t seed, uint32_t purpose, uint64_t n, uint64_t begin, uint64_t end) {
        expect(begin <= end && end <= n, "0 <= begin <= end <= n");
        std::vector<int64_t> result = permuted(seed, purpose, n, begin, end);
        const size_t count = result.size();
        return new_array(std::move(result), {count});
      },
      "seed"_a, "purpose"_a, "n"_a, "begin"_a, "end"_a, "Places begin..end-1 of a random permutation of 0..n-1.");
}

}  // namespace

NB_MODULE(_core, m) {
  nb::set_leak_warnings(false);  // pools live as long as the process
  m.doc() = "The hot loop: exact labels, exact sums, exact cost.";
  bind_machine(m);
  bind_totals(m);
  nb::class_<BoundedStep>(m, "BoundedStep", "What a step over bounded rows did, summed over rows.")
      .def_ro("candidates", &BoundedStep::candidates)
      .def_ro("hard", &BoundedStep::hard)
      .def_ro("screened", &BoundedStep::screened)
      .def_ro("opened", &BoundedStep::opened)
      .def_ro("read", &BoundedStep::read)
      .def_ro("moved", &BoundedStep::moved);
  bind_centers<float>(m, "Centers32");
  bind_centers<double>(m, "Centers64");
  bind_functions<float>(m);
  bind_functions<double>(m);
  bind_indexes(m);
  bind_pairs(m);
  bind_sorted(m);
  bind_step(m);
  bind_reading(m);
  bind_draws(m);
  bind_seeding(m);
}
