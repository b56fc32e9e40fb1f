// What a consumer's program has to name to have TLS.
#include <downlink/downlink.hpp>
#include <downlink/tls.hpp>

int main() {
  downlink::net::io_context io;
  downlink::Channel prices;
  downlink::Server<downlink::Sse> server{io, {.port = 0}};
  try {
    downlink::enable_tls(server, downlink::Tls{{.certificate = "no certificate.pem", .key = "no key.pem"}});
  } catch (const downlink::system_error& error) {
    return error.code().message().empty() ? 1 : 0;
  }
  return 1;
}
