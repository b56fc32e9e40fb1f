#include "conformance/hub.hpp"

using namespace downlink::testing;

namespace {

const std::string host_field = "Host: localhost\r\n";
const std::string length = "Content-Length: 1\r\n";

// A POST of one byte with this request line.
std::string with_line(const std::string& line) { return line + "\r\n" + host_field + length + "\r\nx"; }
std::string with_target(const std::string& target) { return with_line("POST " + target + " HTTP/1.1"); }
// A POST of one byte with these lines behind the request line.
std::string with_headers(const std::string& headers) {
  return "POST /channels/c HTTP/1.1\r\n" + headers + length + "\r\nx";
}

}  // namespace

TEST_CASE("a malformed request line is 400", "[conformance][WIRE-8][RFC9112-3]") {
  Hub hub;
  for (const std::string line : {"POST  /channels/c HTTP/1.1",
                                 "POST /channels/c  HTTP/1.1",
                                 "POST /channels/c HTTP/1.1 ",
                                 " POST /channels/c HTTP/1.1",
                                 "\tPOST /channels/c HTTP/1.1",
                                 "POST\t/channels/c\tHTTP/1.1",
                                 "POST /channels/c",
                                 "POST /channels/c ",
                                 "POST",
                                 "POST HTTP/1.1",
                                 "POST  HTTP/1.1",
                                 "/channels/c HTTP/1.1",
                                 "POST /channels/c x HTTP/1.1",
                                 "P@ST /channels/c HTTP/1.1",
                                 "P\xC3\x96ST /channels/c HTTP/1.1",
                                 "\"POST\" /channels/c HTTP/1.1",
                                 "POST: /channels/c HTTP/1.1",
                                 "POST /channels/c\vHTTP/1.1",
                                 "POST /channels/c HTTP/1.1\r",
                                 "POST /channels/c HTTP/1.1\rX",
                                 "\x16\x03\x01\x02\x00"}) {
    hub.refuses(with_line(line), 400);
  }
  for (const std::string version : {"HTTP/1.10", "HTTP/01.1", "HTTP/1", "HTTP/1.", "HTTP/.1", "HTTP/11", "http/1.1",
                                    "Http/1.1", "HTTP 1.1", "HTTP/1,1", "HTTP/+1.1", "HTTP/1.1x", "HTTP/1.x",
                                    "HTTPS/1.1", "XHTTP/1.1", "ICE/1.0", "RTSP/1.0", "1.1", "HTTP/"}) {
    hub.refuses(with_line("POST /channels/c " + version), 400);
  }
  for (const std::string version : {"HTTP/2.0", "HTTP/0.9", "HTTP/3.0", "HTTP/9.9", "HTTP/0.1"}) {
    hub.refuses(with_line("POST /channels/c " + version), 505);
  }
  hub.refuses("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505);
  hub.refuses("GET /channels/c\r\n", 400);
  hub.refuses("GET /channels/c\r\n\r\n", 400);
  // A minor version past 1 is read as 1 (RFC 9110 §2.5).
  hub.takes(with_line("POST /channels/c HTTP/1.2"), 202, {"x"});
  hub.takes(with_line("POST /channels/c HTTP/1.9"), 202, {"x"});
}

TEST_CASE("an empty line before a request is passed over, other things are not", "[conformance][RFC9112-2.2]") {
  Hub hub;
  hub.takes("\r\n" + with_headers(host_field), 202, {"x"});
  for (const std::string before : {"\n", "\r", " \r\n", "\t\r\n", " ", "\r\n ", "\r\n\n", "\r\r\n", "\v\r\n",
                                   "X: y\r\n", "\r\n\r\n\r\n\r\n\r\n\r\n"}) {
    hub.refuses(before + with_headers(host_field), 400);
  }
  hub.refuses(std::string("\0", 1) + with_headers(host_field), 400);
}

TEST_CASE("a malformed target is 400, and each form of a good one is understood",
          "[conformance][WIRE-8][RFC9112-3.2]") {
  Hub hub;
  for (const std::string target : {"channels/c",
                                   "./channels/c",
                                   "?x",
                                   "",
                                   "*",
                                   "localhost:80",
                                   "localhost",
                                   "/channels/c#x",
                                   "#",
                                   "/channels/\xC3\xA4",
                                   "/channels/c\x7f",
                                   "/channels/c\x01",
                                   "http:/channels/c",
                                   "http:///channels/c",
                                   "http://",
                                   "http://user@localhost/channels/c",
                                   "http://local host/channels/c",
                                   "http://localhost:x/channels/c",
                                   "http://localhost:123456/channels/c",
                                   "http://[::1/channels/c",
                                   "http://localhost#/channels/c",
                                   "://localhost/channels/c",
                                   "ht tp://localhost/channels/c",
                                   "h@p://localhost/channels/c",
                                   "http://a,b@c/channels/c",
                                   "http://localhost\\channels/c"}) {
    hub.refuses(with_target(target), 400);
  }
  for (const std::string path :
       {"/channels/%", "/channels/%4", "/channels/%zz", "/channels/%%63", "/channels/c%", "/channels/%u0063"}) {
    CAPTURE(path);
    Hub::check_problem(get(hub.port(), path), 400);
    Hub::check_problem(post(hub.port(), path, "x"), 400);
  }
  hub.takes(with_target("/channels/%63"), 202, {"x"});
  hub.takes(with_target("/channels/c?"), 202, {"x"});
  hub.takes(with_target("/channels/c?a=%zz&b=[]|"), 202, {"x"});
  hub.takes(with_target("http://localhost/channels/c"), 202, {"x"});
  hub.takes(with_target("HTTP://other.example:81/channels/c?x"), 202, {"x"});
  hub.takes(with_target("https://[::1]:443/channels/c"), 202, {"x"});
  for (const std::string target :
       {"//channels/c", "/channels//c", "/channels/c/", "/./channels/c", "/x/../channels/c", "/channels/c/..",
        "/CHANNELS/c", "/channels%2Fc", "http://localhost", "http://localhost?x"}) {
    CAPTURE(target);
    CHECK(get(hub.port(), target).status == (target.find("localhost") == std::string::npos ? 404 : 200));
  }
  CHECK(request(hub.port(), "OPTIONS", "*").status == 404);
}

TEST_CASE("a CONNECT is refused, and the connection closed", "[conformance][WIRE-8][RFC9110-9.3.6]") {
  Hub hub;
  for (const std::string target : {"localhost:80", "example.com:443", "/channels/c", "http://localhost/channels/c"}) {
    CAPTURE(target);
    auto client = hub.connect();
    client.send("CONNECT " + target + " HTTP/1.1\r\n" + host_field + "\r\n" + Hub::behind());
    const auto status = client.read_response().status;
    CHECK((status == 404 || status == 405));
    CHECK(client.read_to_end().empty());
    CHECK(hub.published().empty());
  }
}

TEST_CASE("the header Host is there once and well-formed", "[conformance][WIRE-8][RFC9112-3.2]") {
  Hub hub;
  hub.refuses(with_headers(""), 400);
  hub.refuses(with_headers(host_field + host_field), 400);
  hub.refuses(with_headers(host_field + "hOsT: other\r\n"), 400);
  hub.refuses(with_headers("Host: a, b\r\n"), 400);
  for (const std::string value : {"a b", "a/b", "http://a", "user@a", "a:b", "a:123456", "[::1", "::1", "a?b", "a#b",
                                  "\"a\"", "a\\b", "<a>", "\xC3\xA4", "a:1:2", ":80", "[]", "a^b"}) {
    hub.refuses(with_headers("Host: " + value + "\r\n"), 400);
  }
  for (const std::string value : {"", "a", "A.example:8080", "127.0.0.1:1", "[::1]:80", "xn--a", "a:", "a_b"}) {
    hub.takes(with_headers("Host: " + value + "\r\n"), 202, {"x"});
  }
  hub.refuses("POST http://localhost/channels/c HTTP/1.1\r\n" + length + "\r\nx", 400);
}

TEST_CASE("a header line is a name, a colon and a value, whatever hides in it", "[conformance][WIRE-8][RFC9112-5]") {
  Hub hub;
  for (const std::string line : {"no colon",    ": no name", " : x",   "A : b",    "A\t: b",   "A B: c", "A\xC3\xA4: b",
                                 "\xC3\xA4: b", "A(b): c",   "A/b: c", "A@b: c",   "A[b]: c",  "{A}: b", "A\": b",
                                 "A,B: c",      "A;B: c",    "A=B: c", "A\x01: b", "A\x7f: b", "\xFF: b"}) {
    hub.refuses(with_headers(host_field + line + "\r\n"), 400);
    hub.refuses(with_headers(line + "\r\n" + host_field), 400);
  }
  for (int c = 1; c < 0x20; ++c) {
    if (c == '\t') continue;
    const std::string control(1, static_cast<char>(c));
    hub.refuses(with_headers(host_field + "A: b" + control + "c\r\n"), 400);
    hub.refuses(with_headers(host_field + "A" + control + ": b\r\n"), 400);
    hub.refuses(with_headers(host_field + "A: b" + control + "\r\n"), 400);
  }
  const std::string nul(1, '\0');
  for (const auto& line : {"A: b" + nul + "c", "A" + nul + ": b", nul + "A: b", "A: " + nul, std::string("A: b\x7f")}) {
    hub.refuses(with_headers(host_field + line + "\r\n"), 400);
  }
  hub.refuses("POST /channels/c" + nul + " HTTP/1.1\r\n" + host_field + length + "\r\nx", 400);
  hub.refuses("PO" + nul + "ST /channels/c HTTP/1.1\r\n" + host_field + length + "\r\nx", 400);
  hub.takes(with_headers(host_field + "A:\r\nB: \t \r\nC:\tx\ty\t\r\n!#$%&'*+-.^_`|~0: \xFF\x80 \"\\(\r\n"), 202,
            {"x"});
}

TEST_CASE("a folded header is 400, wherever it stands", "[conformance][WIRE-8][RFC9112-5.2]") {
  Hub hub;
  for (const std::string fold : {" ", "\t", " folded", "\tfolded", "  Content-Length: 9", "\t\t"}) {
    hub.refuses(with_headers(fold + "\r\n" + host_field), 400);
    hub.refuses(with_headers(host_field + fold + "\r\n"), 400);
    hub.refuses(with_headers(host_field + "A: b\r\n" + fold + "\r\n"), 400);
    hub.refuses(with_headers(host_field + "A:\r\n" + fold + "\r\n"), 400);
    hub.refuses("POST /channels/c HTTP/1.1\r\n" + host_field + length + fold + "\r\n\r\nx", 400);
  }
}

TEST_CASE("a CR or LF alone is 400 anywhere in the head", "[conformance][WIRE-8][RFC9112-2.2]") {
  Hub hub;
  const std::string whole = "POST /channels/c HTTP/1.1\r\n" + host_field + "A: b\r\n" + length + "\r\n";
  for (std::size_t at = 0; at < whole.size(); ++at) {
    if (whole[at] == '\r') {
      // A line that ends in LF alone, in CR alone, in CR CR LF and in LF CR.
      hub.refuses(whole.substr(0, at) + whole.substr(at + 1) + "x", 400);
      hub.refuses(whole.substr(0, at + 1) + whole.substr(at + 2) + "x", 400);
      hub.refuses(whole.substr(0, at) + "\r" + whole.substr(at) + "x", 400);
      hub.refuses(whole.substr(0, at) + "\n\r" + whole.substr(at + 2) + "x", 400);
    } else if (whole[at] != '\n' && at > 0) {
      hub.refuses(whole.substr(0, at) + "\r" + whole.substr(at) + "x", 400);
      hub.refuses(whole.substr(0, at) + "\n" + whole.substr(at) + "x", 400);
    }
  }
}

TEST_CASE("what versions of llhttp have let through is refused", "[conformance][WIRE-8]") {
  Hub hub;
  const std::string te = "Transfer-Encoding: chunked\r\n";
  const std::string chunks = "1\r\nx\r\n0\r\n\r\n";
  const auto post = [](const std::string& headers, const std::string& body) {
    return "POST /channels/c HTTP/1.1\r\n" + host_field + headers + "\r\n" + body;
  };
  // A space before the colon (CVE-2021-22959).
  hub.refuses(post("Transfer-Encoding : chunked\r\n", chunks), 400);
  hub.refuses(post("Content-Length : 1\r\n", "x"), 400);
  // Chunk extensions with a CR or LF in them (CVE-2021-22960).
  hub.refuses(post(te, "1;a\nb\r\nx\r\n0\r\n\r\n"), 400);
  hub.refuses(post(te, "1 \n;\r\nx\r\n0\r\n\r\n"), 400);
  hub.refuses(post(te, "1;a=b\rX\r\nx\r\n0\r\n\r\n"), 400);
  // A coding that only ends or begins with the word (CVE-2022-32213).
  hub.refuses(post("Transfer-Encoding: chunkedchunked\r\n", chunks), 501);
  hub.refuses(post("Transfer-Encoding: chunked , gzip\r\n", chunks), 501);
  // Header lines that end in LF (CVE-2022-32214), in no CRLF (CVE-2022-35256), and in CR (CVE-2023-30589).
  hub.refuses(post("X: y\n" + te, chunks), 400);
  hub.refuses(post("X:\nTransfer-Encoding: chunked\r\n", chunks), 400);
  hub.refuses(post("X: y\r" + te, chunks), 400);
  hub.refuses(post("X:\rContent-Length: 1\r\n", "x"), 400);
  hub.refuses(post("\rTransfer-Encoding: chunked\r\n", chunks), 400);
  // A coding on a folded line (CVE-2022-32215), and a length behind a space (CVE-2024-27982).
  hub.refuses(post("Transfer-Encoding: chunked\r\n , identity\r\n", chunks), 400);
  hub.refuses(post("Transfer-Encoding:\r\n chunked\r\n", chunks), 400);
  hub.refuses(post(" Content-Length: 1\r\n", "x"), 400);
  hub.refuses("POST /channels/c HTTP/1.1\r\n Content-Length: 1\r\n" + host_field + "\r\nx", 400);
  // An empty value before the coding's line, and a coding in a line of its own behind an empty one.
  hub.refuses(post("Transfer-Encoding:\r\n" + te, chunks), 501);
  hub.refuses(post("Content-Length:\r\n" + te, chunks), 400);
  // Chunk extensions without an end (CVE-2024-22019).
  hub.refuses(post(te, "1;" + std::string(100'000, 'a')), 431);
  // A space behind a chunk's size, and a chunk without its CRLF (lenient flags since 9.1).
  hub.refuses(post(te, "1 \r\nx\r\n0\r\n\r\n"), 400);
  hub.refuses(post(te, "1\r\nx0\r\n\r\n"), 400);
  // A head that ends in CR and another byte than LF (CVE-2025-23167).
  hub.refuses("POST /channels/c HTTP/1.1\r\n" + host_field + length + "\rx", 400);
  // A request line without a version that ends in LF alone.
  hub.refuses("POST /channels/c\n" + host_field + length + "\r\nx", 400);
  // A length that a 64-bit number can't hold, and one that is there twice.
  hub.refuses(post("Content-Length: 18446744073709551617\r\n", "x"), 400);
  hub.refuses(post(length + length, "x"), 400);
}
