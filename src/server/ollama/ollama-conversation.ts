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
      const toolCallId = answered(open, message, `messages.${i}`);
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

/** The id of the call that a result is for: its own, or else that of the oldest that it can be for. It is not open any more. */
function answered(
  open: ToolCall[],
  { tool_call_id: id, tool_name: name }: Pick<OllamaMessage, "tool_call_id" | "tool_name">,
  place: string,
): string {
  const index = open.findIndex((call) => (id == null ? name == null || call.name === name : call.id === id));
  const [call] = index >= 0 ? open.splice(index, 1) : [];
  if (id != null) return id;
  if (call !== undefined) return call.id;
  throw new ApiError(
    400,
    "invalid_request",
    `${place}: a message of the role tool answers a call of the assistant's, and there is none before it that it could be for.`,
    { param: place },
  );
}
