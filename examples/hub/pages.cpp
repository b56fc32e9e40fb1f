#include "hub/pages.hpp"

#include <string>
#include <string_view>
#include <utility>

#include <downlink/wire/query.hpp>
#include <downlink/wire/response.hpp>

#include "hub/metrics.hpp"
#include "hub_web.hpp"

namespace hub {
namespace {

downlink::HttpResponse problem(int status, std::string detail) {
  return {.status = status,
          .content_type = "application/problem+json",
          .body = downlink::wire::problem_json({.status = status, .detail = std::move(detail)})};
}

downlink::HttpResponse fresh(std::string content_type, std::string body) {
  return {.content_type = std::move(content_type), .body = std::move(body), .headers = {{"Cache-Control", "no-cache"}}};
}

}  // namespace

downlink::HttpResponse answer_page(const downlink::HttpRequest& request, const std::function<std::string()>& metrics) {
  const std::string path = downlink::wire::percent_decode_path(request.head.path()).value_or("");
  const std::string_view method = request.head.method();
  if (path != "/" && path != "/downlink.js" && path != "/metrics" && path != "/healthz") {
    return problem(404, "nothing is at this path");
  }
  if (method != "GET" && method != "HEAD") {
    auto answer = method == "OPTIONS" ? downlink::HttpResponse{.status = 204}
                                      : problem(405, "this resource does not take " + std::string(method));
    answer.headers.emplace_back("Allow", "GET, HEAD, OPTIONS");
    return answer;
  }
  if (path == "/") return fresh("text/html; charset=utf-8", std::string(index_html));
  if (path == "/downlink.js") return fresh("text/javascript; charset=utf-8", std::string(downlink_js));
  if (path == "/metrics") return fresh(metrics_content_type, metrics());
  return fresh("text/plain; charset=utf-8", "ok");
}

}  // namespace hub
