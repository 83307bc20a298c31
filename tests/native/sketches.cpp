// Sketches at their ends: sums and products near those of 32 bits, a center too far, a block of one row.
#include "bounded_rows.hpp"
#include "check.hpp"
#include "dispatch.hpp"
#include "step.hpp"

namespace macqueen::test {

namespace {

// Rows and centers at 1 or -1 in every coordinate, or nearly: products of 127 and 127 would pass 2^31.
Case<float> wide_case(size_t d) {
  Case<float> c{"wide rows", 4, 3, d, {}, {}};
  for (size_t i = 0; i < c.n * d; ++i) c.rows.push_back(i / d % 2 == 0 ? 1.0f : -1.0f);
  for (const float value : {-0.9f, 0.25f, 0.9f}) c.centers.insert(c.centers.end(), d, value);
  return c;
}

// One center so far off that it has no sketch, and a last block of one row: what lies beside it is no row.
void far_center(Threads& threads) {
  Case<float> c = make_case<float>(Kind::kNormal, 257, 40, 48);
  std::vector<double> axes(4 * c.d, 0.0);
  for (size_t a = 0; a < 4; ++a) axes[a * c.d + a] = 1;
  for (const Kernels* kernels : available_kernels()) {
    std::vector<SketchPlan> plans{{std::vector<double>(c.d, 0.0), {}, c.d}};
    if (kernels->sketch_tails) {
      plans.push_back({std::vector<double>(c.d, 0.0), {}, 0});
      plans.push_back({std::vector<double>(c.d, 0.0), axes, 4});
    }
    for (const SketchPlan& plan : plans) {
      BoundedRows<float> rows(threads, *kernels, c.rows.data(), c.n, c.d, plan);
      for (const float size : {1e25f, 1.0f, 1e30f}) {
        std::vector<float> at = c.centers;
        for (size_t j = 0; j < c.d; ++j) at[7 * c.d + j] *= size;
        const Centers<float> centers(*kernels, at.data(), c.k, c.d);
        Totals found(c.k, c.d), wanted(c.k, c.d);
        std::vector<int32_t> expected(c.n);
        Workspace workspace;
        rows.begin_step(threads, centers);
        rows.step_blocks(threads, centers, 0, rows.blocks());
        rows.end_step(threads, found);
        accumulate(threads, centers, c.rows.data(), c.n, PassOptions{true, false}, workspace, wanted, expected.data());
        check(rows.labels() == expected, "labels beside a far center on " + std::string(kernels->name));
        check(found.counts == wanted.counts, "counts beside a far center");
      }
    }
  }
}

}  // namespace

void test_sketches() {
  Threads threads(1);
  far_center(threads);
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
