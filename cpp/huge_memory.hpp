// Memory in huge pages where the system has them: a page that is touched for the first time costs up to a microsecond,
// whether it holds 4 KiB or a few hundred times as much.
#pragma once

#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <memory>
#include <new>

namespace macqueen {

class HugeMemory {
 public:
  // Not initialised.
  explicit HugeMemory(size_t bytes) {
    void* block = nullptr;
    if (posix_memalign(&block, kHugePage, bytes + kLine) != 0) throw std::bad_alloc();
    block_.reset(static_cast<char*>(block));
    next_ = block_.get();
    // Whole ones only: the rest would take memory that is not asked for. Advice: where it fails, pages are small.
    if (bytes >= kHugePage) madvise(block, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
  }

  // Room for `count` more values of type T, on a cache line of its own.
  template <class T>
  static constexpr size_t bytes_of(size_t count) {
    return (count * sizeof(T) + kLine - 1) / kLine * kLine;
  }
  template <class T>
  T* take(size_t count) {
    T* taken = reinterpret_cast<T*>(next_);
    next_ += bytes_of<T>(count);
    return taken;
  }

 private:
  static constexpr size_t kHugePage = size_t{1} << 21, kLine = 64;
  struct Free {
    void operator()(char* block) const { std::free(block); }
  };
  std::unique_ptr<char[], Free> block_;
  char* next_;
};

}  // namespace macqueen
