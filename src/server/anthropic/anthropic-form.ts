/** How Anthropic's API writes errors and streams: events with names, the last of which tells that the message has ended. */
import { type ApiError, errorJson } from "../api-error.js";
import type { StreamForm } from "../server-sent-events.js";

/** Anthropic's error body. What is wrong with a tool's schema is named as a request has it. */
export function anthropicError({ status, message: text }: ApiError): object {
  const message = text.replace(/^(tools\[\d+\]\.)parameters/, "$1input_schema");
  return { type: "error", error: { type: errorType(status), message } };
}

function errorType(status: number): string {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 504:
      return "timeout_error";
  }
  if (status === 503) return "overloaded_error";
  return status >= 500 ? "api_error" : "invalid_request_error";
}

export const ANTHROPIC_STREAM: StreamForm = {
  contentType: "text/event-stream; charset=utf-8",
  event: (data, name) => `event: ${name}\ndata: ${data}\n\n`,
  failure: (error) => `event: error\ndata: ${errorJson(error, anthropicError)}\n\n`,
  end: "",
  keepAlive: 'event: ping\ndata: {"type":"ping"}\n\n',
};
