#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include <downlink/asio.hpp>
#include <downlink/channel/channel_state.hpp>
#include <downlink/random.hpp>
#include <downlink/session/coroutines.hpp>
#include <downlink/session/counters.hpp>
#include <downlink/session/fan_out.hpp>
#include <downlink/session/feed.hpp>
#include <downlink/session/holds.hpp>
#include <downlink/session/operation_storage.hpp>
#include <downlink/session/read_buffer.hpp>
#include <downlink/session/shard_member.hpp>
#include <downlink/session/shard_tasks.hpp>
#include <downlink/session/timer_wheel.hpp>
#include <downlink/wire/response.hpp>

namespace downlink::detail {

/// One serialised part of a server: an `io_context` that one thread runs, or a strand of it, and the sessions bound to
/// it. Only `post`, `dispatch` and `news` may be called from outside it. Never runs the loop and never blocks it:
/// rounds over many sessions are sliced and posted again in between.
class Shard final : public std::enable_shared_from_this<Shard>, public FeedHost {
 public:
  using Executor = net::io_context::executor_type;
  using Timer =
      net::basic_waitable_timer<std::chrono::steady_clock, net::wait_traits<std::chrono::steady_clock>, Executor>;
  using Acceptor = net::basic_socket_acceptor<net::ip::tcp, Executor>;

  Shard(net::io_context& context, bool one_thread)
      : executor_(context.get_executor()),
        one_thread_(one_thread),
        tasks_(context),
        wheel_(std::chrono::steady_clock::now()) {
    timer_.emplace(executor_);
    now_ = std::chrono::steady_clock::now();
  }

  const Executor& executor() const { return executor_; }
  net::io_context& context() const { return executor_.context(); }
  bool one_thread() const { return one_thread_; }

  using Task = ShardTasks::Task;

  /// Runs `task` on the shard, in one of its later turns. Safe from any thread.
  void post(Task task) {
    tasks_.add(std::move(task), [this] { schedule(); });
  }
  /// Posts the task that `make` returns, which may own what belongs to the loop, as a socket: the loop does not go
  /// before it is posted, and takes it along when it goes. False where the loop has gone or, unless `even_resting`,
  /// nobody runs it any more, and then `make` was not called. Safe from any thread.
  template <class Function>
  bool post_made(Function&& make, bool even_resting = false) {
    return tasks_.add_made(std::forward<Function>(make), even_resting, [this] { schedule(); });
  }
  /// The same, but at once when called on the shard, or when the shard is free and called from its loop.
  template <class Function>
  void dispatch(Function&& function) {
    if (gone() || !executor_.running_in_this_thread()) return post(std::forward<Function>(function));
    enter(std::forward<Function>(function));
  }
  /// For completion handlers, which the loop calls on one of its threads: goes on on the shard, at once when it is
  /// free.
  template <class Function>
  void enter(Function&& function) {
    if (one_thread_ || runs_here()) return std::forward<Function>(function)();
    if (busy_.exchange(true)) return post(std::forward<Function>(function));
    run_alone(std::forward<Function>(function));
  }

  /// The time, as of the last turn of this shard.
  TimePoint now() const { return now_; }
  TimePoint update_now() { return now_ = std::chrono::steady_clock::now(); }
  /// For how long one peer, or one turn, may have the loop; the rest of its work is for a later turn.
  static constexpr std::chrono::microseconds slice{1000};
  /// Whether a slice that was to last until `end` is over; `now` stays what it was.
  static bool over(TimePoint end) { return std::chrono::steady_clock::now() >= end; }

  /// The value of `Date` for a response, made once a second.
  const std::string& http_date() {
    const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    if (std::exchange(date_of_, now) != now) date_ = wire::http_date(now);
    return date_;
  }

  void set(Deadline& deadline, std::chrono::milliseconds interval) {
    arm(wheel_.set(deadline, update_now(), interval));
  }
  /// How long until a deadline that is set falls due.
  std::chrono::milliseconds left(const Deadline& deadline) { return wheel_.left(deadline, update_now()); }

  /// What happens on it: changed on the shard, read by anybody.
  Counters& counters() { return counters_; }

  /// How rounds send from now on, in place of one call for each subscriber. On the shard, or before anything runs it.
  void fan_out_with(std::unique_ptr<FanOut> fan_out) { fan_out_ = std::move(fan_out); }

  /// What its sessions read into, one after the other.
  ReadBuffer& read_buffer() { return read_buffer_; }

  void add(ShardMember& member) { members_.push_back(member); }
  /// Calls `released` of a member that was removed in a later turn, when nobody uses it any more; at once where the
  /// loop is gone. Takes no memory.
  void release_later(ShardMember& member) noexcept {
    if (gone()) return member.released();
    closed_.push_back(member);
    schedule();
  }
  /// Deadlines belong to members: without any, nothing keeps the loop running.
  void remove(ShardMember& member) {
    static_cast<ListNode&>(member).unlink();
    if (members_.empty() && drained_) return finish_drain();
    if (!members_.empty() || armed_ == TimePoint::max()) return;
    armed_ = TimePoint::max();
    if (timer_) timer_->cancel();
  }
  /// On the shard: `alarm` is for this member, too, for as long as it is there.
  void heeds_alarms(std::weak_ptr<ShardMember> member) { heeding_.push_back(std::move(member)); }
  /// Calls `alarmed` of those members in a later turn. For who has no memory to post a task with. Safe from any thread.
  void alarm() noexcept {
    alarmed_.store(true);
    schedule();
  }
  bool stopped() const { return stopped_; }

  /// The shard's part of a channel, made on first need.
  Feed& feed(const std::shared_ptr<ChannelState>& channel) {
    auto& feed = feeds_[channel.get()];  // first: once it is made, other threads know it
    if (!feed) feed = std::make_unique<Feed>(*this, channel);
    return *feed;
  }

  /// From any thread, under the channel's wake lock.
  void news(Feed& feed) noexcept override {
    Feed* top = ready_.load(std::memory_order_relaxed);
    do {
      feed.next_ready = top;
    } while (!ready_.compare_exchange_weak(top, &feed, std::memory_order_release, std::memory_order_relaxed));
    schedule();
  }
  /// On the shard: `feed` has work left.
  void more(Feed& feed) override {
    active_.push_back(feed);
    if (!stopped_) schedule();
  }
  void left(Feed& feed) override {
    idle_feeds_.push_back(feed);
    if (!stopped_) schedule();
  }

  /// From now on somebody holds segments that their caches may drop.
  void pin(Hold& hold) { holds_.add(hold); }
  /// Whether too much of a channel's is held is looked at when it has news; this is for where none may come.
  void look_at_pinned(const std::shared_ptr<ChannelState>& channel) {
    if (!channel->pins_too_much()) return;
    post([self = shared_from_this(), channel] {
      if (!self->stopped_ && channel->pins_too_much()) self->holds_.relieve(*channel);
    });
  }

  /// Closes every member, leaves every channel and calls nobody any more. On the shard, or while nothing runs it.
  void shut_down() {
    stopped_ = true;
    while (!members_.empty()) {
      ShardMember& member = members_.front();
      static_cast<ListNode&>(member).unlink();
      thrown_by([&] { member.shut_down(); });  // so that the others are, too
    }
    if (timer_) timer_->cancel();
    if (!gone()) coroutines_.cancel();  // else they go with the loop
    for (auto& [channel, feed] : feeds_) {
      if (feed) feed->leave();  // else there was no memory for it
    }
    ready_.exchange(nullptr, std::memory_order_acq_rel);
    if (!in_turn_) feeds_.clear();
    static_cast<Deadline&>(drain_end_).unlink();
    if (const auto done = std::exchange(drained_, {})) done();
  }

  /// The same from any thread, at once where that can be, for who may not throw.
  void end() noexcept {
    if (gone() || !thrown_by([this] { dispatch([self = shared_from_this()] { self->shut_down(); }); })) return;
    ends_.store(true);  // in its next turn, as there is no memory for a task
    schedule();
  }

  /// A coroutine of the application's has begun: it is cancelled when this shuts down. On the shard.
  void began(std::weak_ptr<net::cancellation_signal> coroutine) { coroutines_.add(std::move(coroutine)); }

  /// Ends every member in an orderly way, streams spread over three quarters of `time`, resets what is left after it,
  /// and calls `done`. Where it is called again meanwhile, what comes first is the end of both.
  void drain(std::chrono::milliseconds time, std::function<void()> done) {
    if (stopped_) return done();
    time = std::clamp(time, std::chrono::milliseconds{0}, longest_wait);
    const auto due = update_now() + time;
    const bool sooner = !drained_ || due < drain_due_;
    if (drained_) {
      done = [first = std::exchange(drained_, {}), second = std::move(done)] {
        first();
        second();
      };
    }
    auto random = static_cast<std::uint64_t>(due.time_since_epoch().count()) ^
                  static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(this));
    List<ShardMember> members;
    members.take_all(members_);
    const auto spread = static_cast<std::uint64_t>(std::max<std::chrono::milliseconds::rep>(time.count() * 3 / 4, 1));
    while (!members.empty()) {
      ShardMember& member = members.front();
      members_.push_back(member);
      const std::chrono::milliseconds delay(random_at(random += random_step) % spread);
      // Stopped by a callback, or without the memory to wait.
      if (stopped_ || thrown_by([&] { member.drain(delay); })) {
        static_cast<ListNode&>(member).unlink();
        member.shut_down();
      }
    }
    if (stopped_) return done();
    drained_ = std::move(done);
    if (members_.empty()) return finish_drain();
    arm(wheel_.next_due());  // it was let go of where the list was empty in between
    if (!sooner) return;
    drain_due_ = due;
    set(drain_end_, time);
  }

  /// Calls `call` when the loop goes. Safe from any thread.
  void at_end(Task call) { tasks_.at_end(std::move(call)); }

  /// The loop itself is going: the same as `shut_down`, and nothing of the loop's is kept. Nothing may be posted from
  /// here on.
  void let_go() {
    tasks_.close();
    shut_down();
    release_closed();
    feeds_.clear();
    timer_.reset();
    tasks_.end();
  }
  /// Whether what is posted is not run, for now or for ever: the loop is gone, or nobody runs it any more. Safe from
  /// any thread.
  bool rests() { return tasks_.rest(); }
  /// Whether the loop is gone; safe from any thread that does not race with the loop's own end.
  bool gone() const { return tasks_.gone(); }

 private:
  static constexpr std::size_t sends_at_once = 256;
  static constexpr std::size_t sends_between_clocks = 16;

  struct DrainEnd final : Deadline {
    explicit DrainEnd(Shard& owner) : shard(owner) {}
    void expired() override { shard.finish_drain(); }
    Shard& shard;
  };

  void finish_drain() {
    const auto self = shared_from_this();
    shut_down();
  }

  // The one pending task of the shard. Its operation lives in the shard, so that a wake-up allocates nothing.
  struct Turn {
    std::shared_ptr<Shard> shard;
    using allocator_type = StorageAllocator<void, 128>;
    allocator_type get_allocator() const noexcept { return allocator_type(shard->turn_storage_); }
    void operator()() {
      auto self = std::move(shard);
      self->turn();
    }
  };

  void schedule() noexcept {
    if (gone()) return;
    if (scheduled_.exchange(true, std::memory_order_acq_rel)) return;
    if (auto self = weak_from_this().lock()) net::post(executor_, Turn{std::move(self)});
  }

  void turn() {
    // First the flag, then the list, then (in the feeds) the head: news that comes from here on makes another turn.
    scheduled_.exchange(false, std::memory_order_acq_rel);
    if (!busy_.exchange(true)) return run_alone([this] { take_turn(); });
    // Somebody else is at it, or a callback made in a turn runs the loop, and makes another turn for this one, unless
    // that was done before the wish was there.
    wanted_.store(true);
    if (!busy_.load()) schedule();
  }

  template <class Function>
  void run_alone(Function&& function) {
    thread_.store(std::this_thread::get_id(), std::memory_order_relaxed);
    struct Leaving {  // by an exception of the application's too
      Shard& shard;
      ~Leaving() {
        shard.thread_.store(std::thread::id(), std::memory_order_relaxed);
        shard.busy_.store(false);
        if (shard.wanted_.exchange(false)) shard.schedule();
      }
    } const leaving{*this};
    std::forward<Function>(function)();
  }
  bool runs_here() const { return thread_.load(std::memory_order_relaxed) == std::this_thread::get_id(); }

  void release_closed() noexcept {
    while (!closed_.empty()) {
      ShardMember& member = closed_.front();
      static_cast<ListNode&>(member).unlink();
      member.released();
    }
  }

  void take_turn() {
    release_closed();
    if (ends_.load(std::memory_order_relaxed) && !stopped_) shut_down();
    if (rung_.load(std::memory_order_relaxed) && rung_.exchange(false)) tick(armed_);
    if (alarmed_.load(std::memory_order_relaxed) && alarmed_.exchange(false)) tell_of_alarm();
    update_now();
    tasks_.run([this] { schedule(); }, [end = now_ + slice] { return over(end); });
    if (stopped_) return;
    struct InTurn {
      explicit InTurn(Shard& owner) : shard(owner) { shard.in_turn_ = true; }
      ~InTurn() {  // by an exception too
        shard.in_turn_ = false;
        if (shard.stopped_) {
          shard.feeds_.clear();  // shut down from a callback: they were in use until here
        } else if (!shard.active_.empty()) {
          shard.schedule();
        }
      }
      Shard& shard;
    } const in_turn(*this);
    if (expiring_) expire_some();
    if (stopped_) return;
    update_now();
    take_ready();
    drop_idle_feeds();
    const TimePoint end = now_ + slice;
    std::size_t budget = sends_at_once;
    while (!active_.empty() && budget > 0) {
      Feed& feed = active_.front();
      const bool more = visit(feed, budget);
      if (stopped_) break;
      if (more) {
        active_.push_back(feed);
      } else if (feed.unused()) {
        left(feed);
      } else {
        static_cast<ListNode&>(feed).unlink();
      }
      if (update_now() >= end) break;
    }
    if (fan_out_) fan_out_->finish();
  }

  // True when some of the feed's subscribers are left.
  bool visit(Feed& feed, std::size_t& budget) {
    if (fan_out_) return fan_out_->advance(feed, budget);
    const std::size_t part = std::min(budget, sends_between_clocks);
    std::size_t left = part;
    const bool more = feed.advance(left);
    budget -= std::max<std::size_t>(part - left, 1);
    return more;
  }

  void take_ready() {
    Feed* feed = ready_.exchange(nullptr, std::memory_order_acq_rel);
    while (feed) {
      Feed* next = feed->next_ready;
      // One that waits for its visit keeps its place: however often there is news, each has its turn.
      if (feed->begin_round() && !feed->linked()) active_.push_back(*feed);
      if (feed->channel()->pins_too_much()) holds_.relieve(*feed->channel());
      feed = next;
    }
  }

  // A feed that its last subscriber has left goes once it can't be in the ready list any more.
  void drop_idle_feeds() {
    while (!idle_feeds_.empty()) {
      Feed& feed = idle_feeds_.front();
      static_cast<ListNode&>(feed).unlink();
      if (!feed.unused()) {
        if (feed.has_work()) active_.push_back(feed);
        continue;
      }
      feed.leave();
      const auto dropped = feeds_.extract(feed.channel().get());  // who comes in a callback gets a new one
      take_ready();
    }
  }

  void arm(TimePoint due) {
    if (stopped_ || due >= armed_) return;
    armed_ = TimePoint::max();  // should the wait not begin
    timer_->expires_at(due);
    timer_->async_wait([self = shared_from_this(), due](error_code error) {
      if (error) return;
      // With one thread too, or a callback that runs the loop would make a turn, which lets go of closed connections.
      const auto tick = [&] { self->tick(due); };
      if (!self->busy_.exchange(true)) return self->run_alone(tick);
      if (self->one_thread_ || self->runs_here()) return tick();
      self->rung_.store(true);  // in the next turn, for which no memory is needed
      self->schedule();
    });
    armed_ = due;
  }

  // Whom it tells may do anything, and more may come.
  void tell_of_alarm() {
    for (std::size_t i = 0; i < heeding_.size(); ++i) {
      if (const auto member = heeding_[i].lock()) thrown_by([&] { member->alarmed(); });
    }
  }

  void tick(TimePoint due) {
    if (stopped_ || due != armed_) return;
    armed_ = TimePoint::max();
    wheel_.advance(update_now(), due_);
    expiring_ = true;
    expire_some();
  }

  // Deadlines that fall due together are sliced like everything else.
  void expire_some() {
    struct Expiring {
      Shard& shard;
      ~Expiring() {  // one may have thrown: the others are for the next turn
        if (shard.expiring_ && !shard.stopped_) shard.schedule();
      }
    } const expiring{*this};
    const TimePoint end = update_now() + slice;
    for (bool over = false; !due_.empty() && !over; over = update_now() >= end) {
      Deadline& deadline = due_.front();
      static_cast<ListNode&>(deadline).unlink();
      deadline.expired();
      if (stopped_) return;
    }
    if (!due_.empty()) return;
    arm(wheel_.next_due());
    expiring_ = false;
  }

  Executor executor_;
  const bool one_thread_;
  TimePoint now_;

  // Whether somebody runs on the shard (with one thread: a turn does), who, and whether a turn came meanwhile.
  std::atomic<bool> busy_{false};
  std::atomic<bool> wanted_{false};
  std::atomic<std::thread::id> thread_{};
  ShardTasks tasks_;
  Coroutines coroutines_;

  OperationStorage<128> turn_storage_;
  std::atomic<bool> scheduled_{false};
  std::atomic<bool> rung_{false};     // the timer, while somebody else was on the shard
  std::atomic<bool> alarmed_{false};  // those that heed it are to be told in the next turn
  std::atomic<Feed*> ready_{nullptr};
  List<Feed> active_;
  List<Feed> idle_feeds_;
  std::unique_ptr<FanOut> fan_out_;  // where not every subscriber is sent to by a call of its own
  Holds holds_;
  std::unordered_map<ChannelState*, std::unique_ptr<Feed>> feeds_;

  TimerWheel wheel_;
  List<Deadline> due_;
  bool expiring_ = false;  // the next turn goes on with what is due
  std::optional<Timer> timer_;
  TimePoint armed_ = TimePoint::max();

  List<ShardMember> members_;
  std::vector<std::weak_ptr<ShardMember>> heeding_;
  List<ShardMember> closed_;  // removed, and perhaps still used by whoever removed them
  std::atomic<bool> ends_{false};
  std::function<void()> drained_;
  DrainEnd drain_end_{*this};
  TimePoint drain_due_ = {};
  std::atomic<bool> stopped_{false};
  bool in_turn_ = false;
  std::chrono::sys_seconds date_of_{};
  std::string date_;
  Counters counters_;
  ReadBuffer read_buffer_;
};

}  // namespace downlink::detail
