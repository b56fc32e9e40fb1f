#include <string>
#include <string_view>
#include <vector>

#include <downlink/wire/proxy_protocol.hpp>

#include "support/catch.hpp"

using namespace downlink::wire;
using State = ProxyHeader::State;

namespace {

const std::string signature("\r\n\r\n\0\r\nQUIT\n", 12);

// A header of version 2 with that payload after the fixed part.
std::string version_2(unsigned char command, unsigned char family, std::string_view payload) {
  std::string header = signature;
  header += static_cast<char>(command);
  header += static_cast<char>(family);
  header += static_cast<char>(payload.size() >> 8);
  header += static_cast<char>(payload.size() & 255);
  return header += payload;
}

const std::string ipv4("\xC0\x00\x02\x01\x7F\x00\x00\x01\x12\x34\x00\x50", 12);
const std::string ipv6 = std::string("\x20\x01\x0D\xB8", 4) + std::string(11, '\0') + "\x01" + std::string(20, '\2');

// The header is complete at its last byte and no sooner, and bytes after it change nothing.
ProxyHeader parsed(const std::string& header) {
  for (std::size_t i = 0; i < header.size(); ++i) {
    INFO(i);
    CHECK(parse_proxy_header(std::string_view(header).substr(0, i)).state == State::incomplete);
  }
  auto whole = parse_proxy_header(header + "GET / HTTP/1.1\r\n");
  CHECK(whole.state == State::complete);
  CHECK(whole.size == header.size());
  return whole;
}

std::string source_of(const std::string& header) { return parsed(header).source; }

bool malformed(const std::string& bytes) { return parse_proxy_header(bytes).state == State::malformed; }

}  // namespace

TEST_CASE("version 1 of the PROXY protocol names the client", "[wire][proxy-protocol-2.1]") {
  CHECK(source_of("PROXY TCP4 192.0.2.1 127.0.0.1 4660 80\r\n") == "192.0.2.1");
  CHECK(source_of("PROXY TCP6 2001:db8::1 ::1 65535 0\r\n") == "2001:db8::1");
  CHECK(source_of("PROXY UNKNOWN\r\n").empty());
  CHECK(source_of("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n").empty());
}

TEST_CASE("version 2 of the PROXY protocol names the client", "[wire][proxy-protocol-2.2]") {
  CHECK(source_of(version_2(0x21, 0x11, ipv4)) == "192.0.2.1");
  CHECK(source_of(version_2(0x21, 0x21, ipv6)) == "2001:db8:0:0:0:0:0:1");
  CHECK(source_of(version_2(0x21, 0x11, ipv4 + std::string("\x04\x00\x02xy", 5))) == "192.0.2.1");  // with an extension
  CHECK(source_of(version_2(0x20, 0x00, {})).empty());  // LOCAL: the proxy itself asks
  CHECK(source_of(version_2(0x20, 0x11, ipv4)).empty());
  CHECK(source_of(version_2(0x21, 0x00, {})).empty());
  CHECK(source_of(version_2(0x21, 0x31, std::string(216, 'x'))).empty());
}

TEST_CASE("LOCAL alone is a proxy that speaks for itself", "[wire][proxy-protocol-2.2]") {
  CHECK(parsed(version_2(0x20, 0x00, {})).local);
  CHECK(parsed(version_2(0x20, 0x11, ipv4)).local);
  CHECK_FALSE(parsed(version_2(0x21, 0x11, ipv4)).local);
  // Somebody without an IP address is relayed all the same.
  CHECK_FALSE(parsed(version_2(0x21, 0x00, {})).local);
  CHECK_FALSE(parsed(version_2(0x21, 0x31, std::string(216, 'x'))).local);
  CHECK_FALSE(parsed("PROXY UNKNOWN\r\n").local);
  CHECK_FALSE(parsed("PROXY TCP4 192.0.2.1 127.0.0.1 4660 80\r\n").local);
}

TEST_CASE("LOCAL is accepted whatever its family and protocol, and what they come with is skipped",
          "[wire][proxy-protocol-2.2]") {
  for (const auto family : {0x41, 0xF1, 0x13, 0x0F, 0xFF, 0x21}) {
    for (const std::string& payload : {std::string(), std::string("x"), ipv4, std::string(300, 'x')}) {
      INFO(family << ", " << payload.size());
      const auto header = parsed(version_2(0x20, static_cast<unsigned char>(family), payload));
      CHECK(header.local);
      CHECK(header.source.empty());
    }
  }
  CHECK(malformed(version_2(0x20, 0xFF, std::string(max_proxy_header - 15, 'x')).substr(0, 16)));
}

TEST_CASE("what is no header of the PROXY protocol is malformed as soon as that shows", "[wire][proxy-protocol-2]") {
  for (const std::string start : {"G", "PROXX", "PROXY\r", "\r\n\r\nG", "proxy "}) CHECK(malformed(start));
  for (const std::string rest :
       {"TCP4\r\n", "TCP4 1.2.3.4 1.2.3.4 1\r\n", "TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", "TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
        "TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", "TCP4  1.2.3.4 1.2.3.4 1 2\r\n", "TCP4 ::1 ::1 1 2\r\n",
        "TCP5 1.2.3.4 1.2.3.4 1 2\r\n", "TCP6 g::1 ::1 1 2\r\n", "\r\n", "TCP4 1.2.3.4 1.2.3.4 -1 2\r\n"}) {
    INFO(rest);
    CHECK(malformed("PROXY " + rest));
  }
  CHECK(malformed("PROXY UNKNOWN " + std::string(93, 'x')));  // 107 bytes without an end
  CHECK_FALSE(malformed("PROXY UNKNOWN " + std::string(92, 'x')));
  CHECK(malformed(version_2(0x11, 0x11, ipv4)));            // version 1 in the binary form
  CHECK(malformed(version_2(0x22, 0x11, ipv4)));            // a command nobody knows
  CHECK(malformed(version_2(0x21, 0x41, ipv4)));            // a family nobody knows
  CHECK(malformed(version_2(0x21, 0x13, ipv4)));            // a protocol nobody knows
  CHECK(malformed(version_2(0x21, 0x11, ipv4.substr(1))));  // too short for its family
  CHECK(malformed(version_2(0x21, 0x21, ipv4)));
  CHECK(malformed(version_2(0x21, 0x11, std::string(max_proxy_header - 15, 'x')).substr(0, 16)));
}
