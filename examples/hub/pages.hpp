#pragma once

#include <functional>
#include <string>

#include <downlink/net/endpoint_core.hpp>

namespace hub {

/// Answers everything but channels (WIRE §10): the page, its script, the metrics and the health check.
downlink::HttpResponse answer_page(const downlink::HttpRequest& request, const std::function<std::string()>& metrics);

}  // namespace hub
