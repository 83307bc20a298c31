#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <stdexcept>

#include "bindings.hpp"
#include "checksum.hpp"
#include "finish.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using namespace macqueen;

namespace {

template <class T, int kRank>
using Array = nb::ndarray<nb::numpy, T, nb::ndim<kRank>>;
template <class T>
using Finished = nb::typed<nb::tuple, Array<T, 2>, Array<int64_t, 1>, int, double>;

template <class T>
T* freed_by(nb::capsule& owner, size_t count) {
  T* values = new T[count];
  owner = nb::capsule(values, [](void* p) noexcept { delete[] static_cast<T*>(p); });
  return values;
}

template <class T>
void bind_finish(nb::module_& m) {
  using Matrix = nb::ndarray<const T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
  m.def(
      "finish",
      [](Threads& threads, const Centers<T>& centers, Totals& totals, Matrix before,
         const Totals* earlier) -> Finished<T> {
        const size_t k = totals.k, d = totals.d;
        if (centers.k() != k || centers.d() != d || (earlier != nullptr && earlier->d != d)) {
          throw std::invalid_argument("centers and totals of the same pass");
        }
        if (before.shape(0) != k || before.shape(1) != d) throw std::invalid_argument("before must be (k, d)");
        nb::capsule means_owner, counts_owner;
        T* means = freed_by<T>(means_owner, k * d);
        int64_t* counts = freed_by<int64_t>(counts_owner, k);
        double cost;
        {
          nb::gil_scoped_release release;
          if (earlier != nullptr) totals.squares.share(earlier->squares);
          cost = finish<T>(threads, centers, totals, totals.squares, before.data(), means);
          std::copy(totals.counts.begin(), totals.counts.end(), counts);
        }
        const auto emptied = std::count(totals.counts.begin(), totals.counts.end(), 0);
        return nb::make_tuple(Array<T, 2>(means, {k, d}, means_owner), Array<int64_t, 1>(counts, {k}, counts_owner),
                              emptied, cost);
      },
      "threads"_a, "centers"_a, "totals"_a, "before"_a, "earlier"_a.none() = nb::none(),
      "(means (k, d), `before` where there are no rows, counts (k,), how many are 0, cost) of a pass; `earlier`: "
      "totals of the same rows, whose squares are taken.");
}

}  // namespace

void bind_step(nb::module_& m) {
  bind_finish<float>(m);
  bind_finish<double>(m);
  m.def(
      "crc32c", [](const nb::bytes& data) { return crc32c(static_cast<const uint8_t*>(data.data()), data.size()); },
      "data"_a, "CRC-32C of bytes.");
}
