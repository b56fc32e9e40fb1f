// The same calls with callbacks, with futures and with coroutines: every asynchronous function takes a completion
// token.
//   curl -d hello http://127.0.0.1:8080/echo      is answered by a coroutine, after a moment
//   curl -X DELETE http://127.0.0.1:8080/         drains the server, and ends the program

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <downlink/downlink.hpp>
#include <future>
#include <iostream>
#include <string>
#include <thread>
#include <utility>

#include <asio/detached.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_future.hpp>

using namespace std::chrono_literals;

// A coroutine: reads a channel for as long as it is open.
asio::awaitable<void> print(downlink::Channel channel) try {
  const auto executor = co_await asio::this_coro::executor;  // by itself: GCC 12 spoils temporaries beside a co_await
  downlink::Subscription subscription{executor, channel, {.cursor = "earliest"}};
  while (true) {
    const downlink::Batch batch = co_await subscription.next();
    for (const auto& delivered : batch.messages) std::cout << delivered.message().data << std::endl;
  }
} catch (const downlink::system_error& error) {
  std::cout << error.code().message() << std::endl;
}

int main(int argc, char** argv) try {
  const auto port = static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 8080);
  asio::io_context io;
  downlink::Channel channel;
  const downlink::Publisher publisher{channel};
  downlink::Server<downlink::Sse, downlink::ShortPolling> server{io, {.port = port}};
  server.route("/echo", channel);

  // A handler may be a coroutine.
  server.on_message("/echo", [publisher](downlink::Peer, downlink::Inbound in) -> asio::awaitable<downlink::Reply> {
    asio::steady_timer moment{co_await asio::this_coro::executor, 10ms};
    co_await moment.async_wait(asio::use_awaitable);
    downlink::Message message{.data = in.data};
    const auto id = co_await publisher.async_publish(std::move(message), asio::use_awaitable);
    co_return downlink::Message{.data = id.to_string()};
  });
  std::promise<void> asked_to_end;
  server.fallback([&](const downlink::HttpRequest& request) {
    if (request.head.method() != "DELETE") return downlink::HttpResponse{.status = 404};
    asked_to_end.set_value();
    return downlink::HttpResponse{.status = 202};
  });
  server.start();
  std::cout << "listening on http://127.0.0.1:" << server.port() << "/echo" << std::endl;
  asio::co_spawn(io, print(channel), asio::detached);

  // A callback.
  publisher.async_publish({.data = "by callback"}, [](downlink::error_code error, const downlink::MessageId& id) {
    if (!error) std::cout << "published " << id.to_string() << std::endl;
  });

  // Futures, for threads that are not the loop's.
  std::jthread loop{[&io] { io.run(); }};
  publisher.async_publish({.data = "by future"}, asio::use_future).get();
  asked_to_end.get_future().wait();
  server.async_drain(1s, asio::use_future).get();
  channel.close();
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
