// Memory in huge pages where the system has them: a page that is touched for the first time costs up to a microsecond,
// whether it holds 4 KiB or a few hundred times as much.
#pragma once

#include <stddef.h>
#include <stdint.h>
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

// Maps the pages that lie wholly within some memory, which is about to be written to. One call takes half as long as
// the faults of all its pages; where the system does not know it, they are mapped one by one as ever.
inline void map_pages([[maybe_unused]] void* memory, [[maybe_unused]] size_t bytes) {
#if defined(MADV_POPULATE_WRITE)
  constexpr uintptr_t kPage = 4096;  // of larger ones the call refuses what is not aligned
  const auto begin = (reinterpret_cast<uintptr_t>(memory) + kPage - 1) / kPage * kPage;
  const auto end = (reinterpret_cast<uintptr_t>(memory) + bytes) / kPage * kPage;
  // Pages whose faults take less than the call, which with cold caches is 10 us.
  constexpr size_t kFew = 12;
  if (end < begin + kFew * kPage) return;
  unsigned char mapped = 0;  // of the first page: memory that was used and freed before stays mapped
  if (mincore(reinterpret_cast<void*>(begin), kPage, &mapped) == 0 && (mapped & 1) != 0) return;
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_POPULATE_WRITE);
#endif
}

}  // namespace macqueen
