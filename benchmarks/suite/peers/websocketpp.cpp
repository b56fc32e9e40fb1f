// websocketpp on its Asio transport, without logging.

#include <iostream>
#include <memory>
#include <set>
#include <websocketpp/config/asio_no_tls.hpp>
#include <websocketpp/server.hpp>

#include "control_server.hpp"

namespace {

struct Config : websocketpp::config::asio {
  static const websocketpp::log::level elog_level = websocketpp::log::elevel::none;
  static const websocketpp::log::level alog_level = websocketpp::log::alevel::none;
};
using Server = websocketpp::server<Config>;
using Handle = websocketpp::connection_hdl;

}  // namespace

int main() {
  raise_file_limit();
  boost::asio::io_context io{1};
  Server server;
  std::set<Handle, std::owner_less<Handle>> clients;
  server.init_asio(&io);
  server.set_listen_backlog(4096);
  server.set_tcp_post_init_handler([&](Handle client) {
    server.get_con_from_hdl(client)->get_raw_socket().set_option(boost::asio::ip::tcp::no_delay(true));
  });
  server.set_validate_handler([&](Handle client) {
    return server.get_con_from_hdl(client)->get_request_header("Authorization") == authorization;
  });
  server.set_open_handler([&](Handle client) { clients.insert(client); });
  server.set_close_handler([&](Handle client) { clients.erase(client); });
  server.listen(boost::asio::ip::tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0));
  server.start_accept();

  std::uint64_t number = 0;
  ControlServer<boost::asio::ip::tcp, boost::asio::mutable_buffer> control(io, [&](std::size_t size) {
    const std::string message = payload(++number, size);
    for (const auto& client : clients) server.send(client, message, websocketpp::frame::opcode::text);
  });
  websocketpp::lib::asio::error_code error;
  std::cout << server.get_local_endpoint(error).port() << ' ' << control.port() << std::endl;
  io.run();
}
