#include "downlink/wire/http_chunk.hpp"

#include <cstddef>
#include <string>
#include <utility>

#include "support/catch.hpp"

using namespace downlink::wire;

namespace {

std::string chunk(const std::string& content) {
  std::string out;
  append_chunk(out, [&](std::string& to) { to += content; });
  return out;
}

}  // namespace

TEST_CASE("a chunk is its size in hexadecimal, its content and line ends", "[wire][RFC9112-7.1]") {
  CHECK(chunk("a") == "1\r\na\r\n");
  CHECK(chunk("data: 0123456\n\n") == "f\r\ndata: 0123456\n\n\r\n");
}

TEST_CASE("a chunk's size has no leading zeros, whatever its digits", "[wire][RFC9112-7.1]") {
  const std::pair<std::size_t, std::string> sizes[] = {{15, "f"},       {16, "10"},       {255, "ff"},
                                                       {256, "100"},    {4095, "fff"},    {4096, "1000"},
                                                       {65535, "ffff"}, {65536, "10000"}, {1048576, "100000"}};
  for (const auto& [size, digits] : sizes) {
    std::string content(size, 'x');
    content.front() = '<';
    content.back() = '>';
    CAPTURE(size);
    CHECK((chunk(content) == digits + "\r\n" + content + "\r\n"));
  }
}

TEST_CASE("a chunk is appended behind what is there, encoded in several steps", "[wire][RFC9112-7.1]") {
  std::string out = "before";
  append_chunk(out, [](std::string& to) {
    to += "id: 1\n";
    to += "\n";
  });
  append_chunk(out, [](std::string& to) { to += "x"; });
  out += last_chunk;
  CHECK(out == "before7\r\nid: 1\n\n\r\n1\r\nx\r\n0\r\n\r\n");
}

TEST_CASE("an empty content makes no chunk, because that would end the body", "[wire][RFC9112-7.1]") {
  std::string out = "before";
  append_chunk(out, [](std::string&) {});
  CHECK(out == "before");
}
