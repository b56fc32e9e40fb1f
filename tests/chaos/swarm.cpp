#include "chaos/swarm.hpp"

#include <sys/epoll.h>

#include <chrono>

namespace downlink::chaos {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr Clock::time_point never = Clock::time_point::max();

}  // namespace

/// One client: it connects, reads and stalls for a while, leaves in one way or another, and comes again.
class Swarm::Client {
 public:
  Client(Swarm& swarm, std::size_t index, std::uint32_t seed)
      : swarm_(swarm), index_(static_cast<std::uint32_t>(index)), random_(seed), reader_(swarm.seen_[index % 2]) {
    come_again(2000);
  }
  ~Client() { hang_up(); }

  /// Does what is due.
  void look(Clock::time_point now) {
    if (now < due_) return;
    due_ = never;
    if (fd_ < 0) return connect();
    if (stalled_) {
      stalled_ = false;
      watch();
      due_ = leave_at_;
      return;
    }
    if (!unsent_.empty()) return send();
    if (now < leave_at_) return begin_stall(now);
    leave();
  }

  void ready(std::uint32_t events) {
    if (fd_ < 0) return;
    if (events & EPOLLOUT) {
      connected_ = true;
      send();
    }
    if (fd_ >= 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) receive();
  }

  /// From here on it only catches up.
  void settle(std::uint64_t head) {
    leave_orderly();
    settling_ = head;
    due_ = Clock::now();
  }
  bool settled() const { return settling_ && fd_ < 0 && due_ == never; }

 private:
  std::size_t any(std::size_t bound) { return below(random_, bound); }

  void come_again(std::size_t most) { due_ = Clock::now() + milliseconds(any(most)); }

  void connect() {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd_ < 0) fail("no socket: " + std::to_string(errno));
    if (!settling_ && one_in(random_, 4)) {
      const int small = 4096;
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(swarm_.port_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 && errno != EINPROGRESS) {
      // Out of ports for the moment.
      ::close(std::exchange(fd_, -1));
      return come_again(500);
    }
    ++swarm_.connections_;
    connected_ = false;
    kind_ = settling_ ? Kind::short_poll : static_cast<Kind>(any(5));
    parsing_.emplace(kind_, reader_);
    asked_ = 0;
    reader_.begin(kind_);
    leave_at_ = settling_ ? never : Clock::now() + milliseconds(10 + any(one_in(random_, 3) ? 200 : 4000));
    due_ = leave_at_;
    if (!settling_ && one_in(random_, 20)) {
      // Nonsense, or half of a request.
      static constexpr std::string_view nonsense[] = {"\x16\x03\x01", "GET /drop HTTP/1.1\r\nHo", "BAD\r\n\r\n",
                                                      "POST /drop HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx"};
      unsent_ = nonsense[any(4)];
      parsing_.reset();
      leave_at_ = due_ = Clock::now() + milliseconds(any(300));
    } else {
      ask();
    }
    epoll_event event{EPOLLIN | EPOLLOUT, {.u32 = index_}};
    ::epoll_ctl(swarm_.epoll_, EPOLL_CTL_ADD, fd_, &event);
  }

  // The next request on this connection.
  void ask() {
    ++asked_;
    std::string target = paths[index_ % 2];
    std::string headers;
    const auto& cursor = reader_.cursor();
    const char* separator = "?";
    const auto query = [&](const std::string& pair) { target += std::exchange(separator, "&") + pair; };
    if (!cursor.empty() && kind_ == Kind::sse && one_in(random_, 2)) {
      headers += "Last-Event-ID: " + cursor + "\r\n";
    } else if (!cursor.empty()) {
      query("cursor=" + cursor);
    } else if (settling_ || one_in(random_, 3)) {
      query("cursor=earliest");
    } else if (one_in(random_, 2)) {
      query("history=" + std::to_string(any(300)));
    }
    if (kind_ == Kind::long_poll) query("wait=" + std::to_string(1 + any(3)));
    if (kind_ == Kind::sse) headers += "Accept: text/event-stream\r\n";
    if (kind_ == Kind::v1) headers += testing::WebSocketClient::v1;
    const bool websocket = kind_ == Kind::v1 || kind_ == Kind::raw;
    unsent_ =
        websocket ? testing::WebSocketClient::request(target, headers) : testing::request_text("GET", target, headers);
  }

  void watch() const {
    epoll_event event{0, {.u32 = index_}};
    if (!stalled_) event.events |= EPOLLIN;
    if (!connected_ || blocked_) event.events |= EPOLLOUT;
    ::epoll_ctl(swarm_.epoll_, EPOLL_CTL_MOD, fd_, &event);
  }

  void send() {
    if (!connected_) return;
    // Now and then in two pieces.
    auto part = std::string_view(unsent_);
    const bool split = part.size() > 1 && !settling_ && one_in(random_, 10);
    if (split) part = part.substr(0, 1 + any(part.size() - 1));
    const auto sent = ::send(fd_, part.data(), part.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return lost();
    unsent_.erase(0, static_cast<std::size_t>(std::max<ssize_t>(sent, 0)));
    blocked_ = !unsent_.empty() && !split;
    if (split) due_ = Clock::now() + milliseconds(any(20));
    if (unsent_.empty()) plan();
    watch();
  }

  // Whether it will stall before it leaves.
  void plan() {
    due_ = leave_at_;
    if (settling_ || !parsing_ || !one_in(random_, 3)) return;
    due_ = std::min(leave_at_, Clock::now() + milliseconds(any(500)));
  }
  void begin_stall(Clock::time_point now) {
    stalled_ = true;
    due_ = now + milliseconds(any(one_in(random_, 4) ? 4000 : 500));
    leave_at_ = std::max(leave_at_, due_ + milliseconds(any(500)));
    watch();
  }

  void receive() {
    char buffer[65536];
    const auto got = ::recv(fd_, buffer, one_in(random_, 8) ? 1 + any(2000) : sizeof buffer, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN)) return lost();
    if (got < 0 || !parsing_) return;
    parsing_->feed({buffer, static_cast<std::size_t>(got)});
    if (parsing_->closed()) return leave_orderly();
    if (parsing_->answers() < asked_) return;
    if (kind_ != Kind::long_poll && kind_ != Kind::short_poll) return;
    if (settling_ && !parsing_->more() && reader_.position() == *settling_) return leave_orderly();
    if (parsing_->closes() || (!settling_ && one_in(random_, 10))) return leave_orderly();
    ask();
    send();
  }

  void leave() {
    switch (any(4)) {
      case 0: {
        const linger hard{1, 0};
        ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        return leave_orderly();
      }
      case 1:
        // Reads on until the server ends it, but not for ever.
        ::shutdown(fd_, SHUT_WR);
        leave_at_ = due_ = Clock::now() + milliseconds(200 + any(500));
        return;
      case 2:
        if ((kind_ == Kind::raw || kind_ == Kind::v1) && unsent_.empty() && parsing_ && parsing_->answers() == 0) {
          unsent_ = testing::client_frame(testing::ws_close, testing::close_payload(1000));
          leave_at_ = due_ = Clock::now() + milliseconds(200 + any(500));
          return send();
        }
        [[fallthrough]];
      default:
        return leave_orderly();
    }
  }

  void lost() { leave_orderly(); }
  void leave_orderly() {
    hang_up();
    due_ = never;
    if (!settling_) return come_again(one_in(random_, 4) ? 2000 : 100);
    if (reader_.position() != *settling_ || reader_.cursor().empty()) come_again(50);
  }
  void hang_up() {
    if (fd_ < 0) return;
    ::close(std::exchange(fd_, -1));
    if (parsing_) reader_.end();
    parsing_.reset();
    unsent_.clear();
    stalled_ = blocked_ = false;
  }

  Swarm& swarm_;
  const std::uint32_t index_;
  Random random_;
  Reader reader_;
  Kind kind_ = Kind::sse;
  std::optional<Parsing> parsing_;
  int fd_ = -1;
  std::string unsent_;
  std::size_t asked_ = 0;
  bool connected_ = false;
  bool blocked_ = false;
  bool stalled_ = false;
  std::optional<std::uint64_t> settling_;
  Clock::time_point due_ = never;
  Clock::time_point leave_at_ = never;
};

Swarm::Swarm(std::uint16_t port, std::size_t count, std::uint32_t seed)
    : epoll_(::epoll_create1(EPOLL_CLOEXEC)), port_(port) {
  Random random(seed);
  for (std::size_t i = 0; i < count; ++i) {
    clients_.push_back(std::make_unique<Client>(*this, i, static_cast<std::uint32_t>(random())));
  }
}
Swarm::~Swarm() { ::close(epoll_); }

void Swarm::turn() {
  std::array<epoll_event, 512> events;
  const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 5);
  for (int i = 0; i < count; ++i) {
    const auto& event = events[static_cast<std::size_t>(i)];
    clients_[event.data.u32]->ready(event.events);
  }
  const auto now = Clock::now();
  for (const auto& client : clients_) client->look(now);
}

void Swarm::rage(const std::atomic<bool>& stop) {
  while (!stop) turn();
}

void Swarm::catch_up(const std::array<std::uint64_t, 2>& heads) {
  for (std::size_t i = 0; i < clients_.size(); ++i) clients_[i]->settle(heads[i % 2]);
  const auto deadline = Clock::now() + std::chrono::minutes{2};
  const auto all = [&] {
    return std::all_of(clients_.begin(), clients_.end(), [](const auto& client) { return client->settled(); });
  };
  while (!all()) {
    demand(Clock::now() < deadline, "a client does not catch up");
    turn();
  }
}

}  // namespace downlink::chaos
