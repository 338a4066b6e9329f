/**
 * Items of a conversation turned into messages. What the assistant did in one go (thoughts, a text, calls) is several items,
 * and one message.
 */
import type { ChatMessage } from "../../chat/chat-template.js";
import type { ToolCall } from "../../tools/tool.js";
import { ApiError } from "../api-error.js";
import type { InputParts, InputReasoning } from "../schemas/response-items.js";
import { type ConversationItem, textsOf } from "./response-items.js";

/** What the assistant's message has so far. */
interface Turn {
  reasoning: string;
  content: ChatMessage["content"] | null;
  readonly calls: ToolCall[];
}

/**
 * @param instructions come first, as the system's message
 * @throws ApiError 400 for a result of a call that is not there, and for thoughts that only another server can read
 */
export function responseMessages(
  instructions: string | null | undefined,
  items: readonly ConversationItem[],
): ChatMessage[] {
  const messages: ChatMessage[] = [];
  if (instructions) messages.push({ role: "system", content: instructions });
  const names = new Map<string, string>();
  let turn: Turn | null = null;
  const begin = (isNew: (turn: Turn) => boolean): Turn => {
    if (turn !== null && isNew(turn)) end();
    turn ??= { reasoning: "", content: null, calls: [] };
    return turn;
  };
  const end = () => {
    if (turn !== null) messages.push(turnMessage(turn));
    turn = null;
  };
  for (const item of items) {
    if (item.type === "reasoning") {
      const open = begin(({ content, calls }) => content !== null || calls.length > 0);
      open.reasoning = [open.reasoning, thoughtsOf(item)].filter((text) => text !== "").join("\n");
    } else if (item.type === "function_call") {
      names.set(item.call_id, item.name);
      begin(() => false).calls.push({ id: item.call_id, name: item.name, arguments: item.arguments });
    } else if (item.type === "function_call_output") {
      end();
      messages.push(resultMessage(item.call_id, item.output, names));
    } else if (item.role === "assistant") {
      begin(({ content, calls }) => content !== null || calls.length > 0).content = contentOf(item.content);
    } else {
      end();
      messages.push({ role: item.role, content: contentOf(item.content) });
    }
  }
  end();
  return messages;
}

function turnMessage({ reasoning, content, calls }: Turn): ChatMessage {
  return {
    role: "assistant",
    content: content ?? "",
    ...(reasoning !== "" && { reasoning }),
    ...(calls.length > 0 && { toolCalls: calls }),
  };
}

function resultMessage(callId: string, output: InputParts, names: ReadonlyMap<string, string>): ChatMessage {
  const name = names.get(callId);
  if (name === undefined) {
    throw new ApiError(
      400,
      "invalid_request",
      `No tool call found for function call output with call_id ${callId}. The call comes before its output.`,
      { param: "input" },
    );
  }
  return { role: "tool", toolCallId: callId, name, content: contentOf(output) };
}

/** One text is a text, as chats mostly have it; several are parts, for templates that read lists. */
function contentOf(content: InputParts): ChatMessage["content"] {
  const texts = textsOf(content);
  return texts.length === 1 ? texts[0] : texts.map((text) => ({ type: "text" as const, text }));
}

function thoughtsOf({ content, summary, encrypted_content }: Partial<InputReasoning>): string {
  const texts = (content?.length ? content : (summary ?? [])).map(({ text }) => text);
  if (texts.length === 0 && encrypted_content) {
    throw new ApiError(
      400,
      "invalid_request",
      "encrypted_content of an item of the type reasoning cannot be read here: send its summary, or leave the item out.",
      { param: "input" },
    );
  }
  return texts.join("\n");
}
