// What the library's own steps cost, each by itself, without a socket: publishing, encoding, parsing, answering a poll
// and resuming. Google Benchmark's options choose and repeat; see ../README.md.

#include <benchmark/benchmark.h>

#include <array>
#include <downlink/downlink.hpp>
#include <span>
#include <string>
#include <string_view>

namespace {

using namespace downlink;

std::string text_of(std::size_t size) {
  std::string text;
  while (text.size() < size) text += "price 42,000.5 \xE2\x82\xAC ";
  text.resize(size, 'x');
  for (std::size_t end = size; !wire::is_utf8(text);) text[--end] = 'x';  // a character that was cut
  return text;
}

void publish(benchmark::State& state) {
  const Channel channel{{.history = {.max_messages = 1000}}};
  const Publisher publisher(channel);
  const std::string text = text_of(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(publisher.publish({.data = text}));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(publish)->Arg(128)->Arg(4096)->Arg(65536);

template <class Form>
void encode(benchmark::State& state) {
  const std::string text = text_of(static_cast<std::size_t>(state.range(0)));
  const MessageView message{.id = "1a2b3c4d5e6f-1234567", .event = "price", .data = text};
  std::string out;
  for (auto _ : state) {
    out.clear();
    Form::encode(out, message);
    benchmark::DoNotOptimize(out.data());
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(encode<detail::Chunked<Sse>>)->Arg(128)->Arg(4096);
BENCHMARK(encode<detail::WebSocketRaw>)->Arg(128)->Arg(4096);
BENCHMARK(encode<detail::WebSocketV1>)->Arg(128)->Arg(4096);
BENCHMARK(encode<detail::PollElement>)->Arg(128)->Arg(4096);

void parse_head(benchmark::State& state) {
  // As a browser sends it.
  constexpr std::string_view head =
      "GET /channels/telemetry?cursor=1a2b3c4d5e6f-1234567 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nConnection: "
      "keep-alive\r\n"
      "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 "
      "Safari/537.36\r\n"
      "Accept: text/event-stream\r\nCache-Control: no-cache\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\n"
      "Sec-Fetch-Dest: empty\r\nReferer: http://127.0.0.1:8080/\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
      "Accept-Language: en-GB,en;q=0.9\r\n\r\n";
  wire::RequestParser parser{RequestLimits{}};
  for (auto _ : state) {
    if (parser.feed(head) != head.size()) state.SkipWithError("the head was not taken");
    benchmark::DoNotOptimize(parser.take_head());
    parser.reset();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(head.size()));
}
BENCHMARK(parse_head);

void accept_key(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(wire::websocket_accept("dGhlIHNhbXBsZSBub25jZQ=="));
}
BENCHMARK(accept_key);

// Unmasking and checking for UTF-8 included.
void read_frame(benchmark::State& state) {
  constexpr std::array<unsigned char, 4> key{0x37, 0xFA, 0x21, 0x3D};
  const std::string text = text_of(static_cast<std::size_t>(state.range(0)));
  std::string frame;
  wire::append_frame_header(frame, wire::Opcode::text, text.size());
  frame[1] = static_cast<char>(static_cast<unsigned char>(frame[1]) | 0x80u);
  frame.append(key.begin(), key.end());
  std::string masked = text;
  wire::unmask(masked, key, 0);
  frame += masked;
  wire::WebSocketReader reader(std::size_t{1} << 20);
  std::string bytes;
  for (auto _ : state) {
    bytes = frame;  // it is unmasked in place
    std::span<char> input(bytes);
    if (reader.next(input).payload.size() != text.size()) state.SkipWithError("the frame was not taken");
    benchmark::DoNotOptimize(reader.next(input));
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(read_frame)->Arg(128)->Arg(4096)->Arg(65536);

/// A channel with a thousand messages.
struct Filled {
  explicit Filled(std::size_t size) {
    for (int i = 0; i < 1000; ++i) Publisher(channel).publish({.data = text_of(size)});
  }
  detail::ChannelState& state() { return *detail::ChannelAccess::state(channel); }

  Channel channel{{.history = {.max_messages = 1000}}};
};

// From the encodings that an earlier reader had made.
template <class Form>
void resume_from_the_middle(benchmark::State& state) {
  Filled filled(128);
  const std::string cursor = filled.state().cursor_before(501).to_string();
  detail::Range range;
  for (auto _ : state) {
    const auto begin =
        filled.state().start({.kind = StartRequest::Kind::cursor, .cursor = cursor}, DefaultStart::latest);
    filled.state().read(&detail::form_ops<Form>, begin.next, {}, range);
    if (range.messages != 500) state.SkipWithError("not half of the messages");
  }
}
BENCHMARK(resume_from_the_middle<detail::WebSocketRaw>);
BENCHMARK(resume_from_the_middle<detail::Chunked<Sse>>);

// What a short poll is answered that finds so many messages: the body's pieces, not the head.
void poll(benchmark::State& state) {
  Filled filled(128);
  const std::string cursor =
      filled.state().cursor_before(1001 - static_cast<std::uint64_t>(state.range(0))).to_string();
  detail::Range range;
  for (auto _ : state) {
    const auto begin =
        filled.state().start({.kind = StartRequest::Kind::cursor, .cursor = cursor}, DefaultStart::latest);
    filled.state().read(&detail::form_ops<detail::PollElement>, begin.next, detail::poll_limits, range);
    if (range.messages != static_cast<std::size_t>(state.range(0))) state.SkipWithError("other messages");
  }
}
BENCHMARK(poll)->Arg(0)->Arg(10)->Arg(1000);

}  // namespace

BENCHMARK_MAIN();
