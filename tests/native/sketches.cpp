// Sketches at their ends: sums and products near those of 32 bits, a center too far, a block of one row.
#include <cmath>
#include <numeric>

#include "bounded_rows.hpp"
#include "check.hpp"
#include "dispatch.hpp"
#include "step.hpp"

namespace macqueen {
extern const Kernels kernels_emulated_tiles;
}  // namespace macqueen

namespace macqueen::test {

namespace {

// The tables of this processor, and that of tiles.cpp where it can run all but these.
std::vector<const Kernels*> tables() {
  std::vector<const Kernels*> result = available_kernels();
#if defined(__x86_64__)
  for (const Kernels* kernels : available_kernels()) {
    if (kernels->requires_features == kernels_emulated_tiles.requires_features) {
      result.push_back(&kernels_emulated_tiles);
    }
  }
#endif
  return result;
}

// Steps that move all centers ever less, then far, then less again: where there are tiles, rows meet all groups, then
// bounds are stored and open some of them, then that does not pay. In every other step there is a second thread, which
// has seen nothing of the step before.
void moving_centers() {
  Threads one(1), two(2);
  for (const Kind kind : {Kind::kNormal, Kind::kTies, Kind::kClouds, Kind::kFar}) {
    for (const size_t d : {8, 50, 65, 126, 321}) {
      Case<float> c = make_case<float>(kind, 2065, 70, d);
      for (const Kernels* kernels : tables()) {
        if (!kernels->sketch_tails) continue;
        BoundedRows<float> rows(one, *kernels, c.rows.data(), c.n, d, {std::vector<double>(d, 0.0), {}, 0, 1 + d % 3});
        std::vector<float> at = c.centers;
        std::string opened;  // all groups, or some
        for (int step = 0; step < 18; ++step) {
          Threads& threads = (step + d) % 2 == 0 ? two : one;
          const Centers<float> centers(*kernels, at.data(), c.k, d);
          Totals found(c.k, d), wanted(c.k, d);
          std::vector<int32_t> expected(c.n);
          Workspace workspace;
          rows.begin_step(threads, centers);
          rows.step_blocks(threads, centers, 0, rows.blocks());
          const BoundedStep done = rows.end_step(threads, found);
          opened += done.opened < static_cast<double>(c.n * ((c.k + kGroup - 1) / kGroup)) ? 's' : 'a';
          accumulate(threads, centers, c.rows.data(), c.n, PassOptions{true, false}, workspace, wanted,
                     expected.data());
          check(rows.labels() == expected, c.name + ", moving centers on " + kernels->name);
          check(found.counts == wanted.counts, "counts of moving centers");
          constexpr float kParts[] = {4, 16, 64, 256, 1024, 64, 1024, 32, 1024};
          for (size_t i = 0; i < at.size(); ++i) {  // towards another row each
            const float row = c.rows[(i / d * 7 + static_cast<size_t>(step)) % c.n * d + i % d];
            at[i] += (row - at[i]) / kParts[step % 9];
          }
        }
        const bool some = kind == Kind::kNormal || kind == Kind::kClouds;  // the others are never told apart
        check(kernels->look_at_all == nullptr || !some ||
                  (opened.find("as") != opened.npos && opened.find("sa") != opened.npos),
              c.name + ": all groups, some, and all again: " + opened);
      }
    }
  }
}

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
  for (const Kernels* kernels : tables()) {
    std::vector<SketchPlan> plans{{std::vector<double>(c.d, 0.0), {}, c.d}};
    if (kernels->sketch_tails) {
      plans.push_back({std::vector<double>(c.d, 0.0), {}, 0});
      plans.push_back({std::vector<double>(c.d, 0.0), axes, 4});
    }
    plans.push_back(plans.back());
    plans.back().share = 2;
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

// A sketch form of `heads` axes, each a half of four coordinates, beside int8 tails.
template <class T>
struct FormOf {
  SketchForm form{};
  std::vector<float> shift, basis, axes, scratch;

  FormOf(const Kernels& kernels, size_t d, size_t heads, double scale, const T* origin) {
    form = {d, (heads + kernels.lanes - 1) / kernels.lanes * kernels.lanes, heads, d, scale, {}, {}, {}, {}};
    const size_t padded = form.padded();
    shift.assign(padded, 0.0f);
    for (size_t j = 0; j < d; ++j) shift[j] = static_cast<float>(static_cast<double>(origin[j]) * scale);
    basis.assign(form.columns * padded, 0.0f);
    axes.assign(heads * padded, 0.0f);
    for (size_t a = 0; a < heads; ++a) {
      for (size_t j = 4 * a; j < 4 * a + 4; ++j) {
        axes[a * padded + j] = -0.5f;
        basis[(a / kernels.lanes * padded + j) * kernels.lanes + a % kernels.lanes] = 0.5f;
      }
    }
    form.shift = shift.data();
    form.basis = basis.data();
    form.axes = axes.data();
    const double h = static_cast<double>(heads), product = 88 + static_cast<double>(d) / 80;
    form.slack = 1.1 * 0x1p-24 * (heads == 0 ? 36 : 3 * 77 + 2 * (std::sqrt(h) * (product + 1) + h));
    scratch.resize(form.scratch(kernels.tile));
  }
};

template <class T>
long double true_distance(const T* x, const T* c, size_t d, double scale) {
  long double sum = 0;
  for (size_t j = 0; j < d; ++j) {
    const long double gap = (static_cast<long double>(x[j]) - static_cast<long double>(c[j])) * scale;
    sum += gap * gap;
  }
  return std::sqrt(sum);
}

// Rows whose centers move by `share` of the way to one another: what follows them is never below the distance, and how
// far it may be above is known.
template <class T>
void follow(const Kernels& kernels, const Case<T>& c, Kind kind, size_t heads, double share, bool far) {
  const auto& functions = row_kernels<T>(kernels);
  double top = 0;
  for (const T value : c.rows) top = std::max(top, std::abs(static_cast<double>(value)));
  const double scale = top > 0 ? std::min(std::ldexp(1.0, -std::ilogb(2 * top)), 0x1p126) : 1;
  FormOf<T> of(kernels, c.d, heads, scale, c.rows.data());
  SketchForm& f = of.form;
  auto numbers = std::make_unique<SketchNumbers>();
  std::vector<float> row_heads(c.n * heads + 1), heads_of(c.k * heads + 1), upper(kSketchRows), doubts(kSketchRows);
  std::vector<int8_t> row_tails(c.n * f.padded_tails());
  std::vector<uint8_t> tails(c.k * f.tiled_tails()), list(c.n);
  std::vector<MoveNumbers> moved(c.k);
  const SketchRows sketches{numbers.get(), row_heads.data(), row_tails.data()};
  functions.sketch(c.rows.data(), c.n, f, of.scratch.data(), sketches);
  std::vector<T> now = c.centers;
  for (size_t i = 0; i < now.size(); ++i) {
    const T other = c.centers[(i + c.d) % now.size()];
    now[i] = far ? other * T(0x1p90) : static_cast<T>(now[i] * T(1 - share) + other * T(share));
  }
  const MovePanels moves{tails.data(), heads_of.data(), moved.data()};
  for (size_t first = 0; first < c.k; first += kSketchPart) {
    functions.sketch_moves(c.centers.data(), now.data(), first, std::min(kSketchPart, c.k - first), f,
                           of.scratch.data(), moves);
  }
  std::iota(list.begin(), list.end(), uint8_t{0});
  list.erase(list.begin());  // not listed
  std::vector<int32_t> labels(c.n);
  for (size_t i = 0; i < c.n; ++i) labels[i] = static_cast<int32_t>(i % c.k);
  const auto at = [&](const std::vector<T>& centers, size_t i) {
    return true_distance(&c.rows[i * c.d], &centers[i % c.k * c.d], c.d, scale);
  };
  for (size_t i = 0; i < c.n; ++i) {
    upper[i] = std::nextafter(static_cast<float>(at(c.centers, i)), 1e38f);
    doubts[i] = 0;
  }
  kernels.moved_bounds(f, moves, sketches, list.data(), list.size(), labels.data(), upper.data(), doubts.data());
  size_t followed = 0;
  bool holds = upper[0] < 0, tight = true;
  for (size_t i = 1; i < c.n; ++i) {
    if (upper[i] < 0) continue;
    ++followed;
    const auto distance = at(now, i), bound = static_cast<long double>(upper[i]);
    holds = holds && bound >= distance;
    tight = tight && bound <= distance * 1.021L + 0x1p-35L && doubts[i] <= 0.011f * upper[i];
  }
  const std::string what = c.name + " of " + std::to_string(c.d) + ", " + std::to_string(heads) + " axes";
  check(holds, "distances that are followed, " + what);
  check(tight, "how much too long they may be, " + what);
  if (far && kind == Kind::kNormal) check(followed == 0, "centers too far to be followed, " + what);
  if (share == 0x1p-12 && kind == Kind::kNormal) {
    check(followed == c.n - 1, "centers that hardly move are followed, " + what);
  }
}

template <class T>
void follow_all(const Kernels& kernels) {
  for (const Kind kind : kKinds) {
    for (const size_t d : {17, 64, 130, 257}) {
      const Case<T> c = make_case<T>(kind, 200, 21, d);
      for (const size_t heads : {0, 4, 16}) {
        if (4 * heads > d) continue;
        for (const double share : {0.0, 0x1p-40, 0x1p-12, 0.01, 0.9}) follow(kernels, c, kind, heads, share, false);
        follow(kernels, c, kind, heads, 1, true);
      }
    }
  }
}

}  // namespace

void test_sketches() {
  Threads threads(1);
  far_center(threads);
  moving_centers();
  for (const Kernels* kernels : tables()) {
    if (!kernels->sketch_tails) continue;
    follow_all<float>(*kernels);
    follow_all<double>(*kernels);
  }
  for (const size_t d : {131072, 140000, 300001}) {
    const Case<float> c = wide_case(d);
    for (const Kernels* kernels : tables()) {
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
