// Chat rooms whose users come by WebSocket, or by Server-Sent Events and POST. Open it in a browser, or:
//   websocat 'ws://127.0.0.1:8080/rooms/lobby?name=Ann'
//   curl -N 'http://127.0.0.1:8080/rooms/lobby?name=Bob'
//   curl --data 'Hello' 'http://127.0.0.1:8080/rooms/lobby?name=Bob'

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>

#include <downlink/downlink.hpp>
#include <downlink/wire/json.hpp>
#include <downlink/wire/utf8.hpp>

constexpr std::string_view page = R"html(<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Chat</title>
<style>
  body { font: 1rem/1.5 sans-serif; max-width: 40rem; margin: 1rem auto }
  ul { list-style: none; padding: 0 }
</style>
<form id="enter">
  <label>Name <input name="name" maxlength="40" required></label>
  <label>Room <input name="room" value="lobby" pattern="[\w.~\-]+" required></label>
  <label>By <select name="by"><option>WebSocket<option>SSE and POST</select></label>
  <button>Enter</button>
</form>
<form id="talk" hidden>
  <input name="text" autocomplete="off" aria-label="Message"> <button>Send</button>
</form>
<ul id="said" aria-live="polite"></ul>
<script>
  const show = (event) => {
    const { kind, name, text } = JSON.parse(event.data);
    const line = document.createElement("li");
    line.textContent = kind === "said" ? `${name}: ${text}` : `${name} ${kind}`;
    said.prepend(line);
  };
  enter.onsubmit = (event) => {
    event.preventDefault();
    const { room, name, by } = enter.elements;
    const url = `${location.origin}/rooms/${room.value}?history=20&name=${encodeURIComponent(name.value)}`;
    const socket = by.selectedIndex === 0;
    const stream = socket ? new WebSocket(url.replace("http", "ws")) : new EventSource(url);
    stream.onmessage = show;
    enter.hidden = !(talk.hidden = false);
    talk.onsubmit = (event) => {
      event.preventDefault();
      const text = talk.elements.text.value;
      socket ? stream.send(text) : fetch(url, { method: "POST", body: text });
      talk.reset();
    };
  };
</script></html>
)html";

// What happened in a room, as JSON: {"kind":"joined","name":"Ann"}, or "left", or "said" with a "text".
std::string notice(std::string_view kind, std::string_view name, std::string_view text = {}) {
  std::string json = R"({"kind":)";
  downlink::wire::append_json_string(json, kind);
  downlink::wire::append_json_string(json += R"(,"name":)", name);
  if (!text.empty()) downlink::wire::append_json_string(json += R"(,"text":)", text);
  return json += '}';
}

int main(int argc, char** argv) try {
  using namespace downlink;
  const auto port = static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 8080);
  asio::io_context io;
  Hub rooms;
  const auto tell = [&rooms](const Peer& about, std::string_view kind, std::string_view text = {}) {
    const Identity& who = about.identity();
    const auto room = rooms.open(who.parameter("name").value_or(""));
    if (room) Publisher{room.value()}.publish({.data = notice(kind, who.subject, text)});
  };

  Server<WebSocket, Sse> server{io, {.port = port}};
  server.route("/rooms/{name}", rooms);
  // Everybody is who they say they are. An application would look at a cookie or a token here.
  server.authorize([](const RequestHead& head) {
    const auto name = head.query_value("name").value_or("");
    return name.empty() || name.size() > 160 || !wire::is_utf8(name) ? deny() : allow(name);
  });
  server.on_subscribe([&](const Peer& peer) { tell(peer, "joined"); });
  server.on_unsubscribe([&](const Peer& peer, EndReason) { tell(peer, "left"); });
  server.on_message("/rooms/{name}", [&](const Peer& from, const Inbound& message) {
    if (!message.binary) tell(from, "said", message.data);
  });
  server.fallback([](const HttpRequest& request) {
    if (request.head.path() != "/") return HttpResponse{.status = 404, .body = "Nothing is here.\n"};
    return HttpResponse{.content_type = "text/html; charset=utf-8", .body = std::string(page)};
  });
  server.start();
  std::cout << "listening on http://127.0.0.1:" << server.port() << std::endl;
  io.run();
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
