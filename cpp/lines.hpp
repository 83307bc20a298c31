// Memory that begins with a line of the cache: vectors and tiles that lie across two lines take twice as long to read.
#pragma once

#include <stddef.h>

#include <memory>
#include <new>
#include <vector>

namespace macqueen {

constexpr std::align_val_t kLineBytes{64};

template <class T>
struct LineAllocator {
  using value_type = T;
  LineAllocator() = default;
  template <class U>
  LineAllocator(const LineAllocator<U>&) {}
  T* allocate(size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), kLineBytes)); }
  void deallocate(T* memory, size_t) { ::operator delete(memory, kLineBytes); }
  bool operator==(const LineAllocator&) const = default;
};

template <class T>
using Lines = std::vector<T, LineAllocator<T>>;

// The same, not initialised.
struct FreeLines {
  void operator()(void* memory) const { ::operator delete(memory, kLineBytes); }
};
template <class T>
using RawLines = std::unique_ptr<T[], FreeLines>;

template <class T>
RawLines<T> raw_lines(size_t count) {
  return RawLines<T>(static_cast<T*>(::operator new(count * sizeof(T), kLineBytes)));
}

}  // namespace macqueen
