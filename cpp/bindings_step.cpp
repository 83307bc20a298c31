#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "bindings.hpp"
#include "checksum.hpp"
#include "step.hpp"
#include "update.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using namespace macqueen;

namespace {

template <class T, int kRank>
using Array = nb::ndarray<nb::numpy, T, nb::ndim<kRank>>;
using Finished = nb::typed<nb::tuple, Array<double, 2>, Array<int64_t, 1>, int, double>;

template <class T>
T* freed_by(nb::capsule& owner, size_t count) {
  T* values = new T[count];
  owner = nb::capsule(values, [](void* p) noexcept { delete[] static_cast<T*>(p); });
  return values;
}

template <class T>
void bind_finish(nb::module_& m) {
  m.def(
      "finish",
      [](Threads& threads, const Centers<T>& centers, Totals& totals, const Totals* earlier) -> Finished {
        const size_t k = totals.k, d = totals.d;
        if (centers.k() != k || centers.d() != d || (earlier != nullptr && earlier->d != d)) {
          throw std::invalid_argument("centers and totals of the same pass");
        }
        nb::capsule sums_owner, counts_owner;
        double* sums = freed_by<double>(sums_owner, k * d);
        int64_t* counts = freed_by<int64_t>(counts_owner, k);
        double pass_cost;
        {
          nb::gil_scoped_release release;
          if (earlier != nullptr) {
            const exact::Sums& squares = earlier->squares;
            totals.squares.assign(squares.first(), squares.width(), squares.digits().data());
          }
          std::vector<double> rest(k * d);
          round_sums(threads, totals.sums, sums, rest.data());
          pass_cost = cost<T>(centers.kernels(), totals, totals.squares, sums, rest.data(), centers.values());
          std::copy(totals.counts.begin(), totals.counts.end(), counts);
        }
        const auto emptied = std::count(totals.counts.begin(), totals.counts.end(), 0);
        return nb::make_tuple(Array<double, 2>(sums, {k, d}, sums_owner), Array<int64_t, 1>(counts, {k}, counts_owner),
                              emptied, pass_cost);
      },
      "threads"_a, "centers"_a, "totals"_a, "earlier"_a.none() = nb::none(),
      "(sums (k, d) rounded to float64, counts (k,), how many of them are 0, cost) of a pass under these centers; "
      "`earlier`: another pass over the same rows, whose squares are taken.");
}

}  // namespace

void bind_step(nb::module_& m) {
  bind_finish<float>(m);
  bind_finish<double>(m);
  m.def(
      "crc32c", [](const nb::bytes& data) { return crc32c(static_cast<const uint8_t*>(data.data()), data.size()); },
      "data"_a, "CRC-32C of bytes.");
}
