#include <nlohmann/json.hpp>

#include "conformance/conversation.hpp"

using namespace downlink::testing;

namespace {

const std::string host = "Host: localhost\r\n";
const std::string connection = "Connection: Upgrade\r\n";
const std::string upgrade_line = "Upgrade: websocket\r\n";
const std::string version = "Sec-WebSocket-Version: 13\r\n";
const std::string key = "Sec-WebSocket-Key: " + std::string(WebSocketClient::key) + "\r\n";
const std::string good = host + connection + upgrade_line + version + key;

std::string get_line(const std::string& headers) { return "GET / HTTP/1.1\r\n" + headers + "\r\n"; }

// The handshake succeeds, and the frames sent in the same packet with it are answered.
Response opens(Echo& echo, const std::string& request) {
  CAPTURE(request);
  Connection client(echo.port());
  client.send(request + text_frame("first") + close_frame(1000));
  const auto answer = client.read_head();
  REQUIRE(answer.status == 101);
  CHECK(answer.header("Sec-WebSocket-Accept") == WebSocketClient::accept);
  CHECK(answer.count("Sec-WebSocket-Accept") == 1);
  CHECK(answer.header("Upgrade") == "websocket");
  CHECK(answer.lists("Connection", "Upgrade"));
  CHECK(answer.count("Date") == 1);
  CHECK(answer.count("Content-Length") == 0);
  CHECK(answer.count("Transfer-Encoding") == 0);
  CHECK(client.read_to_end() == std::string("\x81\x05"
                                            "first\x88\x02\x03\xE8",
                                            11));
  CHECK(client.wait_for_end(std::chrono::seconds{5}) == Connection::End::closed);
  return answer;
}

// The handshake fails with this status, and the frames sent in the same packet with it are not looked at.
Response refuses(Echo& echo, const std::string& request, int status) {
  CAPTURE(request);
  Connection client(echo.port());
  client.send(request + text_frame("never") + close_frame(1000));
  const auto answer = client.read_response();
  CHECK(answer.status == status);
  CHECK(answer.header("Content-Type") == "application/problem+json");
  CHECK(answer.count("Date") == 1);
  CHECK(answer.lists("Connection", "close"));
  CHECK(nlohmann::json::parse(answer.body).at("status") == status);
  CHECK(client.read_to_end().empty());
  CHECK(client.wait_for_end(std::chrono::seconds{5}) == Connection::End::closed);
  return answer;
}

}  // namespace

TEST_CASE("a handshake may be written in any way that HTTP allows", "[conformance][RFC6455-4.2.1]") {
  Echo echo;
  opens(echo, get_line(good));
  opens(echo, "GET http://example.com/x?y HTTP/1.1\r\n" + good + "\r\n");
  opens(echo, get_line("hOST:localhost\r\nCONNECTION:\tupGRADE \r\nupgrade: WebSocket\r\nsec-websocket-version:13\r\n"
                       "SEC-WEBSOCKET-KEY:" +
                       std::string(WebSocketClient::key) + "\t\r\n"));
  opens(echo, get_line(key + version + upgrade_line + connection + host));
  opens(echo, get_line(host + upgrade_line + version + key + "Connection: keep-alive, Upgrade\r\n"));
  opens(echo, get_line(host + upgrade_line + version + key + "Connection: ,, keep-alive ,\tUPGRADE,\r\n"));
  opens(echo, get_line(host + upgrade_line + version + key + "Connection: keep-alive\r\nConnection: Upgrade\r\n"));
  opens(echo, get_line(host + connection + version + key + "Upgrade: h2c, websocket\r\n"));
  opens(echo, get_line(host + connection + version + key + "Upgrade: h2c\r\nUpgrade: websocket\r\n"));
  opens(echo, get_line(good + "Content-Length: 0\r\n"));
  opens(echo, get_line(good + "Cookie: a=b\r\nX-Unknown: \xC3\xA4\r\nSec-WebSocket-Extensions: x-unknown; a=1\r\n"));
  opens(echo, "\r\n" + get_line(good));
}

TEST_CASE("a handshake that comes byte by byte opens", "[conformance][RFC6455-4.2.1]") {
  Echo echo;
  Connection client(echo.port());
  for (const char c : get_line(good) + text_frame("x")) client.send({&c, 1});
  CHECK(client.read_head().status == 101);
  CHECK(client.read_exactly(3) == "\x81\x01x");
}

TEST_CASE("a handshake of another version than 13 is 426, which names the version", "[conformance][RFC6455-4.4]") {
  Echo echo;
  const auto with = [&](const std::string& lines) {
    const auto answer = refuses(echo, get_line(host + connection + upgrade_line + key + lines), 426);
    CHECK(answer.header("Sec-WebSocket-Version") == "13");
    CHECK(answer.lists("Upgrade", "websocket"));
    CHECK(answer.lists("Connection", "Upgrade"));
  };
  for (const std::string value : {"8", "0", "12", "14", "013", "13.0", "+13", "thirteen", "", "256", "-13", "1 3"}) {
    with("Sec-WebSocket-Version: " + value + "\r\n");
  }
  with("");
  with("Sec-WebSocket-Version: 8, 13\r\n");
  with("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 8\r\n");
}

TEST_CASE("a key that is not the base64 form of 16 bytes is 400", "[conformance][RFC6455-4.2.1]") {
  Echo echo;
  const auto with = [&](const std::string& lines) {
    refuses(echo, get_line(host + connection + upgrade_line + version + lines), 400);
  };
  with("");
  with("Sec-WebSocket-Key:\r\n");
  with("Sec-WebSocket-Key: x\r\n");
  with("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA\r\n");          // 15 bytes
  with("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA=\r\n");      // 17 bytes
  with("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAAAAA==\r\n");  // 19 bytes
  with("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA\r\n");        // without padding
  with("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAA===\r\n");      // with too much
  with("Sec-WebSocket-Key: AAAAAAAAAAAA-_AAAAAAAA==\r\n");      // another alphabet
  with("Sec-WebSocket-Key: AAAAAAAAAAAA AAAAAAAAA==\r\n");      // a space
  with("Sec-WebSocket-Key: \"AAAAAAAAAAAAAAAAAAAAA==\"\r\n");   // quotes
  with(key + key);
  with(key + "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n");
}

TEST_CASE("what is no handshake of HTTP/1.1 does not open", "[conformance][RFC6455-4.2.1]") {
  Echo echo;
  // Without one of its two words it is a plain request to an endpoint that speaks WebSocket alone.
  for (const auto& headers : {host + upgrade_line + version + key, host + connection + version + key,
                              host + upgrade_line + version + key + "Connection: close\r\n",
                              host + upgrade_line + version + key + "Connection: xUpgrade\r\n",
                              host + connection + version + key + "Upgrade: websockets\r\n",
                              host + connection + version + key + "Upgrade: \"websocket\"\r\n"}) {
    CAPTURE(headers);
    Connection client(echo.port());
    client.send(get_line(headers));
    const auto answer = client.read_response();
    CHECK(answer.status == 426);
    CHECK(answer.lists("Upgrade", "websocket"));
  }
  Connection old(echo.port());
  old.send("GET / HTTP/1.0\r\n" + good + "\r\n");
  CHECK(old.read_response().status == 426);
  CHECK(old.read_to_end().empty());

  for (const std::string method : {"HEAD", "POST"}) {
    CAPTURE(method);
    Connection client(echo.port());
    client.send(method + " / HTTP/1.1\r\n" + good + "\r\n" + text_frame("never"));
    CHECK(client.read_response(method == "HEAD").status == 400);
    CHECK(client.read_to_end().empty());
  }
  CHECK(request(echo.port(), "PUT", "/", connection + upgrade_line + version + key).status == 405);
  refuses(echo, get_line(connection + upgrade_line + version + key), 400);
  refuses(echo, get_line(good + host), 400);
}

TEST_CASE("an upgrade request that has a body is 400", "[conformance][WIRE-5]") {
  Echo echo;
  refuses(echo, get_line(good + "Content-Length: 1\r\n") + "x", 400);
  refuses(echo, get_line(good + "Content-Length: 99999999999\r\n"), 400);
  refuses(echo, get_line(good + "Transfer-Encoding: chunked\r\n") + "0\r\n\r\n", 400);
  refuses(echo, get_line(good + "Transfer-Encoding: chunked\r\n") + "1\r\nx\r\n0\r\n\r\n", 400);
  refuses(echo, get_line(good + "Expect: 100-continue\r\nContent-Length: 1\r\n"), 400);
  refuses(echo, get_line(good + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n", 400);
  refuses(echo, "POST / HTTP/1.1\r\n" + good + "Content-Length: 1\r\n\r\nx", 400);
}

TEST_CASE("the subprotocol is chosen from all that are offered, in any number of headers",
          "[conformance][RFC6455-4.2.2]") {
  Echo echo;
  const auto chosen = [&](const std::string& lines) {
    CAPTURE(lines);
    Connection client(echo.port());
    client.send(get_line(good + lines));
    const auto answer = client.read_head();
    REQUIRE(answer.status == 101);
    CHECK(answer.count("Sec-WebSocket-Protocol") <= 1);
    return answer.header("Sec-WebSocket-Protocol").value_or("");
  };
  const std::string name = "Sec-WebSocket-Protocol: ";
  CHECK(chosen("").empty());
  CHECK(chosen(name + "chat, superchat\r\n").empty());
  CHECK(chosen(name + "DOWNLINK.V1\r\n").empty());
  CHECK(chosen(name + "downlink.v10, xdownlink.v1\r\n").empty());
  CHECK(chosen(name + "downlink.v1\r\n") == "downlink.v1");
  CHECK(chosen(name + "chat,downlink.v1 , other\r\n") == "downlink.v1");
  CHECK(chosen(name + "chat\r\n" + name + "downlink.v1\r\n") == "downlink.v1");
  CHECK(chosen("sec-websocket-protocol: ,,downlink.v1\r\n" + name + "downlink.v1\r\n") == "downlink.v1");
}

TEST_CASE("a page of another origin may not open a WebSocket", "[conformance][WIRE-8][RFC6455-10.2]") {
  Echo echo;
  for (const std::string origin : {"http://evil.example", "null", "http://localhost:1", "http://localhost.evil.example",
                                   "localhost", "http://evil.example, http://localhost"}) {
    CAPTURE(origin);
    Connection client(echo.port());
    client.send(get_line(good + "Origin: " + origin + "\r\n"));
    CHECK(client.read_response().status == 403);
  }
  opens(echo, get_line(good + "Origin: http://localhost\r\n"));
  opens(echo, get_line(good + "Origin: http://anything.example\r\nSec-Fetch-Site: same-origin\r\n"));
}

TEST_CASE("what follows a handshake is frames and never a request", "[conformance][RFC6455-4.2.2]") {
  Echo echo;
  Connection client(echo.port());
  client.send(get_line(good) + request_text("POST", "/", {}, "x") + request_text("GET", "/"));
  CHECK(client.read_head().status == 101);
  const auto rest = client.read_to_end();
  REQUIRE(rest.size() >= 4);
  CHECK(rest.substr(2, 2) == "\x03\xEA");
  CHECK(rest[0] == '\x88');
  CHECK(rest.size() == static_cast<std::size_t>(rest[1]) + 2);
  CHECK(client.wait_for_end(std::chrono::seconds{5}) == Connection::End::closed);
}

TEST_CASE("an unread request before a handshake does not disturb it", "[conformance][RFC9112-9.3.2]") {
  Echo echo;
  Connection client(echo.port());
  client.send(request_text("GET", "/") + get_line(good) + text_frame("x"));
  CHECK(client.read_response().status == 426);
  CHECK(client.read_head().status == 101);
  CHECK(client.read_exactly(3) == "\x81\x01x");
}
