#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/http_client.hpp"

namespace downlink::testing {

/// The JSON of a poll's answer (WIRE §3), whose shape is held to: anything else throws.
struct PollAnswer {
  explicit PollAnswer(const Response& response) : PollAnswer(nlohmann::json::parse(response.body)) {
    if (response.status != 200) throw std::runtime_error("a poll's status is " + std::to_string(response.status));
  }
  explicit PollAnswer(nlohmann::json answer) : json(std::move(answer)) {
    cursor = json.at("cursor").get<std::string>();
    gap = json.value("gap", false);
    more = json.value("more", false);
    for (const auto& message : json.at("messages")) {
      ids.push_back(message.at("id").get<std::string>());
      data.push_back(message.at("data").get<std::string>());
    }
  }

  nlohmann::json json;
  std::string cursor;
  bool gap = false;
  bool more = false;
  std::vector<std::string> ids;
  std::vector<std::string> data;
};

}  // namespace downlink::testing
