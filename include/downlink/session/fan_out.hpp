#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <utility>

#include <downlink/misuse.hpp>
#include <downlink/session/feed.hpp>
#include <downlink/session/stream.hpp>

namespace downlink::detail {

/// How a shard's rounds send, where not by one call for each subscriber.
class FanOut {
 public:
  virtual ~FanOut() = default;
  /// Visits entries of the feed at the expense of `budget`; true while some are left. Some may be sent to later, up to
  /// `finish`; nobody is called back before all have been.
  virtual bool advance(Feed& feed, std::size_t& budget) = 0;
  /// Sends whatever is yet to be sent. At the end of each turn.
  virtual void finish() = 0;
};

/// Collects a round's sends, of whatever feeds, to make them together.
class BatchedFanOut : public FanOut {
 public:
  /// How many are made together at most.
  static constexpr std::size_t most = 256;

  bool advance(Feed& feed, std::size_t& budget) final {
    return feed.advance_forms(budget, [&](FormFeed& form) {
      if (!form.checking_.empty()) {
        finish();
        form.look_at_lag(budget);
      }
      while (budget > 0 && !form.todo_.empty()) visit(form, budget);
      if (size_ == 0 && !form.has_work()) form.forget_range();
    });
  }

  void finish() final {
    if (size_ > 0) send_all();
  }

 protected:
  /// One send, and what it came to.
  struct Sending {
    Entry* entry = nullptr;
    int socket = -1;
    net::const_buffer bytes = {};
    IoResult result = {};
  };
  /// Makes them all, without waiting for any, and sets their results.
  virtual void send(std::span<Sending> sendings) = 0;

 private:
  // Of the budget, which is in small sends: one that is made alone, and the bytes that take as long as one.
  static constexpr std::size_t cost_alone = 16;
  static constexpr std::size_t bytes_a_send = 8192;

  // As everywhere here: whoever is called back may do anything, so what was collected is sent first, and then all is
  // looked at anew.
  void visit(FormFeed& form, std::size_t& budget) {
    Entry& entry = form.todo_.front();
    const int socket = size_ < most ? socket_to_send(form, entry) : -1;
    if (socket < 0 && size_ > 0) return send_all();
    form.idle_.push_back(entry);
    if (socket < 0) {
      budget -= std::min(budget, cost_alone);
      return entry.subscriber->advance(entry);
    }
    const auto bytes = form.memo_.buffers[0];
    budget -= std::min(budget, 1 + bytes.size() / bytes_a_send);
    sendings_[size_++] = {&entry, socket, bytes, {}};
  }

  // The range that a form remembers is what its collected entries are sent: as long as there are any, it stays.
  int socket_to_send(FormFeed& form, const Entry& entry) const {
    if (form.memo_from_ != entry.next) {
      if (size_ > 0 && form.memo_from_ != FormFeed::nowhere) return -1;
      form.read(entry.next);
    }
    if (!form.memo_.plain || form.memo_.buffers.size() != 1 || entry.past_lag()) return -1;
    return entry.subscriber->socket_to_send();
  }

  void send_all() {
    const auto sendings = std::span(sendings_).first(size_);
    send(sendings);
    size_ = 0;
    List<Entry> lost;
    for (const auto& sending : sendings) {
      Entry& entry = *sending.entry;
      bool there = false;  // nor is who has no memory to remember what was sent
      thrown_by([&] { there = entry.subscriber->sent(entry, entry.feed->memo_, sending.result); });
      if (!there) lost.push_back(entry);
    }
    const FormFeed* last = nullptr;
    for (const auto& sending : sendings) {
      FormFeed& form = *sending.entry->feed;
      if (std::exchange(last, &form) != &form && !form.has_work()) form.forget_range();
    }
    while (!lost.empty()) {
      Entry& entry = lost.front();
      entry.feed->idle_.push_back(entry);
      thrown_by([&] { entry.subscriber->lost(entry); });
    }
  }

  std::array<Sending, most> sendings_;
  std::size_t size_ = 0;
};

}  // namespace downlink::detail
