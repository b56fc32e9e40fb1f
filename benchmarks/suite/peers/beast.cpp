// Boost.Beast in its usual pattern: a session kept by shared_ptr, a queue of shared messages, one async_write at a
// time.

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>
#include <deque>
#include <iostream>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "control_server.hpp"

namespace {

namespace beast = boost::beast;
namespace net = boost::asio;
using net::ip::tcp;
using Message = std::shared_ptr<const std::string>;

class Session;
using Room = std::set<std::shared_ptr<Session>>;

class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(tcp::socket socket, Room& room) : stream_(std::move(socket)), room_(room) {}

  void start() {
    beast::http::async_read(stream_.next_layer(), buffer_, request_,
                            [self = shared_from_this()](beast::error_code error, std::size_t) {
                              if (!error && self->request_[beast::http::field::authorization] == authorization.data()) {
                                self->accept();
                              }
                            });
  }

  void send(Message message) {
    queue_.push_back(std::move(message));
    if (queue_.size() == 1) write();
  }

 private:
  void accept() {
    stream_.set_option(beast::websocket::stream_base::timeout::suggested(beast::role_type::server));
    stream_.auto_fragment(false);
    stream_.async_accept(request_, [self = shared_from_this()](beast::error_code error) {
      if (error) return;
      self->request_ = {};
      self->room_.insert(self);
      self->read();
    });
  }

  void read() {
    stream_.async_read(buffer_, [self = shared_from_this()](beast::error_code error, std::size_t) {
      if (error) return self->leave();
      self->buffer_.consume(self->buffer_.size());
      self->read();
    });
  }

  void write() {
    stream_.text(true);
    stream_.async_write(net::buffer(*queue_.front()),
                        [self = shared_from_this()](beast::error_code error, std::size_t) {
                          if (error) return self->leave();
                          self->queue_.pop_front();
                          if (!self->queue_.empty()) self->write();
                        });
  }

  void leave() { room_.erase(shared_from_this()); }

  beast::websocket::stream<beast::tcp_stream> stream_;
  Room& room_;
  beast::flat_buffer buffer_{};
  beast::http::request<beast::http::string_body> request_{};
  std::deque<Message> queue_{};
};

}  // namespace

int main() {
  serve<Session, Room, net::io_context, tcp, net::mutable_buffer>(
      [](Room& room, std::uint64_t, const std::string& data) {
        const auto message = std::make_shared<const std::string>(data);
        for (const auto& session : room) session->send(message);
      });
}
