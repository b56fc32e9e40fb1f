#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "channel/encoded_log_fixture.hpp"
#include "support/catch.hpp"

using namespace std::chrono_literals;
using namespace downlink;
using namespace downlink::testing;

TEST_CASE("a range is the encodings of the messages from its start on", "[channel][DESIGN-1]") {
  EncodedLogFixture f;
  f.publish("one");
  f.publish("two");
  Range range;
  f.state->read(plain, 1, {}, range);
  CHECK(bytes_of(range) == "7-1||one\n7-2||two\n");
  CHECK(flaw(range, 1, {}) == "");
  CHECK(range.next == 3);
  CHECK(range.pieces.size() == 1);
  CHECK_FALSE(range.more);
  f.state->read(plain, 2, {}, range);
  CHECK(bytes_of(range) == "7-2||two\n");
  f.state->read(wordy, 2, {}, range);
  CHECK(bytes_of(range) == "<message size='3' id='7-2'>two</message>");
}

TEST_CASE("a reader that has everything gets nothing and stays where it is", "[channel][DESIGN-1]") {
  EncodedLogFixture f;
  Range range;
  f.state->read(plain, 1, {}, range);
  CHECK(range.pieces.empty());
  CHECK(range.next == 1);
  CHECK_FALSE(range.more);
  f.publish("one");
  f.state->read(plain, 2, {}, range);
  CHECK(range.pieces.empty());
  CHECK(range.next == 2);
}

TEST_CASE("the limits cut a range between messages and say that more follows", "[channel][DESIGN-3.7]") {
  EncodedLogFixture f;
  f.publish_many(500, 300);
  Range range;
  const std::size_t one = encoded(plain, *live_records(*f.state, 1).front()).size();
  f.state->read(plain, 1, {.bytes = 3 * one + 5}, range);
  CHECK(range.next == 4);
  CHECK(range.more);
  CHECK(range.bytes == 3 * one);
  f.state->read(plain, 1, {.bytes = 1}, range);
  CHECK(range.next == 2);
  CHECK(range.bytes == one);
  f.state->read(plain, 1, {.messages = 7}, range);
  CHECK(range.next == 8);
  CHECK(range.more);
  f.state->read(plain, 1, {.messages = 500}, range);
  CHECK(range.next == 501);
  CHECK_FALSE(range.more);
  f.state->read(plain, 1, {.pieces = 2}, range);
  CHECK(range.pieces.size() == 2);
  CHECK(range.more);
}

TEST_CASE("a message that a form has no bytes for is passed over and not counted", "[channel][DESIGN-1]") {
  struct Choosy {
    static void encode(std::string& out, const MessageView& message) {
      if (message.data != "none") out += message.data;
    }
  };
  EncodedLogFixture f;
  for (const auto* data : {"a", "none", "b", "none"}) f.publish(data);
  Range range;
  f.state->read(&form_ops<Choosy>, 1, {}, range);
  CHECK(bytes_of(range) == "ab");
  CHECK(range.messages == 2);
  CHECK(range.last == 3);
  CHECK(range.next == 5);
  CHECK_FALSE(range.more);
  f.state->read(&form_ops<Choosy>, 4, {}, range);
  CHECK(range.pieces.empty());
  CHECK(range.messages == 0);
  CHECK(range.next == 5);
}

TEST_CASE("a message that a form can't encode holds up nobody who stands behind it", "[channel][DESIGN-3.8]") {
  struct Fragile {
    static void encode(std::string& out, const MessageView& message) {
      out += message.data;
      if (message.data == "poison") throw std::runtime_error("can't be encoded");
    }
  };
  const Form form = &form_ops<Fragile>;
  EncodedLogFixture f;
  Range range;
  const int before = GENERATE(0, 1, 3);  // how many are encoded before it comes
  for (int i = 0; i < before; ++i) f.publish("a");
  f.state->read(form, 1, {}, range);
  f.publish("poison");
  const Position poison = f.state->head();
  if (GENERATE(false, true)) CHECK_THROWS_AS(f.state->read(form, poison, {}, range), std::runtime_error);
  for (int i = 0; i < 300; ++i) {
    f.publish("b");
    const Position next = GENERATE_COPY(false, true) ? f.state->head() : poison + 1;
    f.state->read(form, next, {}, range);
    CHECK(bytes_of(range) == std::string(static_cast<std::size_t>(f.state->head() + 1 - next), 'b'));
  }
  CHECK_THROWS_AS(f.state->read(form, poison, {}, range), std::runtime_error);
  f.state->read(form, poison + 1, {}, range);
  CHECK(bytes_of(range) == std::string(300, 'b'));
}

TEST_CASE("however many messages a form can't encode, who stands behind them reads on", "[channel][DESIGN-3.8]") {
  static int tries;
  struct Fragile {
    static void encode(std::string& out, const MessageView& message) {
      // Not for ever, so that a reader that does not get on is told from one that does.
      if (message.data == "poison" && ++tries < 10'000) throw std::runtime_error("can't be encoded");
      out += message.data;
    }
  };
  tries = 0;
  EncodedLogFixture f;
  const int poisoned = GENERATE(1, 63, 64, 65, 300);
  CAPTURE(poisoned);
  for (int i = 0; i < poisoned; ++i) f.publish("poison");
  const Position next = f.state->head() + 1;
  for (const char* data : {"a", "b"}) f.publish(data);
  Range range;
  f.state->read(&form_ops<Fragile>, next, {}, range);
  CHECK(bytes_of(range) == "ab");
  CHECK(tries <= poisoned);
}

TEST_CASE("a range that its byte limit cuts counts the bytes of its pieces alone", "[channel][DESIGN-1]") {
  EncodedLogFixture f;
  f.publish_many(3000, 100);
  for (const std::size_t bytes : {100'000u, 130'001u, 262'144u}) {
    Range range;
    f.state->read(plain, 1, {.bytes = bytes}, range);
    CHECK(range.more);
    CHECK(range.bytes == bytes_of(range).size());
  }
}

TEST_CASE("ranges join to exactly the messages whatever the limits and the start", "[channel][DESIGN-1]") {
  EncodedLogFixture f;
  std::mt19937 random(10);
  for (int i = 0; i < 1500; ++i) f.publish(std::string(random() % 400, 'x'));
  const ReadLimits all[] = {{},
                            {.bytes = 1},
                            {.bytes = 1000},
                            {.bytes = 70'000},
                            {.messages = 1},
                            {.messages = 97},
                            {.pieces = 1},
                            {.bytes = 5000, .messages = 11, .pieces = 2},
                            {.bytes = std::numeric_limits<std::size_t>::max(),
                             .messages = std::numeric_limits<std::size_t>::max(),
                             .pieces = std::numeric_limits<std::size_t>::max()}};
  for (const auto& limits : all) {
    CAPTURE(limits.bytes, limits.messages, limits.pieces);
    for (const Position from : {Position{1}, Position{2}, Position{700}, Position{1499}, Position{1500}}) {
      f.check(plain, from, limits);
    }
  }
}

TEST_CASE("the first reader may stand anywhere: whoever comes before it misses nothing", "[channel][WIRE-1]") {
  for (const Position first :
       {Position{1}, Position{200}, Position{256}, Position{257}, Position{258}, Position{299}}) {
    CAPTURE(first);
    EncodedLogFixture f;
    f.publish_many(300);
    f.check(plain, first);
    f.check(plain, 1);
    f.check(plain, first);
  }
}

TEST_CASE("a reader of the newest does not hide what nobody has read before it", "[channel][WIRE-1]") {
  for (const int before : {1, 250, 5000}) {
    CAPTURE(before);
    EncodedLogFixture f;
    f.publish_many(before);
    f.check(plain, 1);
    f.publish_many(600);
    const Position unread = static_cast<Position>(before) + 1;
    f.check(plain, unread + 590);
    f.check(plain, unread);
    f.check(plain, 1);
  }
}

TEST_CASE("messages beyond a segment's size come whole, among small ones", "[channel][DESIGN-1]") {
  EncodedLogFixture f;
  for (const std::size_t size : {10u, 65'000u, 65'536u, 20u, 300'000u, 0u, 70'000u, 4096u, 30u, 1'000'000u, 5u}) {
    f.publish(std::string(size, static_cast<char>('a' + size % 26)));
    f.check(plain, f.state->head());
    f.check(plain, 1);
  }
  for (Position from = 1; from <= f.state->head(); ++from) f.check(wordy, from, {.bytes = 100'000});
}

TEST_CASE("encodings that were made stay, as messages come", "[channel][DESIGN-1]") {
  EncodedLogFixture f;
  f.publish("one");
  Range before;
  f.state->read(plain, 1, {}, before);
  const char* data = before.pieces.front().data();
  f.publish("two");
  Range after;
  f.state->read(plain, 1, {}, after);
  CHECK(after.pieces.front().data() == data);
  CHECK(bytes_of(before) == "7-1||one\n");
}

TEST_CASE("superseded and expired messages are left out of what was encoded already", "[channel][WIRE-1]") {
  EncodedLogFixture f;
  f.publish("1");
  f.publish("2", "k");
  f.publish("3");
  f.publish("4", {}, 10ms);
  f.publish("5");
  f.check(plain, 1);
  f.publish("6", "k");
  f.clock->move(10ms);
  Range range;
  f.state->read(plain, 1, {}, range);
  CHECK(bytes_of(range) == "7-1||1\n7-3||3\n7-5||5\n7-6||6\n");
  f.check(plain, 2);
  f.check(plain, 4);
  f.check(plain, 1, {.pieces = 1});
  f.check(plain, 1, {.messages = 1});
  f.check(plain, 1, {.bytes = 1});
}

TEST_CASE("a segment whose messages are mostly dead is made again without them", "[channel][DESIGN-1]") {
  EncodedLogFixture f;
  for (int i = 0; i < 4000; ++i)
    f.publish(std::string(50, 'x'), i % 10 ? std::optional("k" + std::to_string(i)) : std::nullopt);
  f.check(plain, 1);
  for (int i = 0; i < 3000; ++i) {
    if (i % 10) f.publish("new", "k" + std::to_string(i));
  }
  Range range;
  f.state->read(plain, 1, {.bytes = no_limit, .pieces = 5000}, range);
  // The living of the first 3000 places, none of which has a living neighbour, stand side by side again.
  CHECK(range.pieces.size() < 100);
  f.check(plain, 1);
  f.check(wordy, 1);
  f.check(plain, 1717);
}

TEST_CASE("what lives far apart is read as if it stood side by side", "[channel][DESIGN-1]") {
  constexpr int many = 200;
  const bool read_meanwhile = GENERATE(false, true);
  EncodedLogFixture f;
  for (int i = 0; i < many; ++i) {
    f.publish(std::string(50, 'x'), "seldom" + std::to_string(i));
    for (int often = 0; often < 400; ++often) f.publish("x", "often");
    if (read_meanwhile) f.check(plain, f.state->head());
  }
  Range range;
  for (int round = 0; round < 3; ++round) {
    f.state->read(plain, 1, {}, range);
    require_same(bytes_of(range), expected(*f.state, plain, 1));
    CHECK(flaw(range, 1, {}) == "");
    CHECK(range.messages == many + 1);
    CHECK(range.pieces.size() < 6);
    CHECK_FALSE(range.more);
    CHECK(f.state->encoded_use().cached < 200'000);
    f.publish("x", "often");
  }
  f.state->read(plain, 1, {.messages = 100}, range);
  CHECK(range.messages == 100);
  CHECK(flaw(range, 1, {.messages = 100}) == "");
  f.check(plain, 1, {.messages = 7});
  f.check(plain, 401 * 100, {.bytes = 500});
  f.check(plain, 1, {.pieces = 1});
}

TEST_CASE("when all that is left is dead, a reader goes on behind it", "[channel][WIRE-1]") {
  EncodedLogFixture f;
  f.publish_many(3);
  for (int i = 0; i < 300; ++i) f.publish("x", {}, 5ms);
  f.check(plain, 1);
  f.clock->move(5ms);
  Range range;
  f.state->read(plain, 4, {}, range);
  CHECK(range.pieces.empty());
  CHECK_FALSE(range.more);
  f.check(plain, 1);
  f.publish("after");
  f.check(plain, 4);
  f.check(plain, 1);
}

TEST_CASE("the message that a byte belongs to is found, for what was sent in part", "[channel][DESIGN-3.4]") {
  EncodedLogFixture f;
  std::mt19937 random(11);
  for (int i = 0; i < 100; ++i) f.publish(std::string(random() % 60, 'x'), i % 3 ? std::nullopt : std::optional("key"));
  Range range;
  f.state->read(plain, 1, {}, range);
  for (const Piece& piece : range.pieces) {
    Position at = piece.first;
    for (std::uint32_t byte = piece.begin; byte < piece.end; ++byte) {
      while (byte >= piece.segment->end_of(at)) ++at;
      if (piece.segment->at_byte(byte, piece.first, piece.last) != at) FAIL("byte " << byte);
      if (byte < piece.segment->begin_of(at)) FAIL("byte " << byte << " is before its message");
    }
  }
}

TEST_CASE("a reader whose next message was evicted is told so and gets nothing", "[channel][WIRE-1]") {
  EncodedLogFixture f({.history = {.max_messages = 10}});
  f.publish_many(10);
  f.check(plain, 1);
  f.publish("eleven");
  Range range;
  f.state->read(plain, 1, {}, range);
  CHECK(range.lost);
  CHECK(range.pieces.empty());
  CHECK(f.state->resume_earliest() == 2);
  f.check(plain, 2);
  f.state->read(wordy, 1, {}, range);
  CHECK(range.lost);
}

TEST_CASE("what was read stays readable after it was evicted", "[channel][DESIGN-3.4]") {
  EncodedLogFixture f({.history = {.max_messages = 10}, .max_encoded = 1});
  f.publish_many(10);
  const std::string wanted = expected(*f.state, plain, 1);
  Range range;
  f.state->read(plain, 1, {}, range);
  f.publish_many(5000);
  f.check(plain, f.state->resume_earliest());
  CHECK(bytes_of(range) == wanted);
  f.state.reset();
  CHECK(bytes_of(range) == wanted);
}

TEST_CASE("what is evicted while a range is being encoded is not passed over in silence", "[channel][WIRE-1]") {
  EncodedLogFixture f({.history = {.max_messages = 400}});
  f.publish_many(400);
  const std::string first = expected(*f.state, plain, 1);
  // The first messages are being encoded when the history moves on beyond all of them.
  Interrupted::meanwhile = [&] { f.publish_many(400); };
  Range range;
  f.state->read(&form_ops<Interrupted>, 1, {}, range);
  if (!range.lost) {
    // What was read in time is a beginning of what was there, and the next read tells of the loss.
    const std::string found = bytes_of(range);
    CHECK(first.compare(0, found.size(), found) == 0);
    const auto ended = static_cast<Position>(std::count(found.begin(), found.end(), '\n'));
    CHECK(range.next == 1 + ended);
    f.state->read(&form_ops<Interrupted>, range.next, {}, range);
    CHECK(range.lost);
  }
}

TEST_CASE("a jump is a loss for who stands before it, and a start for who comes after", "[channel][DESIGN-7]") {
  EncodedLogFixture f;
  f.publish_many(5);
  f.check(plain, 1);
  for (const MessageId id : {MessageId{EncodedLogFixture::epoch, 100}, MessageId{EncodedLogFixture::epoch + 1, 1},
                             MessageId{EncodedLogFixture::epoch + 1, 3'000'000'000}}) {
    const Position standing = f.state->head() + 1;
    REQUIRE(f.state->append({.data = "jumped"}, &id));
    Range range;
    f.state->read(plain, standing, {}, range);
    CHECK(range.lost);
    f.publish("next");
    const Position resumed = f.state->resume_earliest();
    CHECK(resumed == f.state->head() - 1);
    const std::string text =
        id.to_string() + "||jumped\n" + MessageId{id.epoch, id.offset + 1}.to_string() + "||next\n";
    CHECK(read_all(*f.state, plain, resumed) == text);
  }
}

TEST_CASE("a tiny cache changes nothing but the work", "[channel][DESIGN-3.5]") {
  EncodedLogFixture f({.max_encoded = 1});
  std::mt19937 random(12);
  for (int i = 0; i < 800; ++i) f.publish(std::string(random() % 600, 'x'));
  for (int i = 0; i < 30; ++i) {
    const Position from = 1 + random() % 800;
    f.check(i % 2 ? plain : wordy, from, {.bytes = 1 + random() % 50'000, .messages = 1 + random() % 400});
  }
}

TEST_CASE("the cache keeps to its bound", "[channel][DESIGN-3.5]") {
  ChannelOptions options{.history = {.max_messages = 100'000}};
  Clock clock;
  const auto use = std::make_shared<EncodedUse>();
  const auto& footprint = use->cached;
  LockedLog source{{}, Log(options, EncodedLogFixture::epoch), &clock};
  const std::size_t bound = 300'000;
  EncodedLog encoded_log(plain, source, use, bound);
  std::vector<RecordPtr> evicted;
  std::mt19937 random(13);
  for (int i = 0; i < 20'000; ++i) {
    auto record = std::make_shared<Record>();
    record->message.data = std::string(random() % 300, 'x');
    source.log.append(std::move(record), {}, evicted);
  }
  Range range;
  std::size_t most = 0;
  for (Position from = 1; from <= 20'000; from = range.next) {
    encoded_log.read(from, {}, range);
    most = std::max(most, footprint.load());
    if (footprint > bound) FAIL(footprint.load() << " bytes behind " << from);
  }
  CHECK(most > bound / 2);
  for (int i = 0; i < 200; ++i) {
    encoded_log.read(1 + random() % 20'000, {.bytes = 1 + random() % 300'000}, range);
    if (footprint > bound) FAIL(footprint.load() << " bytes");
  }
  // The form in use keeps its newest segment, whatever the bound.
  EncodedLog other(wordy, source, use, 1);
  other.read(20'000, {}, range);
  CHECK(bytes_of(range).size() > 0);
}

TEST_CASE("encodings go when their messages have gone", "[channel][DESIGN-3.5]") {
  ChannelOptions options{.history = {.max_messages = 10}};
  Clock clock;
  const auto use = std::make_shared<EncodedUse>();
  const auto& footprint = use->cached;
  LockedLog source{{}, Log(options, EncodedLogFixture::epoch), &clock};
  EncodedLog encoded_log(plain, source, use, std::size_t{1} << 30);
  std::vector<RecordPtr> evicted;
  Range range;
  for (Position position = 1; position <= 20'000; ++position) {
    auto record = std::make_shared<Record>();
    record->message.data = std::string(200, 'x');
    source.log.append(std::move(record), {}, evicted);
    encoded_log.read(position, {}, range);
    if (range.lost || range.next != position + 1) FAIL("at " << position);
  }
  // The segment being written and the one before it.
  CHECK(footprint < 200'000);
}
