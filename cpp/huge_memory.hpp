// Memory in huge pages where the system has them: a page that is touched for the first time costs up to a microsecond,
// whether it holds 4 KiB or a few hundred times as much.
#pragma once

#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <algorithm>
#include <memory>
#include <new>

namespace macqueen {

class HugeMemory {
 public:
  // Not initialised.
  explicit HugeMemory(size_t bytes) {
    void* block = nullptr;
    const size_t huge = (bytes + kHugePage / 2) / kHugePage * kHugePage;  // what is left over has small pages
    if (posix_memalign(&block, huge != 0 ? kHugePage : kLine, std::max(huge, bytes)) != 0) throw std::bad_alloc();
    block_.reset(static_cast<char*>(block));
    next_ = block_.get();
#if defined(MADV_HUGEPAGE)
    if (huge != 0) madvise(block, huge, MADV_HUGEPAGE);  // advice: where it fails, pages are small
#endif
  }

  // Room for `count` more values of type T, of what was asked for.
  template <class T>
  T* take(size_t count) {
    T* taken = reinterpret_cast<T*>(next_);
    next_ += count * sizeof(T);
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
