#pragma once

/// \file
/// Declarations of the types that users meet, for headers that only name them.

/// What applications use: channels and what is published to them, transports, servers and endpoints, and their options.
/// Functions are safe from one thread at a time unless they say more.
namespace downlink {

struct Message;
struct MessageId;
class Channel;
class Publisher;
class Hub;

struct ShortPolling;
struct LongPolling;
struct Sse;
struct WebSocket;

class RequestHead;
class Peer;
struct Inbound;
struct Reply;
struct Decision;
struct HttpRequest;
struct HttpResponse;

class EndpointBase;
template <class... Ts>
class Endpoint;
template <class... Ts>
class Server;

}  // namespace downlink
