/**
 * Conversations of Ollama's API, turned into what all routes of chats take. Its calls of tools have objects for arguments, and
 * need no ids: what answers a call is then told by its tool's name, or by the order alone.
 */
import type { ChatMessage } from "../../chat/chat-template.js";
import type { ToolCall } from "../../tools/tool.js";
import { ApiError } from "../api-error.js";
import type { OllamaMessage } from "../schemas/ollama.js";

/** @throws ApiError 400 for the result of a call that is not there */
export function ollamaConversation(messages: readonly OllamaMessage[]): ChatMessage[] {
  /** Calls that nothing has answered yet, oldest first. */
  const open: ToolCall[] = [];
  let numCalls = 0;
  return messages.map((message, i): ChatMessage => {
    const { role, thinking, tool_calls: calls, tool_name: name } = message;
    const content = message.content ?? "";
    if (role === "tool") {
      const toolCallId = message.tool_call_id ?? answered(open, name, `messages.${i}`);
      return { role, content, toolCallId, ...(name != null && { name }) };
    }
    const toolCalls = (calls ?? []).map(({ id, function: { name: called, arguments: input } }): ToolCall => {
      const call = { id: id ?? `call_${numCalls}`, name: called, arguments: JSON.stringify(input ?? {}) };
      numCalls += 1;
      return call;
    });
    open.push(...toolCalls);
    return {
      ...{ role, content },
      ...(thinking && { reasoning: thinking }),
      ...(toolCalls.length > 0 && { toolCalls }),
    };
  });
}

/** The id of the oldest call that a result without one can be for; it is not open any more. */
function answered(open: ToolCall[], name: string | null | undefined, place: string): string {
  const index = open.findIndex((call) => name == null || call.name === name);
  if (index >= 0) return open.splice(index, 1)[0].id;
  throw new ApiError(
    400,
    "invalid_request",
    `${place}: a message of the role tool answers a call of the assistant's, and there is none before it that it could be for.`,
    { param: place },
  );
}
