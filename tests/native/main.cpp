// Runs all native tests, or the groups named as arguments; the exit status is 1 where a check fails.
#include <string.h>

#include <atomic>
#include <cstdio>
#include <mutex>

#include "check.hpp"
#include "dispatch.hpp"

namespace macqueen::test {

namespace {
std::atomic<long> passed{0}, failed{0};
std::mutex output;
}  // namespace

void check(bool holds, const std::string& what) {
  if (holds) {
    ++passed;
    return;
  }
  const std::lock_guard<std::mutex> lock(output);
  if (++failed <= 50) std::printf("FAILED %s\n", what.c_str());
}

}  // namespace macqueen::test

int main(int count, char** names) {
  using namespace macqueen::test;
  const struct {
    const char* name;
    void (*run)();
  } groups[] = {{"cells", test_cells}, {"labels", test_labels}, {"sums", test_sums},         {"threads", test_threads},
                {"paths", test_paths}, {"packed", test_packed}, {"sketches", test_sketches}, {"seeding", test_seeding}};
  for (const auto& group : groups) {
    bool wanted = count == 1;
    for (int i = 1; i < count; ++i) wanted = wanted || strcmp(names[i], group.name) == 0;
    if (wanted) group.run();
  }
  for (const macqueen::Kernels* kernels : macqueen::available_kernels()) std::printf("%s ", kernels->name);
  std::printf("| %ld passed, %ld failed\n", passed.load(), failed.load());
  return failed == 0 && passed > 0 ? 0 : 1;
}
