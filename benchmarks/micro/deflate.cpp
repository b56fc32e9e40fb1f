// What permessage-deflate costs: compressing a message, once for all of its subscribers, and refusing one of a client
// that inflates past the limit.

#include <benchmark/benchmark.h>

#include <cstdint>
#include <downlink/deflate.hpp>
#include <string>

namespace {

using namespace downlink;
using Raw = detail::Deflated<detail::WebSocketRaw, 15>;

std::string json_of(std::size_t size) {
  std::string text;
  for (unsigned i = 0; text.size() < size; ++i) {
    text += R"({"symbol":"BTC","price":)" + std::to_string(42'000 + i * i % 977) + "},";
  }
  text.resize(size);
  return text;
}

void deflate(benchmark::State& state) {
  const std::string text = json_of(static_cast<std::size_t>(state.range(0)));
  std::string out;
  for (auto _ : state) {
    out.clear();
    Raw::encode(out, {.data = text});
    benchmark::DoNotOptimize(out.data());
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(deflate)->Arg(128)->Arg(1024)->Arg(1 << 20);

// 64 MiB in 64 KiB, which a limit in MiB is to stop; all of it repeats the byte before, which takes zlib longest.
void refuse_bomb(benchmark::State& state) {
  std::string frame;
  detail::Deflated<detail::WebSocketRaw, 8>::encode(frame, {.data = std::string(std::size_t{64} << 20, 'a')});
  wire::WebSocketEvent bomb{.kind = wire::WebSocketEvent::Kind::message, .compressed = true};
  bomb.payload = std::string_view(frame).substr(frame.size() < 0x10000 ? 4 : 10);
  const std::size_t limit = static_cast<std::size_t>(state.range(0)) << 20;
  for (auto _ : state) {
    std::string data;
    if (detail::make_message_inflater(limit)->take(bomb, data).code != 1009) state.SkipWithError("it was taken");
  }
}
BENCHMARK(refuse_bomb)->Arg(1)->Arg(16)->Unit(benchmark::kMillisecond);

}  // namespace
