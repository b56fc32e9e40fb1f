#include "zlib_counts.hpp"

#include <zlib.h>

#include <algorithm>
#include <cstdlib>

#include "support/next_function.hpp"

using downlink::testing::next_function;

ZlibCounts zlib_counts;

namespace {

// Each block has its size in front of it.
constexpr std::size_t before = alignof(std::max_align_t);

voidpf allocate(voidpf, uInt items, uInt size) {
  const std::size_t bytes = std::size_t{items} * size;
  const std::size_t now = zlib_counts.memory += bytes;
  zlib_counts.most_memory = std::max(zlib_counts.most_memory.load(), now);
  auto* block = static_cast<char*>(std::malloc(before + bytes));
  *reinterpret_cast<std::size_t*>(block) = bytes;
  return block + before;
}

void release(voidpf, voidpf memory) {
  char* const block = static_cast<char*>(memory) - before;
  zlib_counts.memory -= *reinterpret_cast<std::size_t*>(block);
  std::free(block);
}

}  // namespace

extern "C" {

int deflateInit2_(z_streamp stream, int level, int method, int bits, int memory, int strategy, const char* version,
                  int size) {
  ++zlib_counts.deflated;
  static auto* const next = next_function<decltype(deflateInit2_)>("deflateInit2_");
  return next(stream, level, method, bits, memory, strategy, version, size);
}

int inflateInit2_(z_streamp stream, int bits, const char* version, int size) {
  ++zlib_counts.inflating;
  stream->zalloc = &allocate;
  stream->zfree = &release;
  static auto* const next = next_function<decltype(inflateInit2_)>("inflateInit2_");
  return next(stream, bits, version, size);
}

int inflate(z_streamp stream, int flush) {
  const uInt room = stream->avail_out;
  static auto* const next = next_function<decltype(inflate)>("inflate");
  const int result = next(stream, flush);
  zlib_counts.bytes += room - stream->avail_out;
  return result;
}

int inflateEnd(z_streamp stream) {
  --zlib_counts.inflating;
  static auto* const next = next_function<decltype(inflateEnd)>("inflateEnd");
  return next(stream);
}
}
