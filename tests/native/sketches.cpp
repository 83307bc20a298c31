// 8-bit sketches of so many dims that their sums and products are near the ends of 32 bits.
#include "bounded_rows.hpp"
#include "check.hpp"
#include "dispatch.hpp"

namespace macqueen::test {

namespace {

// Rows and centers at 1 or -1 in every coordinate, or nearly: products of 127 and 127 would pass 2^31.
Case<float> wide_case(size_t d) {
  Case<float> c{"wide rows", 4, 3, d, {}, {}};
  for (size_t i = 0; i < c.n * d; ++i) c.rows.push_back(i / d % 2 == 0 ? 1.0f : -1.0f);
  for (const float value : {-0.9f, 0.25f, 0.9f}) c.centers.insert(c.centers.end(), d, value);
  return c;
}

}  // namespace

void test_sketches() {
  Threads threads(1);
  for (const size_t d : {131072, 140000, 300001}) {
    const Case<float> c = wide_case(d);
    for (const Kernels* kernels : available_kernels()) {
      if (!kernels->sketch_tails) continue;
      BoundedRows<float> rows(threads, *kernels, c.rows.data(), c.n, d, {std::vector<double>(d, 0.0), {}, 0});
      const Centers<float> centers(*kernels, c.centers.data(), c.k, d);
      Totals totals(c.k, d);
      rows.begin_step(threads, centers);
      rows.step_blocks(threads, centers, 0, rows.blocks());
      const BoundedStep step = rows.end_step(threads, totals);
      check(rows.labels() == std::vector<int32_t>{2, 0, 2, 0}, c.name + " on " + kernels->name);
      check(step.hard == 0, "sketches tell the centers of wide rows apart");
    }
  }
}

}  // namespace macqueen::test
